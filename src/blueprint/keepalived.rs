//! A virtual address that keepalived moves among the control planes.

use std::net::IpAddr;

use minijinja::context;

use super::files::{Files, text_file};
use super::model::FileGroup;
use super::{CONFIG_DIRECTORY, api_server_port, socket_address};
use crate::inventory::{Endpoint, Host, Inventory};
use crate::render::render;

pub const UNIT: &str = "keelwright-vip.service";
const INTERFACE_FILE: &str = "/run/keelwright/vip-interface.conf";

/// Whether the host may carry the address.
pub(super) fn is_wanted(inventory: &Inventory, host: &Host) -> bool {
    matches!(inventory.endpoint, Endpoint::Vip { .. }) && host.is_control_plane()
}

pub(super) fn add_files(files: &mut Files, inventory: &Inventory, host: &Host) {
    let Endpoint::Vip { address, interface, .. } = &inventory.endpoint else { return };
    let peers: Vec<String> = inventory
        .control_planes()
        .filter(|peer| peer.name != host.name)
        .map(|peer| peer.address.to_string())
        .collect();
    let position = inventory.control_planes().position(|peer| peer.name == host.name).unwrap_or_default();
    let config = render(
        "keepalived.conf",
        include_str!("../../templates/keepalived/keepalived.conf.j2"),
        context! {
            address => address.to_string(),
            prefix => if address.is_ipv4() { 32 } else { 128 },
            router_id => router_id(*address),
            // Higher than any other before it in the list; equal ones would be settled by address anyway.
            priority => 200_usize.saturating_sub(position).max(1),
            own => host.address.to_string(),
            peers => peers,
            interface => interface,
            interface_file => INTERFACE_FILE,
            endpoint => socket_address(host.address, api_server_port(inventory)),
        },
    );
    let path = format!("{CONFIG_DIRECTORY}/keepalived.conf");
    files.add_for(&path, text_file(FileGroup::System, 0o600, config), UNIT);
    let unit = render(
        UNIT,
        include_str!("../../templates/keepalived/keelwright-vip.service.j2"),
        context! {
            config => path,
            own => host.address.to_string(),
            interface => interface,
            interface_file => INTERFACE_FILE,
        },
    );
    files.add_for(&format!("/etc/systemd/system/{UNIT}"), text_file(FileGroup::System, 0o644, unit), UNIT);
}

/// VRRP's group on the link, 1 to 255, by the address so that two clusters on one link differ.
fn router_id(address: IpAddr) -> u8 {
    let last = match address {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(v6) => v6.octets()[15],
    };
    last.max(1)
}
