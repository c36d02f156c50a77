//! Makes a bundle item by item, or completes one.

use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};

use super::hash::{fingerprint_file, remove_leftovers, write_file};
use super::item::{File, Item};
use super::{BundleError, Event, Fetched, Report, Request, Sources};
use crate::release::artifact::{API_VERSION, BundleManifest, FileArtifact, ImageArtifact, MANIFEST_NAME};
use crate::release::catalog::Image;

/// Puts every item of `request` into `output` and returns the manifest of all that is there.
///
/// Items of an earlier run stay; those with the same pinned source and the recorded hash are not fetched
/// again. The manifest is written after each item, so a run that is cut short loses one item at most.
pub async fn collect(
    request: &Request,
    sources: &Sources,
    output: &Utf8Path,
    report: Report<'_>,
) -> Result<BundleManifest, BundleError> {
    sources.check(request)?;
    let mut manifest = start(request, output)?;
    for directory in ["", "bin", "cni", "images"] {
        remove_leftovers(&output.join(directory))?;
    }
    let of = request.items.len();
    for (index, item) in request.items.iter().copied().enumerate() {
        let number = index + 1;
        if is_current(item, request, sources, &manifest, output).await? {
            report(Event::Kept { item, number, of });
            continue;
        }
        let start = Instant::now();
        let path = path(item, request);
        let fetched = sources.fetch(item, request, &output.join(&path), report).await?;
        let size = fetched.print.size;
        record(&mut manifest, item, request, path.clone(), fetched);
        write_file(&output.join(MANIFEST_NAME), manifest.to_json().as_bytes())?;
        report(Event::Done { item, path, size, elapsed: start.elapsed(), number, of });
    }
    Ok(manifest)
}

/// The manifest to add to: what is in `output` already, or an empty one.
fn start(request: &Request, output: &Utf8Path) -> Result<BundleManifest, BundleError> {
    let path = output.join(MANIFEST_NAME);
    let (version, arch) = (request.version, request.arch);
    if !path.exists() {
        return Ok(BundleManifest {
            api_version: API_VERSION.to_owned(),
            kubernetes_version: version,
            arch,
            files: Vec::new(),
            images: Vec::new(),
            manifests: Vec::new(),
        });
    }
    let found = super::open(output)?;
    if (found.kubernetes_version, found.arch) != (version, arch) {
        return Err(BundleError::OtherBundle {
            output: output.to_owned(),
            found_version: found.kubernetes_version,
            found_arch: found.arch,
            version,
            arch,
        });
    }
    Ok(found)
}

async fn is_current(
    item: Item,
    request: &Request,
    sources: &Sources,
    manifest: &BundleManifest,
    output: &Utf8Path,
) -> Result<bool, BundleError> {
    let recorded = match item {
        Item::File(file) => manifest.file(file.name()).map(|it| (&it.source, &it.path, &it.sha256)),
        Item::Image(image) => {
            manifest.image(&request.reference(image)).map(|it| (&it.source, &it.path, &it.sha256))
        }
    };
    let Some((source, path, sha256)) = recorded else { return Ok(false) };
    let path = output.join(path);
    if sources.pinned_source(item, request).await?.as_ref() != Some(source) || !path.is_file() {
        return Ok(false);
    }
    Ok(fingerprint_file(&path)?.sha256 == *sha256)
}

fn path(item: Item, request: &Request) -> Utf8PathBuf {
    match item {
        // CNI plugins have names like `static` or `bridge`: a directory of their own keeps them apart.
        Item::File(File::Cni(plugin)) => format!("cni/{plugin}").into(),
        Item::File(file) => format!("bin/{}", file.name()).into(),
        Item::Image(image) => format!("images/{}.tar", image_file(image, request)).into(),
    }
}

fn image_file(image: Image, request: &Request) -> String {
    let reference = request.reference(image);
    let tag = reference.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    format!("{}-{tag}", image.name())
}

fn record(manifest: &mut BundleManifest, item: Item, request: &Request, path: Utf8PathBuf, fetched: Fetched) {
    let Fetched { version, print, source } = fetched;
    match item {
        Item::File(file) => {
            let name = file.name().to_owned();
            manifest.files.retain(|known| known.name != name);
            let artifact =
                FileArtifact { name, version, path, sha256: print.sha256, size: print.size, source };
            manifest.files.push(artifact);
        }
        Item::Image(image) => {
            let reference = request.reference(image);
            manifest.images.retain(|known| known.reference != reference);
            let artifact = ImageArtifact { reference, path, sha256: print.sha256, size: print.size, source };
            manifest.images.push(artifact);
        }
    }
}

impl Sources {
    fn check(&self, request: &Request) -> Result<(), BundleError> {
        match self {
            Sources::Local(local) => local.check(request),
            Sources::Remote(_) => Ok(()),
        }
    }

    async fn pinned_source(&self, item: Item, request: &Request) -> Result<Option<String>, BundleError> {
        match self {
            Sources::Local(local) => local.pinned_source(item, request).await,
            Sources::Remote(remote) => remote.source(item, request).await.map(Some),
        }
    }

    async fn fetch(
        &self,
        item: Item,
        request: &Request,
        target: &Utf8Path,
        report: Report<'_>,
    ) -> Result<Fetched, BundleError> {
        match (self, item) {
            (Sources::Local(local), Item::File(file)) => local.file(file, request, target, report).await,
            (Sources::Local(local), Item::Image(image)) => local.image(image, request, target, report).await,
            (Sources::Remote(remote), item) => remote.fetch(item, request, target).await,
        }
    }
}

#[cfg(test)]
#[path = "collect_tests.rs"]
mod tests;
