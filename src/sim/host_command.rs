//! The programs that stages run, as far as the simulator plays them. One it does not know fails and
//! breaks a promise, so that no new command slips by untested.

use std::collections::BTreeMap;

use super::disk::{Bytes, Entry, Node};
use super::host::SimHost;
use super::world::World;
use crate::digest::Digest;
use crate::inventory::{HookPlace, HostName};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandResult {
    pub status: i32,
    pub output: String,
    pub changed: bool,
}

fn done(changed: bool) -> CommandResult {
    CommandResult { changed, ..CommandResult::default() }
}

fn failed(output: impl Into<String>) -> CommandResult {
    CommandResult { status: 1, output: output.into(), changed: false }
}

/// What fetches from a bucket.
const FROM_BUCKET: &str = "/from-bucket.sh";

/// How long a command takes on an ordinary machine.
pub fn milliseconds(argv: &[String]) -> u64 {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["apt-get", "update", ..] => 2500,
        ["env", .., _] => 6000,
        ["ctr", "-n", _, "images", "import", ..] => 700,
        ["systemctl", ..] => 60,
        ["curl", ..] => 800,
        ["sh", script, ..] if script.ends_with(FROM_BUCKET) => 800,
        ["sh", "-c", script] if script.starts_with("curl ") => 800,
        _ => 15,
    }
}

/// Runs one command on one host.
pub fn run_command(world: &mut World, name: &HostName, argv: &[String]) -> CommandResult {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["systemctl", rest @ ..] => Some(systemctl(world, name, rest)),
        ["ctr", rest @ ..] => ctr(world, name, rest),
        ["sh", "-c", script] => shell(world, name, script),
        ["timeout", "--kill-after", _, _, "env", ..] => {
            Some(match world.run_hook(HookPlace::Host, &hook_environment(argv)) {
                0 => done(true),
                status => CommandResult { status, output: "as the test wants it".to_owned(), changed: false },
            })
        }
        other => world.hosts.get_mut(name).and_then(|host| plain(host, other)),
    };
    result.unwrap_or_else(|| {
        world.violation(world.now, format!("{name}: the simulator does not know {words:?}"));
        CommandResult { status: 127, output: format!("{}: not found", words.join(" ")), changed: false }
    })
}

/// The variables that `env` gets before the program.
fn hook_environment(argv: &[String]) -> BTreeMap<String, String> {
    let words = argv.iter().skip(5).map_while(|word| word.split_once('='));
    words.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn systemctl(world: &mut World, name: &HostName, words: &[&str]) -> CommandResult {
    let verb = words.first().copied().unwrap_or_default();
    let now_flag = words.contains(&"--now");
    let now = world.now;
    let Some(host) = world.hosts.get_mut(name) else { return failed("no such host") };
    for unit in units_of(words) {
        match verb {
            "enable" | "disable" if !host.unit_exists(unit) => {
                return failed(format!("Unit file {unit} does not exist."));
            }
            "enable" => host.enable_unit(unit, true),
            "disable" => {
                host.enable_unit(unit, false);
                if now_flag {
                    host.stop_unit(unit);
                }
            }
            "start" | "restart" | "reload-or-restart" if !host.start_unit(unit, now) => {
                return failed(format!("Unit {unit} cannot be started."));
            }
            "stop" => host.stop_unit(unit),
            _ => {}
        }
    }
    if units_of(words).any(|unit| unit == "kubelet.service") {
        world.check_skew();
    }
    done(verb != "daemon-reload")
}

fn units_of<'a>(words: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    words.iter().skip(1).copied().filter(|word| !word.starts_with('-'))
}

fn ctr(world: &mut World, name: &HostName, words: &[&str]) -> Option<CommandResult> {
    let host = world.hosts.get_mut(name)?;
    if !host.disk.is_file("/usr/local/bin/ctr") || !host.is_active("containerd.service") {
        return Some(failed("ctr: cannot dial /run/containerd/containerd.sock"));
    }
    match words {
        ["version"] => Some(done(false)),
        ["-n", "k8s.io", "images", "import", .., archive] => {
            let digest = match host.disk.get(archive) {
                Some(Entry { node: Node::File { digest, .. }, .. }) => *digest,
                Some(_) | None => return Some(failed(format!("{archive}: no such file"))),
            };
            let Some(reference) = world.archives.get(&digest) else { return Some(failed("not an image")) };
            Some(done(host.images.insert(reference.clone())))
        }
        _ => None,
    }
}

