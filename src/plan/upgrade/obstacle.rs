//! Why there is no way from the versions that run to those that are wanted, and what to do about it.

use std::collections::BTreeSet;
use std::fmt;

use semver::Version;

use super::etcd;
use super::path::Releases;
use super::versions::{ClusterVersions, HostVersions};
use crate::inventory::HostName;
use crate::release::catalog::SUPPORTED;
use crate::release::{ApiServerSpan, Component, KubeVersion, Minor, SkewViolation};

/// Why there are no moves. Each says what stands in the way, where, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPath {
    #[error(
        "downgrades are not supported, and {} would be one; set `version` to what runs or newer, or restore a \
         backup from before the upgrade", list(.running)
    )]
    Downgrade { running: Vec<Running> },
    #[error("no way leads from one major version to another: {}", list(.running))]
    OtherMajor { running: Vec<Running> },
    /// A bundle of each of these minors makes it possible.
    #[error("the way to {target} passes {}, of which there is no bundle", list(.minors))]
    Missing { minors: Vec<Minor>, target: KubeVersion },
    #[error(
        "{component} {version} on {host} must come to {api_server} of its API server before that may go on, and \
         the bundle of {} has {bundled}; make one of {api_server} or newer", bundled.minor()
    )]
    Lagging {
        host: HostName,
        component: Component,
        version: KubeVersion,
        api_server: KubeVersion,
        bundled: KubeVersion,
    },
    #[error(
        "etcd {version} on {host} must go to {needed} or a later patch of it first, and no bundle has that"
    )]
    EtcdRelease { host: HostName, version: Version, needed: Version },
    #[error("{violation} (on {host})")]
    Etcd { host: HostName, violation: SkewViolation },
    #[error("no way to {target} keeps the version-skew policy: {}", list(.outside))]
    Stuck { target: KubeVersion, outside: Vec<Misfit> },
}

/// Something that runs and stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// None: kube-proxy, which is the same everywhere.
    pub host: Option<HostName>,
    pub component: &'static str,
    pub version: String,
    pub wanted: String,
}

/// Something that the policy does not allow as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// None: API servers among themselves, or kube-proxy.
    pub host: Option<HostName>,
    pub violation: SkewViolation,
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Running { host, component, version, wanted } = self;
        write!(f, "{component} {version}")?;
        if let Some(host) = host {
            write!(f, " on {host}")?;
        }
        write!(f, " to {wanted}")
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.violation)?;
        match &self.host {
            Some(host) => write!(f, " (on {host})"),
            None => Ok(()),
        }
    }
}

/// How many of a list a message names.
const NAMED: usize = 5;

fn list<T: fmt::Display>(items: &[T]) -> String {
    let mut names: Vec<String> = items.iter().take(NAMED).map(ToString::to_string).collect();
    if items.len() > NAMED {
        names.push(format!("{} more", items.len() - NAMED));
    }
    names.join(", ")
}

/// A minor that went up may have stored what the one before cannot read, and no patch is tested backwards.
/// Controller managers and schedulers store nothing: they follow their API server, also back.
pub(super) fn refuse_downgrades(from: &ClusterVersions, releases: &Releases) -> Result<(), NoPath> {
    let target = releases.target;
    let other_major: Vec<Running> = running(from, releases)
        .filter(|(_, version)| version.major < target.major)
        .map(|(who, _)| who)
        .collect();
    if !other_major.is_empty() {
        return Err(NoPath::OtherMajor { running: other_major });
    }
    let newer = running(from, releases).filter(|(_, version)| *version > target).map(|(who, _)| who);
    let running: Vec<Running> = newer_members(from, releases).chain(newer).collect();
    if running.is_empty() { Ok(()) } else { Err(NoPath::Downgrade { running }) }
}

/// API servers, kubelets and kube-proxy.
fn running<'a>(
    from: &'a ClusterVersions,
    releases: &'a Releases,
) -> impl Iterator<Item = (Running, KubeVersion)> + 'a {
    let describe = |host: Option<&HostName>, component, version: KubeVersion| {
        let (text, wanted) = (version.to_string(), releases.target.to_string());
        (Running { host: host.cloned(), component, version: text, wanted }, version)
    };
    let of_hosts = from.hosts.iter().flat_map(move |(name, host)| {
        let api_server = host.api_server.map(|version| describe(Some(name), "kube-apiserver", version));
        let kubelet = host.kubelet.map(|version| describe(Some(name), "kubelet", version));
        api_server.into_iter().chain(kubelet)
    });
    of_hosts.chain(from.kube_proxy.map(|version| describe(None, "kube-proxy", version)))
}

fn newer_members<'a>(
    from: &'a ClusterVersions,
    releases: &'a Releases,
) -> impl Iterator<Item = Running> + 'a {
    let wanted = &releases.target_etcd;
    let members = from.hosts.iter().filter_map(|(name, host)| Some((name, host.etcd.as_ref()?)));
    let newer = members.filter(|(_, version)| etcd::minor_of(version) > etcd::minor_of(wanted));
    newer.map(|(name, version)| Running {
        host: Some(name.clone()),
        component: "etcd",
        version: version.to_string(),
        wanted: wanted.to_string(),
    })
}

