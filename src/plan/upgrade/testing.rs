//! For tests: clusters in short notation, and a walk along moves that judges every state by arithmetic of
//! its own, written down from the text of the policy.

use std::collections::BTreeSet;

use semver::Version;

use super::{ClusterVersions, HostVersions, Move, Releases};
use crate::inventory::HostName;
use crate::release::catalog::release_of_minor;
use crate::release::{KubeVersion, Minor, release_of};

/// `36` is the catalog's patch of 1.36, `36.2` is v1.36.2.
pub(in crate::plan) fn version(short: &str) -> KubeVersion {
    match short.split_once('.') {
        Some((minor, patch)) => KubeVersion::new(1, minor.parse().unwrap(), patch.parse().unwrap()),
        None => default_patch(short.parse().unwrap()),
    }
}

/// The catalog's patch of a minor; one of ours for minors before it.
pub(in crate::plan) fn default_patch(minor: u32) -> KubeVersion {
    let minor = Minor::new(1, minor);
    release_of_minor(minor).map_or(KubeVersion::new(1, minor.minor, 9), |release| release.default_patch)
}

pub(in crate::plan) fn host(name: &str) -> HostName {
    HostName::parse(name).unwrap()
}

/// `cp-1 a36 m35 s36 k36 e3.6.5; w-1 k34; proxy 34`: API server, controller manager, scheduler, kubelet and
/// etcd of each host. `c36` is all of a control plane but etcd.
pub(in crate::plan) fn cluster(text: &str) -> ClusterVersions {
    let mut cluster = ClusterVersions::default();
    for line in text.split(';').map(str::trim) {
        let (name, rest) = line.split_once(' ').unwrap();
        if name == "proxy" {
            cluster.kube_proxy = Some(version(rest));
            continue;
        }
        let mut versions = HostVersions::default();
        for word in rest.split(' ') {
            let (kind, short) = word.split_at(1);
            match kind {
                "a" => versions.api_server = Some(version(short)),
                "m" => versions.controller_manager = Some(version(short)),
                "s" => versions.scheduler = Some(version(short)),
                "k" => versions.kubelet = Some(version(short)),
                "e" => versions.etcd = Some(short.parse().unwrap()),
                "c" => {
                    let version = Some(version(short));
                    versions.api_server = version;
                    versions.controller_manager = version;
                    versions.scheduler = version;
                    versions.kubelet = version;
                }
                other => panic!("{other}"),
            }
        }
        cluster.hosts.insert(host(name), versions);
    }
    cluster
}

/// To `target` by way of the catalog's releases of these minors.
pub(in crate::plan) fn releases(target: &str, passing: &[u32]) -> Releases {
    let etcd = |version| match release_of(version) {
        Ok(release) => release.etcd_version().parse().unwrap(),
        Err(_) => Version::new(3, 5, 35),
    };
    let target = version(target);
    let passing = passing.iter().map(|minor| default_patch(*minor));
    Releases {
        target,
        target_etcd: etcd(target),
        passing: passing.map(|version| (version.minor(), (version, etcd(version)))).collect(),
    }
}

/// One line for each move: `drain` where the node is drained.
pub(in crate::plan) fn lines(from: &ClusterVersions, moves: &[Move]) -> Vec<String> {
    let mut before = from.clone();
    let mut lines = Vec::new();
    for change in moves {
        lines.push(match change {
            Move::Etcd { host, to } => format!("etcd {host} {to}"),
            Move::ControlPlane { host, to } => format!("control-plane {host} {to}"),
            Move::Kubelet { host, to } if change.drains(&before) => format!("drain {host} {to}"),
            Move::Kubelet { host, to } => format!("kubelet {host} {to}"),
            Move::KubeProxy { to } => format!("kube-proxy {to}"),
        });
        before.apply(change);
    }
    lines
}

/// What a walk costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::plan) struct Tally {
    pub drains: u32,
    pub api_server_restarts: u32,
    pub moves: u32,
}

/// Takes the moves one by one; panics at the first that the policy forbids or that makes something worse,
/// and unless everything runs the target in the end.
pub(in crate::plan) fn walk(from: &ClusterVersions, moves: &[Move], releases: &Releases) -> Tally {
    let mut at = from.clone();
    let mut tally = Tally::default();
    for change in moves {
        tally.moves += 1;
        tally.drains += u32::from(change.drains(&at));
        tally.api_server_restarts += u32::from(change.restarts_api_server(&at));
        assert_on_offer(change, releases);
        if let Some(wrong) = what_gets_worse(&at, change) {
            panic!("{wrong}, from {from:?}");
        }
        at.apply(change);
    }
    assert_arrived(&at, releases, from);
    tally
}

