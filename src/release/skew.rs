//! Which versions may run beside which, and which step may follow which.
//!
//! The Kubernetes version skew policy and etcd's upgrade rule, in one place. Patches never matter to it.

use std::fmt;
use std::ops::RangeInclusive;

use super::version::{KubeVersion, Minor};

/// How many minors a kubelet or kube-proxy may be older than the newest API server (since 1.28).
/// Raising it lets nodes speak API versions that API server no longer serves.
pub const NODE_MINORS_BEHIND: u32 = 3;
/// How many minors controller-manager and scheduler may be older than the API servers they talk to.
pub const CONTROLLER_MINORS_BEHIND: u32 = 1;
/// How far API servers of one cluster may lie apart. More, and one may store what another cannot read.
pub const API_SERVER_MINORS_APART: u32 = 1;
/// How many minors kube-proxy may be older or newer than the kubelet beside it (since 1.28).
pub const PROXY_KUBELET_MINORS_APART: u32 = 3;
/// How many minors kubectl may be older or newer than the API servers.
pub const KUBECTL_MINORS_APART: u32 = 1;
/// How far etcd's members may lie apart: they agree on the older one's protocol only across one minor.
pub const ETCD_MINORS_APART: u32 = 1;
/// The oldest 3.5 beside which a member may run 3.6 or newer. 3.6 reads the member list from the v3 store,
/// where older ones may have left members that were removed; from this one on it is put right at start.
pub const ETCD_LEAVES_3_5: semver::Version = semver::Version::new(3, 5, 26);

/// What the skew policy speaks about, besides the API servers themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    ControllerManager,
    Scheduler,
    Kubelet,
    KubeProxy,
    Kubectl,
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Component::ControllerManager => "kube-controller-manager",
            Component::Scheduler => "kube-scheduler",
            Component::Kubelet => "kubelet",
            Component::KubeProxy => "kube-proxy",
            Component::Kubectl => "kubectl",
        })
    }
}

/// A combination or a step the policy forbids, with the facts that make it so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkewViolation {
    #[error(
        "API servers of {oldest} and {newest} may not run in one cluster: at most {API_SERVER_MINORS_APART} minor apart"
    )]
    ApiServersApart { oldest: Minor, newest: Minor },
    #[error("{component} {version} is newer than an API server of {oldest}")]
    Newer { component: Component, version: KubeVersion, oldest: Minor },
    #[error("{component} {version} is too old for an API server of {newest}: at least {allowed} is needed")]
    TooOld { component: Component, version: KubeVersion, newest: Minor, allowed: Minor },
    #[error(
        "kube-proxy {proxy} and kubelet {kubelet} lie more than {PROXY_KUBELET_MINORS_APART} minors apart"
    )]
    ProxyKubelet { proxy: KubeVersion, kubelet: KubeVersion },
    #[error("an API server cannot go from {from} to {to}: one minor at a time")]
    ApiServerStep { from: KubeVersion, to: KubeVersion },
    #[error("{what} cannot go back from {from} to {to}: a lower minor is not supported")]
    Downgrade { what: &'static str, from: String, to: String },
    #[error("etcd cannot go from {from} to {to}: one minor at a time")]
    EtcdStep { from: semver::Version, to: semver::Version },
    #[error("etcd {older} and {newer} may not run in one cluster: at most {ETCD_MINORS_APART} minor apart")]
    EtcdApart { older: semver::Version, newer: semver::Version },
    #[error("etcd {older} is too old to run beside {newer}: at least {ETCD_LEAVES_3_5} is needed")]
    EtcdTooOld { older: semver::Version, newer: semver::Version },
}

/// How many minors something lies outside of what is allowed, on either side; both 0: it is inside.
/// For clusters that are outside already: what is done to them may make neither number larger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outside {
    pub too_old: u32,
    pub too_new: u32,
}

impl Outside {
    pub fn worse_than(self, before: Outside) -> bool {
        self.too_old > before.too_old || self.too_new > before.too_new
    }
}

/// The oldest and the newest API server of a cluster: everything else is measured against these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiServerSpan {
    oldest: Minor,
    newest: Minor,
}

impl ApiServerSpan {
    /// The span of these API servers; `None` without any. Fails when they may not run together.
    pub fn of(versions: impl IntoIterator<Item = KubeVersion>) -> Result<Option<Self>, SkewViolation> {
        let span = Self::observed(versions);
        span.map_or(Ok(()), Self::check_servers)?;
        Ok(span)
    }

