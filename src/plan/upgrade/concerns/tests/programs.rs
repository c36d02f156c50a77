//! Flags and feature gates.

use super::*;

#[test]
fn flags_that_a_program_of_the_upgrade_does_not_know_block() {
    check(
        |setup| setup.inventory.controller_manager.extra_args = argument("concurrent-service-syncs", "5"),
        &[
            "! controllerManager.extraArgs: kube-controller-manager 1.37 does not start with --concurrent-service-syncs",
        ],
    );
    check(
        |setup| setup.inventory.kubelet.extra_args = argument("containerd", "/run/x"),
        &["! kubelet.extraArgs: kubelet 1.37 does not start with --containerd"],
    );
    check(
        |setup| setup.inventory.etcd.extra_args = argument("experimental-initial-corrupt-check", "true"),
        &["! etcd.extraArgs: the etcd of 1.37 does not start with --experimental-initial-corrupt-check"],
    );
    // Control planes pass through 1.35; kubelets do not.
    check(
        |setup| setup.inventory.api_server.extra_args = argument("tls-curve-preferences", "X25519"),
        &[
            "! apiServer.extraArgs: kube-apiserver 1.35 does not start with --tls-curve-preferences, which is new in 1.36",
        ],
    );
    for harmless in [
        |setup: &mut Setup| {
            setup.target = KubeVersion::new(1, 36, 4);
            setup.inventory.etcd.extra_args = argument("experimental-initial-corrupt-check", "true");
            setup.inventory.kubelet.extra_args = argument("containerd", "/run/x");
        },
        |setup: &mut Setup| {
            setup.from = KubeVersion::new(1, 35, 4);
            setup.inventory.api_server.extra_args = argument("tls-curve-preferences", "X25519");
        },
        |setup: &mut Setup| setup.inventory.kubelet.extra_args = argument("housekeeping-interval", "10s"),
        |setup: &mut Setup| {
            setup.inventory.etcd.extra_args = argument("feature-gates", "SidecarContainers=true")
        },
    ] {
        check(harmless, &[]);
    }
}

#[test]
fn feature_gates_that_a_program_of_the_upgrade_does_not_know_block() {
    check(
        |setup| {
            let gates = "kube:SidecarContainers=true, CPUManager=true,MemoryManager=false";
            setup.inventory.scheduler.extra_args = argument("feature-gates", gates);
        },
        &[
            "! scheduler.extraArgs: kube-scheduler 1.36 does not start with feature gate MemoryManager",
            "! scheduler.extraArgs: kube-scheduler 1.37 does not start with feature gate SidecarContainers",
        ],
    );
    let gates = |gate: &str| BTreeMap::from([("featureGates".to_owned(), serde_json::json!({gate: true}))]);
    check(
        |setup| setup.inventory.kubelet.config = gates("MemoryManager"),
        &["! kubelet.config.featureGates: kubelet 1.37 does not start with feature gate MemoryManager"],
    );
    check(
        |setup| setup.inventory.kube_proxy.config = gates("SidecarContainers"),
        &[
            "! kubeProxy.config.featureGates: kube-proxy 1.37 does not start with feature gate SidecarContainers",
        ],
    );
    // New in 1.37: kubelets go there at once, API servers do not.
    check(|setup| setup.inventory.kubelet.config = gates("DefaultPodSysctls"), &[]);
    check(
        |setup| setup.inventory.api_server.extra_args = argument("feature-gates", "DefaultPodSysctls=true"),
        &[
            "! apiServer.extraArgs: kube-apiserver 1.35 does not start with feature gate DefaultPodSysctls, which is new in 1.37",
        ],
    );
    check(
        |setup| {
            setup.from = KubeVersion::new(1, 36, 4);
            setup.inventory.api_server.extra_args = argument("feature-gates", "DefaultPodSysctls=true");
        },
        &[],
    );
}

#[test]
fn what_runtime_config_asks_for_in_vain_is_listed() {
    check(
        |setup| {
            let value =
                "api/beta=false,scheduling.k8s.io/v1alpha2=true,networking.k8s.io/v1beta1/servicecidrs=true";
            setup.inventory.api_server.extra_args = argument("runtime-config", value);
        },
        &[
            "apiServer.extraArgs: runtime-config asks for networking.k8s.io/v1beta1/servicecidrs, which 1.37",
            "apiServer.extraArgs: runtime-config asks for scheduling.k8s.io/v1alpha2, which 1.37",
        ],
    );
    check(
        |setup| {
            setup.target = KubeVersion::new(1, 36, 4);
            let value = "scheduling.k8s.io/v1alpha2=true,networking.k8s.io/v1beta1=false";
            setup.inventory.api_server.extra_args = argument("runtime-config", value);
        },
        &[],
    );
}
