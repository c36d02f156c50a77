//! `keelwright init`: a commented inventory to start from.

mod terraform;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};

use self::terraform::{FromState, StateError, from_state};
use super::error::{CommandError, ErrorKind};
use crate::inventory::{ClusterName, HostName, Origin, parse};
use crate::release::KubeVersion;
use crate::release::catalog::{default_version, release_of};

/// Write a commented starter inventory
///
/// Give the addresses of your machines, or how many there are to be: then the addresses are examples
/// (192.0.2.0/24) for you to replace. A Terraform state has the machines, too, and often says by their names what
/// they are for. An existing file is left alone unless --force is given.
///
/// Example: keelwright init --name prod --control-planes 10.0.0.11,10.0.0.12,10.0.0.13 --workers db-1=10.0.0.21
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// Name the cluster
    #[arg(long, default_value = "my-cluster", value_parser = ClusterName::parse)]
    name: ClusterName,
    /// Control planes, [NAME=]ADDRESS each, or how many: 1, 3, 5 or 7, because each has a member of etcd
    #[arg(long, value_name = "N|ADDRESS,...", default_value = "1")]
    control_planes: Machines,
    /// Workers, or how many, at most 200; with 0, control planes take workloads too
    #[arg(long, value_name = "N|ADDRESS,...", default_value = "2")]
    workers: Machines,
    /// Take the machines from elsewhere; KIND is terraform-state, and FILE what `terraform state pull` writes
    #[arg(long, num_args = 2, value_names = ["KIND", "FILE"], conflicts_with_all = ["control_planes", "workers"])]
    from: Option<Vec<String>>,
    /// Log in to the machines as USER [default: what ~/.ssh/config says, or your own name]
    #[arg(long, value_name = "USER")]
    ssh_user: Option<String>,
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

/// Machines that exist, or a number of examples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Machines {
    Count(u8),
    /// Names, where they were given, and addresses.
    Named(Vec<(Option<HostName>, IpAddr)>),
}

impl std::str::FromStr for Machines {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(count) = text.parse::<u16>() {
            let count = u8::try_from(count).ok().filter(|count| *count <= 200);
            return count.map(Machines::Count).ok_or_else(|| "want at most 200; add more by hand".into());
        }
        let machine = |text: &str| {
            let (name, address) = match text.split_once('=') {
                Some((name, address)) => (Some(name), address),
                None => (None, text),
            };
            let name = name.map(HostName::parse).transpose().map_err(|error| error.to_string())?;
            let address = address.parse().map_err(|_| format!("{address:?} is not an IP address"))?;
            Ok((name, address))
        };
        text.split(',').map(machine).collect::<Result<_, String>>().map(Machines::Named)
    }
}

impl Machines {
    fn is_empty(&self) -> bool {
        match self {
            Machines::Count(count) => *count == 0,
            Machines::Named(machines) => machines.is_empty(),
        }
    }

    /// Lines of the inventory; those without a name are numbered after `stem`.
    fn lines(&self, stem: &str, first_example: u8, roles: &str) -> String {
        let line = |name: &str, address: &str| {
            // An IPv6 address has colons, which YAML would take for a map.
            let quote = if address.contains(':') { "'" } else { "" };
            format!("  - {{name: {name}, address: {quote}{address}{quote}, roles: [{roles}]}}\n")
        };
        match self {
            Machines::Count(count) => (1..=*count)
                .map(|number| {
                    line(&format!("{stem}-{number}"), &format!("192.0.2.{}", first_example + number))
                })
                .collect(),
            Machines::Named(machines) => (1..)
                .zip(machines)
                .map(|(number, (name, address))| {
                    let name = name.as_ref().map_or(format!("{stem}-{number}"), ToString::to_string);
                    line(&name, &address.to_string())
                })
                .collect(),
        }
    }
}

pub(super) fn supported(text: &str) -> Result<KubeVersion, String> {
    let version = KubeVersion::parse(text).map_err(|error| error.to_string())?;
    release_of(version).map(|_| version).map_err(|error| error.to_string())
}

