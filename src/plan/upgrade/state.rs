//! A cluster as the search sees it: without names, and without differences that the policy does not know.

use super::path::Releases;
use crate::release::skew::Outside;
use crate::release::{ApiServerSpan, Component, KubeVersion};

/// What one control plane runs. What does not run there counts as its API server's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ControlPlane {
    pub api_server: KubeVersion,
    pub controller_manager: KubeVersion,
    pub scheduler: KubeVersion,
}

/// What runs between two steps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// Sorted: those that run the same can stand in for each other.
    pub control_planes: Vec<ControlPlane>,
    /// Of each group of nodes that began with the same version: they always move together.
    pub kubelets: Vec<KubeVersion>,
    pub kube_proxy: Option<KubeVersion>,
}

/// One change of one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Any control plane that runs `from`.
    ControlPlane {
        from: ControlPlane,
        to: KubeVersion,
    },
    Kubelets {
        group: usize,
        to: KubeVersion,
    },
    KubeProxy {
        to: KubeVersion,
    },
}

impl ControlPlane {
    pub fn all(version: KubeVersion) -> Self {
        ControlPlane { api_server: version, controller_manager: version, scheduler: version }
    }

    /// Whether another minor of its API server would leave the others two behind.
    pub fn lags(&self) -> bool {
        let api_server = self.api_server.minor();
        self.controller_manager.minor() < api_server || self.scheduler.minor() < api_server
    }

    fn outside(&self) -> [Outside; 2] {
        let own = ApiServerSpan::one(self.api_server);
        [
            own.outside(Component::ControllerManager, self.controller_manager),
            own.outside(Component::Scheduler, self.scheduler),
        ]
    }
}

impl State {
    pub fn api_servers(&self) -> Option<ApiServerSpan> {
        ApiServerSpan::observed(self.control_planes.iter().map(|host| host.api_server))
    }

    /// How far each component lies outside the policy, in an order that a step does not change.
    pub fn outside(&self) -> Vec<Outside> {
        let Some(servers) = self.api_servers() else { return Vec::new() };
        let mut outside = vec![servers.outside_servers()];
        outside.extend(self.control_planes.iter().flat_map(ControlPlane::outside));
        outside.extend(self.kubelets.iter().map(|kubelet| servers.outside(Component::Kubelet, *kubelet)));
        outside.extend(self.kube_proxy.map(|proxy| servers.outside(Component::KubeProxy, proxy)));
        outside
    }

    /// The steps that make nothing worse, with the states they lead to.
    pub fn next(&self, releases: &Releases) -> Vec<(Step, State)> {
        let before = self.outside();
        let mut next = Vec::new();
        for (index, host) in self.control_planes.iter().enumerate() {
            if index > 0 && self.control_planes.get(index - 1) == Some(host) {
                continue;
            }
            for to in host.may_go_to(releases) {
                let step = Step::ControlPlane { from: *host, to };
                next.extend(self.with_control_plane(index, to, &before).map(|state| (step, state)));
            }
        }
        for step in self.node_steps(releases) {
            let state = self.with_node_step(step);
            if !worse(&state.outside(), &before) {
                next.push((step, state));
            }
        }
        next
    }

    /// The API server goes first, so the policy must hold while the other two are still as they were.
    fn with_control_plane(&self, index: usize, to: KubeVersion, before: &[Outside]) -> Option<State> {
        let mut state = self.clone();
        state.control_planes.get_mut(index)?.api_server = to;
        let between = state.outside();
        if worse(&between, before) {
            return None;
        }
        *state.control_planes.get_mut(index)? = ControlPlane::all(to);
        if worse(&state.outside(), &between) {
            return None;
        }
        state.control_planes.sort_unstable();
        Some(state)
    }

