//! Machines out of a Terraform state: which there are, where they are reached, and what they look to be for.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use crate::inventory::HostName;

/// What a state has for an inventory.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FromState {
    pub control_planes: Vec<(Option<HostName>, IpAddr)>,
    pub workers: Vec<(Option<HostName>, IpAddr)>,
    /// The address of the first machine that is there to jump over.
    pub bastion: Option<String>,
    /// Machines without an address, by their place in the state.
    pub left_out: Vec<String>,
}

/// Why a state is no use.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("it is not a Terraform state: {0}")]
    Format(#[from] serde_json::Error),
    #[error(
        "it is a Terraform state of version {0}, and only version 4 is read (Terraform 0.12 and later, OpenTofu)"
    )]
    Version(u64),
    #[error("it has no machines of a kind that is known: {}", KINDS.map(|kind| kind.resource).join(", "))]
    NoMachines,
}

/// Where a provider's resource says what a machine is called and where it is, as JSON pointers, the best first.
struct Kind {
    resource: &'static str,
    names: &'static [&'static str],
    private: &'static [&'static str],
    public: &'static [&'static str],
}

const KINDS: [Kind; 10] = [
    Kind {
        resource: "aws_instance",
        names: &["/tags/Name"],
        private: &["/private_ip"],
        public: &["/public_ip"],
    },
    Kind {
        resource: "google_compute_instance",
        names: &["/name"],
        private: &["/network_interface/0/network_ip"],
        public: &["/network_interface/0/access_config/0/nat_ip"],
    },
    Kind {
        resource: "azurerm_linux_virtual_machine",
        names: &["/computer_name", "/name"],
        private: &["/private_ip_address"],
        public: &["/public_ip_address"],
    },
    Kind {
        resource: "hcloud_server",
        names: &["/name"],
        private: &["/network/0/ip", "/ipv4_address"],
        public: &["/ipv4_address"],
    },
    Kind {
        resource: "digitalocean_droplet",
        names: &["/name"],
        private: &["/ipv4_address_private", "/ipv4_address"],
        public: &["/ipv4_address"],
    },
    Kind {
        resource: "openstack_compute_instance_v2",
        names: &["/name"],
        private: &["/access_ip_v4", "/network/0/fixed_ip_v4", "/access_ip_v6"],
        public: &["/access_ip_v4"],
    },
    Kind {
        resource: "vsphere_virtual_machine",
        names: &["/name"],
        private: &["/default_ip_address"],
        public: &["/default_ip_address"],
    },
    Kind {
        resource: "libvirt_domain",
        names: &["/name"],
        private: &["/network_interface/0/addresses/0"],
        public: &["/network_interface/0/addresses/0"],
    },
    Kind {
        resource: "proxmox_vm_qemu",
        names: &["/name"],
        private: &["/default_ipv4_address", "/ssh_host"],
        public: &["/default_ipv4_address"],
    },
    Kind {
        resource: "linode_instance",
        names: &["/label"],
        private: &["/private_ip_address", "/ip_address"],
        public: &["/ip_address"],
    },
];

#[derive(Deserialize)]
struct State {
    version: u64,
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    mode: String,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default)]
    instances: Vec<Instance>,
}

#[derive(Deserialize)]
struct Instance {
    index_key: Option<Value>,
    #[serde(default)]
    attributes: Value,
}

/// What a machine is for, as far as its names tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    ControlPlane,
    Worker,
    Bastion,
}

/// Reads the machines of a state, in its order. Data sources are somebody else's machines and are left alone.
///
/// # Errors
/// [`StateError`] when it is none, or has no machines.
pub fn from_state(text: &[u8]) -> Result<FromState, StateError> {
    let state: State = serde_json::from_slice(text)?;
    if state.version != 4 {
        return Err(StateError::Version(state.version));
    }
    let mut found = FromState::default();
    for resource in state.resources.iter().filter(|resource| resource.mode == "managed") {
        let Some(kind) = KINDS.iter().find(|kind| kind.resource == resource.kind) else { continue };
        for instance in &resource.instances {
            found.add(kind, resource, instance);
        }
    }
    let none = found.control_planes.is_empty() && found.workers.is_empty();
    if none && found.left_out.is_empty() { Err(StateError::NoMachines) } else { Ok(found) }
}

impl FromState {
    fn add(&mut self, kind: &Kind, resource: &Resource, instance: &Instance) {
        let own = first(&instance.attributes, kind.names).unwrap_or_default();
        let index = instance.index_key.as_ref().map(|key| match key {
            Value::String(key) => key.clone(),
            other => other.to_string(),
        });
        let place = match &index {
            Some(index) => format!("{}-{index}", resource.name),
            None => resource.name.clone(),
        };
        let role = role(&format!("{} {own} {}", resource.name, tags(&instance.attributes)));
        if role == Role::Bastion {
            let address =
                first(&instance.attributes, kind.public).or(first(&instance.attributes, kind.private));
            self.bastion = self.bastion.take().or(address);
            return;
        }
        let address = first(&instance.attributes, kind.private).and_then(|text| text.parse().ok());
        let Some(address) = address else {
            self.left_out.push(format!("{}.{}", resource.kind, place));
            return;
        };
        let name = [own, place].iter().find_map(|name| host_name(name));
        let machines = if role == Role::ControlPlane { &mut self.control_planes } else { &mut self.workers };
        machines.push((name, address));
    }
}

/// The first of these that says something.
fn first(attributes: &Value, pointers: &[&str]) -> Option<String> {
    let text =
        |pointer: &&str| attributes.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    pointers.iter().find_map(text).map(str::to_owned)
}

