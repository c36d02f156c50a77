//! A stage as it runs on a machine: a transient unit that goes on when the operator is gone, stops
//! between two operations for a later run, and ends with the machine's power.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;

use super::faults::{Fault, Site};
use super::host_script::{OpResult, cost};
use super::ports::Fleet;
use crate::exec::ports::StageResult;
use crate::inventory::HostName;
use crate::script::{HostScript, Op};

/// How long a machine takes to boot.
const BOOT: Duration = Duration::from_secs(25);

/// What a stage tells whoever waits for it.
#[derive(Debug, Clone)]
pub enum StageEnd {
    Result(StageResult),
    /// A later run holds the host.
    Fenced(u64),
    Rebooted,
}

/// Runs a stage to its end, connected or not.
pub async fn run_stage(
    fleet: Arc<Fleet>,
    host: HostName,
    script: HostScript,
    sender: oneshot::Sender<StageEnd>,
) {
    let end = stage(&fleet, &host, &script).await;
    {
        let mut world = fleet.world();
        if let Some(found) = world.hosts.get_mut(&host) {
            if !matches!(end, Some(StageEnd::Rebooted)) {
                found.busy = false;
            }
            if let Some(StageEnd::Result(result)) = &end {
                found.results.insert(script.id.clone(), result.clone());
            }
        }
    }
    if let Some(end) = end {
        let _ = sender.send(end);
    }
}

/// None: the unit was killed with the operator.
async fn stage(fleet: &Arc<Fleet>, host: &HostName, script: &HostScript) -> Option<StageEnd> {
    // A stage of an earlier run finishes its operation first.
    let boot = loop {
        {
            let mut world = fleet.world();
            let found = world.hosts.get_mut(host)?;
            if !found.up {
                return Some(StageEnd::Rebooted);
            }
            if found.epoch > script.epoch {
                return Some(StageEnd::Fenced(found.epoch));
            }
            found.epoch = script.epoch;
            if !found.busy {
                found.busy = true;
                break found.boots;
            }
            world.faults.note("waited for an operation of an earlier run to end");
        }
        fleet.runtime.wait(Duration::from_millis(50)).await;
    };
    let mut changed = Vec::new();
    for (index, op) in script.ops.iter().enumerate() {
        let result = match one_op(fleet, host, script, boot, op).await {
            Ok(result) => result,
            Err(end) => return end,
        };
        if result.status != 0 {
            let output = result.output;
            let result = StageResult { status: result.status, completed: index, output, changed };
            return Some(StageEnd::Result(result));
        }
        if result.changed {
            changed.push(index);
        }
    }
    let result = StageResult { status: 0, completed: script.ops.len(), output: String::new(), changed };
    Some(StageEnd::Result(result))
}

/// One operation between its two boundaries.
async fn one_op(
    fleet: &Arc<Fleet>,
    host: &HostName,
    script: &HostScript,
    boot: u64,
    op: &Op,
) -> Result<OpResult, Option<StageEnd>> {
    let still = |fleet: &Fleet| {
        let mut world = fleet.world();
        let found = world.hosts.get(host).map(|found| (found.up, found.boots, found.epoch));
        match found {
            Some((true, boots, _)) if boots != boot => Err(Some(StageEnd::Rebooted)),
            Some((true, _, epoch)) if epoch > script.epoch => {
                world.faults.note("a stage of an earlier run was fenced");
                Err(Some(StageEnd::Fenced(epoch)))
            }
            Some((true, _, _)) => Ok(()),
            Some((false, _, _)) | None => Err(Some(StageEnd::Rebooted)),
        }
    };
    still(fleet)?;
    let slowness = fleet.world().hosts.get(host).map_or(100, |found| found.slowness);
    fleet.runtime.wait(cost(op) * slowness / 100).await;
    still(fleet)?;
    if let Some(result) = strike(fleet, host, true).await? {
        return Ok(result);
    }
    let mut result = fleet.world().run_op(host, op);
    if let Op::Await { deadline, .. } = op {
        let until = fleet.runtime.now() + Duration::from_secs((*deadline).into());
        while result.status != 0 && fleet.runtime.now() < until {
            fleet.runtime.wait(Duration::from_millis(200)).await;
            still(fleet)?;
            result = fleet.world().run_op(host, op);
        }
    }
    strike(fleet, host, false).await?;
    Ok(result)
}

/// Passes a boundary on a host. `Ok(Some(_))`: the operation fails instead of having its effect.
async fn strike(
    fleet: &Arc<Fleet>,
    host: &HostName,
    before: bool,
) -> Result<Option<OpResult>, Option<StageEnd>> {
    let Some(fault) = fleet.world().faults.pass(Site::Host, before) else { return Ok(None) };
    fleet.world().incident(format!("{host}: {}", fault.describe()));
    let failed = |output: &str| Ok(Some(OpResult { status: 1, output: output.to_owned(), changed: false }));
    match fault {
        Fault::Kill => {
            fleet.runtime.kill();
            fleet.world().faults.note("a stage went on without its operator");
            Ok(None)
        }
        Fault::KillWithStage => {
            fleet.runtime.kill();
            Err(None)
        }
        Fault::PowerCut => {
            fleet.power_cut(host);
            Err(Some(StageEnd::Rebooted))
        }
        Fault::Disconnect | Fault::Unreachable => {
            let away = if fault == Fault::Disconnect {
                Duration::from_secs(5)
            } else {
                fleet.world().faults.absence()
            };
            let mut world = fleet.world();
            let until = world.now + away;
            if let Some(found) = world.hosts.get_mut(host) {
                found.unreachable_until = until;
            }
            Ok(None)
        }
        Fault::Fail => failed("input/output error"),
        Fault::DiskFull => failed("no space left on device"),
        Fault::Stall => {
            fleet.runtime.wait(Duration::from_secs(45)).await;
            Ok(None)
        }
        Fault::ApiError | Fault::LostReply => Ok(None),
    }
}

impl Fleet {
    /// Cuts a machine's power; it boots again by itself.
    pub fn power_cut(self: &Arc<Self>, host: &HostName) {
        {
            let mut world = self.world();
            let now = world.now;
            let mut random = super::random::Random::new(world.faults.random.draw());
            let Some(found) = world.hosts.get_mut(host) else { return };
            let lost = found.power_cut(&mut random, now);
            if lost > 0 {
                world.faults.note("a power cut lost what was not flushed");
            }
        }
        let (fleet, host) = (Arc::clone(self), host.clone());
        self.runtime.spawn(Box::pin(async move {
            fleet.runtime.wait(BOOT).await;
            let mut world = fleet.world();
            let now = world.now;
            if let Some(found) = world.hosts.get_mut(&host) {
                found.boot(now);
            }
            world.settle(&host);
        }));
    }
}
