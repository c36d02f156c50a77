//! One step: host actions as one script, the others through their ports, in order.

use std::time::Duration;

use serde_json::{Value, json};

use super::engine::{Failure, Ports, Setting};
use super::event::Event;
use super::gate::Gate;
use super::hook::{Hook, allowance};
use super::ports::{KubeError, RemoteError};
use crate::blueprint::cluster::{NodeWish, node_patch, object_key};
use crate::inventory::{HookPlace, HostName};
use crate::plan::lower::{lower, runs_on_host};
use crate::plan::quorum::may_stop_one;
use crate::plan::show::name;
use crate::plan::{Action, ObjectSet, Plan, Planned, Step, Target};
use crate::release::KubeVersion;
use crate::script::HostScript;

/// How often a condition is looked at while it does not hold.
const POLL: Duration = Duration::from_millis(200);

/// Runs one step; returns how many things it changed.
pub(super) async fn run_step(
    plan: &Plan,
    step: &Step,
    setting: &Setting<'_>,
    ports: &Ports<'_>,
) -> Result<usize, Failure> {
    let failure = match run_actions(plan, step, &step.actions, "", setting, ports).await {
        Ok(changed) => return Ok(changed),
        Err(failure) => failure,
    };
    if step.undo.is_empty() || failure.unreachable {
        return Err(failure);
    }
    (ports.events)(Event::Waiting { step: step.id.clone(), what: "what was there before".to_owned() });
    let back = match run_actions(plan, step, &step.undo, "-undo", setting, ports).await {
        Ok(_) => "what was there before is back".to_owned(),
        Err(second) => format!("putting back what was there before failed too: {second}"),
    };
    Err(Failure { error: format!("{}; {back}", failure.error), ..failure })
}

/// `attempt` tells the scripts of one step apart.
async fn run_actions(
    plan: &Plan,
    step: &Step,
    actions: &[Planned],
    attempt: &str,
    setting: &Setting<'_>,
    ports: &Ports<'_>,
) -> Result<usize, Failure> {
    let mut changed = 0;
    let mut actions = actions;
    let mut scripts = 0;
    while let Some(first) = actions.first() {
        ports.fence.check().await.map_err(|error| failure(error.to_string()))?;
        if runs_on_host(&first.action) {
            let count = actions.iter().take_while(|planned| runs_on_host(&planned.action)).count();
            let (batch, rest) = actions.split_at(count);
            let id = format!("{}{attempt}-{}-{scripts}", step.id.0.replace('/', "-"), setting.epoch);
            changed += run_script(step, batch, id, setting, ports).await?;
            scripts += 1;
            actions = rest;
        } else {
            run_action(plan, step, &first.action, setting, ports).await?;
            changed += 1;
            actions = actions.get(1..).unwrap_or_default();
        }
    }
    Ok(changed)
}

pub(super) fn failure(error: impl Into<String>) -> Failure {
    Failure { error: error.into(), hint: None, unreachable: false }
}

fn with_cause(error: &dyn std::error::Error) -> Failure {
    match error.source() {
        Some(cause) => failure(format!("{error}: {cause}")),
        None => failure(error.to_string()),
    }
}

fn remote_failure(error: &RemoteError) -> Failure {
    let unreachable = matches!(error, RemoteError::Connect { .. } | RemoteError::Lost { .. });
    Failure { error: error.to_string(), hint: error.hint().map(str::to_owned), unreachable }
}

fn host_of(step: &Step) -> Result<&HostName, Failure> {
    match &step.target {
        Target::Host(host) => Ok(host),
        Target::Operator | Target::Cluster => {
            Err(failure(format!("step {} has a host action and no host", step.id)))
        }
    }
}

