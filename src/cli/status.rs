//! `keelwright status` and `keelwright diff`: the cluster in one view, and what is not as wanted.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::apply::block_on;
use super::operation::{ClusterArgs, Operation, plan_error};
use super::view::OutputFormat;
use super::{CommandError, ErrorKind};
use crate::exec::Look;
use crate::facts::Observed;
use crate::inventory::{Host, HostName};
use crate::pki::inspect::inspect;
use crate::plan::show::name;
use crate::plan::{Action, Goal, Outline, Target};

const SECONDS_PER_DAY: i64 = 86_400;

/// Show nodes, components, certificates, etcd and drift in one view
///
/// Example: keelwright status -i prod.yaml
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[arg(long, value_enum, default_value = "human")]
    output: OutputFormat,
}

/// Show what is not as the inventory says
///
/// Compares every managed file, unit, sysctl, image, flag and cluster object. Touches nothing.
/// Exits with 3 when anything differs.
///
/// Example: keelwright diff -i prod.yaml
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// One host's row of `status`.
struct Row {
    host: String,
    roles: String,
    ready: &'static str,
    kubelet: String,
    api: &'static str,
    etcd: &'static str,
    expires: String,
    drift: String,
}

/// Runs `keelwright status`.
pub fn run_status(args: StatusArgs) -> Result<ExitCode, CommandError> {
    let operation = Operation::observe(&args.cluster)?;
    let now = jiff::Timestamp::now().as_second();
    let look = block_on(operation.look(Goal::Converge))??;
    let rows: Vec<Row> = operation.inventory.hosts.values().map(|host| row(host, &look, now)).collect();
    match args.output {
        OutputFormat::Json => println!("{}", Value::from_iter(rows.iter().map(as_json))),
        OutputFormat::Human => print_table(&rows),
    }
    if let Err(error) = look.outline {
        return Err(plan_error(error));
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `keelwright diff`.
pub fn run_diff(args: DiffArgs) -> Result<ExitCode, CommandError> {
    let operation = Operation::observe(&args.cluster)?;
    let look = block_on(operation.look(Goal::Converge))??;
    let outline = look.outline.map_err(plan_error)?;
    for step in &outline.plan.steps {
        for planned in step.actions.iter().filter(|planned| is_drift(&planned.action)) {
            println!("{:<16} {}: {}", step.target, name(&planned.action), planned.reason);
        }
    }
    for (host, facts) in &look.facts.hosts {
        let held =
            facts.known().map(|facts| facts.held.iter().cloned().collect::<Vec<_>>()).unwrap_or_default();
        if !held.is_empty() {
            eprintln!("note: {host} holds packages {}", held.join(", "));
        }
    }
    for blocked in &outline.report.blocked {
        eprintln!("{} could not be looked at: {}", blocked.host, blocked.why);
    }
    if outline.plan.is_empty() {
        eprintln!("no drift: every host and the cluster are as the inventory says");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ErrorKind::Pending.exit_code())
}

/// Waiting is part of a plan, not a difference; so is a snapshot.
fn is_drift(action: &Action) -> bool {
    !matches!(
        action,
        Action::AwaitApi { .. }
            | Action::AwaitNode { .. }
            | Action::AwaitServing
            | Action::AwaitRuntime
            | Action::ReloadUnits
            | Action::Snapshot { .. }
            | Action::Upload { .. }
            | Action::Fetch { .. }
            | Action::FetchObject { .. }
    )
}

fn row(host: &Host, look: &Look, now: i64) -> Row {
    let api = look.facts.api.known();
    let node = api.and_then(|api| api.nodes.get(&host.name));
    let member = look
        .facts
        .etcd
        .known()
        .and_then(|etcd| etcd.members.iter().find(|member| member.name == host.name.as_str()));
    let roles: Vec<String> = host
        .roles
        .iter()
        .map(|role| {
            serde_json::to_value(role).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
        })
        .collect();
    Row {
        host: host.name.to_string(),
        roles: roles.join(","),
        ready: match node {
            Some(node) if node.ready && node.unschedulable => "cordoned",
            Some(node) if node.ready => "Ready",
            Some(_) => "NotReady",
            None => "-",
        },
        kubelet: node.map_or_else(|| "-".to_owned(), |node| node.kubelet_version.clone()),
        api: match api {
            Some(api) if api.ready.contains(&host.name) => "ready",
            Some(_) if host.is_control_plane() => "down",
            _ => "-",
        },
        etcd: match member {
            Some(member) if member.leader => "leader",
            Some(member) if member.learner => "learner",
            Some(member) if member.healthy => "voter",
            Some(_) => "unhealthy",
            None => "-",
        },
        expires: first_expiry(&host.name, look)
            .map_or_else(|| "-".to_owned(), |at| format!("{} d", (at - now) / SECONDS_PER_DAY)),
        drift: drift(&host.name, look),
    }
}

/// When the first certificate on the host runs out.
fn first_expiry(host: &HostName, look: &Look) -> Option<i64> {
    let facts = look.facts.host(host)?;
    facts
        .certificates
        .values()
        .filter_map(|pem| inspect(pem).ok())
        .map(|certificate| certificate.not_after)
        .min()
}

fn drift(host: &HostName, look: &Look) -> String {
    if let Some(Observed::Unreachable(_)) = look.facts.hosts.get(host) {
        return "unreachable".to_owned();
    }
    let count = look.outline.as_ref().map_or(0, |outline: &Outline| {
        let steps = outline.plan.steps.iter().filter(|step| step.target == Target::Host(host.clone()));
        steps.flat_map(|step| &step.actions).filter(|planned| is_drift(&planned.action)).count()
    });
    if count == 0 { "none".to_owned() } else { format!("{count} differences") }
}

fn print_table(rows: &[Row]) {
    println!(
        "{:<16} {:<22} {:<9} {:<9} {:<6} {:<9} {:<8} DRIFT",
        "HOST", "ROLES", "NODE", "KUBELET", "API", "ETCD", "CERTS"
    );
    for row in rows {
        println!(
            "{:<16} {:<22} {:<9} {:<9} {:<6} {:<9} {:<8} {}",
            row.host, row.roles, row.ready, row.kubelet, row.api, row.etcd, row.expires, row.drift
        );
    }
}

fn as_json(row: &Row) -> Value {
    json!({
        "host": row.host, "roles": row.roles, "node": row.ready, "kubelet": row.kubelet,
        "api": row.api, "etcd": row.etcd, "certificates": row.expires, "drift": row.drift,
    })
}
