//! `keelwright lab`: throwaway machines on this Linux box.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;

use super::{CommandError, ErrorKind};
use crate::command::quote;
use crate::lab::{End, Lab, LabError, LabErrorKind, LabName, LabSpec, MachineName, Progress, Role, Status};

/// Make throwaway machines on this Linux box
///
/// Machines are systemd-nspawn containers that boot a real Debian with systemd and sshd, on a network
/// of their own that leads nowhere else. It needs root; see docs/lab.md.
///
/// Example: keelwright lab up --control-planes 3 --workers 2
#[derive(Debug, clap::Args)]
pub struct LabArgs {
    /// Where the root file system and the labs are kept [default: keelwright's cache]
    #[arg(long, global = true, env = "KEELWRIGHT_CACHE", value_name = "DIRECTORY", hide_env_values = true)]
    cache: Option<PathBuf>,
    /// The lab's name
    #[arg(long, global = true, default_value = "lab")]
    name: LabName,
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, clap::Subcommand)]
enum LabCommand {
    Up(UpArgs),
    /// List labs, their machines and what these are doing
    List {
        /// How to print it
        #[arg(long, value_enum, default_value_t = Output::Human)]
        output: Output,
    },
    /// Run a command on a machine, or log in
    ///
    /// Example: keelwright lab ssh cp-1 -- systemctl --failed
    Ssh {
        host: MachineName,
        /// Log in as root, admin (sudo without a password) or deploy (sudo with one, see lab.json)
        #[arg(long, default_value = "root")]
        user: String,
        /// The command; a login shell without one
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Freeze a machine: it keeps its connections and answers nothing
    Pause {
        host: MachineName,
    },
    /// Thaw a machine that was paused
    Resume {
        host: MachineName,
    },
    /// Cut a machine's power; its disk stays
    Kill {
        host: MachineName,
    },
    /// Boot a machine again, or start one that is off
    Reboot {
        host: MachineName,
        /// By a power cut instead of a shutdown
        #[arg(long)]
        hard: bool,
    },
    /// Drop everything between two machines, both ways
    Cut {
        host: End,
        /// The other machine, or `operator` for this system
        #[arg(long)]
        from: End,
    },
    /// Take a cut back
    Mend {
        host: End,
        /// The other machine, or `operator` for this system
        #[arg(long)]
        from: End,
    },
    /// Remove a lab and everything that belongs to it
    Down {
        /// All labs
        #[arg(long)]
        all: bool,
    },
}

/// Make a lab, or add what is missing and start what is off
///
/// Machines that are there and run are left alone, and none is ever removed. Prints the path of the
/// inventory when every machine answers on SSH.
///
/// Example: keelwright lab up --control-planes 3 --workers 2
#[derive(Debug, clap::Args)]
struct UpArgs {
    /// Machines for control planes [default: 1 in a new lab]
    #[arg(long, value_name = "N")]
    control_planes: Option<u8>,
    /// Machines for workers [default: 1 in a new lab]
    #[arg(long, value_name = "N")]
    workers: Option<u8>,
    /// Machines for an etcd of its own
    #[arg(long, value_name = "N", default_value_t = 0)]
    etcd: u8,
    /// A machine that the others are reached through
    #[arg(long)]
    bastion: bool,
    /// Machines that are not in the inventory, for adding later
    #[arg(long, value_name = "N", default_value_t = 0)]
    spare: u8,
    /// The version in the inventory [default: v1.37.1]
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<String>,
    /// Write the inventory here instead of into the lab's directory
    #[arg(long, value_name = "FILE")]
    inventory: Option<PathBuf>,
    /// Where to get Debian from [default: what apt uses here]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Install missing tools with apt-get
    #[arg(long)]
    install_missing: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Output {
    Human,
    Json,
}

/// Runs the command.
pub fn run(args: LabArgs) -> Result<ExitCode, CommandError> {
    let cache = match args.cache {
        Some(cache) => cache,
        None => default_cache()?,
    };
    // Machines' mounts name this directory after the working directory has changed.
    let cache = std::path::absolute(&cache).map_err(|error| CommandError::new(ErrorKind::Usage, error))?;
    let open = || Lab::open(&cache, &args.name);
    match args.command {
        LabCommand::Up(up_args) => up(up_args, cache, args.name)?,
        LabCommand::List { output } => list(&cache, output)?,
        LabCommand::Ssh { host, user, command } => return ssh(&open()?, host, &user, &command),
        LabCommand::Pause { host } => open()?.pause(host)?,
        LabCommand::Resume { host } => open()?.resume(host)?,
        LabCommand::Kill { host } => open()?.kill(host)?,
        LabCommand::Reboot { host, hard } => open()?.reboot(host, hard)?,
        LabCommand::Cut { host, from } => open()?.cut(host, from)?,
        LabCommand::Mend { host, from } => open()?.mend(host, from)?,
        LabCommand::Down { all: false } => Lab::remove(&cache, &args.name, &terminal())?,
        LabCommand::Down { all: true } => {
            for name in Lab::names(&cache)? {
                Lab::remove(&cache, &name, &terminal())?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `$XDG_CACHE_HOME/keelwright`, or `~/.cache/keelwright`.
fn default_cache() -> Result<PathBuf, CommandError> {
    let directory = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    directory("XDG_CACHE_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".cache")))
        .map(|caches| caches.join("keelwright"))
        .ok_or_else(|| {
            CommandError::new(ErrorKind::Usage, "neither HOME nor XDG_CACHE_HOME is set")
                .hint("name a directory for keelwright's cache: --cache DIRECTORY")
        })
}

fn terminal() -> Progress {
    Progress::new(|machine, what| match machine {
        Some(machine) => eprintln!("{machine:10} {what}"),
        None => eprintln!("{:10} {what}", "lab"),
    })
}

fn up(args: UpArgs, cache: PathBuf, name: LabName) -> Result<(), CommandError> {
    let begin = Instant::now();
    let known = match Lab::open(&cache, &name) {
        Ok(_) => true,
        Err(LabError::NoLab { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    let default = u8::from(!known);
    let spec = LabSpec {
        counts: BTreeMap::from([
            (Role::ControlPlane, args.control_planes.unwrap_or(default)),
            (Role::Worker, args.workers.unwrap_or(default)),
            (Role::Etcd, args.etcd),
            (Role::Bastion, u8::from(args.bastion)),
            (Role::Spare, args.spare),
        ]),
        kubernetes_version: args.kubernetes_version,
        inventory: args.inventory,
        mirror: args.mirror,
        install_missing: args.install_missing,
        ..LabSpec::new(cache, name, 0, 0)
    };
    let lab = Lab::up(&spec, &terminal())?;
    eprintln!(
        "{:10} {} machines after {:.1} s; the inventory is",
        "lab",
        lab.machines().len(),
        begin.elapsed().as_secs_f64()
    );
    println!("{}", spec.inventory.unwrap_or_else(|| lab.inventory()).display());
    Ok(())
}

/// What `list` shows of one lab.
#[derive(Serialize)]
struct LabView {
    name: String,
    directory: PathBuf,
    inventory: PathBuf,
    key: PathBuf,
    machines: Vec<MachineView>,
    cuts: Vec<[End; 2]>,
}

#[derive(Serialize)]
struct MachineView {
    name: String,
    address: String,
    status: Status,
}

fn list(cache: &std::path::Path, output: Output) -> Result<(), CommandError> {
    let mut views = Vec::new();
    for name in Lab::names(cache)? {
        match Lab::open(cache, &name) {
            Ok(lab) => views.push(view(&lab)?),
            // Left half made; only `down` knows what to do with it.
            Err(LabError::NoLab { .. }) => eprintln!("lab {name} is half made: run `up` again, or `down`"),
            Err(error) => return Err(error.into()),
        }
    }
    match output {
        Output::Json => {
            let text = serde_json::to_string_pretty(&views)
                .map_err(|error| CommandError::new(ErrorKind::Failed, error))?;
            println!("{text}");
        }
        Output::Human => {
            println!("{:20} {:10} {:15} STATUS", "LAB", "MACHINE", "ADDRESS");
            for lab in &views {
                for machine in &lab.machines {
                    let cuts: Vec<_> =
                        lab.cuts.iter().filter_map(|cut| other_end(cut, &machine.name)).collect();
                    let cut = if cuts.is_empty() {
                        String::new()
                    } else {
                        format!(", cut from {}", cuts.join(", "))
                    };
                    let status = machine.status.as_str();
                    println!("{:20} {:10} {:15} {status}{cut}", lab.name, machine.name, machine.address);
                }
            }
        }
    }
    Ok(())
}

fn other_end(cut: &[End; 2], machine: &str) -> Option<String> {
    let [one, other] = cut.map(|end| end.to_string());
    if one == machine {
        Some(other)
    } else if other == machine {
        Some(one)
    } else {
        None
    }
}

fn view(lab: &Lab) -> Result<LabView, LabError> {
    let machines = lab.machines().iter().map(|machine| {
        Ok(MachineView {
            name: machine.name.to_string(),
            address: machine.address.to_string(),
            status: lab.status(machine.name)?,
        })
    });
    Ok(LabView {
        name: lab.name().to_string(),
        directory: lab.directory().to_owned(),
        inventory: lab.inventory(),
        key: lab.key(),
        machines: machines.collect::<Result<_, LabError>>()?,
        cuts: lab.cuts().iter().map(|cut| cut.ends()).collect(),
    })
}

/// Becomes `ssh`, so that its exit code, terminal and signals are the caller's.
fn ssh(lab: &Lab, host: MachineName, user: &str, command: &[String]) -> Result<ExitCode, CommandError> {
    use std::os::unix::process::CommandExt;
    let mut ssh = lab.ssh(host, user)?;
    match command {
        [] => {}
        // ssh joins its arguments with spaces and lets a shell split them: one word is meant for that
        // shell, several are an argv that must arrive as it is.
        [script] => drop(ssh.arg("--").arg(script)),
        words => drop(ssh.arg("--").arg(words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "))),
    }
    Err(CommandError::new(ErrorKind::Failed, ssh.exec())
        .hint("install it\n    apt-get install openssh-client"))
}

impl From<LabError> for CommandError {
    fn from(error: LabError) -> Self {
        let kind = match error.kind() {
            LabErrorKind::Usage => ErrorKind::Usage,
            LabErrorKind::Unreachable => ErrorKind::Unreachable,
            LabErrorKind::Failed => ErrorKind::Failed,
        };
        let hint = error.hint();
        let command = CommandError::new(kind, error);
        match hint {
            Some(hint) => command.hint(hint),
            None => command,
        }
    }
}
