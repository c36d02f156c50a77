//! The `routes` plugin: a bridge on each host, and routes between hosts that share a link.
//!
//! No image and no daemon: a CNI configuration, a oneshot unit that installs routes to the other hosts'
//! pods, and an nft table that hides pods behind their host when they talk to the world.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use minijinja::context;
use serde_json::json;

use super::CONFIG_DIRECTORY;
use super::files::{Files, text_file};
use super::kubelet::routes_pods;
use super::model::FileGroup;
use crate::inventory::{Host, HostName, Inventory, NetworkPlugin};
use crate::render::render;

pub const UNIT: &str = "keelwright-routes.service";
/// Marks our routes in the kernel's tables, so that stale ones are known; 91 is in no one's rt_protos.
const ROUTE_PROTOCOL: u8 = 91;

/// What every node has of the pod network. The list of routes is the same everywhere too: each host leaves
/// out the ones to itself, and a thousand nodes share one text.
pub(super) fn add_shared(
    files: &mut Files,
    inventory: &Inventory,
    pod_cidrs: &BTreeMap<HostName, Vec<IpNet>>,
) {
    files.directory("/etc/cni/net.d", 0o755);
    files.directory("/opt/cni/bin", 0o755);
    if !routes_pods(inventory) {
        return;
    }
    let ranges = |v4: bool| -> Vec<String> {
        let all = inventory.network.pod_cidrs.iter();
        all.filter(|range| range.addr().is_ipv4() == v4).map(ToString::to_string).collect()
    };
    let context = context! {
        directory => CONFIG_DIRECTORY,
        protocol => ROUTE_PROTOCOL,
        ranges4 => ranges(true),
        ranges6 => ranges(false),
    };
    let nft = include_str!("../../templates/network/routes.nft.j2");
    let script = include_str!("../../templates/network/routes.sh.j2");
    let unit = include_str!("../../templates/network/keelwright-routes.service.j2");
    for (path, mode, text) in [
        (format!("{CONFIG_DIRECTORY}/routes.batch"), 0o644, routes(inventory, pod_cidrs)),
        (format!("{CONFIG_DIRECTORY}/routes.nft"), 0o644, render("routes.nft", nft, context.clone())),
        (format!("{CONFIG_DIRECTORY}/routes.sh"), 0o755, render("routes.sh", script, context.clone())),
        (format!("/etc/systemd/system/{UNIT}"), 0o644, render(UNIT, unit, context)),
    ] {
        files.add_for(&path, text_file(FileGroup::System, mode, text), UNIT);
    }

    // Unless told otherwise networkd drops the routes it did not make itself whenever it restarts.
    files.directory("/etc/systemd/networkd.conf.d", 0o755);
    let networkd = "[Network]\nManageForeignRoutes=no\n";
    files.add(
        "/etc/systemd/networkd.conf.d/10-keelwright.conf",
        text_file(FileGroup::System, 0o644, networkd),
    );
}

/// Adds the host's own part: its ranges, and which routes of the list are its own.
pub(super) fn add_files(
    files: &mut Files,
    inventory: &Inventory,
    pod_cidrs: &BTreeMap<HostName, Vec<IpNet>>,
    host: &Host,
) {
    let NetworkPlugin::Routes { mtu } = inventory.network.plugin else { return };
    let own = pod_cidrs.get(&host.name).map(Vec::as_slice).unwrap_or_default();
    // CIS 1.1.9: what the runtime reads as root is root's alone.
    let path = "/etc/cni/net.d/10-keelwright.conflist";
    files.add(path, text_file(FileGroup::Config, 0o600, cni_configuration(own, mtu)));
    let own: String = addresses(host).map(|address| format!(" via {address} proto\n")).collect();
    let path = format!("{CONFIG_DIRECTORY}/routes.own");
    files.add_for(&path, text_file(FileGroup::System, 0o644, own), UNIT);
}

fn addresses(host: &Host) -> impl Iterator<Item = IpAddr> {
    std::iter::once(host.address).chain(host.secondary_address)
}

/// The bridge `cni0` with addresses from the host's own ranges, and published ports.
fn cni_configuration(own: &[IpNet], mtu: Option<u32>) -> String {
    let ranges: Vec<_> = own.iter().map(|range| json!([{ "subnet": range.to_string() }])).collect();
    let routes: Vec<_> = own
        .iter()
        .map(|range| match range {
            IpNet::V4(_) => json!({ "dst": "0.0.0.0/0" }),
            IpNet::V6(_) => json!({ "dst": "::/0" }),
        })
        .collect();
    let mut bridge = json!({
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": true,
        // A pod must reach itself through its own Service.
        "hairpinMode": true,
        "ipMasq": false,
        "ipam": { "type": "host-local", "ranges": ranges, "routes": routes },
    });
    if let Some(mtu) = mtu {
        bridge["mtu"] = mtu.into();
    }
    let list = json!({
        "cniVersion": "1.0.0",
        "name": "keelwright",
        "plugins": [bridge, { "type": "portmap", "capabilities": { "portMappings": true } }],
    });
    format!("{list:#}\n")
}

/// The ranges of all nodes, each through its node's address of that family, as `ip -batch` reads them.
fn routes(inventory: &Inventory, pod_cidrs: &BTreeMap<HostName, Vec<IpNet>>) -> String {
    let mut text = String::new();
    for host in inventory.nodes() {
        for range in pod_cidrs.get(&host.name).into_iter().flatten() {
            if let Some(via) = addresses(host).find(|via| via.is_ipv4() == range.addr().is_ipv4()) {
                text.push_str(&format!("route replace {range} via {via} proto {ROUTE_PROTOCOL}\n"));
            }
        }
    }
    text
}
