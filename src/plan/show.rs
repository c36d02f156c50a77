//! A plan as text: steps with reasons, diffs of files that would change, predicted duration.

use std::fmt::Write as _;

use similar::TextDiff;

use super::Outline;
use super::model::{Action, Planned, Step};
use crate::blueprint::Content;
use crate::command::Command;
use crate::inventory::{HookPlace, HostName};

/// How much to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// One line a step.
    Steps,
    /// Every action, with its reason and the diff of changed text.
    Everything,
}

/// The whole plan for the terminal; plain text, no colour.
pub fn text(outline: &Outline, detail: Detail) -> String {
    let mut out = String::new();
    let plan = &outline.plan;
    if plan.is_empty() {
        out.push_str("Nothing to do: every host and the cluster are as the inventory says.\n");
    }
    for step in &plan.steps {
        let _ = writeln!(out, "{:<28} {} ({})", step.id, step.stage.describe(), summary(step));
        if detail == Detail::Everything {
            for planned in &step.actions {
                action(&mut out, planned);
            }
        }
    }
    for blocked in &outline.report.blocked {
        let _ = writeln!(out, "! {} is left out: {}", blocked.host, blocked.why);
    }
    for warning in &outline.report.warnings {
        let _ = writeln!(out, "! {warning}");
    }
    for concern in &outline.report.concerns {
        let _ = writeln!(out, "! {concern}");
    }
    if !plan.is_empty() {
        let _ = writeln!(
            out,
            "{} steps; about {} when all goes well",
            plan.steps.len(),
            duration(outline.report.expected_seconds)
        );
    }
    out
}

fn duration(seconds: u32) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

fn summary(step: &Step) -> String {
    match step.actions.as_slice() {
        [one] => name(&one.action),
        many => format!("{} actions", many.len()),
    }
}

/// How many nodes of a wave are named one by one.
const NAMED_NODES: usize = 4;

fn nodes_of(nodes: &[HostName]) -> String {
    let names: Vec<&str> = nodes.iter().map(HostName::as_str).take(NAMED_NODES).collect();
    match nodes.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// One action in a few words.
pub fn name(action: &Action) -> String {
    match action {
        Action::Mint { keys } => format!("make {} keys and certificates", keys.len()),
        Action::Snapshot { version } => format!("bring a snapshot of etcd ({version}) to the operator"),
        Action::Upload { name, size, .. } => format!("send {name} ({} MiB)", size / (1 << 20)),
        Action::Fetch { name, url, .. } => format!("fetch {name} from {url}"),
        Action::FetchObject { name, bucket, .. } => {
            format!("fetch {name} from s3://{}/{}", bucket.name, bucket.prefix)
        }
        Action::InstallPackages { names } => format!("install packages {}", names.join(" ")),
        Action::SwapOff => "switch swap off".into(),
        Action::LoadModule { name } => format!("load kernel module {name}"),
        Action::ApplySysctls => "apply sysctls".into(),
        Action::MakeDirectory { path, mode } => format!("directory {path} {mode:04o}"),
        Action::InstallBinary { path, .. } => format!("install {path}"),
        Action::WriteFile { path, mode, .. } => format!("write {path} {mode:04o}"),
        Action::MakeLink { path, link } => format!("link {path} -> {link}"),
        Action::RemovePath { path, .. } => format!("remove {path}"),
        Action::ReloadUnits => "reload systemd units".into(),
        Action::StartUnit { unit } => format!("start {unit}"),
        Action::RestartUnit { unit } => format!("restart {unit}"),
        Action::StopUnit { unit } => format!("stop {unit}"),
        Action::RestartPod { pod } => format!("restart {pod}"),
        Action::ImportImage { reference, .. } => format!("import image {reference}"),
        Action::AwaitRuntime => "wait for containerd".into(),
        Action::CleanMachine { .. } => "remove everything of ours".into(),
        Action::AwaitApi { host } => format!("wait for the API server on {host}"),
        Action::ApplyObjects { names, .. } if names.is_empty() => "apply all objects".into(),
        Action::ApplyObjects { names, .. } => format!("apply {} objects", names.len()),
        Action::PatchNode { node, .. } => format!("label node {node}"),
        Action::AwaitNode { node, kubelet: None } => format!("wait for node {node}"),
        Action::AwaitNode { node, kubelet: Some(version) } => {
            format!("wait for node {node} with kubelet {version}")
        }
        Action::RunHook { name, place: HookPlace::Local, .. } => format!("run hook {name} on your machine"),
        Action::RunHook { name, place: HookPlace::Host, .. } => format!("run hook {name} on the host"),
        Action::AwaitWave { nodes, .. } => format!("wait for {} to be well", nodes_of(nodes)),
        Action::WatchWave { nodes, seconds, .. } => {
            format!("watch {} for {}", nodes_of(nodes), duration(*seconds))
        }
        Action::AwaitSpareVoter => "wait until etcd can spare a voter".into(),
        Action::PauseKubelet => "stop the kubelet".into(),
        Action::AwaitPod { pod } => format!("wait for {pod} to start"),
        Action::AwaitLogSnapshot { .. } => "wait for a snapshot of etcd's log".into(),
        Action::AwaitEndpoint { component, .. } => format!("wait for {component} to be ready"),
        Action::Uncordon { node } => format!("uncordon {node}"),
        Action::AwaitServing => "wait for DNS and service routing".into(),
        Action::AddLearner { peer_url } => format!("add etcd learner {peer_url}"),
        Action::PromoteLearner { peer_url } => format!("make {peer_url} a voter"),
        Action::RemoveMember { name, id } => format!("remove etcd member {name} ({id:x})"),
        Action::Drain { node } => format!("drain {node}"),
        Action::DeleteNode { node } => format!("delete node {node}"),
    }
}

fn action(out: &mut String, planned: &Planned) {
    let _ = writeln!(out, "    {}: {}", name(&planned.action), planned.reason);
    if let Action::RunHook { command, .. } = &planned.action {
        let _ = writeln!(out, "        {}", Command::new(command).to_shell());
    }
    if let Action::ApplyObjects { names, .. } = &planned.action {
        for name in names {
            let _ = writeln!(out, "        {name}");
        }
    }
    if let Action::WriteFile { content: Content::Text(text), before: Some(before), path, .. } =
        &planned.action
        && let Some(old) = &before.text
    {
        let diff = TextDiff::from_lines(old.as_str(), text.as_ref());
        let unified = diff.unified_diff().context_radius(2).header(path, path).to_string();
        for line in unified.lines() {
            let _ = writeln!(out, "        {line}");
        }
    }
}
