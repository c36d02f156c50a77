//! What an operator should know about hosts that can be worked on nevertheless.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::facts::{Cgroup, ClusterFacts, HostFacts, Observed};
use crate::inventory::{Host, HostName, Inventory};

/// Certificates are back-dated for more than this; a clock that runs away is worth a look before.
const CLOCK_WARNING_SECONDS: i64 = 5;

/// Something about a host that stands against nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    pub host: HostName,
    pub what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.host, self.what)
    }
}

/// All warnings, by host.
pub fn warnings(inventory: &Inventory, facts: &ClusterFacts) -> Vec<Warning> {
    let mut all = Vec::new();
    for (name, host) in &inventory.hosts {
        if let Some(Observed::Known(found)) = facts.hosts.get(name) {
            let of_host = about(inventory, host, found);
            all.extend(of_host.into_iter().map(|what| Warning { host: name.clone(), what }));
        }
    }
    all
}

fn about(inventory: &Inventory, host: &Host, facts: &HostFacts) -> Vec<String> {
    let mut found = Vec::new();
    let off = facts.clock_offset;
    if off.abs() > CLOCK_WARNING_SECONDS {
        let way = if off > 0 { "ahead of" } else { "behind" };
        found.push(format!("its clock is {} s {way} yours; let it be synchronised (NTP)", off.abs()));
    } else if facts.clock_synchronised == Some(false) {
        found.push("its clock is not synchronised; etcd and certificates depend on it".to_owned());
    }
    if host.is_node() && facts.cgroup == Cgroup::V1 && inventory.version.minor >= 35 {
        found.push("runs with cgroup v1, which a later Kubernetes will not tolerate".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::spec::tests::cluster;

    fn said(facts: HostFacts) -> Vec<String> {
        let inventory = cluster(0);
        let host = inventory.hosts.keys().next().unwrap().clone();
        let facts = ClusterFacts {
            hosts: [(host, Observed::Known(facts))].into(),
            dropped: Default::default(),
            api: Observed::Absent,
            etcd: Observed::Absent,
            upgrade: Observed::Absent,
        };
        warnings(&inventory, &facts).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_sound_host_is_not_warned_of() {
        let synchronised = HostFacts { clock_synchronised: Some(true), ..HostFacts::default() };
        assert_eq!(said(synchronised), Vec::<String>::new());
        assert_eq!(said(HostFacts::default()), Vec::<String>::new(), "nobody can say");
    }

    #[test]
    fn clocks() {
        for (clock_offset, clock_synchronised, part) in [
            (6, Some(true), "cp-1: its clock is 6 s ahead of yours"),
            (-60, None, "cp-1: its clock is 60 s behind yours"),
            (5, Some(false), "cp-1: its clock is not synchronised"),
        ] {
            let facts = HostFacts { clock_offset, clock_synchronised, ..HostFacts::default() };
            let said = said(facts);
            assert!(matches!(said.as_slice(), [one] if one.starts_with(part)), "{said:?}");
        }
    }

    #[test]
    fn cgroup_v1() {
        let facts = HostFacts { cgroup: Cgroup::V1, ..HostFacts::default() };
        assert!(said(facts)[0].contains("cgroup v1"));
    }
}