/// What a move may not do, as a text.
pub(in crate::plan) fn what_gets_worse(at: &ClusterVersions, change: &Move) -> Option<String> {
    let mut after = at.clone();
    after.apply(change);
    let (from, to) = match change {
        Move::ControlPlane { host, to } => {
            // Its API server changes before the rest of it.
            let mut between = at.clone();
            let from = between.hosts.get_mut(host).unwrap().api_server.replace(*to).unwrap();
            let worse = worse(at, &between).or(worse(&between, &after));
            if let Some(worse) = worse {
                return Some(format!("{change:?} makes worse: {worse}"));
            }
            (u64::from(from.minor), u64::from(to.minor))
        }
        Move::Etcd { host, to } => (at.hosts[host].etcd.as_ref().unwrap().minor, to.minor),
        Move::Kubelet { .. } | Move::KubeProxy { .. } => (0, 0),
    };
    if to < from || to - from > 1 {
        return Some(format!("{change:?} goes from minor {from} to {to}"));
    }
    worse(at, &after).map(|worse| format!("{change:?} makes worse: {worse}"))
}

fn worse(before: &ClusterVersions, after: &ClusterVersions) -> Option<String> {
    let (before, after) = (distances(before), distances(after));
    let mut pairs = before.iter().zip(&after);
    pairs.find(|((_, was), (_, minors))| *minors > (*was).max(0)).map(|(_, worse)| format!("{worse:?}"))
}

fn assert_on_offer(change: &Move, releases: &Releases) {
    let on_offer = match change {
        Move::Etcd { to, .. } => {
            *to == releases.target_etcd || releases.passing.values().any(|(_, etcd)| etcd == to)
        }
        Move::ControlPlane { to, .. } | Move::Kubelet { to, .. } | Move::KubeProxy { to } => {
            *to == releases.target || releases.passing.values().any(|(version, _)| version == to)
        }
    };
    assert!(on_offer, "{change:?} goes to a version that nobody offers");
}

fn assert_arrived(at: &ClusterVersions, releases: &Releases, from: &ClusterVersions) {
    assert!(distances(at).iter().all(|(_, minors)| *minors <= 0), "{at:?} from {from:?}");
    let hosts = at.hosts.values();
    let versions: BTreeSet<KubeVersion> = hosts
        .flat_map(|host| {
            let beside = host.api_server.and(Some([host.controller_manager, host.scheduler]));
            [host.api_server, host.kubelet].into_iter().chain(beside.into_iter().flatten()).flatten()
        })
        .chain(at.kube_proxy)
        .collect();
    assert!(versions.iter().all(|version| *version == releases.target), "{versions:?} from {from:?}");
    assert!(at.hosts.values().flat_map(|host| &host.etcd).all(|etcd| *etcd == releases.target_etcd));
}

/// What is outside the policy: `kubelet too old on w-1`.
pub(in crate::plan) fn breaches(at: &ClusterVersions) -> Vec<String> {
    let outside = distances(at).into_iter().filter(|(_, minors)| *minors > 0);
    let name = |(what, host): Subject<'_>| match host {
        Some(host) => format!("{what} on {host}"),
        None => what.to_owned(),
    };
    outside.map(|(subject, _)| name(subject)).collect()
}

type Subject<'a> = (&'static str, Option<&'a HostName>);

/// How many minors each thing lies outside of the policy; 0 and less is inside. Equal hosts, equal order.
fn distances(at: &ClusterVersions) -> Vec<(Subject<'_>, i64)> {
    let mut found = Vec::new();
    let minor = |version: KubeVersion| i64::from(version.minor);
    let servers: Vec<i64> = at.hosts.values().filter_map(|host| host.api_server.map(minor)).collect();
    if let (Some(oldest), Some(newest)) = (servers.iter().min(), servers.iter().max()) {
        found.push((("API servers apart", None), newest - oldest - 1));
        for (name, kubelet) in at.hosts.iter().filter_map(|(name, host)| Some((name, host.kubelet?))) {
            found.push((("kubelet too new", Some(name)), minor(kubelet) - oldest));
            found.push((("kubelet too old", Some(name)), newest - 3 - minor(kubelet)));
        }
        if let Some(proxy) = at.kube_proxy {
            found.push((("kube-proxy too new", None), minor(proxy) - oldest));
            found.push((("kube-proxy too old", None), newest - 3 - minor(proxy)));
        }
    }
    for (name, host) in &at.hosts {
        let Some(own) = host.api_server.map(minor) else { continue };
        let manager = host.controller_manager.map_or(own, minor);
        let scheduler = host.scheduler.map_or(own, minor);
        found.push((("controller manager too new", Some(name)), manager - own));
        found.push((("controller manager too old", Some(name)), own - 1 - manager));
        found.push((("scheduler too new", Some(name)), scheduler - own));
        found.push((("scheduler too old", Some(name)), own - 1 - scheduler));
    }
    let members: Vec<&Version> = at.hosts.values().filter_map(|host| host.etcd.as_ref()).collect();
    let etcd_minor = |version: &Version| i64::try_from(version.minor).unwrap();
    if let (Some(oldest), Some(newest)) = (members.iter().min(), members.iter().max()) {
        found.push((("members apart", None), etcd_minor(newest) - etcd_minor(oldest) - 1));
        let early = newest.minor > 5 && oldest.minor == 5 && oldest.patch < 26;
        found.push((("a member before 3.5.26", None), i64::from(early)));
    }
    found
}