    /// The span of these API servers, whether or not they may run together; `None` without any.
    pub fn observed(versions: impl IntoIterator<Item = KubeVersion>) -> Option<Self> {
        let minors = versions.into_iter().map(KubeVersion::minor);
        minors.map(|minor| ApiServerSpan { oldest: minor, newest: minor }).reduce(|one, other| {
            ApiServerSpan { oldest: one.oldest.min(other.oldest), newest: one.newest.max(other.newest) }
        })
    }

    /// The span of a single API server.
    pub fn one(version: KubeVersion) -> Self {
        ApiServerSpan { oldest: version.minor(), newest: version.minor() }
    }

    /// Whether these API servers may run together.
    pub fn check_servers(self) -> Result<(), SkewViolation> {
        if self.outside_servers() == Outside::default() {
            return Ok(());
        }
        Err(SkewViolation::ApiServersApart { oldest: self.oldest, newest: self.newest })
    }

    /// How far the oldest API server is too old for the newest.
    pub fn outside_servers(self) -> Outside {
        let apart = minors_above(self.oldest, self.newest);
        Outside { too_old: apart.saturating_sub(API_SERVER_MINORS_APART), too_new: 0 }
    }

    pub fn oldest(self) -> Minor {
        self.oldest
    }

    pub fn newest(self) -> Minor {
        self.newest
    }

    /// The minors `component` may have beside these API servers.
    pub fn allowed(self, component: Component) -> RangeInclusive<Minor> {
        match component {
            Component::Kubelet | Component::KubeProxy => self.newest.back(NODE_MINORS_BEHIND)..=self.oldest,
            Component::ControllerManager | Component::Scheduler => {
                self.newest.back(CONTROLLER_MINORS_BEHIND)..=self.oldest
            }
            Component::Kubectl => {
                let newest = Minor::new(self.oldest.major, self.oldest.minor + KUBECTL_MINORS_APART);
                self.newest.back(KUBECTL_MINORS_APART)..=newest
            }
        }
    }

    /// Whether `component` of `version` may run beside these API servers.
    pub fn check(self, component: Component, version: KubeVersion) -> Result<(), SkewViolation> {
        let allowed = self.allowed(component);
        if version.minor() > *allowed.end() {
            return Err(SkewViolation::Newer { component, version, oldest: self.oldest });
        }
        if version.minor() < *allowed.start() {
            let allowed = *allowed.start();
            return Err(SkewViolation::TooOld { component, version, newest: self.newest, allowed });
        }
        Ok(())
    }

    /// How far `component` of `version` lies outside of what may run beside these API servers.
    pub fn outside(self, component: Component, version: KubeVersion) -> Outside {
        let allowed = self.allowed(component);
        Outside {
            too_old: minors_above(version.minor(), *allowed.start()),
            too_new: minors_above(*allowed.end(), version.minor()),
        }
    }
}

/// The newest API server that a kubelet or kube-proxy of `node` may run beside.
pub fn newest_api_server_for(node: Minor) -> Minor {
    Minor::new(node.major, node.minor + NODE_MINORS_BEHIND)
}

/// Whether kube-proxy may run beside this kubelet, on one node.
pub fn proxy_beside_kubelet(proxy: KubeVersion, kubelet: KubeVersion) -> Result<(), SkewViolation> {
    if within(proxy.minor().behind(kubelet.minor()), PROXY_KUBELET_MINORS_APART) {
        return Ok(());
    }
    Err(SkewViolation::ProxyKubelet { proxy, kubelet })
}

/// Whether one API server may be replaced like this. Patches may move either way.
pub fn api_server_step(from: KubeVersion, to: KubeVersion) -> Result<(), SkewViolation> {
    match from.minor().behind(to.minor()) {
        Some(0 | 1) => Ok(()),
        Some(minors) if minors < 0 => Err(SkewViolation::Downgrade {
            what: "an API server",
            from: from.to_string(),
            to: to.to_string(),
        }),
        Some(_) | None => Err(SkewViolation::ApiServerStep { from, to }),
    }
}

