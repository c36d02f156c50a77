//! Manifests of network plugins and add-ons in a bundle, and the images they name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use super::hash::{Fingerprint, fingerprint_bytes, fingerprint_file, remove_leftovers, write_file};
use super::source::layout::MANIFEST_LIMIT;
use super::source::remote::Remote;
use super::{BundleError, Event, Report, open};
use crate::blueprint::cluster::{ManifestSource, WantedManifest, images_of, parse_manifest};
use crate::release::artifact::{
    BundleManifest, ImageArtifact, MANIFEST_NAME, ManifestArtifact, Sha256, Trust,
};

/// Puts the wanted manifests, and the images they name, into the bundle in `output`.
///
/// A manifest is listed only when all its images are there. One whose hash nobody stated is trusted when
/// it is first fetched; from then on the bundle states it.
pub async fn collect_manifests(
    wanted: &[WantedManifest],
    remote: &Remote,
    output: &Utf8Path,
    report: Report<'_>,
) -> Result<BundleManifest, BundleError> {
    let mut bundle = open(output)?;
    remove_leftovers(&output.join("manifests/network"))?;
    remove_leftovers(&output.join("manifests/addon"))?;
    for wanted in wanted {
        let started = Instant::now();
        let (bytes, artifact, kept) = obtain(wanted, &bundle, remote, output).await?;
        let unusable = |source| BundleError::UnusableManifest { name: wanted.name.clone(), source };
        let objects = parse_manifest(&bytes).map_err(unusable)?;
        for reference in images_of(&objects) {
            image(&reference, &mut bundle, remote, output, report).await?;
        }
        if !kept {
            write_file(&output.join(&artifact.path), &bytes)?;
            if let (Trust::FirstFetch, ManifestSource::Url(url)) = (artifact.trust, &wanted.source) {
                let (name, url, sha256) = (wanted.name.clone(), url.clone(), artifact.sha256.clone());
                report(Event::FirstFetch { name, url, sha256 });
            }
        }
        let (what, size) = (format!("manifest {}", wanted.name), artifact.size);
        bundle.manifests.retain(|known| known.name != wanted.name);
        bundle.manifests.push(artifact);
        write_file(&output.join(MANIFEST_NAME), bundle.to_json().as_bytes())?;
        report(Event::Extra { what, size, elapsed: started.elapsed(), kept });
    }
    Ok(bundle)
}

/// A manifest's bytes, what to record of it, and whether the bundle had it already.
async fn obtain(
    wanted: &WantedManifest,
    bundle: &BundleManifest,
    remote: &Remote,
    output: &Utf8Path,
) -> Result<(Vec<u8>, ManifestArtifact, bool), BundleError> {
    let source = wanted.source.to_string();
    let path: Utf8PathBuf = format!("manifests/{}.yaml", wanted.name).into();
    let recorded = bundle.manifest(&wanted.name).filter(|known| known.source == source);
    let known = match (&wanted.source, recorded) {
        (ManifestSource::Url(_), Some(known)) => Some(known),
        (ManifestSource::Url(_) | ManifestSource::File(_) | ManifestSource::Own(_), _) => None,
    };
    if let Some(known) = known.filter(|known| wanted.sha256.as_ref().is_none_or(|it| *it == known.sha256))
        && let Ok(bytes) = read(&output.join(&known.path))
        && fingerprint_bytes(&bytes).sha256 == known.sha256
    {
        return Ok((bytes, known.clone(), true));
    }
    let (bytes, trust) = match &wanted.source {
        ManifestSource::Url(url) => (
            remote.manifest(url).await?,
            if wanted.sha256.is_some() { Trust::Pinned } else { Trust::FirstFetch },
        ),
        ManifestSource::File(file) => (read(file)?, Trust::OwnFile),
        ManifestSource::Own(text) => (text.as_bytes().to_vec(), Trust::Pinned),
    };
    let Fingerprint { sha256, size } = fingerprint_bytes(&bytes);
    let expected = wanted.sha256.as_ref().or(known.map(|known| &known.sha256));
    check(&source, expected, &sha256)?;
    Ok((bytes, ManifestArtifact { name: wanted.name.clone(), path, sha256, size, source, trust }, false))
}