#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("these machines make no cluster\n\n{0}\n")]
    Machines(String),
    #[error("machines are not read from {0:?}; there is terraform-state")]
    Kind(String),
    #[error("cannot read {path}")]
    Read { path: String, source: io::Error },
    #[error("{path} says nothing of machines")]
    State { path: String, source: StateError },
    #[error("{0} exists already")]
    Exists(Utf8PathBuf),
    #[error("cannot write {path}")]
    Write { path: Utf8PathBuf, source: io::Error },
}

/// What the machines of an inventory are, and how they are reached.
pub struct Fleet<'a> {
    pub control_planes: &'a Machines,
    pub workers: &'a Machines,
    pub user: Option<&'a str>,
    pub bastion: Option<&'a str>,
}

pub fn run(mut args: InitArgs) -> Result<ExitCode, CommandError> {
    let version = args.kubernetes_version.unwrap_or_else(default_version);
    let mut bastion = None;
    if let Some([kind, path]) = args.from.as_deref() {
        let found = read(kind, path)?;
        for machine in &found.left_out {
            eprintln!("warning: {machine} has no address in {path}, and is left out");
        }
        args.control_planes = Machines::Named(found.control_planes);
        args.workers = Machines::Named(found.workers);
        bastion = found.bastion;
    }
    let fleet = Fleet {
        control_planes: &args.control_planes,
        workers: &args.workers,
        user: args.ssh_user.as_deref(),
        bastion: bastion.as_deref(),
    };
    let text = starter(&args.name, version, &fleet);
    let origin = Origin { file: args.output.as_str(), base: Utf8Path::new("/"), home: None };
    if let Err(problems) = parse(text.as_bytes(), &origin) {
        return Err(CommandError::new(ErrorKind::Usage, InitError::Machines(problems.render(&text)))
            .hint("nothing was written"));
    }
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
    let (path, examples) = (&args.output, [&args.control_planes, &args.workers]);
    let examples = examples.iter().any(|machines| matches!(machines, Machines::Count(1..)));
    let first = if examples { "put your machines' addresses in" } else { "look it over" };
    eprintln!(
        "wrote {path}: {first}, then run\n    keelwright bundle -i {path}\n    keelwright check -i {path}"
    );
    Ok(ExitCode::SUCCESS)
}

