//! The controller manager.

use k8s_openapi::api::core::v1::Pod;

use super::{
    Component, Context, Probes, certificate_mounts, command, component_pod, default_arg, host_path,
    kubeconfig, pki, probe_address,
};
use crate::blueprint::joined;
use crate::inventory::ExtraArg;
use crate::release::catalog::Image;

const FLEXVOLUME_DIRECTORY: &str = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec";

pub(super) fn pod(context: &Context<'_>) -> Pod {
    let extras = &context.extras.controller_manager;
    let mut mounts = certificate_mounts(context.traits);
    mounts.push(host_path("kubeconfig", &kubeconfig("controller-manager"), true, "FileOrCreate"));
    if context.release.kcm_flexvolume {
        mounts.push(host_path("flexvolume-dir", FLEXVOLUME_DIRECTORY, false, "DirectoryOrCreate"));
    }
    mounts.extend(extras.mounts.iter().cloned());
    component_pod(Component {
        name: "kube-controller-manager",
        image: context.release.image(Image::ControllerManager, context.inventory.version),
        command: command("kube-controller-manager", defaults(context), &extras.args),
        probes: Probes {
            address: probe_address(extras),
            port: 10257,
            scheme: "HTTPS",
            liveness: "/healthz",
            readiness: None,
            startup: "/healthz",
        },
        cpu: "200m",
        memory: None,
        mounts,
        keep_mount_order: false,
        annotation: None,
    })
}

fn defaults(context: &Context<'_>) -> Vec<ExtraArg> {
    let inventory = context.inventory;
    let network = &inventory.network;
    let own = kubeconfig("controller-manager");
    // Without the CA's key on the host there is nothing to sign with; empty flags switch the signer off.
    let signing = |file: &str| if inventory.pki.external_ca { String::new() } else { pki(file) };
    vec![
        default_arg("allocate-node-cidrs", "true"),
        default_arg("authentication-kubeconfig", &own),
        default_arg("authorization-kubeconfig", &own),
        default_arg("bind-address", "127.0.0.1"),
        default_arg("client-ca-file", pki("ca.crt")),
        default_arg("cluster-cidr", joined(&network.pod_cidrs)),
        default_arg("cluster-name", inventory.name.as_str()),
        default_arg("cluster-signing-cert-file", signing("ca.crt")),
        default_arg("cluster-signing-key-file", signing("ca.key")),
        default_arg("controllers", "*,bootstrapsigner,tokencleaner"),
        default_arg("kubeconfig", &own),
        default_arg("leader-elect", "true"),
        default_arg("requestheader-client-ca-file", pki("front-proxy-ca.crt")),
        default_arg("root-ca-file", pki("ca.crt")),
        default_arg("service-account-private-key-file", pki("sa.key")),
        default_arg("service-cluster-ip-range", joined(&network.service_cidrs)),
        default_arg("use-service-account-credentials", "true"),
    ]
}