async fn run_script(
    step: &Step,
    batch: &[Planned],
    id: String,
    setting: &Setting<'_>,
    ports: &Ports<'_>,
) -> Result<usize, Failure> {
    let host = host_of(step)?;
    let os = setting.os.get(host).copied().unwrap_or_default();
    let resolve = |content: &_| ports.secrets.resolve(content);
    let mut ops = Vec::new();
    let mut owners = Vec::new();
    for (index, planned) in batch.iter().enumerate() {
        let lowered = lower(std::slice::from_ref(planned), os, &resolve)
            .map_err(|error| failure(format!("{}: {error}", name(&planned.action))))?;
        owners.extend(std::iter::repeat_n(index, lowered.len()));
        ops.extend(lowered);
    }
    let deadline = setting.policy.timeouts.stage.saturating_add(allowance(batch));
    let script = HostScript { id, epoch: setting.epoch, deadline, ops };
    let result = ports.remote.run(host, &script).await.map_err(|error| remote_failure(&error))?;
    if result.status == 0 {
        return Ok(result.changed.len());
    }
    let failing = owners.get(result.completed).and_then(|index| batch.get(*index));
    if let Some(hook) = failing.and_then(|planned| Hook::of(step, planned)) {
        return Err(hook.failed(result.status, &result.output));
    }
    let what = failing.map_or_else(|| step.stage.describe().to_owned(), |planned| name(&planned.action));
    let output = result.output.trim();
    Err(failure(format!(
        "{what}: exit status {}{}{output}",
        result.status,
        if output.is_empty() { "" } else { ": " }
    )))
}

async fn run_action(
    plan: &Plan,
    step: &Step,
    action: &Action,
    setting: &Setting<'_>,
    ports: &Ports<'_>,
) -> Result<(), Failure> {
    let timeouts = setting.policy.timeouts;
    let port_failure = |error: super::ports::PortError| failure(error.to_string());
    match action {
        Action::Mint { keys } => ports.secrets.mint(keys).map_err(port_failure),
        Action::Snapshot { version } => {
            let patience = Duration::from_secs(timeouts.api_ready.into());
            let taken =
                super::take_snapshot(ports.etcd, ports.snapshots, ports.clock, *version, patience).await;
            taken.map(drop).map_err(|error| with_cause(&error))
        }
        Action::Upload { name, release, path, sha256, size } => {
            let host = host_of(step)?;
            let directory = setting
                .bundle(host, *release)
                .ok_or_else(|| failure(format!("no bundle of {release} for {host}")))?;
            let progress = |sent: u64| {
                (ports.events)(Event::Progress {
                    step: step.id.clone(),
                    name: name.clone(),
                    sent,
                    size: *size,
                });
            };
            let source = directory.join(path);
            let digest = sha256.to_string();
            ports
                .remote
                .upload(host, &source, &digest, &progress)
                .await
                .map_err(|error| remote_failure(&error))
        }
        Action::AwaitApi { host } => {
            let what = format!("the API server on {host}");
            until(step, ports, timeouts.api_ready, Patience::UntilRefused, &what, async || {
                ports.kube.ready(host).await
            })
            .await
        }
        Action::ApplyObjects { set, names } => apply_objects(step, *set, names, setting, ports).await,
        Action::PatchNode { node, wish } => {
            let what = format!("node {node} to register");
            until(step, ports, timeouts.node_ready, Patience::UntilRefused, &what, async || {
                register(ports, node, wish).await
            })
            .await
        }
        Action::AwaitNode { node, kubelet } => {
            let what = format!("node {node} to be Ready");
            until(step, ports, timeouts.node_ready, Patience::UntilRefused, &what, async || {
                node_ready(ports, node, *kubelet).await
            })
            .await
        }
        Action::RunHook { name, when, place: place @ HookPlace::Local, command, environment, timeout } => {
            let hook = Hook { step, name, when: *when, place: *place };
            hook.run_local(command, environment, *timeout, ports).await
        }
        Action::AwaitWave { nodes, kubelet } => {
            let gate = Gate { step, plan, nodes, kubelet: *kubelet, ports };
            gate.opens(Duration::from_secs(timeouts.node_ready.into())).await
        }
        Action::WatchWave { nodes, kubelet, seconds } => {
            let gate = Gate { step, plan, nodes, kubelet: *kubelet, ports };
            gate.stays_open(Duration::from_secs((*seconds).into())).await
        }
        Action::AwaitSpareVoter => {
            until(
                step,
                ports,
                timeouts.api_ready,
                Patience::UntilDeadline,
                "etcd to be able to spare a voter",
                async || spare_voter(ports).await,
            )
            .await
        }
        Action::Uncordon { node } => {
            let what = format!("node {node} to be schedulable");
            until(step, ports, timeouts.api_ready, Patience::UntilRefused, &what, async || {
                super::drain::uncordon(ports.kube, node).await
            })
            .await
        }
        Action::AwaitServing => {
            until(
                step,
                ports,
                timeouts.node_ready,
                Patience::UntilRefused,
                "CoreDNS and kube-proxy",
                async || serving(ports).await,
            )
            .await
        }
        Action::AddLearner { peer_url } => {
            until(
                step,
                ports,
                timeouts.api_ready,
                Patience::UntilDeadline,
                "etcd to accept a learner",
                async || add_learner(ports, peer_url).await,
            )
            .await
        }
        Action::PromoteLearner { peer_url } => {
            until(
                step,
                ports,
                timeouts.api_ready,
                Patience::UntilDeadline,
                "the etcd learner to catch up",
                async || promote(ports, peer_url).await,
            )
            .await
        }
        Action::RemoveMember { id, .. } => {
            until(
                step,
                ports,
                timeouts.api_ready,
                Patience::UntilDeadline,
                "etcd to remove the member",
                async || remove_member(ports, *id).await,
            )
            .await
        }
        Action::Drain { node } => {
            let patience = Duration::from_secs(timeouts.drain.into());
            let drained = super::drain::drain(ports.kube, ports.clock, node, patience).await;
            drained.map(drop).map_err(|error| with_cause(&error))
        }
        Action::DeleteNode { node } => {
            ports.kube.delete(&node_skeleton(node)).await.map_err(|error| failure(error.to_string()))
        }
        Action::InstallPackages { .. }
        | Action::SwapOff
        | Action::LoadModule { .. }
        | Action::ApplySysctls
        | Action::MakeDirectory { .. }
        | Action::InstallBinary { .. }
        | Action::WriteFile { .. }
        | Action::MakeLink { .. }
        | Action::RemovePath { .. }
        | Action::ReloadUnits
        | Action::StartUnit { .. }
        | Action::RestartUnit { .. }
        | Action::StopUnit { .. }
        | Action::RestartPod { .. }
        | Action::PauseKubelet
        | Action::AwaitPod { .. }
        | Action::AwaitEndpoint { .. }
        | Action::AwaitLogSnapshot { .. }
        | Action::ImportImage { .. }
        | Action::AwaitRuntime
        | Action::Fetch { .. }
        | Action::FetchObject { .. }
        | Action::RunHook { place: HookPlace::Host, .. }
        | Action::CleanMachine { .. } => Err(failure(format!("{} runs on a host only", name(action)))),
    }
}

