//! Hosts: names, addresses, roles, etcd's members, labels and taints.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::{Rules, syntax};
use crate::inventory::parse::draft::DraftHost;
use crate::inventory::parse::path::Path;
use crate::inventory::parse::scalar::quoted;
use crate::inventory::{EtcdPlacement, Role, Taint};

/// Labels the kubelet sets itself; another value would be undone at its next start.
const KUBELET_LABELS: &[&str] = &["kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os"];
/// What tells a control plane to everyone; follows from the role.
const CONTROL_PLANE_LABEL: &str = "node-role.kubernetes.io/control-plane";
/// What workers of groups say of themselves.
const MACHINE_LABELS: [&str; 3] =
    ["node.kubernetes.io/instance-type", "topology.kubernetes.io/region", "topology.kubernetes.io/zone"];

/// Of Kubernetes' own prefixes the kubelet, and the NodeRestriction plugin, let nodes set only these.
fn may_label_itself(key: &str) -> bool {
    let Some((prefix, _)) = key.split_once('/') else { return true };
    let within = |domain: &str| {
        prefix == domain || prefix.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    };
    let is_theirs = within("kubernetes.io") || within("k8s.io");
    !is_theirs || within("node.kubernetes.io") || within("kubelet.kubernetes.io")
}

/// Prefix of the labels and annotations keelwright keeps its own notes in.
pub(super) const OWN_PREFIX: &str = "keelwright.dev/";
/// etcd recommends at most this many voting members: each write waits for more than half.
const MEMBER_LIMIT: usize = 7;

