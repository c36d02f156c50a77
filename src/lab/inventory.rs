//! The inventory of a lab: what `keelwright apply` reads to make a cluster of its machines.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::LabError;
use super::names::Role;
use super::network::{POD_CIDR, SERVICE_CIDR};
use super::state::{LabState, Machine};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inventory {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    kubernetes: Kubernetes,
    hosts: Vec<Host>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etcd: Option<Etcd>,
    network: Network,
    kubelet: Kubelet,
    kube_proxy: KubeProxy,
    containerd: Containerd,
}

#[derive(Serialize)]
struct Metadata {
    name: String,
}

#[derive(Serialize)]
struct Kubernetes {
    version: String,
}

#[derive(Serialize)]
struct Host {
    name: String,
    roles: Vec<&'static str>,
    address: Ipv4Addr,
    ssh: Ssh,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ssh {
    user: &'static str,
    port: u16,
    key: PathBuf,
    host_keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bastion: Option<Bastion>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bastion {
    host: Ipv4Addr,
    user: &'static str,
    port: u16,
    key: PathBuf,
    host_keys: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Etcd {
    allow_even_members: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Network {
    pod_cidrs: Vec<&'static str>,
    service_cidrs: Vec<&'static str>,
    plugin: Plugin,
}

#[derive(Serialize)]
struct Plugin {
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KubeProxy {
    config: KubeProxyConfig,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KubeProxyConfig {
    conntrack: Conntrack,
}

/// The limit of connections belongs to the system outside; zeros leave it alone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Conntrack {
    max_per_core: u32,
    min: u32,
}

#[derive(Serialize)]
struct Kubelet {
    config: KubeletConfig,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KubeletConfig {
    #[serde(rename = "failCgroupV1")]
    fail_cgroup_v1: bool,
    cgroup_driver: &'static str,
    eviction_hard: BTreeMap<&'static str, &'static str>,
    #[serde(rename = "imageGCHighThresholdPercent")]
    image_gc_high_threshold_percent: u8,
}

/// All machines share the disk outside, which may be large and rather full: shares of it say nothing,
/// and evicting pods or images because of what others keep there frees nothing.
const EVICTION: [(&str, &str); 4] = [
    ("imagefs.available", "1Gi"),
    ("memory.available", "100Mi"),
    ("nodefs.available", "1Gi"),
    ("nodefs.inodesFree", "1%"),
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Containerd {
    restrict_oom_score_adj: bool,
}

/// Writes out the inventory of a lab's machines. Spares are left out: they are for adding later.
pub(crate) fn render(state: &LabState, key: &Path) -> Result<String, LabError> {
    let host_keys = |machine: &Machine| vec![machine.host_key.clone()];
    let via = |machine: &Machine| Bastion {
        host: machine.address,
        user: "root",
        port: machine.ssh_port,
        key: key.to_owned(),
        host_keys: host_keys(machine),
    };
    let bastion = state.machines.iter().find(|machine| machine.name.role() == Role::Bastion);
    let host = |machine: &Machine, role: &'static str| Host {
        name: machine.name.to_string(),
        roles: vec![role],
        address: machine.address,
        ssh: Ssh {
            user: "root",
            port: machine.ssh_port,
            key: key.to_owned(),
            host_keys: host_keys(machine),
            bastion: bastion.map(via),
        },
    };
    let of_role = |role: Role| state.machines.iter().filter(move |machine| machine.name.role() == role);
    let hosts: Vec<Host> = of_role(Role::ControlPlane)
        .map(|machine| host(machine, "control-plane"))
        .chain(of_role(Role::Worker).map(|machine| host(machine, "worker")))
        .chain(of_role(Role::Etcd).map(|machine| host(machine, "etcd")))
        .collect();
    let members = match of_role(Role::Etcd).count() {
        0 => of_role(Role::ControlPlane).count(),
        dedicated => dedicated,
    };
    let inventory = Inventory {
        api_version: "keelwright.dev/v1",
        kind: "Cluster",
        metadata: Metadata { name: state.name.to_string() },
        kubernetes: Kubernetes { version: state.kubernetes_version.clone() },
        hosts,
        // Elsewhere an even number is a mistake; in a lab it is what was asked for.
        etcd: (members > 2 && members.is_multiple_of(2)).then_some(Etcd { allow_even_members: true }),
        network: Network {
            pod_cidrs: vec![POD_CIDR],
            service_cidrs: vec![SERVICE_CIDR],
            plugin: Plugin { name: "routes" },
        },
        kubelet: Kubelet {
            config: KubeletConfig {
                fail_cgroup_v1: false,
                cgroup_driver: "cgroupfs",
                eviction_hard: EVICTION.into(),
                image_gc_high_threshold_percent: 100,
            },
        },
        kube_proxy: KubeProxy {
            config: KubeProxyConfig { conntrack: Conntrack { max_per_core: 0, min: 0 } },
        },
        // Lowering a process's OOM score takes CAP_SYS_RESOURCE, which the outside may not have.
        containerd: Containerd { restrict_oom_score_adj: true },
    };
    let text = serde_yaml::to_string(&inventory)
        .map_err(|error| LabError::io("write", "inventory.yaml", std::io::Error::other(error.to_string())))?;
    Ok(format!("# Written by `keelwright lab up`, again each time it runs.\n{text}"))
}

#[cfg(test)]
mod tests {
    use super::super::cgroup::CgroupLayout;
    use super::super::keys;
    use super::super::names::MachineName;
    use super::*;
    use crate::inventory::{Inventory, Origin, parse};

    /// The inventory of a lab with these machines, as `apply` would read it.
    fn read(names: &[&str]) -> (LabState, Inventory) {
        let cgroups = CgroupLayout::V1 { directories: Vec::new() };
        let mut state = LabState::new("lab".parse().unwrap(), 3, "0".into(), "v1.37.1".into(), cgroups);
        for name in names {
            let name: MachineName = name.parse().unwrap();
            let host_key = keys::generate().unwrap().public;
            state.machines.push(Machine { name, address: name.address(3), ssh_port: 22, host_key });
        }
        let text = render(&state, Path::new("/l/id")).unwrap();
        let origin = Origin { file: "inventory.yaml", base: "/l".into(), home: None };
        match parse(text.as_bytes(), &origin) {
            Ok((inventory, _)) => (state, inventory),
            Err(problems) => panic!("{problems:?}\n{text}"),
        }
    }

    #[test]
    fn hosts_have_roles_addresses_and_pinned_keys_and_spares_are_left_out() {
        let (state, inventory) = read(&["cp-1", "worker-1", "spare-1"]);
        assert_eq!(inventory.hosts.len(), 2);
        let worker = inventory.hosts.values().find(|host| host.name.as_str() == "worker-1").unwrap();
        assert_eq!(worker.address.to_string(), "198.18.3.101");
        assert_eq!(worker.ssh.host_keys, [state.machines[1].host_key.clone()]);
        assert_eq!(worker.ssh.keys, ["/l/id"]);
        assert!(worker.ssh.bastions.is_empty());
        assert!(inventory.containerd.restrict_oom_score_adj);
        assert_eq!(inventory.kubelet.config.len(), 4);
    }

    #[test]
    fn with_a_bastion_every_host_is_reached_through_it() {
        let (state, inventory) = read(&["cp-1", "bastion-1"]);
        let host = inventory.hosts.values().next().unwrap();
        assert_eq!(host.ssh.bastions[0].host, "198.18.3.2");
        assert_eq!(host.ssh.bastions[0].host_keys, [state.machines[1].host_key.clone()]);
        assert_eq!(inventory.hosts.len(), 1);
    }

    #[test]
    fn one_member_or_more_than_two_make_a_valid_inventory() {
        read(&["cp-1"]);
        read(&["cp-1", "cp-2", "cp-3", "cp-4", "worker-1"]);
        read(&["cp-1", "etcd-1", "etcd-2", "etcd-3"]);
    }
}
