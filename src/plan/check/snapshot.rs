//! Proves that a snapshot of etcd is taken before anything that may write to it goes to another version.

use super::super::model::{Plan, Stage, StepId};
use super::Flaw;
use super::changes::{Changes, Part};
use super::order::Order;

/// The first step that goes to another version without one; the rest follows from it.
pub(super) fn check(plan: &Plan, changes: &Changes, order: &Order<'_>) -> Option<Flaw> {
    let snapshots: Vec<usize> = steps_of(plan, Stage::Snapshot);
    let is_early = |step: &usize| !snapshots.iter().any(|snapshot| order.certain_steps(*snapshot, *step));
    let first = moves(changes).into_iter().filter(is_early).min()?;
    let step: StepId = order.id(first)?.clone();
    Some(Flaw::NoSnapshot(step))
}

fn steps_of(plan: &Plan, stage: Stage) -> Vec<usize> {
    let steps = plan.steps.iter().enumerate().filter(|(_, step)| step.stage == stage);
    steps.map(|(index, _)| index).collect()
}

/// Where members of etcd, and the API servers that write to it, begin to run another version.
fn moves(changes: &Changes) -> Vec<usize> {
    let members = changes.etcd.values().flat_map(|member| {
        let moves = member.replacements().filter(|(from, to, _)| from != to);
        moves.map(|(_, _, change)| change.begins.step)
    });
    let servers = changes.kubernetes.iter().filter(|(part, _)| matches!(part, Part::ApiServer(_)));
    let servers = servers.flat_map(|(_, server)| {
        let moves = server.replacements().filter(|(from, to, _)| from != to);
        moves.map(|(_, _, change)| change.begins.step)
    });
    members.chain(servers).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{START, UPGRADE, plan, step};
    use super::super::{Flaw, check};
    use crate::plan::model::{Stage, StepId};
    use crate::plan::upgrade::testing::cluster;

    fn upgrade() -> crate::plan::Plan {
        plan(Some(cluster(START)), "37", UPGRADE.trim().lines().map(step).collect())
    }

    #[test]
    fn etcd_is_kept_before_anything_goes_to_another_version() {
        let mut late = upgrade();
        assert_eq!(check(&late), Vec::new());
        let first = late.steps.iter_mut().find(|step| step.id.0 == "e1").unwrap();
        first.after.clear();
        assert_eq!(check(&late), [Flaw::NoSnapshot(StepId("e1".to_owned()))]);
        let mut none = upgrade();
        none.steps.retain(|step| step.stage != Stage::Snapshot);
        none.steps.iter_mut().for_each(|step| step.after.retain(|after| after.0 != "snapshot"));
        assert_eq!(check(&none), [Flaw::NoSnapshot(StepId("e1".to_owned()))]);
    }

    #[test]
    fn kubelets_and_settings_need_none() {
        let only = |steps: &str, start: &str| {
            let mut plan = plan(Some(cluster(start)), "37", steps.trim().lines().map(step).collect());
            plan.steps.retain(|step| step.stage != Stage::Snapshot);
            plan.steps.iter_mut().for_each(|step| step.after.clear());
            check(&plan)
        };
        assert_eq!(only("k w-1 -: kubelet 37", "cp-1 c37 e3.7.0; w-1 k36; proxy 37"), Vec::new());
        assert_eq!(only("a cp-1 -: api 37", "cp-1 c37 e3.7.0; proxy 37"), Vec::new());
        assert_eq!(only("j cp-9 -: api 37, manager 37, scheduler 37", "cp-1 c37; proxy 37"), Vec::new());
    }
}