fn node_skeleton(node: &HostName) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
}

/// What ends the wait beside the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// The Kubernetes API saying that the request itself is wrong.
    UntilRefused,
    /// Nothing: etcd says "not yet" with the same codes as "never".
    UntilDeadline,
}

/// Tries until it works or the deadline has passed; the last reason is what the error says.
async fn until<F>(
    step: &Step,
    ports: &Ports<'_>,
    deadline_seconds: u32,
    patience: Patience,
    what: &str,
    attempt: F,
) -> Result<(), Failure>
where
    F: AsyncFn() -> Result<(), KubeError>,
{
    let deadline = ports.clock.now() + Duration::from_secs(deadline_seconds.into());
    let mut told = false;
    loop {
        let error = match attempt().await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if patience == Patience::UntilRefused && is_final(&error) {
            return Err(failure(format!("{what}: {error}")));
        }
        if !told {
            told = true;
            (ports.events)(Event::Waiting { step: step.id.clone(), what: what.to_owned() });
        }
        if ports.clock.now() >= deadline {
            return Err(failure(format!("waited {deadline_seconds} s for {what}: {error}")));
        }
        ports.clock.wait(POLL).await;
    }
}

/// An answer that waiting cannot change: the server understood and said no.
pub(super) fn is_final(error: &KubeError) -> bool {
    match error {
        KubeError::Unreachable(_) => false,
        KubeError::Refused { code, .. } => matches!(code, 400 | 405 | 413 | 415 | 422),
    }
}