/// Whether an etcd member may be replaced like this: same minor, or the next. 3.5 to 3.6 to 3.7 counts as
/// one minor each; a cluster's stored version never goes down by itself.
pub fn etcd_step(from: &semver::Version, to: &semver::Version) -> Result<(), SkewViolation> {
    if from.major == to.major && (to.minor == from.minor || to.minor == from.minor + 1) {
        return Ok(());
    }
    if (to.major, to.minor) < (from.major, from.minor) {
        return Err(SkewViolation::Downgrade { what: "etcd", from: from.to_string(), to: to.to_string() });
    }
    Err(SkewViolation::EtcdStep { from: from.clone(), to: to.clone() })
}

/// Whether two members of one etcd cluster may run these.
pub fn etcd_beside(one: &semver::Version, other: &semver::Version) -> Result<(), SkewViolation> {
    let (older, newer) =
        if one <= other { (one.clone(), other.clone()) } else { (other.clone(), one.clone()) };
    let outside = etcd_outside(one, other);
    if outside.too_new > 0 {
        return Err(SkewViolation::EtcdApart { older, newer });
    }
    if outside.too_old > 0 {
        return Err(SkewViolation::EtcdTooOld { older, newer });
    }
    Ok(())
}

/// How many minors the newer of two members is too new; `too_old` is 1 while the older one is a 3.5 that
/// nothing newer may run beside.
pub fn etcd_outside(one: &semver::Version, other: &semver::Version) -> Outside {
    let (older, newer) = if one <= other { (one, other) } else { (other, one) };
    let apart = if older.major == newer.major { newer.minor - older.minor } else { u64::MAX };
    let apart = u32::try_from(apart).unwrap_or(u32::MAX);
    let leaves_early = *older < ETCD_LEAVES_3_5 && (newer.major, newer.minor) > (3, 5);
    Outside { too_new: apart.saturating_sub(ETCD_MINORS_APART), too_old: u32::from(leaves_early) }
}

/// How many minors `high` lies above `low`: 0 when it does not, as many as there can be across majors.
fn minors_above(low: Minor, high: Minor) -> u32 {
    match low.behind(high) {
        Some(minors) => u32::try_from(minors.max(0)).unwrap_or(u32::MAX),
        None if high > low => u32::MAX,
        None => 0,
    }
}

