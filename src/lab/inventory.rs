//! The inventory of a lab: what `keelwright apply` reads to make a cluster of its machines.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::LabError;
use super::names::{MachineName, Role};
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bastions: Vec<Bastion>,
    network: Network,
    kubelet: Kubelet,
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
struct Bastion {
    name: String,
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
    bastion: Option<String>,
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
struct Kubelet {
    config: KubeletConfig,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KubeletConfig {
    #[serde(rename = "failCgroupV1")]
    fail_cgroup_v1: bool,
    cgroup_driver: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Containerd {
    restrict_oom_score_adj: bool,
}

/// Writes out the inventory of a lab's machines. Spares are left out: they are for adding later.
pub(crate) fn render(state: &LabState, key: &Path) -> Result<String, LabError> {
    let bastion = state.machines.iter().find(|machine| machine.name.role() == Role::Bastion);
    let ssh = |machine: &Machine, via: Option<MachineName>| Ssh {
        user: "root",
        port: machine.ssh_port,
        key: key.to_owned(),
        host_keys: vec![machine.host_key.clone()],
        bastion: via.map(|name| name.to_string()),
    };
    let mut hosts = Vec::new();
    let mut bastions = Vec::new();
    for machine in &state.machines {
        let role = match machine.name.role() {
            Role::ControlPlane => "control-plane",
            Role::Worker => "worker",
            Role::Etcd => "etcd",
            Role::Bastion => {
                bastions.push(Bastion {
                    name: machine.name.to_string(),
                    address: machine.address,
                    ssh: ssh(machine, None),
                });
                continue;
            }
            Role::Spare => continue,
        };
        hosts.push(Host {
            name: machine.name.to_string(),
            roles: vec![role],
            address: machine.address,
            ssh: ssh(machine, bastion.map(|machine| machine.name)),
        });
    }
    let inventory = Inventory {
        api_version: "keelwright.dev/v1",
        kind: "Cluster",
        metadata: Metadata { name: state.name.to_string() },
        kubernetes: Kubernetes { version: state.kubernetes_version.clone() },
        hosts,
        bastions,
        network: Network {
            pod_cidrs: vec![POD_CIDR],
            service_cidrs: vec![SERVICE_CIDR],
            plugin: Plugin { name: "routes" },
        },
        kubelet: Kubelet { config: KubeletConfig { fail_cgroup_v1: false, cgroup_driver: "cgroupfs" } },
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
    use super::*;

    fn lab(names: &[&str]) -> LabState {
        let cgroups = CgroupLayout::V1 { directories: Vec::new() };
        let mut state = LabState::new("lab".parse().unwrap(), 3, "0".into(), "v1.37.1".into(), cgroups);
        for name in names {
            let name: MachineName = name.parse().unwrap();
            let host_key = format!("ssh-ed25519 {name}");
            state.machines.push(Machine { name, address: name.address(3), ssh_port: 22, host_key });
        }
        state
    }

    #[test]
    fn hosts_have_roles_addresses_and_pinned_keys() {
        let text = render(&lab(&["cp-1", "worker-1", "spare-1"]), Path::new("/l/id")).unwrap();
        let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(value["apiVersion"], "keelwright.dev/v1");
        assert_eq!(value["hosts"].as_array().unwrap().len(), 2, "{text}");
        assert_eq!(value["hosts"][0]["roles"][0], "control-plane");
        assert_eq!(value["hosts"][1]["address"], "198.18.3.101");
        assert_eq!(value["hosts"][1]["ssh"]["hostKeys"][0], "ssh-ed25519 worker-1");
        assert_eq!(value["kubelet"]["config"]["failCgroupV1"], false);
        assert_eq!(value["network"]["podCidrs"][0], "198.19.0.0/17");
        assert!(value.get("bastions").is_none());
    }

    #[test]
    fn with_a_bastion_every_host_is_reached_through_it() {
        let text = render(&lab(&["cp-1", "bastion-1"]), Path::new("/l/id")).unwrap();
        let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(value["hosts"][0]["ssh"]["bastion"], "bastion-1");
        assert_eq!(value["bastions"][0]["name"], "bastion-1");
    }
}
