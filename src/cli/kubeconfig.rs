//! `keelwright kubeconfig`: an administrator's kubeconfig out of the vault.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use secrecy::ExposeSecret as _;

use super::operation::{ClusterArgs, Operation};
use super::{CommandError, ErrorKind};
use crate::exec::ports::SecretSource as _;
use crate::inventory::{Endpoint, bracketed};
use crate::pki::{KeyId, SecretContent};
use crate::state::files;

/// Write an administrator's kubeconfig
///
/// The credentials come from the sealed vault; no host is asked. With a node-local endpoint, which
/// only nodes can reach, the first control plane's own address is used unless --server says else. With
/// `provider: aws` it is the name of the API's balancer.
///
/// Example: keelwright kubeconfig -i prod.yaml --output ~/.kube/prod
#[derive(Debug, clap::Args)]
pub struct KubeconfigArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Write to FILE (mode 0600) instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<Utf8PathBuf>,
    /// Use this API server
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

/// Runs the command.
pub fn run(args: KubeconfigArgs) -> Result<ExitCode, CommandError> {
    let operation = Operation::observe(&args.cluster)?;
    let inventory = &operation.inventory;
    let first = inventory.control_planes().next().map(|host| bracketed(&host.address.to_string()));
    let server = match (&args.server, &inventory.public_endpoint, &inventory.endpoint, first) {
        (Some(server), ..) => server.clone(),
        (None, Some(public), ..) => format!("https://{public}"),
        (None, None, Endpoint::NodeLocal { .. }, Some(address)) => format!("https://{address}:6443"),
        (None, None, ..) => format!("https://{}", inventory.control_plane_endpoint()),
    };
    let content = SecretContent::Kubeconfig {
        key: KeyId::admin(),
        user: "kubernetes-admin".to_owned(),
        cluster: inventory.name.to_string(),
        server,
    };
    let bytes = operation.vault.resolve(&content).map_err(|error| {
        CommandError::new(ErrorKind::Failed, error)
            .hint("the cluster's keys are made by its first\n    keelwright apply")
    })?;
    match &args.output {
        Some(path) => files::replace(path, bytes.expose_secret())
            .map_err(|error| CommandError::new(ErrorKind::Failed, error))?,
        None => print!("{}", String::from_utf8_lossy(bytes.expose_secret())),
    }
    Ok(ExitCode::SUCCESS)
}