fn within(minors: Option<i64>, bound: u32) -> bool {
    minors.is_some_and(|minors| minors.unsigned_abs() <= u64::from(bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(minor: u32) -> KubeVersion {
        KubeVersion::new(1, minor, 3)
    }

    fn span(minors: &[u32]) -> ApiServerSpan {
        ApiServerSpan::of(minors.iter().map(|minor| version(*minor))).unwrap().unwrap()
    }

    #[test]
    fn api_servers_lie_within_one_minor() {
        let table: &[(&[u32], bool)] = &[
            (&[37], true),
            (&[37, 37, 37], true),
            (&[36, 37], true),
            (&[37, 36, 37, 36, 37], true),
            (&[35, 37], false),
            (&[36, 37, 35], false),
        ];
        for (minors, legal) in table {
            let checked = ApiServerSpan::of(minors.iter().map(|minor| version(*minor)));
            assert_eq!(checked.is_ok(), *legal, "{minors:?}");
        }
        assert_eq!(ApiServerSpan::of([]), Ok(None));
    }

    #[test]
    fn components_are_never_newer_than_the_oldest_api_server_nor_too_old_for_the_newest() {
        use Component::{ControllerManager, KubeProxy, Kubectl, Kubelet, Scheduler};
        // (API servers, component, lowest and highest legal minor)
        let table: &[(&[u32], Component, u32, u32)] = &[
            (&[37], Kubelet, 34, 37),
            (&[36, 37], Kubelet, 34, 36),
            (&[37], KubeProxy, 34, 37),
            (&[36, 37], KubeProxy, 34, 36),
            (&[37], ControllerManager, 36, 37),
            (&[36, 37], ControllerManager, 36, 36),
            (&[36, 37], Scheduler, 36, 36),
            (&[37], Scheduler, 36, 37),
            (&[37], Kubectl, 36, 38),
            (&[36, 37], Kubectl, 36, 37),
        ];
        for (servers, component, lowest, highest) in table {
            for minor in 30..=40 {
                let legal = (*lowest..=*highest).contains(&minor);
                let checked = span(servers).check(*component, version(minor));
                assert_eq!(checked.is_ok(), legal, "{component} 1.{minor} beside {servers:?}: {checked:?}");
            }
        }
    }

    #[test]
    fn another_major_is_never_within_the_policy() {
        assert!(ApiServerSpan::of([KubeVersion::new(1, 37, 0), KubeVersion::new(2, 0, 0)]).is_err());
        assert!(span(&[37]).check(Component::Kubelet, KubeVersion::new(2, 0, 0)).is_err());
        assert!(span(&[37]).check(Component::Kubelet, KubeVersion::new(0, 37, 0)).is_err());
        assert!(api_server_step(KubeVersion::new(1, 37, 0), KubeVersion::new(2, 0, 0)).is_err());
    }

    #[test]
    fn kube_proxy_lies_within_three_minors_of_its_kubelet() {
        for (proxy, kubelet, legal) in
            [(37, 37, true), (37, 34, true), (34, 37, true), (37, 33, false), (33, 37, false)]
        {
            let checked = proxy_beside_kubelet(version(proxy), version(kubelet));
            assert_eq!(checked.is_ok(), legal, "kube-proxy 1.{proxy}, kubelet 1.{kubelet}");
        }
    }

    #[test]
    fn api_servers_climb_one_minor_and_never_descend() {
        for (from, to, legal) in
            [(36, 36, true), (36, 37, true), (35, 37, false), (37, 36, false), (34, 37, false)]
        {
            assert_eq!(api_server_step(version(from), version(to)).is_ok(), legal, "1.{from} to 1.{to}");
        }
        assert!(api_server_step(KubeVersion::new(1, 37, 4), KubeVersion::new(1, 37, 1)).is_ok());
    }

    #[test]
    fn etcd_climbs_one_minor_and_never_descends() {
        for (from, to, legal) in [
            ("3.6.5", "3.6.8", true),
            ("3.6.8", "3.6.5", true),
            ("3.5.35", "3.6.5", true),
            ("3.6.8", "3.7.0", true),
            ("3.5.35", "3.7.0", false),
            ("3.7.0", "3.6.8", false),
            ("3.7.0", "4.0.0", false),
        ] {
            let parse = |text| semver::Version::parse(text).unwrap();
            assert_eq!(etcd_step(&parse(from), &parse(to)).is_ok(), legal, "{from} to {to}");
        }
    }

    #[test]
    fn outside_says_how_far_and_agrees_with_check() {
        for servers in [&[37][..], &[36, 37], &[34, 37]] {
            let span = ApiServerSpan::observed(servers.iter().map(|minor| version(*minor))).unwrap();
            for minor in 30..=40 {
                for component in [Component::Kubelet, Component::Scheduler, Component::Kubectl] {
                    let outside = span.outside(component, version(minor));
                    let checked = span.check(component, version(minor));
                    assert_eq!(checked.is_ok(), outside == Outside::default(), "{component} 1.{minor}");
                }
            }
        }
        let beside = span(&[36, 37]);
        assert_eq!(beside.outside(Component::Kubelet, version(32)), Outside { too_old: 2, too_new: 0 });
        assert_eq!(beside.outside(Component::Kubelet, version(37)), Outside { too_old: 0, too_new: 1 });
        let apart = ApiServerSpan::observed([version(34), version(37)]).unwrap();
        assert_eq!(apart.outside_servers(), Outside { too_old: 2, too_new: 0 });
    }

    #[test]
    fn newest_api_server_for_a_node_is_the_last_that_allows_it() {
        for node in 30..=37 {
            let newest = newest_api_server_for(Minor::new(1, node));
            let allows = |minor| span(&[minor]).check(Component::Kubelet, version(node)).is_ok();
            assert!(allows(newest.minor) && !allows(newest.minor + 1));
        }
    }

    #[test]
    fn etcd_members_lie_within_one_minor_and_leave_3_5_together_from_3_5_26() {
        for (one, other, legal) in [
            ("3.5.1", "3.5.35", true),
            ("3.5.25", "3.6.5", false),
            ("3.5.26", "3.6.5", true),
            ("3.6.5", "3.7.0", true),
            ("3.5.35", "3.7.0", false),
            ("3.4.30", "3.5.26", true),
            ("3.7.0", "4.0.0", false),
        ] {
            let parse = |text| semver::Version::parse(text).unwrap();
            for (one, other) in [(one, other), (other, one)] {
                assert_eq!(etcd_beside(&parse(one), &parse(other)).is_ok(), legal, "{one} beside {other}");
            }
        }
    }
}