fn plain(host: &mut SimHost, words: &[&str]) -> Option<CommandResult> {
    match words {
        ["apt-get", "update", ..] => Some(done(false)),
        ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", rest @ ..]
        | ["dnf", "install", rest @ ..] => {
            let mut changed = false;
            for package in rest.iter().filter(|word| !word.starts_with('-')) {
                changed |= host.packages.insert((*package).to_owned());
                if matches!(*package, "haproxy" | "keepalived") {
                    let unit = format!("{package}.service");
                    host.units.entry(unit).or_insert_with(|| super::host::UnitState {
                        active: true,
                        enabled: true,
                        ..Default::default()
                    });
                }
            }
            Some(done(changed))
        }
        ["swapoff", "-a"] => {
            let changed = !host.swap.is_empty();
            host.swap.clear();
            Some(done(changed))
        }
        ["sed", "-i", "-E", _, "/etc/fstab"] => {
            let text = host.disk.content("/etc/fstab").unwrap_or_default();
            let comment = |line: &str| {
                if line.contains(" swap ") && !line.starts_with('#') {
                    format!("# {line}\n")
                } else {
                    format!("{line}\n")
                }
            };
            let text: String = text.lines().map(comment).collect();
            host.disk.put("/etc/fstab", Entry::text(0o644, &text));
            Some(done(true))
        }
        ["modprobe", module] => Some(done(host.modules.insert((*module).to_owned()))),
        ["sysctl", "-q", "-p", _] => {
            host.apply_sysctls();
            Some(done(true))
        }
        ["curl", .., "-o", path, "--", url] => fetch(host, path, url),
        ["sh", script, _, _, _, key, path] if script.ends_with(FROM_BUCKET) => fetch(host, path, key),
        ["mv", "-T", "--", from, to] => {
            let Some(entry) = host.disk.get(from).cloned() else {
                return Some(failed(format!("{from}: no such file")));
            };
            host.disk.put(to, entry);
            host.disk.remove(from);
            Some(done(true))
        }
        ["rm", .., path] => Some(done(host.disk.remove(path))),
        ["find", directory, "-xdev", "-mindepth", "1", "-delete"] => {
            let found: Vec<String> = host.disk.below(directory).map(|(path, _)| path.to_owned()).collect();
            if !host.disk.is_directory(directory) {
                return Some(failed(format!("find: '{directory}': No such file or directory")));
            }
            for path in &found {
                host.disk.remove(path);
            }
            if *directory == "/var/lib/containerd" {
                host.images.clear();
            }
            Some(done(!found.is_empty()))
        }
        _ => None,
    }
}

/// A file whose name at its source is its hash.
fn fetch(host: &mut SimHost, path: &str, source: &str) -> Option<CommandResult> {
    let digest = Digest::parse(source.rsplit('/').next().unwrap_or_default()).ok()?;
    host.disk.put(path, Entry { mode: 0o600, node: Node::File { bytes: Bytes::Artifact, digest } });
    Some(done(true))
}

/// The few shell texts of `plan::lower` and `plan::clean`, told apart by what they do.
fn shell(world: &mut World, name: &HostName, script: &str) -> Option<CommandResult> {
    if let Some(rest) = script.strip_prefix("systemctl disable --now ") {
        let unit = rest.split_whitespace().next().unwrap_or_default();
        let host = world.hosts.get_mut(name)?;
        if host.unit_exists(unit) || host.units.contains_key(unit) {
            host.enable_unit(unit, false);
            host.stop_unit(unit);
            return Some(done(true));
        }
        return Some(done(false));
    }
    if script.contains("sha256sum -c") || script.starts_with("command -v curl") {
        return Some(done(false));
    }
    if script.contains("tasks kill") || script.contains("containerd-shim") {
        return Some(stop_containers(world, name));
    }
    if script.contains("crictl stop") {
        let pod = script.split(['^', '$']).nth(2).unwrap_or_default().to_owned();
        return Some(done(world.stop_container(name, &pod)));
    }
    if script.starts_with("written=$(stat") {
        let pod = script.split("/etc/kubernetes/manifests/").nth(1)?.split('.').next()?.to_owned();
        let current = world.pod_is_current(name, &pod);
        return Some(if current { done(false) } else { failed(format!("{pod} has not started yet")) });
    }
    // Played members apply all that there is at once.
    if script.starts_with("id=$(crictl ps -q --name '^etcd$'") {
        let runs = world.pod_is_current(name, "etcd");
        return Some(if runs { done(false) } else { failed("etcd does not run") });
    }
    if script.starts_with("curl -fsk") {
        let url = script.split_whitespace().find(|word| word.contains("://"))?.trim_matches('\'');
        let ready = world.endpoint_is_ready(name, url);
        return Some(if ready { done(false) } else { failed(format!("{url} does not answer")) });
    }
    if script.contains("ip link del") {
        return Some(done(true));
    }
    let host = world.hosts.get_mut(name)?;
    if let Some(rest) = script.strip_prefix("rmdir ") {
        let directory = rest.split_whitespace().next().unwrap_or_default();
        let empty = host.disk.is_directory(directory) && host.disk.below(directory).next().is_none();
        return Some(done(empty && host.disk.remove(directory)));
    }
    if script.contains("-mindepth 1 -delete; rmdir ") {
        let directory = script.split_whitespace().find(|word| word.starts_with("/var/"))?.to_owned();
        let emptied = plain(host, &["find", &directory, "-xdev", "-mindepth", "1", "-delete"])?;
        return Some(done(host.disk.remove(&directory) || emptied.changed));
    }
    None
}

fn stop_containers(world: &mut World, name: &HostName) -> CommandResult {
    if let Some((cluster, member)) = world.member_on(name)
        && world.clusters.get(&cluster).is_some_and(|found| {
            found.established && found.members.get(&member).is_some_and(|member| !member.learner)
        })
        && !world.resetting
    {
        world.voter_goes(name, cluster, "stopped");
    }
    if let Some(host) = world.hosts.get_mut(name) {
        host.pods.clear();
        host.stop_unit("containerd.service");
    }
    done(true)
}