    fn node_steps(&self, releases: &Releases) -> Vec<Step> {
        let newer = |from: KubeVersion| {
            let on_the_way = move |to: &KubeVersion| to.minor() > from.minor() || *to == releases.target;
            releases.all().filter(on_the_way).filter(move |to| *to != from)
        };
        let kubelets = self.kubelets.iter().enumerate();
        let kubelets =
            kubelets.flat_map(|(group, from)| newer(*from).map(move |to| Step::Kubelets { group, to }));
        let kube_proxy = self.kube_proxy.into_iter().flat_map(newer);
        kubelets.chain(kube_proxy.map(|to| Step::KubeProxy { to })).collect()
    }

    fn with_node_step(&self, step: Step) -> State {
        let mut state = self.clone();
        match step {
            Step::Kubelets { group, to } => state.kubelets.get_mut(group).into_iter().for_each(|at| *at = to),
            Step::KubeProxy { to } => state.kube_proxy = Some(to),
            Step::ControlPlane { .. } => {}
        }
        state
    }
}

impl ControlPlane {
    /// The release of its own minor, unless that is older, and the next minor's.
    fn may_go_to(&self, releases: &Releases) -> impl Iterator<Item = KubeVersion> {
        let minor = self.api_server.minor();
        let own =
            releases.of(minor).filter(|own| *own >= self.api_server && *self != ControlPlane::all(*own));
        own.into_iter().chain(releases.of(minor.next()))
    }
}

fn worse(after: &[Outside], before: &[Outside]) -> bool {
    after.iter().zip(before).any(|(after, before)| after.worse_than(*before))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{releases, version};
    use super::*;

    fn state(servers: &[&str], kubelets: &[&str], kube_proxy: &str) -> State {
        State {
            control_planes: servers.iter().map(|server| ControlPlane::all(version(server))).collect(),
            kubelets: kubelets.iter().map(|kubelet| version(kubelet)).collect(),
            kube_proxy: Some(version(kube_proxy)),
        }
    }

    fn offers(state: &State, step: Step) -> bool {
        state.next(&releases("37", &[34, 35, 36])).iter().any(|(offered, _)| *offered == step)
    }

    fn raise(from: &str, to: &str) -> Step {
        Step::ControlPlane { from: ControlPlane::all(version(from)), to: version(to) }
    }

    #[test]
    fn no_api_server_goes_on_while_another_is_a_minor_behind() {
        assert!(!offers(&state(&["34", "35"], &[], "34"), raise("35", "36")));
        assert!(offers(&state(&["34", "35"], &[], "34"), raise("34", "35")));
        assert!(offers(&state(&["35", "35"], &[], "34"), raise("35", "36")));
    }

    #[test]
    fn no_api_server_leaves_a_node_four_minors_behind() {
        assert!(!offers(&state(&["36"], &["33"], "36"), raise("36", "37")));
        assert!(!offers(&state(&["36"], &["36"], "33"), raise("36", "37")));
        assert!(offers(&state(&["36"], &["34"], "34"), raise("36", "37")));
    }

    #[test]
    fn no_node_goes_past_the_oldest_api_server() {
        let mixed = state(&["35", "36"], &["34"], "34");
        assert!(offers(&mixed, Step::Kubelets { group: 0, to: version("35") }));
        assert!(!offers(&mixed, Step::Kubelets { group: 0, to: version("36") }));
        assert!(offers(&mixed, Step::KubeProxy { to: version("35") }));
        assert!(!offers(&mixed, Step::KubeProxy { to: version("36") }));
    }

    #[test]
    fn what_is_outside_already_may_come_nearer_and_not_go_further() {
        let apart = state(&["34", "36"], &["37"], "34");
        assert!(offers(&apart, raise("34", "35")));
        assert!(!offers(&apart, raise("36", "37")));
    }

    #[test]
    fn a_step_leaves_control_planes_in_order() {
        let next = state(&["34", "34"], &[], "34").next(&releases("37", &[35, 36]));
        let (_, after) = next.into_iter().find(|(step, _)| *step == raise("34", "35")).unwrap();
        assert_eq!(after, state(&["34", "35"], &[], "34"));
    }
}
