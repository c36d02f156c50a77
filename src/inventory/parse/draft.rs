//! What could be read of a file, right or wrong: semantic rules look at this, so that their findings
//! come in the same go as those of the reader.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::aws::DraftAws;
use crate::inventory::*;
use crate::release::KubeVersion;

/// Who makes the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    /// Somebody else; they are named in `hosts`.
    Hosts,
    /// keelwright, as `aws` says.
    Aws,
}

/// An inventory in which anything may be missing.
pub(crate) struct Draft {
    pub name: Option<ClusterName>,
    pub version: Option<KubeVersion>,
    pub provider: Provider,
    /// Empty with [`Provider::Aws`].
    pub hosts: Vec<DraftHost>,
    pub aws: Option<DraftAws>,
    /// None within: it could not be read.
    pub state: Option<Option<SharedState>>,
    /// `ssh` of the file, for machines that have no entry in `hosts`.
    pub ssh: Ssh,
    /// None: by the hosts' address family.
    pub pod_cidrs: Option<Vec<IpNet>>,
    pub service_cidrs: Option<Vec<IpNet>>,
    pub dns_domain: String,
    pub plugin: NetworkPlugin,
    pub endpoint: Endpoint,
    pub etcd: Etcd,
    /// None: dedicated when a host has role etcd.
    pub etcd_placement: Option<EtcdPlacement>,
    pub allow_even_members: bool,
    pub api_server: Component,
    pub controller_manager: Component,
    pub scheduler: Component,
    pub kubelet: Kubelet,
    pub kube_proxy: KubeProxy,
    pub containerd: Containerd,
    pub pki: Pki,
    pub security: Security,
    pub artifacts: Artifacts,
    pub addons: Vec<Addon>,
    pub policy: Policy,
    /// None where one could not be read.
    pub hooks: Vec<Option<Hook>>,
}

pub(crate) struct DraftHost {
    /// As written, for finding duplicates among wrong names too.
    pub raw_name: String,
    pub name: Option<HostName>,
    pub address: Option<IpAddr>,
    pub secondary_address: Option<IpAddr>,
    pub roles: BTreeSet<Role>,
    pub arch: Arch,
    pub ssh: Ssh,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
}

impl DraftHost {
    /// Every address of the host.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.address.into_iter().chain(self.secondary_address)
    }

    /// Whether a kubelet joins the cluster here.
    pub fn is_node(&self) -> bool {
        self.has(Role::ControlPlane) || self.has(Role::Worker)
    }

    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

impl Draft {
    /// Fills in the defaults that depend on other fields.
    pub fn settle(&mut self) {
        let v6 = self.hosts.iter().find_map(|host| host.address).is_some_and(|address| address.is_ipv6());
        let parse = |text: &str| text.parse::<IpNet>().into_iter().collect::<Vec<_>>();
        self.pod_cidrs.get_or_insert_with(|| parse(if v6 { "fd00:10:244::/48" } else { "10.244.0.0/16" }));
        self.service_cidrs.get_or_insert_with(|| parse(if v6 { "fd00:10:96::/112" } else { "10.96.0.0/12" }));
        let dedicated = self.hosts.iter().any(|host| host.has(Role::Etcd));
        self.etcd.placement = self.etcd_placement.unwrap_or(match dedicated {
            true => EtcdPlacement::Dedicated,
            false => EtcdPlacement::Stacked,
        });
        for host in &mut self.hosts {
            if host.ssh.host.is_empty()
                && let Some(address) = host.address
            {
                host.ssh.host = address.to_string();
            }
        }
    }

    pub fn pods(&self) -> &[IpNet] {
        self.pod_cidrs.as_deref().unwrap_or_default()
    }

    pub fn services(&self) -> &[IpNet] {
        self.service_cidrs.as_deref().unwrap_or_default()
    }

    /// The hosts that run an etcd member.
    pub fn etcd_hosts(&self) -> impl Iterator<Item = &DraftHost> {
        let role = match self.etcd.placement {
            EtcdPlacement::Stacked => Role::ControlPlane,
            EtcdPlacement::Dedicated => Role::Etcd,
        };
        self.hosts.iter().filter(move |host| host.has(role))
    }

    /// What is wanted; None when something is missing, which the reader has reported.
    pub fn into_wanted(mut self) -> Option<Wanted> {
        match self.provider {
            Provider::Hosts => self.into_inventory().map(Box::new).map(Wanted::Hosts),
            Provider::Aws => {
                let aws = self.aws.take()?.into_aws()?;
                let ssh = self.ssh.clone();
                Some(Wanted::Aws(Box::new(AwsInventory { aws, ssh, cluster: self.into_inventory()? })))
            }
        }
    }

    fn into_inventory(self) -> Option<Inventory> {
        let mut hosts = BTreeMap::new();
        for host in self.hosts {
            let name = host.name?;
            let host = Host {
                name: name.clone(),
                address: host.address?,
                secondary_address: host.secondary_address,
                roles: host.roles,
                arch: host.arch,
                ssh: host.ssh,
                labels: host.labels,
                taints: host.taints,
                provider_id: None,
            };
            hosts.insert(name, host);
        }
        Some(Inventory {
            name: self.name?,
            version: self.version?,
            hosts,
            network: Network {
                pod_cidrs: self.pod_cidrs?,
                service_cidrs: self.service_cidrs?,
                dns_domain: self.dns_domain,
                plugin: self.plugin,
            },
            endpoint: self.endpoint,
            public_endpoint: None,
            etcd: self.etcd,
            api_server: self.api_server,
            controller_manager: self.controller_manager,
            scheduler: self.scheduler,
            kubelet: self.kubelet,
            kube_proxy: self.kube_proxy,
            containerd: self.containerd,
            pki: self.pki,
            security: self.security,
            artifacts: self.artifacts,
            addons: self.addons,
            policy: self.policy,
            hooks: self.hooks.into_iter().collect::<Option<_>>()?,
            self_join: None,
            state: self.state.map_or(Some(None), |state| state.map(Some))?,
        })
    }
}
