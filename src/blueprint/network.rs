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
use super::model::FileGroup;
use crate::inventory::{Host, HostName, Inventory, NetworkPlugin};
use crate::render::render;

pub const UNIT: &str = "keelwright-routes.service";
/// Marks our routes in the kernel's tables, so that stale ones are known; 91 is in no one's rt_protos.
const ROUTE_PROTOCOL: u8 = 91;

/// Adds the host's part of the pod network.
pub(super) fn add_files(
    files: &mut Files,
    inventory: &Inventory,
    pod_cidrs: &BTreeMap<HostName, Vec<IpNet>>,
    host: &Host,
) {
    // CIS 1.1.9: what the runtime reads as root is root's alone.
    files.directory("/etc/cni/net.d", 0o755);
    files.directory("/opt/cni/bin", 0o755);
    let NetworkPlugin::Routes { mtu } = inventory.network.plugin else { return };
    let own = pod_cidrs.get(&host.name).map(Vec::as_slice).unwrap_or_default();

    let path = "/etc/cni/net.d/10-keelwright.conflist";
    files.add(path, text_file(FileGroup::Config, 0o600, cni_configuration(own, mtu)));

    let routes: Vec<_> = peer_routes(inventory, pod_cidrs, host)
        .into_iter()
        .map(|(range, via)| context! { range => range.to_string(), via => via.to_string() })
        .collect();
    let batch = render(
        "routes.batch",
        include_str!("../../templates/network/routes.batch.j2"),
        context! { routes => routes, protocol => ROUTE_PROTOCOL },
    );
    let of = |family: fn(&&IpNet) -> bool, ranges: &[IpNet]| -> Vec<String> {
        ranges.iter().filter(family).map(ToString::to_string).collect()
    };
    let v4: fn(&&IpNet) -> bool = |range| matches!(range, IpNet::V4(_));
    let v6: fn(&&IpNet) -> bool = |range| matches!(range, IpNet::V6(_));
    let all = &inventory.network.pod_cidrs;
    let nft = render(
        "routes.nft",
        include_str!("../../templates/network/routes.nft.j2"),
        context! { own4 => of(v4, own), own6 => of(v6, own), all4 => of(v4, all), all6 => of(v6, all) },
    );
    let script = render(
        "routes.sh",
        include_str!("../../templates/network/routes.sh.j2"),
        context! {
            directory => CONFIG_DIRECTORY,
            protocol => ROUTE_PROTOCOL,
            all4 => of(v4, all),
            all6 => of(v6, all),
        },
    );
    let unit = render(
        UNIT,
        include_str!("../../templates/network/keelwright-routes.service.j2"),
        context! { directory => CONFIG_DIRECTORY },
    );
    for (name, mode, text) in
        [("routes.batch", 0o644, batch), ("routes.nft", 0o644, nft), ("routes.sh", 0o755, script)]
    {
        files.add_for(&format!("{CONFIG_DIRECTORY}/{name}"), text_file(FileGroup::System, mode, text), UNIT);
    }
    files.add_for(&format!("/etc/systemd/system/{UNIT}"), text_file(FileGroup::System, 0o644, unit), UNIT);

    // Unless told otherwise networkd drops the routes it did not make itself whenever it restarts.
    files.directory("/etc/systemd/networkd.conf.d", 0o755);
    let networkd = "[Network]\nManageForeignRoutes=no\n";
    files.add(
        "/etc/systemd/networkd.conf.d/10-keelwright.conf",
        text_file(FileGroup::System, 0o644, networkd),
    );
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

/// The ranges of the other nodes, each through its node's address of that family.
fn peer_routes(
    inventory: &Inventory,
    pod_cidrs: &BTreeMap<HostName, Vec<IpNet>>,
    host: &Host,
) -> Vec<(IpNet, IpAddr)> {
    let mut routes = Vec::new();
    for peer in inventory.nodes().filter(|peer| peer.name != host.name) {
        for range in pod_cidrs.get(&peer.name).into_iter().flatten() {
            let mut addresses = std::iter::once(peer.address).chain(peer.secondary_address);
            let via = addresses.find(|address| address.is_ipv4() == range.addr().is_ipv4());
            routes.extend(via.map(|via| (*range, via)));
        }
    }
    routes
}
