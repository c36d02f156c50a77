//! Why a bundle could not be made or is not what it should be.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use crate::release::artifact::{Arch, ManifestError, Sha256};
use crate::release::{KubeVersion, UnsupportedMinor};

/// Each variant says which file or address, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: Utf8PathBuf, source: io::Error },
    #[error(transparent)]
    UnsupportedMinor(#[from] UnsupportedMinor),
    #[error("{path} is not a bundle manifest")]
    Manifest { path: Utf8PathBuf, source: ManifestError },
    #[error("{output} already holds {found_version} for {found_arch}, expected {version} for {arch}")]
    OtherBundle {
        output: Utf8PathBuf,
        found_version: KubeVersion,
        found_arch: Arch,
        version: KubeVersion,
        arch: Arch,
    },
    #[error("{path} is not an ELF executable for {arch}: {found}")]
    WrongBinary { path: Utf8PathBuf, arch: Arch, found: String },
    #[error("{path} is damaged: {reason}")]
    BadElf { path: Utf8PathBuf, reason: &'static str },
    #[error("{name} is not in {place}")]
    Missing { name: String, place: Utf8PathBuf },
    #[error("{name} does not contain the version it should have, {version}: {path}")]
    OtherVersion { name: String, version: String, path: Utf8PathBuf },
    #[error("{names} come from a Debian root file system, and none was given")]
    NoRootfs { names: String },
    #[error("no module set {set}: there are sets for {known}")]
    NoModuleSet { set: String, known: String },
    #[error("cannot run go")]
    NoGo { source: io::Error },
    #[error("go could not build {name}: {status}\n{output}")]
    GoBuild { name: String, status: String, output: String },
    #[error("{address} is not an https address")]
    NotTls { address: String },
    #[error("cannot set up https")]
    Client { source: reqwest::Error },
    #[error("cannot read the certificates in {path}")]
    Certificates { path: Utf8PathBuf, source: reqwest::Error },
    #[error("cannot get {url}")]
    Fetch { url: String, source: reqwest::Error },
    #[error("{url} answered {status}")]
    Status { url: String, status: u16 },
    #[error("{url} ended after {got} bytes, expected {expected}")]
    Truncated { url: String, got: u64, expected: u64 },
    #[error("{url} is larger than the {limit} bytes allowed for it")]
    TooLarge { url: String, limit: u64 },
    #[error("{name} is not in the bundle {place}, or is another one than the inventory means")]
    NoManifest { name: String, place: Utf8PathBuf },
    #[error("manifest {name} cannot be used")]
    UnusableManifest { name: String, source: crate::blueprint::cluster::ManifestError },
    #[error("{url} has SHA-256 {got}, expected {expected}")]
    Checksum { url: String, expected: Sha256, got: Sha256 },
    #[error("{url} does not state a SHA-256 of {file}")]
    NoChecksum { url: String, file: String },
    #[error("{member} is not in the archive {url}")]
    NotInArchive { member: String, url: String },
    #[error("{text:?} is not an image reference")]
    Reference { text: String },
    #[error("cannot pull {reference}")]
    Pull { reference: String, source: Box<oci_client::errors::OciDistributionError> },
    #[error("{reference} is not a plain image: {reason}")]
    OddImage { reference: String, reason: String },
}

impl BundleError {
    /// For `map_err`: what was being done to which file.
    pub(crate) fn io(action: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> BundleError {
        let path = path.to_owned();
        move |source| BundleError::Io { action, path, source }
    }
}