impl Rules<'_> {
    pub(super) fn hosts(&self) {
        self.control_planes();
        self.unique_names();
        self.unique_addresses();
        self.unique_logins();
        for (index, host) in self.draft.hosts.iter().enumerate() {
            self.roles(index, host);
            self.addresses(index, host);
            self.labels_of_host(index, host);
            self.taints(&Self::host(index).key("taints"), &host.taints);
        }
        self.families();
    }

    fn control_planes(&self) {
        let hosts = Path::root().key("hosts");
        let any = self.draft.hosts.iter().any(|host| host.has(Role::ControlPlane));
        if any || self.context.is_broken("hosts") || self.context.is_broken("provider") {
            return;
        }
        let message = match self.draft.hosts.is_empty() {
            true => "no hosts; need at least 1 host with role control-plane",
            false => "no control plane; need at least 1 host with role control-plane",
        };
        self.error(&hosts, message, "add `roles: [control-plane]` to a host, or [control-plane, worker]");
    }

    fn unique_names(&self) {
        let mut first: HashMap<String, usize> = HashMap::new();
        for (index, host) in self.draft.hosts.iter().enumerate() {
            if host.raw_name.is_empty() {
                continue;
            }
            let Some(earlier) = first.insert(host.raw_name.to_lowercase(), index) else { continue };
            let path = Self::host(index).key("name");
            let lines = self.lines(&Self::host(earlier).key("name"), &path);
            let message = format!("duplicate host name {} ({lines})", quoted(&host.raw_name));
            self.error(&path, message, "each host needs a name of its own; case does not count");
        }
    }

    fn unique_addresses(&self) {
        let mut first: HashMap<IpAddr, Path> = HashMap::new();
        for (index, host) in self.draft.hosts.iter().enumerate() {
            for (key, address) in [("address", host.address), ("secondaryAddress", host.secondary_address)] {
                let Some(address) = address else { continue };
                let path = Self::host(index).key(key);
                if let Some(earlier) = first.insert(address, path.clone()) {
                    let lines = self.lines(&earlier, &path);
                    let message = format!("duplicate address {address} ({lines})");
                    self.error(&path, message, "each host needs an address of its own");
                }
            }
        }
    }

    /// Two names for one machine would make two nodes fight over it.
    fn unique_logins(&self) {
        let mut first = HashMap::new();
        for (index, host) in self.draft.hosts.iter().enumerate() {
            if host.ssh.host.is_empty() {
                continue;
            }
            let hops: Vec<_> = host.ssh.bastions.iter().map(|hop| (&hop.host, hop.port)).collect();
            let login = (&host.ssh.host, host.ssh.port, hops);
            let Some(earlier) = first.insert(login, index) else { continue };
            // The same address is reported as such.
            if self.draft.hosts.get(earlier).is_some_and(|other| other.address == host.address) {
                continue;
            }
            let path = Self::host(index).key("ssh").key("host");
            let message = format!("{} is also how hosts[{earlier}] is reached", quoted(&host.ssh.host));
            self.error(
                &path,
                message,
                "two hosts cannot be one machine; give each its own ssh.host or ssh.port",
            );
        }
    }

    fn roles(&self, index: usize, host: &DraftHost) {
        let path = Self::host(index).key("roles");
        if self.context.is_broken(&path.to_string()) {
            return;
        }
        if host.roles.is_empty() {
            self.error(&path, "has no roles", "want one or more of control-plane, worker, etcd");
        }
        if !host.has(Role::Etcd) {
            return;
        }
        if self.draft.etcd.placement == EtcdPlacement::Stacked {
            let help =
                "set etcd.placement: dedicated, or leave the role out: stacked etcd runs on control planes";
            self.error(&path, "role etcd contradicts etcd.placement: stacked", help);
        } else if host.roles.len() > 1 {
            let others: Vec<_> = [(Role::ControlPlane, "control-plane"), (Role::Worker, "worker")]
                .iter()
                .filter(|(role, _)| host.has(*role))
                .map(|(_, name)| *name)
                .collect();
            let message = format!(
                "role etcd contradicts role {}: dedicated etcd has hosts of its own",
                others.join(", ")
            );
            self.error(&path, message, "use [etcd] alone here, or etcd.placement: stacked");
        }
    }

    fn addresses(&self, index: usize, host: &DraftHost) {
        for (key, address) in [("address", host.address), ("secondaryAddress", host.secondary_address)] {
            let Some(address) = address else { continue };
            if let Some(kind) = unusable(address) {
                let message = format!("{address} is {kind}; other nodes cannot reach the host there");
                self.error(
                    &Self::host(index).key(key),
                    message,
                    "write the address on the network the nodes share",
                );
            }
        }
        if let (Some(first), Some(second)) = (host.address, host.secondary_address)
            && first.is_ipv4() == second.is_ipv4()
        {
            let message = format!("{second} is of the same family as {first}");
            let help = "dual-stack needs one IPv4 and one IPv6 address; leave it out otherwise";
            self.error(&Self::host(index).key("secondaryAddress"), message, help);
        }
    }

    /// All nodes have the family of the first one.
    fn families(&self) {
        let mut hosts = self.draft.hosts.iter().enumerate().filter_map(|(i, host)| Some((i, host.address?)));
        let Some((_, first)) = hosts.next() else { return };
        for (index, address) in hosts {
            if address.is_ipv4() != first.is_ipv4() {
                let message =
                    format!("{address} is {}, but {first} of the first host is not", family(address));
                let help = "all hosts' `address` must be of one family; the other goes to secondaryAddress";
                self.error(&Self::host(index).key("address"), message, help);
            }
        }
    }

    fn labels_of_host(&self, index: usize, host: &DraftHost) {
        let path = Self::host(index).key("labels");
        for (key, value) in &host.labels {
            let path = path.key(key);
            let owned = self.label(&path, key, value);
            if key == CONTROL_PLANE_LABEL && !host.has(Role::ControlPlane) {
                let message = "this label belongs to hosts with role control-plane";
                self.error(&path, message, "add the role, or remove it");
            } else if !owned && !host.is_node() {
                self.error(&path, "a host with role etcd alone is not a node and has no labels", "remove it");
            }
        }
    }

    /// Labels that workers give themselves when they join.
    pub(super) fn labels_of_workers(&self, path: &Path, labels: &BTreeMap<String, String>) {
        for (key, value) in labels {
            let path = path.key(key);
            if self.label(&path, key, value) {
                continue;
            }
            if key == CONTROL_PLANE_LABEL {
                self.error(&path, "this label belongs to control planes", "remove it");
            } else if MACHINE_LABELS.contains(&key.as_str()) {
                self.error(&path, "every machine of the group gets this label from what it is", "remove it");
            } else if !may_label_itself(key) {
                let message = "a node may not give itself this label, and a kubelet asked to does not start";
                let help =
                    "choose a prefix of your own, or `node.kubernetes.io/`; or label nodes with kubectl";
                self.error(&path, message, help);
            }
        }
    }

    /// What any node's label has to keep; true when the label is somebody else's, which is reported.
    fn label(&self, path: &Path, key: &str, value: &str) -> bool {
        let example = "for example example.org/disk: ssd";
        if let Err(reason) = syntax::qualified_name(key) {
            self.error(path, format!("{} is not a label: {reason}", quoted(key)), example);
        }
        if let Err(reason) = syntax::label_value(value) {
            self.error(path, format!("{} is not a label's value: {reason}", quoted(value)), example);
        }
        if KUBELET_LABELS.contains(&key) {
            self.error(path, "this label is set by the kubelet", "remove it");
        } else if key.starts_with(OWN_PREFIX) {
            let message = format!("labels of {OWN_PREFIX} are keelwright's own");
            self.error(path, message, "choose another prefix");
        } else {
            return false;
        }
        true
    }

    pub(super) fn taints(&self, list: &Path, taints: &[Taint]) {
        let mut seen = BTreeSet::new();
        for (position, taint) in taints.iter().enumerate() {
            let path = list.index(position);
            let example = "for example {key: dedicated, value: db, effect: NoSchedule}";
            if let Err(reason) = syntax::qualified_name(&taint.key) {
                self.error(&path, format!("{} is not a taint's key: {reason}", quoted(&taint.key)), example);
            }
            let value = taint.value.as_deref().unwrap_or_default();
            if let Err(reason) = syntax::label_value(value) {
                self.error(&path, format!("{} is not a taint's value: {reason}", quoted(value)), example);
            }
            if !seen.insert((&taint.key, taint.effect)) {
                let message =
                    format!("taint {} with effect {} given twice", quoted(&taint.key), taint.effect.as_str());
                self.error(&path, message, "keep one of them");
            }
        }
    }

    pub(super) fn etcd(&self) {
        let placement = Path::root().key("etcd").key("placement");
        if self.context.is_broken("hosts") || self.context.is_broken("etcd") {
            return;
        }
        let members = self.draft.etcd_hosts().count();
        let stacked = self.draft.etcd.placement == EtcdPlacement::Stacked;
        if members == 0 {
            // Without control planes there is nothing to add about stacked etcd.
            if !stacked {
                let message = "etcd.placement is dedicated, but no host has role etcd";
                let help = "give 3 hosts `roles: [etcd]`, or use placement: stacked";
                self.error(&placement, message, help);
            }
            return;
        }
        let what = if stacked { STACKED } else { "hosts with role etcd" };
        let Some(message) = against_members(members, what) else { return };
        let hosts = Path::root().key("hosts");
        match members {
            4 | 6 if self.draft.allow_even_members => {
                self.warning(&hosts, message, "go to an odd number when the change is done");
            }
            4 | 6 => {
                let help = "use 1, 3, 5 or 7; while replacing a member, set etcd.allowEvenMembers: true";
                self.error(&hosts, message, help);
            }
            _ => self.error(&hosts, message, MEMBERS_HELP),
        }
    }
}

/// What stacked etcd is counted by.
pub(super) const STACKED: &str = "control planes, each with an etcd member";
pub(super) const MEMBERS_HELP: &str = "use 1, 3, 5 or 7";

/// What speaks against that many members of etcd, at least 1; None: nothing.
pub(super) fn against_members(members: usize, what: &str) -> Option<String> {
    match members {
        2 => Some(format!("2 {what}: losing either one stops the cluster, so 2 are worse than 1")),
        n if n > MEMBER_LIMIT => Some(format!("{n} {what}: etcd is made for at most {MEMBER_LIMIT}")),
        n if n % 2 == 0 => Some(format!(
            "{n} {what}: they tolerate {} failed, no more than {} would",
            n.saturating_sub(1) / 2,
            n.saturating_sub(1)
        )),
        _ => None,
    }
}

pub(super) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// What keeps an address from being a host's; None when it can be.
pub(super) fn unusable(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if link_local {
        Some("a link-local address")
    } else if matches!(address, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0) {
        Some("not an address of a machine")
    } else {
        None
    }
}
