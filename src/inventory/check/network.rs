//! Address ranges, the API endpoint, and names in certificates.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::hosts::{family, unusable};
use super::{Rules, syntax};
use crate::inventory::parse::path::Path;
use crate::inventory::parse::scalar::quoted;
use crate::inventory::{Endpoint, ExtraArg, NetworkPlugin, Role};

/// kubeadm's MinimumAddressesInServiceSubnet: the tenth address is DNS.
const SERVICE_ADDRESSES_MIN: u128 = 10;
/// kubeadm's MaximumBitsForServiceSubnet: the allocator keeps a bitmap of the range.
const SERVICE_BITS_MAX: u8 = 20;
/// kubeadm's PodSubnetNodeMaskMaxDiff: the allocator keeps a bitmap of node ranges.
const POD_BITS_MAX: u8 = 16;
/// Ports that something else has on every node or control plane.
const TAKEN_PORTS: &[u16] = &[22, 2379, 2380, 2381, 10248, 10249, 10250, 10256, 10257, 10259];
/// `service-node-port-range` of the API server.
pub(super) const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;
pub(super) const API_PORT: u16 = 6443;

impl Rules<'_> {
    pub(super) fn networks(&self) {
        let network = Path::root().key("network");
        let (pods, services) = (network.key("podCidrs"), network.key("serviceCidrs"));
        for (path, ranges) in [(&pods, self.draft.pods()), (&services, self.draft.services())] {
            if self.context.is_broken(&path.to_string()) {
                continue;
            }
            self.families_of(path, ranges);
            for (index, range) in ranges.iter().enumerate() {
                self.special(&path.index(index), *range);
            }
        }
        for (index, range) in self.draft.services().iter().enumerate() {
            self.service_size(&services.index(index), *range);
        }
        for (index, range) in self.draft.pods().iter().enumerate() {
            self.pod_size(&pods.index(index), *range);
            for service in self.draft.services() {
                if overlaps(*range, *service) {
                    let message = format!("pods' {range} overlaps services' {service}");
                    self.error(&pods.index(index), message, "choose ranges that share no address");
                }
            }
        }
        self.hosts_outside(&pods, "pods'", self.draft.pods());
        self.hosts_outside(&services, "services'", self.draft.services());
        self.dual_stack();
    }

    /// One range, or one of each family, the first of the hosts' family.
    fn families_of(&self, path: &Path, ranges: &[IpNet]) {
        match ranges {
            [] => self.error(
                path,
                "want one CIDR, or one of each family; got none",
                "leave the field out for the default",
            ),
            [first, rest @ ..] => {
                if rest.len() > 1 {
                    let message = format!("want one CIDR, or one of each family; got {}", ranges.len());
                    self.error(path, message, "keep one of each family");
                } else if let Some(second) =
                    rest.iter().find(|second| second.addr().is_ipv4() == first.addr().is_ipv4())
                {
                    let message = format!("two CIDRs of the same family: {first} and {second}");
                    self.error(path, message, "dual-stack needs one IPv4 and one IPv6 range");
                }
                let host = self.draft.hosts.iter().find_map(|host| host.address);
                if let Some(address) = host
                    && address.is_ipv4() != first.addr().is_ipv4()
                {
                    let message = format!(
                        "{first} is {}, the hosts' addresses are {}",
                        family(first.addr()),
                        family(address)
                    );
                    self.error(&path.index(0), message, "the first range must be of the hosts' family");
                }
            }
        }
    }

    pub(super) fn special(&self, path: &Path, range: IpNet) {
        if range.prefix_len() == 0 {
            self.error(path, format!("{range} is every address there is"), "choose a smaller range");
        } else if let Some(kind) =
            unusable(range.addr()).filter(|_| range.addr() != IpAddr::from([0, 0, 0, 0]))
        {
            self.error(
                path,
                format!("{range} is not usable: {} is {kind}", range.addr()),
                "choose a private range",
            );
        }
    }

    fn service_size(&self, path: &Path, range: IpNet) {
        let bits = range.max_prefix_len() - range.prefix_len();
        let widest = range.max_prefix_len() - SERVICE_BITS_MAX;
        if bits > SERVICE_BITS_MAX {
            let message = format!("{range} is wider than /{widest}, the API server's limit for services");
            self.error(path, message, format!("write /{widest} or a longer prefix"));
        } else if 1_u128 << bits < SERVICE_ADDRESSES_MIN {
            let message = format!(
                "{range} has {} addresses; services need at least {SERVICE_ADDRESSES_MIN}",
                1_u128 << bits
            );
            self.error(path, message, "write a shorter prefix");
        }
    }

    /// Each node gets a range of the mask's size out of the pods' range.
    fn pod_size(&self, path: &Path, range: IpNet) {
        let v4 = range.addr().is_ipv4();
        let mask = self.node_mask(v4);
        let prefix = range.prefix_len();
        if prefix > mask {
            let message = format!("{range} is smaller than one node's /{mask}");
            self.error(
                path,
                message,
                "write a shorter prefix, or set node-cidr-mask-size in controllerManager.extraArgs",
            );
            return;
        }
        if mask - prefix > POD_BITS_MAX {
            let message = format!(
                "{range} and nodes' /{mask} are {} bits apart; at most {POD_BITS_MAX} are allowed",
                mask - prefix
            );
            self.error(path, message, format!("write /{} or a longer prefix", mask - POD_BITS_MAX));
            return;
        }
        let nodes = self.draft.hosts.iter().filter(|host| host.is_node()).count();
        if nodes > 1_usize << (mask - prefix) {
            let message = format!(
                "{range} has room for {} nodes of /{mask}; the inventory has {nodes}",
                1_usize << (mask - prefix)
            );
            self.error(path, message, "write a shorter prefix");
        }
    }

    /// The controller manager's `node-cidr-mask-size`, by its defaults 24 and 64.
    fn node_mask(&self, v4: bool) -> u8 {
        let (default, family) =
            if v4 { (24, "node-cidr-mask-size-ipv4") } else { (64, "node-cidr-mask-size-ipv6") };
        let args = &self.draft.controller_manager.extra_args;
        let given = |name: &str| args.iter().rev().find(|ExtraArg { name: key, .. }| key == name);
        given(family)
            .or_else(|| given("node-cidr-mask-size"))
            .and_then(|arg| arg.value.parse().ok())
            .filter(|mask| (1..=if v4 { 32 } else { 128 }).contains(mask))
            .unwrap_or(default)
    }

    fn hosts_outside(&self, path: &Path, whose: &str, ranges: &[IpNet]) {
        for (index, range) in ranges.iter().enumerate() {
            let inside = self
                .draft
                .hosts
                .iter()
                .enumerate()
                .find(|(_, host)| host.addresses().any(|address| range.contains(&address)));
            if let Some((number, host)) = inside {
                let address = host.addresses().find(|address| range.contains(address));
                let address = address.map(|address| address.to_string()).unwrap_or_default();
                let message = format!("{whose} {range} overlaps the hosts: hosts[{number}] has {address}");
                self.error(&path.index(index), message, "choose a range that no host is in");
            }
        }
    }

    fn dual_stack(&self) {
        let dual = self.draft.pods().len() == 2 && !self.context.is_broken("network");
        if !dual {
            return;
        }
        for (index, host) in self.draft.hosts.iter().enumerate() {
            let node = host.is_node();
            if !node
                || host.secondary_address.is_some()
                || self.context.is_broken(&Self::host(index).to_string())
            {
                continue;
            }
            let path = Self::host(index).key("secondaryAddress");
            let message = "podCidrs are dual-stack, but this node has an address of one family only";
            let help = "add secondaryAddress, its address of the other family";
            match self.draft.plugin {
                NetworkPlugin::Routes { .. } => self.error(&path, message, help),
                NetworkPlugin::Calico { .. }
                | NetworkPlugin::Cilium { .. }
                | NetworkPlugin::Flannel { .. }
                | NetworkPlugin::Manifest { .. }
                | NetworkPlugin::None => self.warning(&path, message, help),
            }
        }
    }

    pub(super) fn endpoint(&self) {
        let path = Path::root().key("endpoint");
        match &self.draft.endpoint {
            Endpoint::NodeLocal { port } => {
                let path = path.key("nodeLocal").key("port");
                let taken = TAKEN_PORTS.contains(port) || *port == API_PORT;
                self.port(&path, *port, taken);
            }
            Endpoint::External { host, .. } => self.external(&path.key("external"), host),
            Endpoint::Vip { address, port, .. } => {
                let path = path.key("vip");
                self.port(&path.key("port"), *port, TAKEN_PORTS.contains(port));
                self.shared_address(&path.key("address"), *address);
                if let Some((index, _)) = self
                    .draft
                    .hosts
                    .iter()
                    .enumerate()
                    .find(|(_, host)| host.addresses().any(|a| a == *address))
                {
                    let message = format!("{address} is the address of hosts[{index}]");
                    self.error(&path.key("address"), message, "a VIP is an address that no machine has");
                }
                let host = self.draft.hosts.iter().find_map(|host| host.address);
                if let Some(host) = host.filter(|host| host.is_ipv4() != address.is_ipv4()) {
                    let message = format!(
                        "{address} is {}, the hosts' addresses are {}",
                        family(*address),
                        family(host)
                    );
                    self.error(&path.key("address"), message, "choose an address on the hosts' network");
                }
            }
        }
    }

    fn port(&self, path: &Path, port: u16, taken: bool) {
        if taken {
            let message = format!("port {port} is taken on the machines by another component");
            self.error(path, message, "leave it out for the default");
        } else if NODE_PORTS.contains(&port) {
            self.error(
                path,
                format!("port {port} is in the range of NodePorts"),
                "choose one outside 30000 to 32767",
            );
        }
    }

    fn external(&self, path: &Path, host: &str) {
        if self.context.is_broken(&path.to_string()) {
            return;
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            self.shared_address(path, address);
            let control_planes = self.draft.hosts.iter().filter(|host| host.has(Role::ControlPlane)).count();
            if control_planes > 1
                && self.draft.hosts.iter().any(|host| host.addresses().any(|a| a == address))
            {
                let message = format!("{address} is one machine: when it is down, so is the endpoint");
                self.warning(path, message, "name a balancer, or leave `endpoint` out");
            }
        } else if host == "localhost" || host.ends_with(".localhost") {
            self.error(
                path,
                "localhost is another machine on every node",
                "leave `endpoint` out for a balancer on every node",
            );
        } else if let Err(reason) = syntax::dns_subdomain(host) {
            let message = format!("{} is neither an IP address nor a DNS name: {reason}", quoted(host));
            self.error(path, message, "write host:port, such as api.example.org:6443");
        } else if host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
            self.error(
                path,
                format!("{} looks like an address, but is none", quoted(host)),
                "for example 192.0.2.10:6443",
            );
        }
    }

    fn shared_address(&self, path: &Path, address: IpAddr) {
        if let Some(kind) = unusable(address) {
            self.error(path, format!("{address} is {kind}"), "choose an address that all nodes reach");
        }
        for range in self.draft.pods().iter().chain(self.draft.services()) {
            if range.contains(&address) {
                self.error(
                    path,
                    format!("{address} is in {range}, a range of pods or services"),
                    "choose one outside",
                );
            }
        }
    }

    /// The DNS domain and the names of the API server's certificate.
    pub(super) fn names(&self) {
        if let Err(reason) = syntax::dns_subdomain(&self.draft.dns_domain) {
            let path = Path::root().key("network").key("dnsDomain");
            let message = format!("{} is not a DNS domain: {reason}", quoted(&self.draft.dns_domain));
            self.error(&path, message, "for example cluster.local");
        }
        let mut seen = HashSet::new();
        for (index, name) in self.draft.api_server.cert_sans.iter().enumerate() {
            let path = Path::root().key("apiServer").key("certSANs").index(index);
            let bare = name.strip_prefix("*.").unwrap_or(name);
            if name.parse::<IpAddr>().is_err()
                && let Err(reason) = syntax::dns_subdomain(bare)
            {
                let message = format!("{} is neither an IP address nor a DNS name: {reason}", quoted(name));
                self.error(&path, message, "for example api.example.org, *.example.org or 192.0.2.10");
            } else if !seen.insert(name) {
                self.warning(&path, format!("{} is given twice", quoted(name)), "remove one of them");
            }
        }
    }
}

pub(super) fn overlaps(a: IpNet, b: IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}