fn read(kind: &str, path: &str) -> Result<FromState, CommandError> {
    let usage = |error| CommandError::new(ErrorKind::Usage, error);
    if kind != "terraform-state" {
        return Err(usage(InitError::Kind(kind.to_owned())));
    }
    let path = path.to_owned();
    let text =
        std::fs::read(&path).map_err(|source| usage(InitError::Read { path: path.clone(), source }))?;
    from_state(&text).map_err(|source| {
        usage(InitError::State { path, source })
            .hint("write the state into a file:\n    terraform state pull > state.json")
            .hint("or give the addresses with --control-planes and --workers")
    })
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

/// The text of a starter inventory; with good machines it parses as it is.
pub fn starter(name: &ClusterName, version: KubeVersion, fleet: &Fleet<'_>) -> String {
    let Fleet { control_planes, workers, user, bastion } = fleet;
    let roles = if workers.is_empty() { "control-plane, worker" } else { "control-plane" };
    let hosts = control_planes.lines("cp", 10, roles) + &workers.lines("worker", 20, "worker");
    let known: Vec<String> = [("user", user), ("bastion", bastion)]
        .into_iter()
        .filter_map(|(key, value)| Some(format!("  {key}: '{}'\n", value.as_ref()?.replace('\'', "''"))))
        .collect();
    let ssh = match known.as_slice() {
        [] => "# ssh:\n#   user: admin\n".to_owned(),
        known => format!("ssh:\n{}", known.concat()),
    };
    // Comments under a map that is there belong to it; under one that is not they are its lines.
    let more = if known.is_empty() { "#   " } else { "  # " };
    let jump = if bastion.is_some() { String::new() } else { format!("{more}bastion: jump.example.org\n") };
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
{ssh}{more}key: ~/.ssh/id_ed25519
{jump}{more}sudo: passwordless

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
#   plugin: {{name: routes}}     # or calico, cilium, flannel, a manifest of your own

# Manifests applied after the cluster is up.
# addons:
#   - {{name: metrics-server, source: metrics-server.yaml}}

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
    use crate::plan::Goal;
    use crate::sim::{Faults, Simulation};

    fn text_of(control_planes: &Machines, workers: &Machines, user: Option<&str>) -> String {
        let name = ClusterName::parse("prod").unwrap();
        starter(&name, default_version(), &Fleet { control_planes, workers, user, bastion: None })
    }

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
        for (control_planes, workers) in [(1, 0), (1, 2), (3, 2), (7, 200)] {
            let counts = (Machines::Count(control_planes), Machines::Count(workers));
            let text = text_of(&counts.0, &counts.1, None);
            assert_eq!(parsed(&text), Ok(usize::from(control_planes) + usize::from(workers)));
        }
        // Lines such as `# ssh:` and `#   user: admin` are YAML; sentences are not.
        let text = text_of(&Machines::Count(3), &Machines::Count(2), None);
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
    fn what_it_writes_for_real_machines_plans() {
        let control_planes: Machines = "10.0.0.11,main=10.0.0.12,10.0.0.13".parse().unwrap();
        let workers: Machines = "db-1=10.0.0.21".parse().unwrap();
        let text = text_of(&control_planes, &workers, Some("admin"));
        let origin = Origin { file: "x", base: Utf8Path::new("/"), home: None };
        let (inventory, _) =
            parse(text.as_bytes(), &origin).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let names: Vec<&str> = inventory.hosts.keys().map(HostName::as_str).collect();
        assert_eq!(names, ["cp-1", "cp-3", "db-1", "main"]);
        assert_eq!(inventory.hosts["cp-1"].ssh.user.as_deref(), Some("admin"));
        let mut simulation = Simulation::new(inventory, Faults::none()).unwrap();
        assert!(!simulation.plan(Goal::Converge).unwrap().outline.unwrap().plan.is_empty());

        let control_planes: Machines = "2001:db8::11".parse().unwrap();
        let text = text_of(&control_planes, &Machines::Count(0), None);
        assert_eq!(parsed(&text), Ok(1));
    }

    #[test]
    fn machines_of_a_terraform_state_plan_and_are_reached_over_its_bastion() {
        let machine = |number: u8| (None, IpAddr::from([10, 0, 0, number]));
        let control_planes = Machines::Named((1..=3).map(machine).collect());
        for user in [None, Some("admin")] {
            let fleet = Fleet {
                control_planes: &control_planes,
                workers: &Machines::Named(Vec::new()),
                user,
                bastion: Some("203.0.113.9"),
            };
            let text = starter(&ClusterName::parse("prod").unwrap(), default_version(), &fleet);
            let origin = Origin { file: "x", base: Utf8Path::new("/"), home: None };
            let (inventory, _) =
                parse(text.as_bytes(), &origin).unwrap_or_else(|error| panic!("{error}\n{text}"));
            let ssh = &inventory.hosts["cp-1"].ssh;
            assert_eq!(ssh.bastions[0].host, "203.0.113.9");
            assert_eq!(ssh.user.as_deref(), user);
            assert!(text.contains("roles: [control-plane, worker]"), "{text}");
        }
    }

    #[test]
    fn machines_that_are_none_are_refused() {
        for text in ["", "300", "10.0.0.300", "-a=10.0.0.1", "10.0.0.1,", "host.example"] {
            assert!(text.parse::<Machines>().is_err(), "{text:?}");
        }
        // Two control planes, or one address twice: the inventory's own checks say so.
        for control_planes in [Machines::Count(2), "10.0.0.1,10.0.0.1,10.0.0.2".parse().unwrap()] {
            let text = text_of(&control_planes, &Machines::Count(0), None);
            assert!(parsed(&text).is_err(), "{control_planes:?}");
        }
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
