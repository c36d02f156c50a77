//! What an error of a bundle means to the operator, and what to do next.

use super::{CommandError, ErrorKind};
use crate::bundle::BundleError;

/// A bundle's error as the operator sees it.
pub(super) fn failure(error: BundleError) -> CommandError {
    let (kind, hint) = advice(&error);
    let failed = CommandError::new(kind, error);
    match hint {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}

/// What kind of failure it is and what to do next.
fn advice(error: &BundleError) -> (ErrorKind, Option<&'static str>) {
    match error {
        BundleError::UnsupportedMinor(_) | BundleError::NotTls { .. } | BundleError::Reference { .. } => {
            (ErrorKind::Usage, None)
        }
        BundleError::NoRootfs { .. } => {
            (ErrorKind::Usage, Some("give one with --rootfs DIR, or leave these out with --only"))
        }
        BundleError::NoModuleSet { .. } => {
            (ErrorKind::Usage, Some("take another version, or --from upstream"))
        }
        BundleError::OtherBundle { .. } => (ErrorKind::Refused, Some("give another directory with --output")),
        BundleError::NoGo { .. } => {
            (ErrorKind::Failed, Some("install Go 1.26 or later, or take --from upstream"))
        }
        BundleError::Manifest { .. } => {
            (ErrorKind::Failed, Some("remove the directory and make the bundle again"))
        }
        BundleError::Checksum { .. } | BundleError::Truncated { .. } => {
            (ErrorKind::Failed, Some("run it again; if it happens twice, what serves the file is not right"))
        }
        BundleError::WrongBinary { .. } | BundleError::OtherVersion { .. } => {
            (ErrorKind::Failed, Some("check --arch and --kubernetes-version against the source"))
        }
        BundleError::UnusableManifest { .. } => {
            (ErrorKind::Usage, Some("look at what its source has: it must be YAML of Kubernetes objects"))
        }
        BundleError::NoManifest { .. } => {
            (ErrorKind::Usage, Some("collect it: keelwright bundle --inventory FILE"))
        }
        BundleError::Io { .. }
        | BundleError::BadElf { .. }
        | BundleError::Missing { .. }
        | BundleError::GoBuild { .. }
        | BundleError::Client { .. }
        | BundleError::Certificates { .. }
        | BundleError::Fetch { .. }
        | BundleError::Status { .. }
        | BundleError::TooLarge { .. }
        | BundleError::NoChecksum { .. }
        | BundleError::NotInArchive { .. }
        | BundleError::Pull { .. }
        | BundleError::OddImage { .. } => (ErrorKind::Failed, None),
    }
}
