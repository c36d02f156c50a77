//! The scheduler.

use k8s_openapi::api::core::v1::Pod;

use super::{
    Component, Context, Probes, command, component_pod, default_arg, host_path, kubeconfig, probe_address,
};
use crate::release::catalog::Image;

pub(super) fn pod(context: &Context<'_>) -> Pod {
    let extras = &context.extras.scheduler;
    let own = kubeconfig("scheduler");
    let defaults = vec![
        default_arg("authentication-kubeconfig", &own),
        default_arg("authorization-kubeconfig", &own),
        default_arg("bind-address", "127.0.0.1"),
        default_arg("kubeconfig", &own),
        default_arg("leader-elect", "true"),
    ];
    let mut mounts = vec![host_path("kubeconfig", &own, true, "FileOrCreate")];
    mounts.extend(extras.mounts.iter().cloned());
    component_pod(Component {
        name: "kube-scheduler",
        image: context.release.image(Image::Scheduler, context.inventory.version),
        command: command("kube-scheduler", defaults, &extras.args),
        probes: Probes {
            address: probe_address(extras),
            port: 10259,
            scheme: "HTTPS",
            liveness: "/livez",
            readiness: Some("/readyz"),
            startup: "/livez",
        },
        cpu: "100m",
        memory: None,
        mounts,
        keep_mount_order: false,
        annotation: None,
    })
}
