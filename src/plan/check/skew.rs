//! Proves that every state a plan can pass through keeps the version-skew policy, or makes nothing worse
//! where the cluster is outside of it already.
//!
//! Every rule is between two parts. It can only break when one of them changes, so for each change every
//! version is tried that the other part may have at that moment: steps that the graph does not order may
//! happen in either order.

use std::collections::BTreeSet;
use std::fmt::Display;

use semver::Version;

use super::changes::{Change, Changes, Part, Timeline};
use super::order::{Moment, Order};
use super::{Beside, Flaw};
use crate::inventory::HostName;
use crate::release::skew::{Outside, api_server_step, etcd_beside, etcd_outside, etcd_step};
use crate::release::{ApiServerSpan, Component, KubeVersion, SkewViolation};

/// Steps whose order against all others has to be known.
pub(super) fn pivots(changes: &Changes) -> BTreeSet<usize> {
    let of_few = changes.kubernetes.iter().filter(|(part, _)| match part {
        Part::ApiServer(_) | Part::ControllerManager(_) | Part::Scheduler(_) | Part::KubeProxy => true,
        Part::Kubelet(host) => serves_all(changes, host),
    });
    let of_kubernetes = of_few.flat_map(|(_, timeline)| timeline.steps());
    changes.etcd.values().flat_map(Timeline::steps).chain(of_kubernetes).collect()
}

/// All flaws in what a plan does to versions.
pub(super) fn check(changes: &Changes, order: &Order<'_>) -> Vec<Flaw> {
    let mut proof = Proof { changes, order, flaws: changes.flaws.clone(), told: BTreeSet::new() };
    proof.changes_are_ordered();
    proof.no_minor_is_left_out();
    proof.etcd_members_fit();
    proof.api_servers_fit();
    proof.others_fit_api_servers();
    proof.one_at_a_time();
    proof.flaws
}

struct Proof<'a> {
    changes: &'a Changes,
    order: &'a Order<'a>,
    flaws: Vec<Flaw>,
    /// Steps with what they break: one of 5,000 workers is enough.
    told: BTreeSet<(usize, String)>,
}

/// How far two versions lie outside of a rule, and what it says to that.
type Verdict = (Outside, Result<(), SkewViolation>);

/// One of two parts of a rule.
struct Side<'a, V> {
    name: &'a dyn Display,
    timeline: &'a Timeline<V>,
    /// All parts that the rule holds for in its place.
    alike: &'a [&'a Timeline<V>],
}

/// A rule that is between these two parts alone.
const NONE: &[&Timeline<KubeVersion>] = &[];

/// A change of one part that breaks a rule, and between which steps the other part is as it must not be.
struct Break {
    step: usize,
    violation: SkewViolation,
    since: Option<usize>,
    until: Option<usize>,
}

impl<'a> Proof<'a> {
    /// Or nobody knows what a part ends with.
    fn changes_are_ordered(&mut self) {
        let etcd = self.changes.etcd.iter();
        let etcd = etcd.flat_map(|(host, timeline)| self.unordered(member_of(host), timeline));
        let kubernetes = self.changes.kubernetes.iter();
        let kubernetes = kubernetes.flat_map(|(part, timeline)| self.unordered(part.to_string(), timeline));
        let flaws: Vec<Flaw> = etcd.chain(kubernetes).collect();
        self.flaws.extend(flaws);
    }

    fn unordered<V>(&self, what: String, timeline: &Timeline<V>) -> Vec<Flaw> {
        let next = timeline.changes.iter().skip(1);
        let pairs = timeline.changes.iter().zip(next).map(|(one, next)| (one.ends, next.begins));
        let unordered = pairs.filter(|(first, second)| !self.order.certain(*first, *second));
        unordered
            .filter_map(|(first, second)| {
                let (first, second) =
                    (self.order.id(first.step)?.clone(), self.order.id(second.step)?.clone());
                Some(Flaw::EitherOrder { what: what.clone(), first, second })
            })
            .collect()
    }

    fn no_minor_is_left_out(&mut self) {
        let etcd = self.changes.etcd.values().flat_map(|timeline| jumps(timeline, etcd_step));
        let api_servers = self.api_servers().into_iter().flat_map(|(_, timeline)| {
            jumps(timeline, |from: &KubeVersion, to: &KubeVersion| api_server_step(*from, *to))
        });
        for (step, violation) in etcd.chain(api_servers).collect::<Vec<_>>() {
            let step = self.order.id(step).cloned();
            self.flaws.extend(step.map(|step| Flaw::Jump { step, violation }));
        }
    }

