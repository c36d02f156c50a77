//! For those who go on using the old answer: blue's balancer sends to green's machines, and blue's own get no
//! connections any more, until nobody uses that balancer.

use std::time::Duration;

use super::error::RunError;
use super::watch::{Stop, Watching};
use super::{Run, seconds};
use crate::migrate::check::take_over_targets;
use crate::migrate::event::{Closed, MigrationEvent};
use crate::migrate::plan::Replacement;
use crate::migrate::ports::{BalancerTarget, Health};
use crate::migrate::survey::look_at_targets;

/// A balancer may take some minutes until it has asked a new target often enough.
const HEALTHY: Duration = Duration::from_secs(10 * 60);
/// Between two looks at what a take-over waits for.
const LOOK: Duration = Duration::from_secs(5);
/// Between two looks at which machines green has.
const MACHINES: Duration = Duration::from_secs(60);
/// A target keeps its connections for so long at most (the longest delay that a group may have), and a little.
const DRAINED: Duration = Duration::from_secs(3600 + 60);

impl Run<'_> {
    /// The whole window.
    pub(super) async fn take_over(&mut self, quiet: u32, deadline: u32) -> Result<Option<Stop>, RunError> {
        self.behind.replacements = self.replacements_now().await?;
        let replacements = self.behind.replacements.clone();
        // Once they are out, nobody else knows what blue's own targets were.
        self.remember(&replacements)?;
        for group in &replacements {
            self.register(&group.group, &group.green).await?;
        }
        for group in &replacements {
            let enough = async |run: &mut Self| run.are_healthy(&group.group, &group.green).await;
            let what = unhealthy(&group.group, &group.green);
            match self.watch_until(what, HEALTHY, true, enough).await {
                Ok(None) => {}
                Ok(stop) => return Ok(stop),
                Err(error) => return self.give_up(&replacements, error).await,
            }
        }
        for group in &replacements {
            self.take_out(&group.group, &group.own).await?;
        }
        for group in &replacements {
            let gone = async |run: &mut Self| run.are_gone(&group.group, &group.own).await;
            let what = format!("machines of blue still end their connections in {}", group.group);
            if let Some(stop) = self.watch_until(what, DRAINED, false, gone).await? {
                return Ok(Some(stop));
            }
        }
        self.await_silence(quiet, deadline).await
    }

    /// Until nobody has begun a connection to blue's balancer for so long. Our own probes would be heard there, so
    /// they ask green and the name only.
    async fn await_silence(&mut self, quiet: u32, deadline: u32) -> Result<Option<Stop>, RunError> {
        let began = self.ports.clock.now();
        let mut looked = began;
        let silent = async |run: &mut Self| {
            let now = run.ports.clock.now();
            if now.saturating_sub(looked) >= MACHINES {
                looked = now;
                run.follow_green().await?;
            }
            let lasted = now.saturating_sub(began);
            Ok(lasted >= seconds(deadline) || (lasted >= seconds(quiet) && run.is_silent(quiet).await?))
        };
        let what = "somebody still uses blue's balancer".to_owned();
        if let Some(stop) = self.watch_until(what, seconds(deadline) + HEALTHY, false, silent).await? {
            return Ok(Some(stop));
        }
        let lasted = self.ports.clock.now().saturating_sub(began);
        let reason = if lasted >= seconds(deadline) { Closed::Deadline } else { Closed::Quiet };
        self.tell(MigrationEvent::WindowClosed { reason });
        Ok(None)
    }

    /// Until a condition holds, while the gates are judged.
    async fn watch_until(
        &mut self,
        what: String,
        deadline: Duration,
        blue: bool,
        mut holds: impl AsyncFnMut(&mut Self) -> Result<bool, RunError>,
    ) -> Result<Option<Stop>, RunError> {
        let began = self.ports.clock.now();
        let mut told = false;
        while !holds(self).await? {
            let waited = self.ports.clock.now().saturating_sub(began);
            if waited > deadline {
                return Err(RunError::Slow { what, waited });
            }
            if !std::mem::replace(&mut told, true) {
                self.tell(MigrationEvent::Waiting { what: what.clone() });
            }
            let watching = Watching { long: LOOK, since: began, blue, judged: true };
            if let Some(stop) = self.watch(watching).await? {
                return Ok(Some(stop));
            }
        }
        Ok(None)
    }

    /// As planned, with green's machines of this moment: the plan may be days old, and an autoscaler works.
    async fn replacements_now(&self) -> Result<Vec<Replacement>, RunError> {
        let mut replacements = self.behind.replacements.clone();
        let (Some(blue), Some(green)) = (&self.behind.blue, &self.behind.green) else {
            return Ok(replacements);
        };
        let balancers = self.ports.balancers;
        let look = async || look_at_targets(blue, green, balancers).await.map_err(|error| error.source);
        let what = "looking at the machines behind green's balancer".to_owned();
        let seen = self.calls().patiently(what, look).await?;
        for (group, green) in take_over_targets(&seen) {
            if let Some(known) = replacements.iter_mut().find(|known| known.group == group) {
                known.green = green;
            }
        }
        Ok(replacements)
    }

    /// Machines that green has got since come behind blue's balancer too. Those that it has lost are unhealthy there, and
    /// get nothing.
    async fn follow_green(&mut self) -> Result<(), RunError> {
        let now = self.replacements_now().await?;
        if now == self.behind.replacements {
            return Ok(());
        }
        self.remember(&now)?;
        let before = std::mem::replace(&mut self.behind.replacements, now.clone());
        for (group, before) in now.iter().zip(&before) {
            let new: Vec<BalancerTarget> =
                group.green.iter().filter(|target| !before.green.contains(target)).cloned().collect();
            if !new.is_empty() {
                self.register(&group.group, &new).await?;
            }
        }
        Ok(())
    }

    /// With all machines of green that have ever been registered: the way back takes them out.
    fn remember(&self, replacements: &[Replacement]) -> Result<(), RunError> {
        let mut known = self.ports.memory.recall().map_err(RunError::Memory)?;
        for group in replacements {
            match known.iter_mut().find(|it| it.group == group.group) {
                Some(it) => it.join(group),
                None => known.push(group.clone()),
            }
        }
        self.ports.memory.remember(&known).map_err(RunError::Memory)
    }

    /// Nobody counts: nobody knows, and the deadline decides.
    async fn is_silent(&self, quiet: u32) -> Result<bool, RunError> {
        let Some(blue) = &self.behind.blue else { return Ok(false) };
        let what = "asking who still uses blue's balancer".to_owned();
        let call = async || self.ports.balancers.new_flows(blue, quiet).await;
        Ok(self.calls().patiently(what, call).await? == Some(0))
    }

    /// Green's machines do not become healthy behind blue's balancer: they leave it, and the step is not carried out.
    async fn give_up(
        &mut self,
        replacements: &[Replacement],
        error: RunError,
    ) -> Result<Option<Stop>, RunError> {
        for group in replacements {
            self.take_out(&group.group, &group.green).await?;
        }
        Err(error)
    }

    /// Blue's own machines behind its balancer again, and green's out of it; nothing where that is so.
    pub(super) async fn undo_take_over(&mut self) -> Result<(), RunError> {
        for group in self.ports.memory.recall().map_err(RunError::Memory)? {
            let there = self.targets(&group.group).await?;
            let has = |target: &BalancerTarget| {
                there.iter().any(|(other, health)| other.id == target.id && *health != Health::Draining)
            };
            if !group.own.iter().all(has) {
                self.register(&group.group, &group.own).await?;
                let what = unhealthy(&group.group, &group.own);
                let healthy = async || self.are_healthy(&group.group, &group.own).await;
                self.calls().until(what, HEALTHY, healthy).await?;
            }
            if group.green.iter().any(has) {
                self.take_out(&group.group, &group.green).await?;
            }
        }
        Ok(())
    }

    async fn register(&mut self, group: &str, targets: &[BalancerTarget]) -> Result<(), RunError> {
        let what = format!("registering targets in {group}");
        let call = async || self.ports.balancers.register(group, targets).await;
        self.calls().patiently(what, call).await?;
        self.tell(MigrationEvent::Registered { group: group.to_owned(), targets: targets.to_vec() });
        Ok(())
    }

    async fn take_out(&mut self, group: &str, targets: &[BalancerTarget]) -> Result<(), RunError> {
        if targets.is_empty() {
            return Ok(());
        }
        let what = format!("taking targets out of {group}");
        let call = async || self.ports.balancers.deregister(group, targets).await;
        self.calls().patiently(what, call).await?;
        self.tell(MigrationEvent::TakenOut { group: group.to_owned(), targets: targets.to_vec() });
        Ok(())
    }

    async fn targets(&self, group: &str) -> Result<Vec<(BalancerTarget, Health)>, RunError> {
        let what = format!("looking at the targets of {group}");
        self.calls().patiently(what, async || self.ports.balancers.targets(group).await).await
    }

    /// As many as the gates want of green's own balancer, and at least one.
    async fn are_healthy(&self, group: &str, targets: &[BalancerTarget]) -> Result<bool, RunError> {
        let there = self.targets(group).await?;
        let is_healthy = |target: &&BalancerTarget| {
            there.iter().any(|(other, health)| other == *target && *health == Health::Healthy)
        };
        let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        let healthy = targets.iter().filter(is_healthy).count();
        Ok(healthy > 0 && count(healthy) >= self.migration.gates.healthy_targets * count(targets.len()))
    }

    /// Connections that they had have ended, or had their time.
    async fn are_gone(&self, group: &str, targets: &[BalancerTarget]) -> Result<bool, RunError> {
        let there = self.targets(group).await?;
        Ok(!targets.iter().any(|target| there.iter().any(|(other, _)| other == target)))
    }
}

fn unhealthy(group: &str, targets: &[BalancerTarget]) -> String {
    format!("too few of {} targets are healthy in {group}", targets.len())
}
