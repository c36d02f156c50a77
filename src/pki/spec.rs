//! Which certificates and keys a cluster has, computed from the inventory alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::inventory::{Endpoint, Host, HostName, Inventory, KeyAlgorithm};

/// Names one key pair of a cluster: `ca`, `etcd/ca`, `sa`, `cp-1/apiserver`, `worker-1/kubelet`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub String);

impl KeyId {
    /// A key pair that the whole cluster shares.
    pub fn shared(name: &str) -> Self {
        KeyId(name.to_owned())
    }

    /// A key pair of one host.
    pub fn of_host(host: &HostName, name: &str) -> Self {
        KeyId(format!("{host}/{name}"))
    }

    /// The cluster's CA.
    pub fn ca() -> Self {
        KeyId::shared("ca")
    }

    /// The CA of aggregated API servers' front proxy.
    pub fn front_proxy_ca() -> Self {
        KeyId::shared("front-proxy-ca")
    }

    /// etcd's own CA.
    pub fn etcd_ca() -> Self {
        KeyId::shared("etcd/ca")
    }

    /// The pair that signs service account tokens; it has no certificate.
    pub fn service_account() -> Self {
        KeyId::shared("sa")
    }

    /// The operator's everyday identity (`admin.conf`); also the one keelwright itself uses.
    pub fn admin() -> Self {
        KeyId::shared("admin")
    }

    /// The identity that needs no RBAC (`super-admin.conf`), for the first writes only.
    pub fn super_admin() -> Self {
        KeyId::shared("super-admin")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Extended key usages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Usage {
    ServerAuth,
    ClientAuth,
}

/// kubeadm's `certificateValidityPeriod`.
pub const LEAF_HOURS: u32 = 8_760;
/// kubeadm's `caCertificateValidityPeriod`.
pub const CA_HOURS: u32 = 87_600;

/// What a certificate must say (kubeadm-contract: the table of certificates).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSpec {
    pub common_name: String,
    pub organization: Option<String>,
    /// Sorted, without duplicates.
    pub dns_names: Vec<String>,
    /// In order, without duplicates.
    pub addresses: Vec<IpAddr>,
    pub usages: Vec<Usage>,
    /// None: signs itself and is a CA.
    pub issuer: Option<KeyId>,
    /// Hours from issue to expiry (kubeadm: 8760 for leaves, 87600 for CAs).
    pub valid_hours: u32,
    /// Of the key that is made for it; says nothing of the CA that signs.
    pub algorithm: KeyAlgorithm,
}

impl CertificateSpec {
    /// A CA says its own name as a DNS name too, as kubeadm's do.
    fn authority(common_name: &str, algorithm: KeyAlgorithm) -> Self {
        CertificateSpec {
            common_name: common_name.to_owned(),
            organization: None,
            dns_names: vec![common_name.to_owned()],
            addresses: Vec::new(),
            usages: Vec::new(),
            issuer: None,
            valid_hours: CA_HOURS,
            algorithm,
        }
    }

    fn client(
        issuer: KeyId,
        common_name: String,
        organization: Option<&str>,
        algorithm: KeyAlgorithm,
    ) -> Self {
        CertificateSpec {
            common_name,
            organization: organization.map(str::to_owned),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            usages: vec![Usage::ClientAuth],
            issuer: Some(issuer),
            valid_hours: LEAF_HOURS,
            algorithm,
        }
    }

