//! `keelwright init`: a commented inventory to start from.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};

use super::error::{CommandError, ErrorKind};
use crate::inventory::ClusterName;
use crate::release::KubeVersion;
use crate::release::catalog::{default_version, release_of};

/// Write a commented starter inventory
///
/// Its addresses are examples (192.0.2.0/24): replace them with those of your machines. An existing file
/// is left alone unless --force is given.
///
/// Example: keelwright init --name prod --control-planes 3 --workers 2
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// Name the cluster
    #[arg(long, default_value = "my-cluster", value_parser = ClusterName::parse)]
    name: ClusterName,
    /// How many control planes: 1, 3, 5 or 7, because each has a member of etcd
    #[arg(long, value_name = "N", default_value = "1", value_parser = odd)]
    control_planes: u8,
    /// How many workers, at most 200; without any, control planes take workloads too
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=200))]
    workers: u8,
    /// Which Kubernetes, as vMAJOR.MINOR.PATCH [default: the newest supported]
    #[arg(long, value_name = "VERSION", value_parser = supported)]
    kubernetes_version: Option<KubeVersion>,
    /// Write to FILE; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "inventory.yaml")]
    output: Utf8PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    force: bool,
}

fn odd(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(count @ (1 | 3 | 5 | 7)) => Ok(count),
        Ok(_) | Err(_) => Err("use 1, 3, 5 or 7: an even etcd member adds no safety".into()),
    }
}

fn supported(text: &str) -> Result<KubeVersion, String> {
    let version = KubeVersion::parse(text).map_err(|error| error.to_string())?;
    release_of(version).map(|_| version).map_err(|error| error.to_string())
}

#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{0} exists already")]
    Exists(Utf8PathBuf),
    #[error("cannot write {path}")]
    Write { path: Utf8PathBuf, source: io::Error },
}

pub fn run(args: InitArgs) -> Result<ExitCode, CommandError> {
    let version = args.kubernetes_version.unwrap_or_else(default_version);
    let text = starter(&args.name, version, args.control_planes, args.workers);
    if args.output == "-" {
        return match io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CommandError::new(ErrorKind::Failed, error))
            }
            Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
        };
    }
    write(&args.output, &text, args.force).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => {
            CommandError::new(ErrorKind::Usage, InitError::Exists(args.output.clone()))
                .hint("name another file with --output, or overwrite it with --force")
        }
        _ => CommandError::new(ErrorKind::Usage, InitError::Write { path: args.output.clone(), source }),
    })?;
    eprintln!("wrote {}: put your machines' addresses in, then run\n    keelwright check", args.output);
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Utf8Path, text: &str, force: bool) -> io::Result<()> {
    if !force {
        return OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes());
    }
    // Renamed into place, so that a full disk does not cost the old inventory.
    let temporary = path.with_file_name(format!(".{}.new", path.file_name().unwrap_or("inventory")));
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, path)
}

/// The text of a starter inventory; it parses as it is.
pub fn starter(name: &ClusterName, version: KubeVersion, control_planes: u8, workers: u8) -> String {
    let mut hosts = String::new();
    let roles = if workers == 0 { "control-plane, worker" } else { "control-plane" };
    for number in 1..=control_planes {
        let last = 10 + number;
        let _ = writeln!(hosts, "  - {{name: cp-{number}, address: 192.0.2.{last}, roles: [{roles}]}}");
    }
    for number in 1..=workers {
        let last = 20 + number;
        let _ = writeln!(hosts, "  - {{name: worker-{number}, address: 192.0.2.{last}, roles: [worker]}}");
    }
    format!(
        "\
# An inventory: the cluster as you want it. keelwright makes it so, and keeps it so:
#   keelwright check     looks at every host and touches nothing
#   keelwright plan      shows what would change, and why
#   keelwright apply     does it
# Add a host to join it, drop one to drain and remove it, change the version to upgrade.
# Every field is described in docs/inventory.md; what is commented out is optional.
apiVersion: keelwright.dev/v1
kind: Cluster
metadata:
  name: {name}
kubernetes:
  version: {version}

# How hosts are reached. Without these, ~/.ssh/config and the SSH agent decide.
# ssh:
#   user: admin
#   key: ~/.ssh/id_ed25519
#   bastion: jump.example.org
#   sudo: passwordless

# A host's name becomes its node name; its address is how the other nodes reach it.
# Roles: control-plane, worker, or both; etcd for a host of its own.
hosts:
{hosts}
# Where clients find the API. Default: a balancer on every node.
# endpoint:
#   external: api.example.org:6443

# Ranges that nothing else on your network uses.
# network:
#   podCidrs: [10.244.0.0/16]
#   serviceCidrs: [10.96.0.0/12]
#   plugin: {{name: routes}}

# apiServer:
#   certSANs: [api.example.org]
# kubelet:
#   config: {{maxPods: 200}}

# policy:
#   maxUnavailable: 1
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Origin, parse};

    fn parsed(text: &str) -> Result<usize, String> {
        let origin = Origin { file: "x", base: Utf8Path::new("/"), home: Some(Utf8Path::new("/home/me")) };
        match parse(text.as_bytes(), &origin) {
            Ok((inventory, warnings)) if warnings.is_empty() => Ok(inventory.hosts.len()),
            Ok((_, warnings)) => Err(format!("{warnings:?}")),
            Err(problems) => Err(problems.to_string()),
        }
    }

    #[test]
    fn what_it_writes_parses_also_with_the_options_switched_on() {
        let name = ClusterName::parse("prod").unwrap();
        for (control_planes, workers) in [(1, 0), (1, 2), (3, 2), (7, 200)] {
            let text = starter(&name, default_version(), control_planes, workers);
            assert_eq!(parsed(&text), Ok(usize::from(control_planes) + usize::from(workers)));
        }
        // Lines such as `# ssh:` and `#   user: admin` are YAML; sentences are not.
        let text = starter(&name, default_version(), 3, 2);
        let body = text.split_once("version:").unwrap();
        let switched: String = body
            .1
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.starts_with("  ") || rest.ends_with(':') => rest,
                _ => line,
            })
            .fold(format!("{}version:", body.0), |all, line| all + line + "\n");
        assert!(switched.contains("\npolicy:"));
        assert_eq!(parsed(&switched), Ok(5));
    }

    #[test]
    fn an_existing_file_is_left_alone_without_force() {
        let directory = std::env::temp_dir().join(format!("keelwright-init-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.join("inventory.yaml")).unwrap();
        write(&path, "a", false).unwrap();
        assert_eq!(write(&path, "b", false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a");
        write(&path, "b", true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "b");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