    fn etcd_members_fit(&mut self) {
        let rule = |one: &Version, other: &Version| (etcd_outside(one, other), etcd_beside(one, other));
        let names: Vec<String> = self.changes.etcd.keys().map(member_of).collect();
        let alike: Vec<_> = self.changes.etcd.values().collect();
        let members: Vec<Side<'_, Version>> =
            names.iter().zip(&alike).map(|(name, timeline)| Side { name, timeline, alike: &alike }).collect();
        self.all_must_fit(&members, &rule);
    }

    fn api_servers_fit(&mut self) {
        let rule = |one: &KubeVersion, other: &KubeVersion| {
            let span = ApiServerSpan::observed([*one, *other]);
            let outside = span.map_or(Outside::default(), ApiServerSpan::outside_servers);
            (outside, span.map_or(Ok(()), ApiServerSpan::check_servers))
        };
        let api_servers = self.api_servers();
        let alike: Vec<_> = api_servers.iter().map(|(_, timeline)| *timeline).collect();
        let sides: Vec<Side<'_, KubeVersion>> =
            api_servers.iter().map(|(part, timeline)| Side { name: part, timeline, alike: &alike }).collect();
        self.all_must_fit(&sides, &rule);
    }

    /// Nodes must fit every API server, the others the one on their host.
    fn others_fit_api_servers(&mut self) {
        let api_servers = self.api_servers();
        let all: Vec<_> = api_servers.iter().map(|(_, timeline)| *timeline).collect();
        for (server, api_server) in api_servers {
            let Part::ApiServer(server_host) = server else { continue };
            for (part, timeline) in &self.changes.kubernetes {
                let (component, alike) = match part {
                    Part::Kubelet(_) => (Component::Kubelet, all.as_slice()),
                    Part::KubeProxy => (Component::KubeProxy, all.as_slice()),
                    Part::ControllerManager(host) if host == server_host => {
                        (Component::ControllerManager, NONE)
                    }
                    Part::Scheduler(host) if host == server_host => (Component::Scheduler, NONE),
                    Part::ApiServer(_) | Part::ControllerManager(_) | Part::Scheduler(_) => continue,
                };
                let rule = |server: &KubeVersion, version: &KubeVersion| {
                    let span = ApiServerSpan::one(*server);
                    (span.outside(component, *version), span.check(component, *version))
                };
                let server = Side { name: server, timeline: api_server, alike };
                self.must_fit(&server, &Side { name: part, timeline, alike: NONE }, &rule);
            }
        }
    }

