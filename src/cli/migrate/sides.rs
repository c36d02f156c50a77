//! The API of each side of a migration: by its kubeconfig, or through the machines of its inventory.

use std::time::Duration;

use camino::Utf8PathBuf;

use crate::cli::apply::block_on;
use crate::cli::inventory::InventoryArg;
use crate::cli::operation::{ClusterArgs, Reach, ReachArgs, SshArgs};
use crate::cli::{CommandError, ErrorKind};
use crate::inventory::MigrationSide;
use crate::kube::ApiCluster;

/// How long a call goes on trying: an API server that restarts is back by then.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a side that keelwright keeps is reached.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SideArgs {
    /// Open the sealed keys of a cluster that keelwright keeps with the age identity in FILE
    /// [default: ~/.config/keelwright/identity.txt]
    #[arg(long, value_name = "FILE", env = "KEELWRIGHT_AGE_IDENTITY")]
    identity: Option<Utf8PathBuf>,
    #[command(flatten)]
    ssh: SshArgs,
}

impl SideArgs {
    /// As they are given to another command of keelwright.
    pub fn words(&self) -> Vec<String> {
        let SshArgs { ssh_trust_on_first_use, sudo_password_file } = &self.ssh;
        let mut words = Vec::new();
        for (flag, path) in [("--identity", &self.identity), ("--sudo-password-file", sudo_password_file)] {
            words.extend(path.iter().flat_map(|path| [flag.to_owned(), path.to_string()]));
        }
        words.extend(ssh_trust_on_first_use.then(|| "--ssh-trust-on-first-use".to_owned()));
        words
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the migration names no kubeconfig and no inventory of {0}")]
struct NoWay(&'static str);

/// The API of one side; connects to nothing yet.
pub(super) fn connect(
    side: &MigrationSide,
    name: &'static str,
    args: &SideArgs,
) -> Result<ApiCluster, CommandError> {
    let cluster = match (&side.kubeconfig, &side.inventory) {
        (Some(path), _) => block_on(ApiCluster::from_kubeconfig(path))?
            .map_err(|error| CommandError::new(ErrorKind::Usage, error))?,
        (None, Some(inventory)) => {
            let reach = ReachArgs { state: None, identity: args.identity.clone(), ssh: args.ssh.clone() };
            let inventory = InventoryArg { inventory: inventory.clone() };
            ApiCluster::new(Reach::look(&ClusterArgs { inventory, reach })?.adapters.client)
        }
        (None, None) => {
            return Err(CommandError::new(ErrorKind::Usage, NoWay(name)).hint(format!(
                "give `{name}` a `kubeconfig`, or the `inventory` of a cluster that keelwright keeps"
            )));
        }
    };
    Ok(cluster.patient(PATIENCE))
}