/// Names every minor that is needed, so that one look says which bundles to make.
pub(super) fn refuse_missing_releases(from: &ClusterVersions, releases: &Releases) -> Result<(), NoPath> {
    let mut minors = BTreeSet::new();
    minors.extend(missing_for_control_planes(from, releases));
    minors.extend(missing_for_nodes(from, releases));
    minors.extend(missing_for_etcd(from, releases));
    if minors.is_empty() {
        return Ok(());
    }
    Err(NoPath::Missing { minors: minors.into_iter().collect(), target: releases.target })
}

fn missing_for_control_planes(from: &ClusterVersions, releases: &Releases) -> BTreeSet<Minor> {
    let needed = from.hosts.values().flat_map(|host| {
        let passed = host.api_server.into_iter().flat_map(|version| releases.between(version.minor()));
        let caught_up = lagging(host, releases).map(|(api_server, ..)| api_server.minor());
        passed.chain(caught_up)
    });
    needed.filter(|minor| releases.of(*minor).is_none()).collect()
}

fn missing_for_nodes(from: &ClusterVersions, releases: &Releases) -> BTreeSet<Minor> {
    let newest = from.api_servers().map_or(releases.target.minor(), ApiServerSpan::newest);
    let kubelets = from.hosts.values().filter_map(|host| host.kubelet);
    let versions: BTreeSet<Minor> = kubelets.chain(from.kube_proxy).map(KubeVersion::minor).collect();
    versions.into_iter().filter_map(|version| releases.node_stops(version, newest).err()).collect()
}

/// The newest minor that has the etcd in question, of each etcd that is missing and that any has.
fn missing_for_etcd(from: &ClusterVersions, releases: &Releases) -> BTreeSet<Minor> {
    let belongs_to = |etcd: (u64, u64)| {
        let older = SUPPORTED.iter().filter(|release| release.minor < releases.target.minor());
        let has =
            |version: &str| Version::parse(version).is_ok_and(|version| etcd::minor_of(&version) == etcd);
        older.filter(|release| has(release.etcd_version())).map(|release| release.minor).max()
    };
    etcd::missing_minors(from, releases).into_iter().filter_map(belongs_to).collect()
}

/// A controller manager or scheduler that is older than its API server while that has to go on: it would be
/// two minors behind, and the release that it can be brought to is older than the API server.
pub(super) fn refuse_stuck_control_planes(from: &ClusterVersions, releases: &Releases) -> Result<(), NoPath> {
    for (name, host) in &from.hosts {
        let Some((api_server, component, version)) = lagging(host, releases) else { continue };
        let bundled = releases.of(api_server.minor()).filter(|bundled| *bundled < api_server);
        if let Some(bundled) = bundled {
            return Err(NoPath::Lagging { host: name.clone(), component, version, api_server, bundled });
        }
    }
    Ok(())
}

fn lagging(host: &HostVersions, releases: &Releases) -> Option<(KubeVersion, Component, KubeVersion)> {
    let api_server = host.api_server.filter(|version| version.minor() < releases.target.minor())?;
    let beside =
        [(Component::ControllerManager, host.controller_manager), (Component::Scheduler, host.scheduler)];
    let mut versions = beside.into_iter().filter_map(|(component, version)| Some((component, version?)));
    let (component, version) = versions.find(|(_, version)| version.minor() < api_server.minor())?;
    Some((api_server, component, version))
}

/// What is outside the policy where the search has found no way.
pub(super) fn no_way(from: &ClusterVersions, releases: &Releases) -> NoPath {
    let misfit = |(host, checked): (Option<&HostName>, Result<(), SkewViolation>)| {
        Some(Misfit { host: host.cloned(), violation: checked.err()? })
    };
    NoPath::Stuck { target: releases.target, outside: checked(from).into_iter().filter_map(misfit).collect() }
}

fn checked(from: &ClusterVersions) -> Vec<(Option<&HostName>, Result<(), SkewViolation>)> {
    let Some(servers) = from.api_servers() else { return Vec::new() };
    let mut checked = vec![(None, servers.check_servers())];
    for (name, host) in &from.hosts {
        let own = host.api_server.map_or(servers, ApiServerSpan::one);
        for (component, version, beside) in [
            (Component::Kubelet, host.kubelet, servers),
            (Component::ControllerManager, host.controller_manager, own),
            (Component::Scheduler, host.scheduler, own),
        ] {
            checked.extend(version.map(|version| (Some(name), beside.check(component, version))));
        }
    }
    checked.extend(from.kube_proxy.map(|version| (None, servers.check(Component::KubeProxy, version))));
    checked
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cluster, releases};
    use super::*;

    /// No state is known that the search finds no way from; should there be one, this is what is said.
    #[test]
    fn no_way_names_what_is_outside_the_policy() {
        let from = cluster("cp-1 a36 m34 s36 k36; w-1 k37; proxy 32");
        assert_eq!(
            no_way(&from, &releases("37", &[])).to_string(),
            "no way to v1.37.1 keeps the version-skew policy: kube-controller-manager v1.34.4 is too old for an API \
             server of 1.36: at least 1.35 is needed (on cp-1), kubelet v1.37.1 is newer than an API server of 1.36 (on \
             w-1), kube-proxy v1.32.9 is too old for an API server of 1.36: at least 1.33 is needed"
        );
    }
}
