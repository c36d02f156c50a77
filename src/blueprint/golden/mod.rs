//! Our files beside those of real kubeadm binaries (tests/golden/kubeadm), decoded, for every supported minor.
//!
//! Every difference that is meant stands in [`DIFFERENCES`] and in docs/kubeadm-differences.md.

mod compare;
mod record;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::*;
use crate::inventory::{Origin, parse};
use crate::release::{KubeVersion, release_of};

/// What differs on purpose: a name, where, and why.
pub(super) const DIFFERENCES: [(&str, &str, &str); 8] = [
    (
        "full-initial-cluster",
        "manifests/etcd.yaml --initial-cluster",
        "kubeadm names only the member itself; a member that lost its data would then found an empty cluster. \
         We name all members: alone it has no quorum.",
    ),
    (
        "no-super-admin",
        "super-admin.conf",
        "It bypasses RBAC and no host needs it once the binding of kubeadm:cluster-admins exists. The \
         operator's vault keeps it.",
    ),
    (
        "kubelet-conf-style",
        "kubelet.conf",
        "kubeadm's init embeds a client certificate that `kubelet-finalize` later replaces by the path of the \
         rotated pair. We write the final form, with the pair, at once.",
    ),
    (
        "kubelet-modes",
        "/var/lib/kubelet/{config.yaml,instance-config.yaml,kubeadm-flags.env}",
        "kubeadm writes 0644; with `security.cis` we write 0600 (CIS 4.1.9). kubeadm keeps the mode of a file \
         that exists.",
    ),
    (
        "external-ca-keys",
        "pki/{ca,front-proxy-ca,etcd/ca}.key with `pki.externalCA`",
        "kubeadm's external CA mode means ca.key and tolerates the others; ours keeps all three with the operator.",
    ),
    (
        "dedicated-etcd-client",
        "pki/apiserver-etcd-client.{crt,key} and pki/etcd/ca.crt with etcd on hosts of its own",
        "kubeadm expects the operator to bring the files of etcd.external; we issue them.",
    ),
    (
        "node-ip",
        "kubeadm-flags.env --node-ip",
        "kubeadm leaves the choice to the kubelet, which takes the address of the default route. We always give \
         the host's address, as kubeletExtraArgs would.",
    ),
    (
        "extra-flags",
        "manifests/*.yaml flags and mounts of encryption, audit and CIS settings; --shutdown-*",
        "They are the `security` section's; the last give balancers the time to notice that an API server \
         goes. kubeadm makes the same pods when it is given them as extraArgs and \
         extraVolumes, and kubeadm-config has them, so an upgrade by kubeadm keeps them.",
    ),
];

const SCENARIOS: [&str; 5] = ["plain", "hardened", "ipv6", "external-etcd", "external-ca"];
const CLUSTER_UID: &str = "8f14e45f-ceea-467f-a0e6-1c1e3c2a7f10";
/// CA directories in the recording's root file system.
const PRESENT_CA_DIRECTORIES: [&str; 2] = ["/etc/ca-certificates", "/usr/share/ca-certificates"];

fn directory() -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kubeadm")
}

fn inventory(scenario: &str, version: &str) -> Inventory {
    let file = directory().join(format!("inputs/{scenario}.inventory.yaml"));
    let text = std::fs::read_to_string(&file).unwrap().replace("VERSION", version);
    let origin = Origin { file: file.as_str(), base: Utf8Path::new("/srv"), home: None };
    parse(text.as_bytes(), &origin).unwrap_or_else(|problems| panic!("{problems}")).0
}

/// The blueprint of `host` in a scenario, on a machine like the recording's: it is called something else.
fn blueprint(scenario: &str, version: &str, host: &str) -> HostBlueprint {
    let inventory = inventory(scenario, version);
    let release = release_of(KubeVersion::parse(version).unwrap()).unwrap();
    let traits = HostTraits {
        ca_directories: PRESENT_CA_DIRECTORIES.map(str::to_owned).into(),
        hostname: Some("recorder".to_owned()),
        ..HostTraits::default()
    };
    let pod_cidrs = assign_pod_cidrs(&inventory, &BTreeMap::new()).unwrap();
    let identity = ClusterIdentity { uid: CLUSTER_UID, etcd_token: CLUSTER_UID };
    host_blueprint(&inventory, release, identity, &pod_cidrs, &inventory.hosts[host], &traits)
}

/// The recorded versions: at least the default patch of every supported minor once all are there.
fn versions() -> Vec<String> {
    let entries = std::fs::read_dir(directory()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let has_hosts = |name: &String| directory().join(name).join(SCENARIOS[0]).is_dir();
    let mut versions: Vec<String> = names.filter(has_hosts).collect();
    versions.sort();
    versions
}

fn recorded(version: &str, scenario: &str, name: &str) -> Option<Value> {
    let path = directory().join(version).join(scenario).join(name);
    let text = std::fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}