async fn apply_objects(
    step: &Step,
    set: ObjectSet,
    names: &[String],
    setting: &Setting<'_>,
    ports: &Ports<'_>,
) -> Result<(), Failure> {
    let objects = ports.objects.objects(set).map_err(|error| failure(error.to_string()))?;
    for object in &objects {
        let key = object_key(object);
        if !names.is_empty() && !names.contains(&key) {
            continue;
        }
        until(step, ports, setting.policy.timeouts.api_ready, Patience::UntilRefused, &key, async || {
            ports.kube.apply(object).await.map(drop)
        })
        .await?;
    }
    Ok(())
}

fn not_yet(what: impl Into<String>) -> KubeError {
    KubeError::Refused { what: what.into(), code: 0, message: "not yet".to_owned() }
}

async fn node_ready(
    ports: &Ports<'_>,
    node: &HostName,
    kubelet: Option<KubeVersion>,
) -> Result<(), KubeError> {
    let found = ports.kube.fetch(&[node_skeleton(node)]).await?;
    let node = found.values().next().ok_or_else(|| not_yet(format!("node {node} is not registered")))?;
    let says = node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap_or_default();
    match kubelet {
        Some(wanted) if says != wanted.to_string() => Err(not_yet(format!("its kubelet is {says}"))),
        Some(_) | None if crate::facts::node_is_ready(node) => Ok(()),
        Some(_) | None => Err(not_yet("the node is not Ready")),
    }
}

/// Every voter answers, or enough do for one more to be away.
async fn spare_voter(ports: &Ports<'_>) -> Result<(), KubeError> {
    let members = ports.etcd.members().await?;
    let voters = members.iter().filter(|member| !member.learner).count();
    let healthy = members.iter().filter(|member| !member.learner && member.healthy).count();
    if healthy == voters || may_stop_one(voters, healthy) {
        return Ok(());
    }
    Err(not_yet(format!("{healthy} of {voters} voters answer")))
}

/// Reads the Node and patches what is missing; somebody else's change in between is a conflict, and
/// the next attempt reads again.
async fn register(ports: &Ports<'_>, node: &HostName, wish: &NodeWish) -> Result<(), KubeError> {
    let found = ports.kube.fetch(&[node_skeleton(node)]).await?;
    let live = found.values().next().ok_or_else(|| not_yet(format!("node {node} is not registered")))?;
    match node_patch(wish, live) {
        Some(patch) => ports.kube.patch(&node_skeleton(node), &patch).await,
        None => Ok(()),
    }
}

async fn serving(ports: &Ports<'_>) -> Result<(), KubeError> {
    let name = |kind: &str, name: &str| json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"namespace": "kube-system", "name": name}});
    let wanted = [name("Deployment", "coredns"), name("DaemonSet", "kube-proxy")];
    let found = ports.kube.fetch(&wanted).await?;
    for object in found.values() {
        let status = &object["status"];
        let count = |field: &str| status[field].as_i64().unwrap_or(0);
        let ready = match object["kind"].as_str() {
            Some("Deployment") => count("availableReplicas") >= 1,
            _ => {
                count("desiredNumberScheduled") > 0 && count("numberReady") >= count("desiredNumberScheduled")
            }
        };
        if !ready {
            return Err(not_yet(object_key(object)));
        }
    }
    Ok(())
}

/// The answer to an earlier attempt may have been lost after its effect: etcd then refuses a second
/// one for ever, so the list is asked first.
async fn add_learner(ports: &Ports<'_>, peer_url: &str) -> Result<(), KubeError> {
    let members = ports.etcd.members().await?;
    if members.iter().any(|member| member.peer_urls.iter().any(|url| url == peer_url)) {
        return Ok(());
    }
    ports.etcd.add_learner(peer_url).await.map(drop)
}

/// As [`add_learner`]: a member that is not listed is gone already.
async fn remove_member(ports: &Ports<'_>, id: u64) -> Result<(), KubeError> {
    let members = ports.etcd.members().await?;
    if !members.iter().any(|member| member.id == id) {
        return Ok(());
    }
    ports.etcd.remove(id).await
}

async fn promote(ports: &Ports<'_>, peer_url: &str) -> Result<(), KubeError> {
    let members = ports.etcd.members().await?;
    let member = members.iter().find(|member| member.peer_urls.iter().any(|url| url == peer_url));
    match member {
        None => Err(not_yet(format!("no member has {peer_url}"))),
        Some(member) if !member.learner => Ok(()),
        Some(member) => ports.etcd.promote(member.id).await,
    }
}