    fn all_must_fit<V>(&mut self, sides: &[Side<'_, V>], rule: &dyn Fn(&V, &V) -> Verdict) {
        for (index, one) in sides.iter().enumerate() {
            for other in sides.iter().skip(index + 1) {
                self.must_fit(one, other, rule);
            }
        }
    }

    fn must_fit<A, B>(&mut self, one: &Side<'_, A>, other: &Side<'_, B>, rule: &dyn Fn(&A, &B) -> Verdict) {
        let turned = |version: &B, other: &A| rule(other, version);
        for broken in breaks(self.order, one, other, rule) {
            self.tell(broken, other.name);
        }
        for broken in breaks(self.order, other, one, &turned) {
            self.tell(broken, one.name);
        }
    }

    fn tell(&mut self, broken: Break, beside: &dyn Display) {
        let Break { step, violation, since, until } = broken;
        let id = |step: usize| self.order.id(step).cloned();
        if let Some(id_of_step) = id(step)
            && self.told.insert((step, violation.to_string()))
        {
            let (since, until) = (since.and_then(id), until.and_then(id));
            let beside = Beside { what: beside.to_string(), since, until };
            self.flaws.push(Flaw::Skew { step: id_of_step, violation, beside });
        }
    }

    /// A host's own API server and member go away while their pod is replaced, and while a kubelet that
    /// crosses a minor makes all pods anew: never on two hosts at once.
    fn one_at_a_time(&mut self) {
        let order = self.order;
        let ordered = |first: usize, second: usize| order.certain_steps(first, second);
        let replaced: Vec<(usize, &HostName)> = self.replacements().into_iter().collect();
        for (at, (first, host)) in replaced.iter().enumerate() {
            let others = replaced.iter().skip(at + 1).filter(|(_, other)| other != host);
            let at_once = others
                .map(|(second, _)| *second)
                .find(|second| first != second && !ordered(*first, *second) && !ordered(*second, *first));
            if let Some(second) = at_once
                && let (Some(first), Some(second)) = (self.order.id(*first), self.order.id(second))
            {
                self.flaws.push(Flaw::ReplacedAtOnce(first.clone(), second.clone()));
            }
        }
    }

    fn replacements(&self) -> BTreeSet<(usize, &'a HostName)> {
        let mut replaced = BTreeSet::new();
        let running_members = self.changes.etcd.iter().filter(|(_, timeline)| timeline.start.is_some());
        for (host, timeline) in running_members {
            replaced.extend(timeline.replacements().map(|(.., change)| (change.begins.step, host)));
        }
        for (part, timeline) in &self.changes.kubernetes {
            match part {
                Part::ApiServer(host) if timeline.start.is_some() => {
                    replaced.extend(timeline.replacements().map(|(.., change)| (change.begins.step, host)));
                }
                Part::Kubelet(host) if serves_all(self.changes, host) => {
                    let crossings =
                        timeline.replacements().filter(|(from, to, _)| from.minor() != to.minor());
                    replaced.extend(crossings.map(|(_, _, change)| (change.ends.step, host)));
                }
                Part::ApiServer(_) | Part::ControllerManager(_) | Part::Scheduler(_) => {}
                Part::Kubelet(_) | Part::KubeProxy => {}
            }
        }
        replaced
    }

    fn api_servers(&self) -> Vec<(&'a Part, &'a Timeline<KubeVersion>)> {
        let parts = self.changes.kubernetes.iter();
        parts.filter(|(part, _)| matches!(part, Part::ApiServer(_))).collect()
    }
}

/// Where a change of `one` makes a rule worse beside what `other` may be at that moment.
fn breaks<A, B>(
    order: &Order<'_>,
    one: &Side<'_, A>,
    other: &Side<'_, B>,
    rule: &dyn Fn(&A, &B) -> Verdict,
) -> Vec<Break> {
    let mut breaks = Vec::new();
    for (index, change) in one.timeline.changes.iter().enumerate() {
        let at = change.begins;
        for seen in may_be_at(order, other.timeline, at) {
            let (Some(after), Some(beside)) = (change.to.as_ref(), other.timeline.version(seen)) else {
                continue;
            };
            let (outside, checked) = rule(after, beside);
            let Err(violation) = checked else { continue };
            let before =
                one.timeline.version(index).map_or(Outside::default(), |before| rule(before, beside).0);
            // Nor is it worse where another part of the kind is as far outside at that moment in any case.
            let as_far = |version: Option<&A>| {
                version.is_some_and(|version| !outside.worse_than(rule(version, beside).0))
            };
            let mut alike = one.alike.iter();
            let was_so = alike.any(|part| may_be_at(order, part, at).all(|seen| as_far(part.version(seen))));
            if outside.worse_than(before) && !was_so {
                let last = seen.checked_sub(1).and_then(|last| other.timeline.changes.get(last));
                let since = last.map(|change| change.begins.step);
                let until = other.timeline.changes.get(seen).map(|change| change.ends.step);
                breaks.push(Break { step: at.step, violation, since, until });
            }
        }
    }
    breaks
}

/// After how many of its changes a part may be at a moment.
fn may_be_at<'a, V>(
    order: &'a Order<'_>,
    timeline: &'a Timeline<V>,
    at: Moment,
) -> impl Iterator<Item = usize> + 'a {
    (0..=timeline.changes.len()).filter(move |seen| {
        let last = seen.checked_sub(1).and_then(|last| timeline.changes.get(last));
        let to_come = last.is_some_and(|change| order.certain(at, change.begins));
        let over = timeline.changes.get(*seen).is_some_and(|next| order.certain(next.ends, at));
        !to_come && !over
    })
}

fn jumps<V>(
    timeline: &Timeline<V>,
    step: impl Fn(&V, &V) -> Result<(), SkewViolation>,
) -> Vec<(usize, SkewViolation)> {
    let jump = |(from, to, change): (&V, &V, &Change<V>)| Some((change.begins.step, step(from, to).err()?));
    timeline.replacements().filter_map(jump).collect()
}

/// Whether others depend on what a host runs already: an API server or an etcd member.
fn serves_all(changes: &Changes, host: &HostName) -> bool {
    let api_server = changes.kubernetes.get(&Part::ApiServer(host.clone()));
    let member = changes.etcd.get(host);
    api_server.is_some_and(|timeline| timeline.start.is_some())
        || member.is_some_and(|timeline| timeline.start.is_some())
}

fn member_of(host: &HostName) -> String {
    format!("the etcd member of {host}")
}
