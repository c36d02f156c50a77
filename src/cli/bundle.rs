//! `keelwright bundle`: the artifacts of one Kubernetes version, checksummed.

use std::process::ExitCode;

use super::CommandError;

/// Collect the artifacts of one Kubernetes version
#[derive(Debug, clap::Args)]
pub struct BundleArgs {}

/// Runs the command.
pub fn run(_args: BundleArgs) -> Result<ExitCode, CommandError> {
    Ok(ExitCode::SUCCESS)
}

pub fn default_directory(version: crate::release::KubeVersion, arch: crate::release::Arch) -> camino::Utf8PathBuf {
    let cache = std::env::var("KEELWRIGHT_CACHE").unwrap_or_else(|_| format!("{}/.cache/keelwright", std::env::var("HOME").unwrap_or_default()));
    camino::Utf8PathBuf::from(cache).join("bundles").join(format!("{version}-{}", arch.as_str()))
}
