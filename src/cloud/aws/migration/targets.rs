//! Targets of a balancer's groups: who is there, who comes, who goes.

use aws_sdk_elasticloadbalancingv2::types::{
    TargetDescription, TargetHealthDescription, TargetHealthStateEnum,
};

use super::MigrationAws;
use super::error::Told as _;
use crate::migrate::ports::{BalancerTarget, CallError, Health};

/// What an address outside the network of its group has instead of a zone.
const OUTSIDE: &str = "all";
/// Targets of one call.
const AT_ONCE: usize = 100;

impl MigrationAws {
    pub(super) async fn list_targets(&self, group: &str) -> Result<Vec<(BalancerTarget, Health)>, CallError> {
        let answer = self.elb.describe_target_health().target_group_arn(group).send().await;
        let answer = answer.told("elasticloadbalancing:DescribeTargetHealth")?;
        let mut all: Vec<_> = answer.target_health_descriptions().iter().filter_map(seen).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(all)
    }

    pub(super) async fn register_targets(
        &self,
        group: &str,
        targets: &[BalancerTarget],
    ) -> Result<(), CallError> {
        for some in targets.chunks(AT_ONCE) {
            let targets = Some(some.iter().map(described).collect());
            let request = self.elb.register_targets().target_group_arn(group).set_targets(targets);
            request.send().await.told("elasticloadbalancing:RegisterTargets")?;
        }
        Ok(())
    }

    /// A group that is gone has no targets any more either.
    pub(super) async fn deregister_targets(
        &self,
        group: &str,
        targets: &[BalancerTarget],
    ) -> Result<(), CallError> {
        for some in targets.chunks(AT_ONCE) {
            let targets = Some(some.iter().map(described).collect());
            let request = self.elb.deregister_targets().target_group_arn(group).set_targets(targets);
            request.send().await.told_if_there("elasticloadbalancing:DeregisterTargets")?;
        }
        Ok(())
    }
}

fn described(target: &BalancerTarget) -> TargetDescription {
    TargetDescription::builder()
        .id(&target.id)
        .port(target.port.into())
        .set_availability_zone(target.is_outside.then(|| OUTSIDE.to_owned()))
        .build()
}

fn seen(there: &TargetHealthDescription) -> Option<(BalancerTarget, Health)> {
    let target = there.target()?;
    let health = match there.target_health().and_then(|health| health.state()) {
        Some(TargetHealthStateEnum::Healthy) => Health::Healthy,
        Some(TargetHealthStateEnum::Initial) => Health::Initial,
        Some(TargetHealthStateEnum::Draining) => Health::Draining,
        // What is not used, because no listener leads to it or its zone is not the balancer's, gets no connections
        // either.
        _ => Health::Unhealthy,
    };
    let target = BalancerTarget {
        id: target.id()?.to_owned(),
        port: target.port().and_then(|port| u16::try_from(port).ok())?,
        is_outside: target.availability_zone() == Some(OUTSIDE),
    };
    Some((target, health))
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::types::TargetHealth;

    use super::*;

    #[test]
    fn a_target_is_seen_as_it_was_registered() {
        for is_outside in [false, true] {
            let target = BalancerTarget { id: "10.1.0.7".to_owned(), port: 30443, is_outside };
            for (state, health) in [
                (TargetHealthStateEnum::Healthy, Health::Healthy),
                (TargetHealthStateEnum::Initial, Health::Initial),
                (TargetHealthStateEnum::Unhealthy, Health::Unhealthy),
                (TargetHealthStateEnum::UnhealthyDraining, Health::Unhealthy),
                (TargetHealthStateEnum::Unused, Health::Unhealthy),
                (TargetHealthStateEnum::Unavailable, Health::Unhealthy),
                (TargetHealthStateEnum::Draining, Health::Draining),
            ] {
                let there = TargetHealthDescription::builder()
                    .target(described(&target))
                    .target_health(TargetHealth::builder().state(state).build())
                    .build();
                assert_eq!(seen(&there), Some((target.clone(), health)));
            }
        }
    }

    #[test]
    fn a_zone_of_its_own_network_does_not_make_an_address_an_outside_one() {
        let target = TargetDescription::builder().id("10.0.1.7").port(80).availability_zone("eu-central-1a");
        let there = TargetHealthDescription::builder().target(target.build()).build();
        assert!(!seen(&there).unwrap().0.is_outside);
    }
}