    pub fn is_authority(&self) -> bool {
        self.issuer.is_none()
    }
}

/// The group that kubeadm binds to cluster-admin.
pub const CLUSTER_ADMINS: &str = "kubeadm:cluster-admins";
/// Who an API server is to the kubelets.
pub const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";

/// Key pairs without a certificate.
pub fn bare_keys() -> BTreeSet<KeyId> {
    BTreeSet::from([KeyId::service_account()])
}

/// Every certificate of the cluster. `apiserver_kubelet_client_organization` depends on the version
/// (see the release catalog): none from 1.36 on, `kubeadm:cluster-admins` before.
///
/// `external_ca` changes nothing here: the keys exist all the same, they are only never put on hosts.
pub fn certificates(
    inventory: &Inventory,
    apiserver_kubelet_client_organization: Option<&str>,
) -> BTreeMap<KeyId, CertificateSpec> {
    let algorithm = inventory.pki.algorithm;
    let mut wanted = BTreeMap::from([
        (KeyId::ca(), CertificateSpec::authority("kubernetes", algorithm)),
        (KeyId::front_proxy_ca(), CertificateSpec::authority("front-proxy-ca", algorithm)),
        (KeyId::etcd_ca(), CertificateSpec::authority("etcd-ca", algorithm)),
    ]);
    let client = |issuer: KeyId, name: &str, organization: Option<&str>| {
        CertificateSpec::client(issuer, name.to_owned(), organization, algorithm)
    };
    wanted.insert(KeyId::admin(), client(KeyId::ca(), "kubernetes-admin", Some(CLUSTER_ADMINS)));
    wanted
        .insert(KeyId::super_admin(), client(KeyId::ca(), "kubernetes-super-admin", Some("system:masters")));
    for host in inventory.control_planes() {
        let id = |name| KeyId::of_host(&host.name, name);
        wanted.insert(id("apiserver"), api_server(inventory, host));
        wanted.insert(
            id("apiserver-kubelet-client"),
            client(KeyId::ca(), KUBELET_CLIENT, apiserver_kubelet_client_organization),
        );
        wanted.insert(id("front-proxy-client"), client(KeyId::front_proxy_ca(), "front-proxy-client", None));
        wanted.insert(
            id("apiserver-etcd-client"),
            client(KeyId::etcd_ca(), "kube-apiserver-etcd-client", None),
        );
        wanted.insert(id("controller-manager"), client(KeyId::ca(), "system:kube-controller-manager", None));
        wanted.insert(id("scheduler"), client(KeyId::ca(), "system:kube-scheduler", None));
    }
    for host in inventory.etcd_hosts() {
        let id = |name| KeyId::of_host(&host.name, name);
        wanted.insert(id("etcd/server"), etcd_member(host, algorithm));
        wanted.insert(id("etcd/peer"), etcd_member(host, algorithm));
        wanted.insert(
            id("etcd/healthcheck-client"),
            client(KeyId::etcd_ca(), "kube-etcd-healthcheck-client", None),
        );
    }
    for host in inventory.nodes() {
        let name = format!("system:node:{}", host.name);
        wanted.insert(
            KeyId::of_host(&host.name, "kubelet"),
            CertificateSpec::client(KeyId::ca(), name, Some("system:nodes"), algorithm),
        );
    }
    wanted
}

/// Serving certificates for the kubelets, signed by the cluster's CA. Not part of [`certificates`]:
/// with them the API server can verify kubelets from the first day, but nobody rotates them but us,
/// and a node that a plain `kubeadm join` adds later signs its own and is then refused.
pub fn kubelet_serving_certificates(inventory: &Inventory) -> BTreeMap<KeyId, CertificateSpec> {
    let serving = |host: &Host| CertificateSpec {
        common_name: format!("system:node:{}", host.name),
        organization: Some("system:nodes".to_owned()),
        dns_names: vec![host.name.to_string()],
        addresses: vec![host.address],
        usages: vec![Usage::ServerAuth],
        issuer: Some(KeyId::ca()),
        valid_hours: LEAF_HOURS,
        algorithm: inventory.pki.algorithm,
    };
    inventory.nodes().map(|host| (KeyId::of_host(&host.name, "kubelet-serving"), serving(host))).collect()
}

/// Names and addresses in kubeadm's order: own, service, advertised, endpoint, then the operator's.
fn api_server(inventory: &Inventory, host: &Host) -> CertificateSpec {
    let mut names = SubjectNames::default();
    names.add_name(host.name.as_str());
    for name in ["kubernetes", "kubernetes.default", "kubernetes.default.svc"] {
        names.add_name(name);
    }
    names.add_name(&format!("kubernetes.default.svc.{}", inventory.network.dns_domain));
    if let Some(address) = inventory.network.service_address(1) {
        names.add_address(address);
    }
    names.add_address(host.address);
    match &inventory.endpoint {
        // Clients of the balancer on their own loopback verify this very address.
        Endpoint::NodeLocal { .. } => names.add_address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Endpoint::External { host, .. } => names.add(host),
        Endpoint::Vip { address, .. } => names.add_address(*address),
    }
    for name in &inventory.api_server.cert_sans {
        names.add(name);
    }
    names.into_spec("kube-apiserver", vec![Usage::ServerAuth], KeyId::ca(), inventory.pki.algorithm)
}

fn etcd_member(host: &Host, algorithm: KeyAlgorithm) -> CertificateSpec {
    let mut names = SubjectNames::default();
    names.add_name(host.name.as_str());
    names.add_name("localhost");
    names.add_address(host.address);
    names.add_address(IpAddr::V4(Ipv4Addr::LOCALHOST));
    names.add_address(IpAddr::V6(Ipv6Addr::LOCALHOST));
    let usages = vec![Usage::ServerAuth, Usage::ClientAuth];
    names.into_spec(host.name.as_str(), usages, KeyId::etcd_ca(), algorithm)
}

/// Collects alternative names the way kubeadm does: names sorted, addresses in order, no duplicates.
#[derive(Default)]
struct SubjectNames {
    dns_names: BTreeSet<String>,
    addresses: Vec<IpAddr>,
}

impl SubjectNames {
    fn add(&mut self, text: &str) {
        match text.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(address) => self.add_address(address),
            Err(_) => self.add_name(text),
        }
    }

    fn add_name(&mut self, name: &str) {
        self.dns_names.insert(name.to_owned());
    }

    fn add_address(&mut self, address: IpAddr) {
        if !self.addresses.contains(&address) {
            self.addresses.push(address);
        }
    }

    fn into_spec(
        self,
        common_name: &str,
        usages: Vec<Usage>,
        issuer: KeyId,
        algorithm: KeyAlgorithm,
    ) -> CertificateSpec {
        CertificateSpec {
            common_name: common_name.to_owned(),
            organization: None,
            dns_names: self.dns_names.into_iter().collect(),
            addresses: self.addresses,
            usages,
            issuer: Some(issuer),
            valid_hours: LEAF_HOURS,
            algorithm,
        }
    }
}

/// Whether a certificate has used up two thirds of its life: renewing then leaves four months of a
/// one-year certificate to notice that renewal fails.
pub fn renewal_due(not_before: i64, not_after: i64, now: i64) -> bool {
    let life = not_after.saturating_sub(not_before);
    now >= not_before.saturating_add(life / 3 * 2)
}

#[cfg(test)]
#[path = "spec_tests.rs"]
pub(crate) mod tests;
