//! etcd's members to the wanted version, one minor at a time, all of them before the next.

use std::collections::BTreeMap;

use semver::Version;

use super::obstacle::NoPath;
use super::path::{Move, Releases};
use super::versions::ClusterVersions;
use crate::inventory::HostName;
use crate::release::skew::{ETCD_LEAVES_3_5, etcd_step};

/// `(major, minor)`.
type EtcdMinor = (u64, u64);

/// The moves of etcd's members, by host within each minor.
pub(super) fn etcd_moves(from: &ClusterVersions, releases: &Releases) -> Result<Vec<Move>, NoPath> {
    let mut members = members(from);
    let mut moves = Vec::new();
    for minor in minors(&members, releases) {
        for (host, version) in &mut members {
            if !waits_for(version, minor, releases) {
                continue;
            }
            let to = release_of(minor, releases).ok_or_else(|| no_release(host, version, minor))?;
            etcd_step(version, to).map_err(|violation| NoPath::Etcd { host: host.clone(), violation })?;
            *version = to.clone();
            moves.push(Move::Etcd { host: host.clone(), to: to.clone() });
        }
    }
    Ok(moves)
}

/// The minors that members have to stop at and that have no release.
pub(super) fn missing_minors(from: &ClusterVersions, releases: &Releases) -> Vec<EtcdMinor> {
    let members = members(from);
    let stops_at = |minor: &EtcdMinor| members.values().any(|member| waits_for(member, *minor, releases));
    let missing = |minor: &EtcdMinor| stops_at(minor) && release_of(*minor, releases).is_none();
    minors(&members, releases).into_iter().filter(missing).collect()
}

pub(super) fn minor_of(version: &Version) -> EtcdMinor {
    (version.major, version.minor)
}

fn members(from: &ClusterVersions) -> BTreeMap<HostName, Version> {
    let members = from.hosts.iter().filter_map(|(name, host)| Some((name.clone(), host.etcd.clone()?)));
    members.collect()
}

/// From the oldest member's to the wanted one.
fn minors(members: &BTreeMap<HostName, Version>, releases: &Releases) -> Vec<EtcdMinor> {
    let (major, wanted) = minor_of(&releases.target_etcd);
    let Some((oldest_major, oldest)) = members.values().map(minor_of).min() else { return Vec::new() };
    let first = if oldest_major == major { oldest } else { wanted };
    (first..=wanted).map(|minor| (major, minor)).collect()
}

/// Whether a member has to go to the release of this minor before any goes to the next one's.
fn waits_for(member: &Version, minor: EtcdMinor, releases: &Releases) -> bool {
    let target = &releases.target_etcd;
    if minor == minor_of(target) {
        return member != target;
    }
    let leaves_3_5_early = minor == minor_of(&ETCD_LEAVES_3_5) && *member < ETCD_LEAVES_3_5;
    minor_of(member) < minor || leaves_3_5_early
}

/// The wanted etcd, or the newest that belongs to a release in passing.
fn release_of(minor: EtcdMinor, releases: &Releases) -> Option<&Version> {
    if minor == minor_of(&releases.target_etcd) {
        return Some(&releases.target_etcd);
    }
    let may_be_left = |etcd: &&Version| minor != minor_of(&ETCD_LEAVES_3_5) || **etcd >= ETCD_LEAVES_3_5;
    let passing = releases.passing.values().map(|(_, etcd)| etcd);
    passing.filter(|etcd| minor_of(etcd) == minor).filter(may_be_left).max()
}

fn no_release(host: &HostName, version: &Version, minor: EtcdMinor) -> NoPath {
    let needed =
        if minor == minor_of(&ETCD_LEAVES_3_5) { ETCD_LEAVES_3_5 } else { Version::new(minor.0, minor.1, 0) };
    NoPath::EtcdRelease { host: host.clone(), version: version.clone(), needed }
}