/// What tags or labels say of a role.
fn tags(attributes: &Value) -> String {
    let of = ["tags", "labels", "metadata"].into_iter().filter_map(|name| attributes[name].as_object());
    let says = of.flatten().filter(|(key, _)| key.to_lowercase().contains("role"));
    says.filter_map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
}

fn role(words: &str) -> Role {
    let lower = words.to_lowercase();
    let parts: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphabetic()).collect();
    let has = |names: &[&str]| parts.iter().any(|part| names.contains(part));
    if has(&["bastion", "jump", "jumphost", "jumpbox"]) {
        Role::Bastion
    } else if has(&[
        "master",
        "masters",
        "controlplane",
        "controller",
        "controllers",
        "cp",
        "server",
        "servers",
    ]) || lower.contains("control-plane")
        || lower.contains("control_plane")
    {
        Role::ControlPlane
    } else {
        Role::Worker
    }
}

/// A name of Terraform's as a node's.
fn host_name(text: &str) -> Option<HostName> {
    let lower = text.to_lowercase();
    let kept: String =
        lower.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    HostName::parse(kept.trim_matches(['-', '.'])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state(resources: Value) -> Vec<u8> {
        let text = json!({"version": 4, "terraform_version": "1.14.0", "serial": 3, "resources": resources});
        text.to_string().into_bytes()
    }

    fn resource(kind: &str, name: &str, instances: Value) -> Value {
        json!({"mode": "managed", "type": kind, "name": name, "provider": "x", "instances": instances})
    }

    fn names(machines: &[(Option<HostName>, IpAddr)]) -> Vec<String> {
        let line = |(name, address): &(Option<HostName>, IpAddr)| match name {
            Some(name) => format!("{name}={address}"),
            None => address.to_string(),
        };
        machines.iter().map(line).collect()
    }

    #[test]
    fn machines_are_told_apart_by_what_they_are_called() {
        let text = state(json!([
            resource("aws_instance", "bastion", json!([
                {"attributes": {"private_ip": "10.0.0.5", "public_ip": "203.0.113.9", "tags": {"Name": "prod jump"}}}
            ])),
            resource("aws_instance", "masters", json!([
                {"index_key": 0, "attributes": {"private_ip": "10.0.1.10", "public_ip": "", "tags": {"Name": "Prod_A"}}},
                {"index_key": 1, "attributes": {"private_ip": "10.0.1.11", "tags": null}},
            ])),
            resource("aws_instance", "nodes", json!([
                {"index_key": "db", "attributes": {"private_ip": "10.0.1.21", "tags": {"k8s.io/role": "control-plane"}}},
                {"index_key": "web", "attributes": {"private_ip": "10.0.1.22", "tags": {}}},
                {"index_key": "gone", "attributes": {"private_ip": ""}},
            ])),
            resource("aws_db_instance", "master", json!([{"attributes": {"address": "x"}}])),
            {"mode": "data", "type": "aws_instance", "name": "theirs", "instances": [
                {"attributes": {"private_ip": "10.9.9.9"}}
            ]},
        ]));
        let found = from_state(&text).unwrap();
        assert_eq!(
            names(&found.control_planes),
            ["prod-a=10.0.1.10", "masters-1=10.0.1.11", "nodes-db=10.0.1.21"]
        );
        assert_eq!(names(&found.workers), ["nodes-web=10.0.1.22"]);
        assert_eq!(found.bastion.as_deref(), Some("203.0.113.9"));
        assert_eq!(found.left_out, ["aws_instance.nodes-gone"]);
    }

    #[test]
    fn each_provider_says_it_in_its_own_place() {
        for (kind, attributes, wanted) in [
            (
                "google_compute_instance",
                json!({"name": "a", "network_interface": [{"network_ip": "10.0.0.1"}]}),
                "a=10.0.0.1",
            ),
            (
                "azurerm_linux_virtual_machine",
                json!({"name": "a", "computer_name": "b", "private_ip_address": "10.0.0.1"}),
                "b=10.0.0.1",
            ),
            (
                "hcloud_server",
                json!({"name": "a", "ipv4_address": "203.0.113.1", "network": [{"ip": "10.0.0.1"}]}),
                "a=10.0.0.1",
            ),
            (
                "hcloud_server",
                json!({"name": "a", "ipv4_address": "203.0.113.1", "network": []}),
                "a=203.0.113.1",
            ),
            ("digitalocean_droplet", json!({"name": "a", "ipv4_address_private": "10.0.0.1"}), "a=10.0.0.1"),
            ("openstack_compute_instance_v2", json!({"name": "a", "access_ip_v4": "10.0.0.1"}), "a=10.0.0.1"),
            ("vsphere_virtual_machine", json!({"name": "a", "default_ip_address": "10.0.0.1"}), "a=10.0.0.1"),
            (
                "libvirt_domain",
                json!({"name": "a", "network_interface": [{"addresses": ["10.0.0.1"]}]}),
                "a=10.0.0.1",
            ),
            ("proxmox_vm_qemu", json!({"name": "a", "default_ipv4_address": "10.0.0.1"}), "a=10.0.0.1"),
            ("linode_instance", json!({"label": "a", "ip_address": "10.0.0.1"}), "a=10.0.0.1"),
        ] {
            let found = from_state(&state(json!([resource(kind, "x", json!([{"attributes": attributes}]))])))
                .unwrap();
            assert_eq!(names(&found.workers), [wanted], "{kind}");
        }
    }

    #[test]
    fn what_is_no_state_says_why() {
        let error = |text: &[u8]| from_state(text).unwrap_err().to_string();
        assert!(error(b"resource \"x\" {}").contains("not a Terraform state"));
        assert!(error(br#"{"version": 3, "modules": []}"#).contains("version 3"));
        assert!(error(&state(json!([]))).contains("no machines"));
    }
}
