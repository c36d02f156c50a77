//! The API server.

use k8s_openapi::api::core::v1::Pod;

use super::{
    Component, Context, Probes, certificate_mounts, client_url, command, component_pod, default_arg,
    last_value, loopback, pki,
};
use crate::blueprint::{joined, socket_address};
use crate::inventory::{EtcdPlacement, ExtraArg};
use crate::release::catalog::Image;

pub(super) fn pod(context: &Context<'_>) -> Pod {
    let (host, port) = (context.host, context.api_port);
    let extras = &context.extras.api_server;
    let mut mounts = certificate_mounts(context.traits);
    mounts.extend(extras.mounts.iter().cloned());
    component_pod(Component {
        name: "kube-apiserver",
        image: context.release.image(Image::ApiServer, context.inventory.version),
        command: command("kube-apiserver", defaults(context), &extras.args),
        probes: Probes {
            address: Some(host.address.to_string()),
            port: i32::from(port),
            scheme: "HTTPS",
            liveness: "/livez",
            readiness: Some("/readyz"),
            startup: "/livez",
        },
        cpu: "250m",
        memory: None,
        mounts,
        keep_mount_order: false,
        annotation: Some((
            "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint",
            socket_address(host.address, port),
        )),
    })
}

fn defaults(context: &Context<'_>) -> Vec<ExtraArg> {
    let network = &context.inventory.network;
    let mut defaults = vec![
        default_arg("advertise-address", context.host.address.to_string()),
        default_arg("allow-privileged", "true"),
        default_arg("client-ca-file", pki("ca.crt")),
        default_arg("enable-admission-plugins", "NodeRestriction"),
        default_arg("enable-bootstrap-token-auth", "true"),
        default_arg("etcd-cafile", pki("etcd/ca.crt")),
        default_arg("etcd-certfile", pki("apiserver-etcd-client.crt")),
        default_arg("etcd-keyfile", pki("apiserver-etcd-client.key")),
        default_arg("etcd-servers", etcd_servers(context)),
        default_arg("kubelet-client-certificate", pki("apiserver-kubelet-client.crt")),
        default_arg("kubelet-client-key", pki("apiserver-kubelet-client.key")),
        default_arg("kubelet-preferred-address-types", "InternalIP,ExternalIP,Hostname"),
        default_arg("proxy-client-cert-file", pki("front-proxy-client.crt")),
        default_arg("proxy-client-key-file", pki("front-proxy-client.key")),
        default_arg("requestheader-allowed-names", "front-proxy-client"),
        default_arg("requestheader-client-ca-file", pki("front-proxy-ca.crt")),
        default_arg("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        default_arg("requestheader-group-headers", "X-Remote-Group"),
        default_arg("requestheader-username-headers", "X-Remote-User"),
        default_arg("secure-port", context.api_port.to_string()),
        default_arg(
            "service-account-issuer",
            format!("https://kubernetes.default.svc.{}", network.dns_domain),
        ),
        default_arg("service-account-key-file", pki("sa.pub")),
        default_arg("service-account-signing-key-file", pki("sa.key")),
        default_arg("service-cluster-ip-range", joined(&network.service_cidrs)),
        default_arg("tls-cert-file", pki("apiserver.crt")),
        default_arg("tls-private-key-file", pki("apiserver.key")),
    ];
    if last_value(&context.extras.api_server.args, "authorization-config").is_none() {
        defaults.push(default_arg("authorization-mode", "Node,RBAC"));
    }
    defaults
}

fn etcd_servers(context: &Context<'_>) -> String {
    match context.inventory.etcd.placement {
        // An operator who moves etcd's client address moves the API server with it, as kubeadm does.
        EtcdPlacement::Stacked => match last_value(&context.extras.etcd.args, "advertise-client-urls") {
            Some(urls) => urls.to_owned(),
            None if loopback(context.host) == "::1" => "https://[::1]:2379".to_owned(),
            None => "https://127.0.0.1:2379".to_owned(),
        },
        EtcdPlacement::Dedicated => {
            context.inventory.etcd_hosts().map(client_url).collect::<Vec<_>>().join(",")
        }
    }
}
