//! Images from a registry: upstream's or another with the same names, kept byte for byte under their digests.

use std::io::Write;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use futures::StreamExt;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{OciDescriptor, OciImageManifest, OciManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

use super::super::hash::{Fingerprint, Hashing, Staged};
use super::super::image::Content;
use super::super::image::layout::{Blob, BlobContent, write_layout};
use super::super::request::Request;
use super::super::{BundleError, Fetched};
use crate::release::artifact::{Arch, Sha256};
use crate::release::catalog::{IMAGE_REGISTRY, Image};

/// The most one blob of an image may weigh.
const BLOB_LIMIT: u64 = 512 * 1024 * 1024;
/// The most blobs an image may have; upstream's have fewer than 20.
const BLOBS: usize = 128;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const ACCEPTED: [&str; 4] = [
    oci_client::manifest::OCI_IMAGE_INDEX_MEDIA_TYPE,
    oci_client::manifest::IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    oci_client::manifest::OCI_IMAGE_MEDIA_TYPE,
    oci_client::manifest::IMAGE_MANIFEST_MEDIA_TYPE,
];

/// Images under one registry or prefix of it.
pub struct RegistrySource {
    client: Client,
    prefix: String,
    downloads: Utf8PathBuf,
}

/// One image's manifest as the registry has it.
struct Pulled {
    reference: Reference,
    /// Where it came from, with the digest of this platform's manifest.
    source: String,
    bytes: Vec<u8>,
    manifest: OciImageManifest,
}

impl RegistrySource {
    /// `prefix` is `registry.k8s.io`, or `registry.example/k8s` for images mirrored below it.
    pub fn new(
        prefix: &str,
        authorities: Option<&Utf8Path>,
        downloads: Utf8PathBuf,
    ) -> Result<Self, BundleError> {
        let bad = || BundleError::Reference { text: prefix.to_owned() };
        if prefix.contains("://") || prefix.ends_with('/') {
            return Err(bad());
        }
        format!("{prefix}/pause:0").parse::<Reference>().map_err(|_| bad())?;
        let mut config = ClientConfig {
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: concat!("keelwright/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        if let Some(path) = authorities {
            let data = std::fs::read(path).map_err(BundleError::io("read", path))?;
            config.extra_root_certificates = vec![Certificate { encoding: CertificateEncoding::Pem, data }];
        }
        // try_from, because Client::new falls back to a default that would not trust these certificates
        let client = Client::try_from(config)
            .map_err(|source| BundleError::Pull { reference: prefix.to_owned(), source: Box::new(source) })?;
        Ok(RegistrySource { client, prefix: prefix.to_owned(), downloads })
    }

    /// The recorded source of an image: its digest, so a tag that was moved is noticed.
    pub async fn source(&self, image: Image, request: &Request) -> Result<String, BundleError> {
        Ok(self.manifest(&request.reference_in(&self.prefix, image), request.arch).await?.source)
    }

    /// Writes an image to `target` under its name in the cluster.
    pub async fn image(
        &self,
        image: Image,
        request: &Request,
        target: &Utf8Path,
    ) -> Result<Fetched, BundleError> {
        let from = request.reference_in(&self.prefix, image);
        self.write(&from, request.reference(image), request.arch, target).await
    }

    /// Writes an image that a manifest names, under that (full) name. Of another registry it is expected
    /// below its host's name: `PREFIX/docker.io/calico/node`.
    pub async fn named(&self, name: &str, arch: Arch, target: &Utf8Path) -> Result<Fetched, BundleError> {
        let from = match (self.prefix == IMAGE_REGISTRY, name.strip_prefix(IMAGE_REGISTRY)) {
            (true, _) => name.to_owned(),
            (false, Some(rest)) => format!("{}{rest}", self.prefix),
            (false, None) => format!("{}/{name}", self.prefix),
        };
        self.write(&from, name.to_owned(), arch, target).await
    }

    async fn write(
        &self,
        from: &str,
        name: String,
        arch: Arch,
        target: &Utf8Path,
    ) -> Result<Fetched, BundleError> {
        let Pulled { reference, source, bytes, manifest } = self.manifest(from, arch).await?;
        let mut blobs = Vec::new();
        // Dropped with this function: the blobs are in the layout then, or of no use.
        let mut kept = Vec::new();
        for descriptor in [&manifest.config].into_iter().chain(&manifest.layers) {
            let (staged, print) = self.blob(&reference, descriptor).await?;
            let content = BlobContent::Stored(Content::File(staged.path().to_owned()));
            kept.push(staged);
            blobs.push(Blob { print, content });
        }
        if let Some(config) = kept.first() {
            check_config(&reference, config.path(), arch)?;
        }
        let media_type = manifest.media_type.as_deref().unwrap_or(oci_client::manifest::OCI_IMAGE_MEDIA_TYPE);
        let mut staged = Staged::create(target)?;
        let mut hashing = Hashing::new(&mut staged);
        write_layout(&name, arch, media_type, bytes, blobs, &mut hashing)
            .map_err(BundleError::io("write", target))?;
        let (_, print) = hashing.finish();
        staged.commit(false)?;
        let version = name.rsplit_once(':').map_or("latest", |(_, tag)| tag).to_owned();
        Ok(Fetched { version, print, source })
    }

    async fn manifest(&self, text: &str, arch: Arch) -> Result<Pulled, BundleError> {
        let mut reference: Reference =
            text.parse().map_err(|_| BundleError::Reference { text: text.to_owned() })?;
        let (mut bytes, mut digest) = self.pull(&reference).await?;
        let mut manifest = parse(&reference, &bytes)?;
        if let OciManifest::ImageIndex(index) = &manifest {
            let entry = index.manifests.iter().find(|entry| {
                entry.platform.as_ref().is_some_and(|platform| {
                    platform.os.to_string() == "linux" && platform.architecture.to_string() == arch.as_str()
                })
            });
            let entry = entry.ok_or_else(|| odd(&reference, format!("it has none for {arch}")))?;
            reference = reference.clone_with_digest(entry.digest.clone());
            (bytes, digest) = self.pull(&reference).await?;
            manifest = parse(&reference, &bytes)?;
        }
        match manifest {
            OciManifest::Image(manifest) => {
                if manifest.layers.len() > BLOBS {
                    let reason = format!("{} layers, at most {BLOBS} are allowed", manifest.layers.len());
                    return Err(odd(&reference, reason));
                }
                Ok(Pulled { reference, source: format!("{text}@{digest}"), bytes, manifest })
            }
            OciManifest::ImageIndex(_) => Err(odd(&reference, "an index within an index".to_owned())),
        }
    }

    async fn pull(&self, reference: &Reference) -> Result<(Vec<u8>, String), BundleError> {
        let pulled = self.client.pull_manifest_raw(reference, &RegistryAuth::Anonymous, &ACCEPTED).await;
        let (bytes, digest) = pulled.map_err(|source| pull_error(reference, source))?;
        Ok((bytes.to_vec(), digest))
    }

    /// Streams one blob to disk: no more than the manifest announces, and exactly what its digest says.
    async fn blob(
        &self,
        reference: &Reference,
        descriptor: &OciDescriptor,
    ) -> Result<(Staged, Fingerprint), BundleError> {
        let digest = descriptor.digest.strip_prefix("sha256:").and_then(|hex| hex.parse::<Sha256>().ok());
        let expected = digest.ok_or_else(|| odd(reference, format!("digest {:?}", descriptor.digest)))?;
        let url = format!("{reference} {}", descriptor.digest);
        let size = u64::try_from(descriptor.size).ok().filter(|size| *size <= BLOB_LIMIT);
        let size = size.ok_or_else(|| BundleError::TooLarge { url: url.clone(), limit: BLOB_LIMIT })?;
        let path = self.downloads.join(expected.as_str());
        let mut staged = Staged::create(&path)?;
        let mut hashing = Hashing::new(&mut staged);
        let pulled = self.client.pull_blob_stream(reference, descriptor).await;
        let mut stream = pulled.map_err(|source| pull_error(reference, source))?.stream;
        while let Some(bytes) = stream.next().await {
            let bytes =
                bytes.map_err(|source| pull_error(reference, OciDistributionError::IoError(source)))?;
            hashing.write_all(&bytes).map_err(BundleError::io("write", &path))?;
            if hashing.size() > size {
                return Err(BundleError::TooLarge { url, limit: size });
            }
        }
        let (_, print) = hashing.finish();
        if print.size < size {
            return Err(BundleError::Truncated { url, got: print.size, expected: size });
        }
        if print.sha256 != expected {
            return Err(BundleError::Checksum { url, expected, got: print.sha256 });
        }
        Ok((staged, print))
    }
}

fn parse(reference: &Reference, bytes: &[u8]) -> Result<OciManifest, BundleError> {
    serde_json::from_slice(bytes).map_err(|error| odd(reference, error.to_string()))
}

/// Indexes are written by hand more often than configurations: the latter is what containerd goes by.
fn check_config(reference: &Reference, path: &Utf8Path, arch: Arch) -> Result<(), BundleError> {
    let bytes = std::fs::read(path).map_err(BundleError::io("read", path))?;
    let config: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| odd(reference, error.to_string()))?;
    match config.get("architecture").and_then(serde_json::Value::as_str) {
        Some(found) if found == arch.as_str() => Ok(()),
        found => Err(odd(reference, format!("it is for {}, expected {arch}", found.unwrap_or("nothing")))),
    }
}

fn pull_error(reference: &Reference, source: OciDistributionError) -> BundleError {
    BundleError::Pull { reference: reference.to_string(), source: Box::new(source) }
}

fn odd(reference: &Reference, reason: String) -> BundleError {
    BundleError::OddImage { reference: reference.to_string(), reason }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
