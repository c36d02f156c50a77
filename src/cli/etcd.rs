//! `keelwright etcd`: snapshots of the cluster's data.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::apply::block_on;
use super::operation::{ClusterArgs, Reach};
use super::state::ClusterState;
use super::view::OutputFormat;
use super::{CommandError, ErrorKind};
use crate::exec::{KubeApi, SystemClock, take_snapshot};
use crate::pki::date::date;
use crate::release::KubeVersion;
use crate::state::snapshots::{self, KeptSnapshot};

/// Take snapshots of etcd, and list those that are kept
///
/// Example: keelwright etcd snapshot -i prod.yaml
#[derive(Debug, clap::Args)]
pub struct EtcdArgs {
    #[command(subcommand)]
    command: EtcdCommand,
}

#[derive(Debug, clap::Subcommand)]
enum EtcdCommand {
    Snapshot(SnapshotArgs),
    Snapshots(SnapshotsArgs),
}

/// Bring a snapshot of etcd to this machine now
///
/// It is taken from one healthy voter, checked while it comes, and sealed for everybody who may open the
/// cluster's keys. It lies in `snapshots` of the state directory, and its path is printed; the newest five are
/// kept. docs/upgrade.md says how to restore one.
///
/// Example: keelwright etcd snapshot -i prod.yaml
#[derive(Debug, clap::Args)]
struct SnapshotArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// List the snapshots that are kept, oldest first
///
/// Asks no host.
///
/// Example: keelwright etcd snapshots -i prod.yaml
#[derive(Debug, clap::Args)]
struct SnapshotsArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[arg(long, value_enum, default_value = "human")]
    output: OutputFormat,
}

/// Runs the command.
pub fn run(args: EtcdArgs) -> Result<ExitCode, CommandError> {
    match args.command {
        EtcdCommand::Snapshot(args) => snapshot(&args),
        EtcdCommand::Snapshots(args) => list(&args),
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CommandError {
    CommandError::new(ErrorKind::Failed, error)
}

fn snapshot(args: &SnapshotArgs) -> Result<ExitCode, CommandError> {
    let reach = Reach::open(&args.cluster)?;
    let taken = block_on(async {
        // The name says what a restore needs; without an API to ask, what the inventory wants is the best guess.
        let running = oldest_kubelet(reach.adapters.kube.as_ref()).await;
        let version = running.unwrap_or(reach.inventory.version);
        let (etcd, clock) = (reach.adapters.etcd.as_ref(), SystemClock::default());
        // Every voter is asked once: somebody sits there and waits.
        take_snapshot(etcd, reach.vault.as_ref(), &clock, version, Duration::ZERO).await
    })?
    .map_err(failed)?;
    eprintln!("{} of etcd member {}, checked and sealed", size(taken.bytes), taken.member);
    println!("{}", taken.place);
    Ok(ExitCode::SUCCESS)
}

/// The lowest version of any node.
async fn oldest_kubelet(kube: &dyn KubeApi) -> Option<KubeVersion> {
    let nodes = kube.list("v1", "Node").await.ok()?;
    nodes.iter().filter_map(|node| node["status"]["nodeInfo"]["kubeletVersion"].as_str()?.parse().ok()).min()
}

fn list(args: &SnapshotsArgs) -> Result<ExitCode, CommandError> {
    let wanted = args.cluster.inventory.wanted()?;
    let state = ClusterState::look(&args.cluster, wanted.name(), wanted.state())?;
    let kept = snapshots::list(state.home()).map_err(failed)?;
    match args.output {
        OutputFormat::Json => println!("{}", Value::from_iter(kept.iter().map(as_json))),
        OutputFormat::Human => {
            println!("{:<21} {:<9} {:>10}  FILE", "TAKEN", "VERSION", "SIZE");
            for snapshot in &kept {
                let (taken, size) = (date(snapshot.taken), size(snapshot.bytes));
                println!("{taken:<21} {:<9} {size:>10}  {}", snapshot.version, snapshot.place);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(snapshot: &KeptSnapshot) -> Value {
    json!({
        "taken": date(snapshot.taken), "version": snapshot.version, "bytes": snapshot.bytes,
        "file": snapshot.place,
    })
}

fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}
