//! Checks a bundle against its manifest, as one does after carrying it somewhere.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

use super::hash::fingerprint_file;
use super::{BundleError, elf};
use crate::release::artifact::{BundleManifest, MANIFEST_NAME, Sha256};

/// A bundle that was read through.
#[derive(Debug)]
pub struct Verified {
    pub manifest: BundleManifest,
    /// Everything that is wrong, by path.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    Missing {
        path: Utf8PathBuf,
    },
    NotAFile {
        path: Utf8PathBuf,
    },
    Size {
        path: Utf8PathBuf,
        expected: u64,
        got: u64,
    },
    Hash {
        path: Utf8PathBuf,
        expected: Sha256,
        got: Sha256,
    },
    /// An executable for another machine; the manifest itself is wrong then.
    Binary {
        path: Utf8PathBuf,
        reason: String,
    },
    /// In the directory but not in the manifest: nothing will use it, and nothing vouches for it.
    Unlisted {
        path: Utf8PathBuf,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Missing { path } => write!(f, "{path}: missing"),
            Finding::NotAFile { path } => write!(f, "{path}: not a regular file"),
            Finding::Size { path, expected, got } => {
                write!(f, "{path}: {got} bytes, expected {expected}")
            }
            Finding::Hash { path, expected, got } => write!(f, "{path}: SHA-256 {got}, expected {expected}"),
            Finding::Binary { path, reason } => write!(f, "{path}: {reason}"),
            Finding::Unlisted { path } => write!(f, "{path}: not in the manifest"),
        }
    }
}

/// Reads the manifest of a bundle; its files are not looked at.
pub fn open(directory: &Utf8Path) -> Result<BundleManifest, BundleError> {
    let path = directory.join(MANIFEST_NAME);
    let text = fs::read(&path).map_err(BundleError::io("read", &path))?;
    BundleManifest::from_json(&text).map_err(|source| BundleError::Manifest { path, source })
}

/// Reads every file of a bundle and reports all that differs from the manifest.
pub fn verify(directory: &Utf8Path) -> Result<Verified, BundleError> {
    let manifest = open(directory)?;
    let mut findings = Vec::new();
    for file in &manifest.files {
        if check(directory, &file.path, file.size, &file.sha256, &mut findings)?
            && let Err(error) = elf::check_arch(&directory.join(&file.path), manifest.arch)
        {
            findings.push(Finding::Binary { path: file.path.clone(), reason: error.to_string() });
        }
    }
    for image in &manifest.images {
        check(directory, &image.path, image.size, &image.sha256, &mut findings)?;
    }
    for manifest in &manifest.manifests {
        check(directory, &manifest.path, manifest.size, &manifest.sha256, &mut findings)?;
    }
    let listed: BTreeSet<&Utf8Path> = manifest
        .files
        .iter()
        .map(|file| file.path.as_path())
        .chain(manifest.images.iter().map(|image| image.path.as_path()))
        .chain(manifest.manifests.iter().map(|manifest| manifest.path.as_path()))
        .chain([Utf8Path::new(MANIFEST_NAME)])
        .collect();
    let mut found = Vec::new();
    list(directory, Utf8Path::new(""), &mut found)?;
    found.sort();
    let unlisted = found.into_iter().filter(|path| !listed.contains(path.as_path()));
    findings.extend(unlisted.map(|path| Finding::Unlisted { path }));
    Ok(Verified { manifest, findings })
}

/// Whether the file is as it should be. The size comes first: it is free, and says more than a hash.
fn check(
    directory: &Utf8Path,
    path: &Utf8Path,
    size: u64,
    sha256: &Sha256,
    findings: &mut Vec<Finding>,
) -> Result<bool, BundleError> {
    let full = directory.join(path);
    let path = path.to_owned();
    let finding = match fs::symlink_metadata(&full) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Finding::Missing { path },
        Err(error) => return Err(BundleError::io("read", &full)(error)),
        Ok(metadata) if !metadata.is_file() => Finding::NotAFile { path },
        Ok(metadata) if metadata.len() != size => Finding::Size { path, expected: size, got: metadata.len() },
        Ok(_) => {
            let got = fingerprint_file(&full)?.sha256;
            if got == *sha256 {
                return Ok(true);
            }
            Finding::Hash { path, expected: sha256.clone(), got }
        }
    };
    findings.push(finding);
    Ok(false)
}

fn list(directory: &Utf8Path, below: &Utf8Path, found: &mut Vec<Utf8PathBuf>) -> Result<(), BundleError> {
    let place = directory.join(below);
    for entry in place.read_dir_utf8().map_err(BundleError::io("list", &place))? {
        let entry = entry.map_err(BundleError::io("list", &place))?;
        // What a run that was killed left half done has a hidden name; the next run removes it.
        if entry.file_name().starts_with('.') {
            continue;
        }
        let path = below.join(entry.file_name());
        if entry.file_type().map_err(BundleError::io("list", &place))?.is_dir() {
            list(directory, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}
