//! The node-local balancer: haproxy on the loopback of every node, in front of all API servers.
//!
//! It passes TCP through, so TLS is between client and API server and haproxy holds no key. It is a unit of
//! ours beside the distribution's `haproxy.service`, which stays stopped: an operator may have plans for it.

use minijinja::context;

use super::files::{Files, text_file};
use super::model::FileGroup;
use super::{CONFIG_DIRECTORY, api_server_port, socket_address};
use crate::inventory::{Endpoint, Inventory};
use crate::render::render;

pub const UNIT: &str = "keelwright-apiserver-lb.service";

/// Whether nodes have one.
pub(super) fn is_wanted(inventory: &Inventory) -> bool {
    matches!(inventory.endpoint, Endpoint::NodeLocal { .. })
}

pub(super) fn add_files(files: &mut Files, inventory: &Inventory) {
    let Endpoint::NodeLocal { port } = inventory.endpoint else { return };
    let servers: Vec<_> = inventory
        .control_planes()
        .map(|host| {
            let address = socket_address(host.address, api_server_port(inventory));
            context! { name => host.name.as_str(), address => address }
        })
        .collect();
    let config = render(
        "haproxy.cfg",
        include_str!("../../templates/load-balancer/haproxy.cfg.j2"),
        context! {
            port => port,
            ipv6 => inventory.nodes().any(|host| host.address.is_ipv6()),
            servers => servers,
            interval => check_interval(inventory.nodes().count()),
        },
    );
    let path = format!("{CONFIG_DIRECTORY}/haproxy.cfg");
    files.add_for(&path, text_file(FileGroup::System, 0o644, config), UNIT);
    let unit = render(
        UNIT,
        include_str!("../../templates/load-balancer/keelwright-apiserver-lb.service.j2"),
        context! { config => path },
    );
    files.add_for(&format!("/etc/systemd/system/{UNIT}"), text_file(FileGroup::System, 0o644, unit), UNIT);
}

/// Seconds between health checks. Every node asks every API server, with a TLS handshake each: at 2 s five
/// thousand nodes would cost each API server 2500 handshakes a second. In few steps, because a change
/// reloads the balancer of every node.
pub(super) fn check_interval(nodes: usize) -> u32 {
    match nodes {
        0..=100 => 2,
        101..=1000 => 10,
        _ => 30,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_checks_cost_an_api_server_at_most_two_hundred_handshakes_a_second() {
        for nodes in [1, 100, 101, 1000, 1001, 5000] {
            assert!(nodes / check_interval(nodes) as usize <= 200, "{nodes} nodes");
        }
    }
}
