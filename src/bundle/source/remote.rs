//! Artifacts from elsewhere: executables over https, images from a registry.

use camino::{Utf8Path, Utf8PathBuf};

use super::super::item::Item;
use super::super::request::Request;
use super::super::{BundleError, Fetched};
use super::http::HttpSource;
use super::registry::RegistrySource;
use crate::release::artifact::Arch;
use crate::release::catalog::IMAGE_REGISTRY;

/// Where executables and images are published.
pub struct Remote {
    files: HttpSource,
    images: RegistrySource,
    scratch: Utf8PathBuf,
}

/// What the operator may say about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoteOptions<'a> {
    /// An https address that has upstream's files below it; upstream itself without.
    pub mirror: Option<&'a str>,
    /// A registry, or a path in one, that has upstream's images; upstream's own without.
    pub registry: Option<&'a str>,
    /// PEM certificates to trust beside the system's.
    pub authorities: Option<&'a Utf8Path>,
}

impl Remote {
    /// `scratch` is a directory for what is under way; it goes away with this value.
    pub fn new(options: RemoteOptions<'_>, scratch: &Utf8Path) -> Result<Self, BundleError> {
        let registry = options.registry.unwrap_or(IMAGE_REGISTRY);
        Ok(Remote {
            files: HttpSource::new(options.mirror, options.authorities, scratch.join("files"))?,
            images: RegistrySource::new(registry, options.authorities, scratch.join("blobs"))?,
            scratch: scratch.to_owned(),
        })
    }

    /// The recorded source of an item: what has it already is up to date. Images cost a question.
    pub async fn source(&self, item: Item, request: &Request) -> Result<String, BundleError> {
        match item {
            Item::File(file) => Ok(self.files.source(file, request)),
            Item::Image(image) => self.images.source(image, request).await,
        }
    }

    /// Puts an item at `target`.
    pub async fn fetch(
        &self,
        item: Item,
        request: &Request,
        target: &Utf8Path,
    ) -> Result<Fetched, BundleError> {
        match item {
            Item::File(file) => self.files.file(file, request, target).await,
            Item::Image(image) => self.images.image(image, request, target).await,
        }
    }
}

impl Remote {
    /// A manifest's bytes.
    pub(in crate::bundle) async fn manifest(&self, url: &str) -> Result<Vec<u8>, BundleError> {
        self.files.manifest(url).await
    }

    /// Puts an image that a manifest names at `target`.
    pub(in crate::bundle) async fn named_image(
        &self,
        name: &str,
        arch: Arch,
        target: &Utf8Path,
    ) -> Result<Fetched, BundleError> {
        self.images.named(name, arch, target).await
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // Archives and blobs are of no use once what was in them is in the bundle.
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}
