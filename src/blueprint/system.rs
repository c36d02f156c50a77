//! Preparation of the machine: packages, modules, sysctls, swap, binaries, images, and whose it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::files::{Files, text_file};
use super::kubelet::{keeps_swap, routes_pods};
use super::model::{Binary, FileGroup, OsFamily, SwapPolicy};
use super::static_pods::MANIFESTS_DIRECTORY;
use super::{
    CONFIG_DIRECTORY, CONTAINERD_UNIT, KUBELET_UNIT, KUBERNETES_DIRECTORY, keepalived, load_balancer,
    runs_etcd,
};
use crate::inventory::{Host, Inventory};
use crate::release::MinorRelease;
use crate::release::catalog::Image;

/// What `routes` chains and what the supported network plugins expect to find; they bring their own beside.
const CNI_PLUGINS: [&str; 7] =
    ["bandwidth", "bridge", "firewall", "host-local", "loopback", "portmap", "tuning"];

/// What every host has.
pub(super) fn add_shared(files: &mut Files) {
    files.directory(CONFIG_DIRECTORY, 0o755);
    files.directory(KUBERNETES_DIRECTORY, 0o755);
    // Workers have it too: a kubelet without it logs an error at every start.
    files.directory(MANIFESTS_DIRECTORY, 0o700);
}

/// The kernel as this kind of host needs it. A host for etcd only forwards nothing.
pub(super) fn add_kernel(files: &mut Files, inventory: &Inventory, is_node: bool) {
    let modules: String = modules(is_node).iter().map(|module| format!("{module}\n")).collect();
    files.add("/etc/modules-load.d/keelwright.conf", text_file(FileGroup::System, 0o644, modules));
    if !is_node {
        return;
    }
    // 99: a distribution's own file must not switch forwarding off again.
    let sysctls: String =
        sysctls(inventory).iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    files.add("/etc/sysctl.d/99-keelwright.conf", text_file(FileGroup::System, 0o644, sysctls));
}

/// What tells this host from others: its marker, and the place of its etcd member's data.
pub(super) fn add_files(files: &mut Files, inventory: &Inventory, cluster_uid: &str, host: &Host) {
    if runs_etcd(inventory, host) {
        files.directory(inventory.etcd.data_dir.as_str(), 0o700);
    }
    let marker = json!({ "cluster": inventory.name, "uid": cluster_uid, "host": host.name });
    let path = format!("{CONFIG_DIRECTORY}/host.json");
    files.add(&path, text_file(FileGroup::System, 0o644, format!("{marker}\n")));
}

/// overlay: containerd's snapshots. br_netfilter: lets kube-proxy see what crosses a bridge.
pub(super) fn modules(is_node: bool) -> BTreeSet<String> {
    let modules: &[&str] = if is_node { &["br_netfilter", "overlay"] } else { &["overlay"] };
    modules.iter().map(|module| (*module).to_owned()).collect()
}

pub(super) fn sysctls(inventory: &Inventory) -> BTreeMap<String, String> {
    let mut sysctls = BTreeMap::from([
        ("net.bridge.bridge-nf-call-ip6tables", "1"),
        ("net.bridge.bridge-nf-call-iptables", "1"),
        ("net.ipv4.ip_forward", "1"),
    ]);
    let network = &inventory.network;
    if network.pod_cidrs.iter().chain(&network.service_cidrs).any(|range| range.addr().is_ipv6()) {
        sysctls.insert("net.ipv6.conf.all.forwarding", "1");
    }
    if inventory.kubelet.config.get("protectKernelDefaults") == Some(&Value::Bool(true)) {
        // The kubelet sets these itself unless it is told to protect them; then it refuses to start
        // with any other value.
        sysctls.extend([
            ("kernel.keys.root_maxbytes", "25000000"),
            ("kernel.keys.root_maxkeys", "1000000"),
            ("kernel.panic", "10"),
            ("kernel.panic_on_oops", "1"),
            ("vm.overcommit_memory", "1"),
            ("vm.panic_on_oom", "0"),
        ]);
    }
    sysctls.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

pub(super) fn swap(inventory: &Inventory) -> SwapPolicy {
    if keeps_swap(inventory) { SwapPolicy::Keep } else { SwapPolicy::Off }
}

pub(super) fn packages(inventory: &Inventory, host: &Host, family: OsFamily) -> BTreeSet<String> {
    let mut packages = match family {
        OsFamily::Debian => vec!["iproute2", "kmod", "mount", "util-linux"],
        OsFamily::RedHat => vec!["iproute", "kmod", "util-linux"],
    };
    // Components are asked on the host itself whether they are ready.
    if host.is_control_plane() || runs_etcd(inventory, host) {
        packages.push("curl");
    }
    if host.is_node() {
        packages.extend(["ethtool", "socat"]);
        packages.extend(match family {
            OsFamily::Debian => ["conntrack", "iptables"],
            OsFamily::RedHat => ["conntrack-tools", "iptables-nft"],
        });
        if routes_pods(inventory) {
            packages.push("nftables");
        }
        if load_balancer::is_wanted(inventory) {
            packages.push("haproxy");
        }
        if keepalived::is_wanted(inventory, host) {
            packages.push("keepalived");
        }
    }
    packages.into_iter().map(str::to_owned).collect()
}

/// Programs of the bundle. None is a package, so nothing has to be held back from a distribution's upgrade.
pub(super) fn binaries(host: &Host) -> BTreeMap<String, Binary> {
    let mut binaries = BTreeMap::new();
    let mut add = |directory: &str, name: &str, unit: Option<&str>| {
        let restarts = unit.map(str::to_owned).into_iter().collect();
        let binary = Binary { artifact: name.to_owned(), mode: 0o755, restarts };
        binaries.insert(format!("{directory}/{name}"), binary);
    };
    add("/usr/local/bin", "containerd", Some(CONTAINERD_UNIT));
    // A new shim or runc serves the next container; those that run keep theirs.
    add("/usr/local/bin", "containerd-shim-runc-v2", None);
    add("/usr/local/bin", "ctr", None);
    add("/usr/local/bin", "crictl", None);
    add("/usr/local/bin", "kubelet", Some(KUBELET_UNIT));
    add("/usr/local/sbin", "runc", None);
    if host.is_control_plane() {
        add("/usr/local/bin", "kubectl", None);
    }
    if host.is_node() {
        for plugin in CNI_PLUGINS {
            add("/opt/cni/bin", plugin, None);
        }
    }
    binaries
}

/// Images that must be there before the static pods and add-ons ask for them: kubeadm's, by role. Those of
/// manifests come with the bundle that has the manifest.
pub(super) fn images(inventory: &Inventory, release: &MinorRelease, host: &Host) -> BTreeSet<String> {
    let mut images = vec![Image::Pause];
    if host.is_control_plane() {
        images.extend([Image::ApiServer, Image::ControllerManager, Image::Scheduler]);
    }
    if runs_etcd(inventory, host) {
        images.push(Image::Etcd);
    }
    if host.is_node() {
        images.push(Image::CoreDns);
        if inventory.kube_proxy.enabled {
            images.push(Image::KubeProxy);
        }
    }
    images.into_iter().map(|image| release.image(image, inventory.version)).collect()
}
