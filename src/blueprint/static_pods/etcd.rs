//! The etcd member, stacked on a control plane or on a host of its own.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

use super::{
    Component, Context, Probes, command, component_pod, default_arg, host_path, last_value, loopback, pki,
};
use crate::blueprint::socket_address;
use crate::inventory::Host;
use crate::release::catalog::Image;

const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
const METRICS_PORT: u16 = 2381;

/// Where clients reach the member on `host`.
pub(in crate::blueprint) fn client_url(host: &Host) -> String {
    format!("https://{}", socket_address(host.address, CLIENT_PORT))
}

fn peer_url(host: &Host) -> String {
    format!("https://{}", socket_address(host.address, PEER_PORT))
}

pub(super) fn pod(context: &Context<'_>) -> Pod {
    let (inventory, host) = (context.inventory, context.host);
    let local = loopback(host);
    let local_ip: IpAddr = match host.address {
        IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    let client = client_url(host);
    let mut defaults = vec![
        default_arg("advertise-client-urls", &client),
        default_arg("cert-file", pki("etcd/server.crt")),
        default_arg("client-cert-auth", "true"),
        default_arg("data-dir", inventory.etcd.data_dir.as_str()),
        default_arg("feature-gates", "InitialCorruptCheck=true"),
        default_arg("initial-advertise-peer-urls", peer_url(host)),
        default_arg("initial-cluster", initial_cluster(context)),
        default_arg("key-file", pki("etcd/server.key")),
        default_arg(
            "listen-client-urls",
            format!("https://{},{client}", socket_address(local_ip, CLIENT_PORT)),
        ),
        default_arg("listen-metrics-urls", format!("http://{}", socket_address(local_ip, METRICS_PORT))),
        default_arg("listen-peer-urls", peer_url(host)),
        default_arg("name", host.name.as_str()),
        default_arg("peer-cert-file", pki("etcd/peer.crt")),
        default_arg("peer-client-cert-auth", "true"),
        default_arg("peer-key-file", pki("etcd/peer.key")),
        default_arg("peer-trusted-ca-file", pki("etcd/ca.crt")),
        default_arg("snapshot-count", "10000"),
        default_arg("trusted-ca-file", pki("etcd/ca.crt")),
        default_arg("watch-progress-notify-interval", "5s"),
    ];
    // `new` is etcd's default and kubeadm leaves it out.
    if let Some(initial) = context.traits.etcd_initial.as_ref().filter(|initial| initial.state != "new") {
        defaults.push(default_arg("initial-cluster-state", &initial.state));
    }
    let extras = &context.extras.etcd;
    let (address, port, scheme) = metrics_endpoint(last_value(&extras.args, "listen-metrics-urls"), local);
    let mut mounts = vec![
        host_path("etcd-data", inventory.etcd.data_dir.as_str(), false, "DirectoryOrCreate"),
        host_path("etcd-certs", &pki("etcd"), false, "DirectoryOrCreate"),
    ];
    mounts.extend(extras.mounts.iter().cloned());
    component_pod(Component {
        name: "etcd",
        image: context.release.image(Image::Etcd, inventory.version),
        command: command("etcd", defaults, &extras.args),
        probes: Probes {
            address: Some(address),
            port,
            scheme,
            liveness: "/livez",
            readiness: Some("/readyz"),
            startup: "/readyz",
        },
        cpu: "100m",
        memory: Some("100Mi"),
        mounts,
        keep_mount_order: true,
        annotation: Some(("kubeadm.kubernetes.io/etcd.advertise-client-urls", client)),
    })
}

/// All members, not only this one as kubeadm has it: a member that lost its data and starts alone would
/// otherwise found an empty cluster of its own, and its API server would serve that.
fn initial_cluster(context: &Context<'_>) -> String {
    if let Some(initial) = &context.traits.etcd_initial {
        return initial.cluster.clone();
    }
    let members =
        context.inventory.etcd_hosts().map(|host| format!("{}={}", host.name.as_str(), peer_url(host)));
    members.collect::<Vec<_>>().join(",")
}

/// The first of the operator's metrics URLs, or kubeadm's own.
fn metrics_endpoint(urls: Option<&str>, local: &str) -> (String, i32, &'static str) {
    let fallback = (local.to_owned(), i32::from(METRICS_PORT), "HTTP");
    let Some(url) = urls.and_then(|urls| urls.split(',').next()) else { return fallback };
    let Some((scheme, rest)) = url.split_once("://") else { return fallback };
    let scheme = if scheme == "https" { "HTTPS" } else { "HTTP" };
    let authority = rest.split('/').next().unwrap_or_default();
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse::<u16>().ok()),
        Some(_) | None => (authority, None),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let name = if name.is_empty() { local } else { name };
    (name.to_owned(), i32::from(port.unwrap_or(METRICS_PORT)), scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_follow_the_first_metrics_url() {
        for (urls, expected) in [
            (None, ("127.0.0.1", 2381, "HTTP")),
            (Some("http://0.0.0.0:2381"), ("0.0.0.0", 2381, "HTTP")),
            (Some("https://10.0.0.1:9000,http://127.0.0.1:1"), ("10.0.0.1", 9000, "HTTPS")),
            (Some("http://[::1]:2382"), ("::1", 2382, "HTTP")),
            (Some("http://[::1]"), ("::1", 2381, "HTTP")),
            (Some("nonsense"), ("127.0.0.1", 2381, "HTTP")),
        ] {
            let (address, port, scheme) = metrics_endpoint(urls, "127.0.0.1");
            assert_eq!((address.as_str(), port, scheme), expected, "{urls:?}");
        }
    }
}