fn check(source: &str, expected: Option<&Sha256>, got: &Sha256) -> Result<(), BundleError> {
    match expected {
        Some(expected) if expected != got => Err(BundleError::Checksum {
            url: source.to_owned(),
            expected: expected.clone(),
            got: got.clone(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Puts an image into the bundle, unless it is there already. A name is taken once: what a tag means later
/// is another bundle's matter.
async fn image(
    reference: &str,
    bundle: &mut BundleManifest,
    remote: &Remote,
    output: &Utf8Path,
    report: Report<'_>,
) -> Result<(), BundleError> {
    let what = format!("image {reference}");
    if let Some(known) = bundle.image(reference) {
        let path = output.join(&known.path);
        if path.is_file() && fingerprint_file(&path)?.sha256 == known.sha256 {
            report(Event::Extra { what, size: known.size, elapsed: Duration::ZERO, kept: true });
            return Ok(());
        }
    }
    let started = Instant::now();
    let path = Utf8PathBuf::from(format!("images/{}.tar", file_name(reference)));
    let fetched = remote.named_image(reference, bundle.arch, &output.join(&path)).await?;
    let Fingerprint { sha256, size } = fetched.print;
    bundle.images.retain(|known| known.reference != reference);
    let source = fetched.source;
    bundle.images.push(ImageArtifact { reference: reference.to_owned(), path, sha256, size, source });
    write_file(&output.join(MANIFEST_NAME), bundle.to_json().as_bytes())?;
    report(Event::Extra { what, size, elapsed: started.elapsed(), kept: false });
    Ok(())
}

/// `docker.io/calico/node:v3.30.3` as `docker.io_calico_node_v3.30.3`.
fn file_name(reference: &str) -> String {
    reference.chars().map(|c| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '_' }).collect()
}

/// The texts of the wanted manifests by name: of addresses from the bundle in `directory`, of files from
/// where they are. Each is checked against its hash.
pub fn manifest_texts(
    wanted: &[WantedManifest],
    bundle: &BundleManifest,
    directory: &Utf8Path,
) -> Result<BTreeMap<String, Vec<u8>>, BundleError> {
    let mut texts = BTreeMap::new();
    for WantedManifest { name, source, sha256 } in wanted {
        let (path, stated) = match source {
            ManifestSource::Own(text) => {
                texts.insert(name.clone(), text.as_bytes().to_vec());
                continue;
            }
            ManifestSource::File(path) => (path.clone(), None),
            ManifestSource::Url(url) => {
                let known = bundle.manifest(name).filter(|known| known.source == *url);
                let known = known.ok_or_else(|| BundleError::NoManifest {
                    name: name.clone(),
                    place: directory.to_owned(),
                })?;
                (directory.join(&known.path), Some(&known.sha256))
            }
        };
        let bytes = read(&path)?;
        let got = fingerprint_bytes(&bytes).sha256;
        for expected in [stated, sha256.as_ref()] {
            check(path.as_str(), expected, &got)?;
        }
        texts.insert(name.clone(), bytes);
    }
    Ok(texts)
}

fn read(path: &Utf8Path) -> Result<Vec<u8>, BundleError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(BundleError::io("read", path))?;
    file.take(MANIFEST_LIMIT + 1).read_to_end(&mut bytes).map_err(BundleError::io("read", path))?;
    if bytes.len() as u64 > MANIFEST_LIMIT {
        return Err(BundleError::TooLarge { url: path.to_string(), limit: MANIFEST_LIMIT });
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "manifests_tests.rs"]
mod tests;
