//! Which files a static pod reads only when it starts.

use std::collections::{BTreeMap, BTreeSet};

use super::files::Files;
use super::security::AUDIT_POLICY;
use super::static_pods::MANIFESTS_DIRECTORY;

/// What the pods of this host read once, when they start. kubeadm asks for a restart of the control plane after
/// a renewal, because not every component takes every certificate up by itself; etcd does, at each handshake,
/// and a voter is not stopped without need.
pub(super) fn of(files: &Files) -> BTreeMap<String, BTreeSet<String>> {
    let pods: [(&str, &[&str]); 3] = [
        (
            "kube-apiserver",
            &[
                "/etc/kubernetes/pki/apiserver.crt",
                "/etc/kubernetes/pki/apiserver-etcd-client.crt",
                "/etc/kubernetes/pki/apiserver-kubelet-client.crt",
                "/etc/kubernetes/pki/front-proxy-client.crt",
                AUDIT_POLICY,
            ],
        ),
        ("kube-controller-manager", &["/etc/kubernetes/controller-manager.conf"]),
        ("kube-scheduler", &["/etc/kubernetes/scheduler.conf"]),
    ];
    let has = |path: &&&str| files.files.contains_key(**path);
    pods.into_iter()
        .filter(|(pod, _)| files.files.contains_key(&format!("{MANIFESTS_DIRECTORY}/{pod}.yaml")))
        .map(|(pod, paths)| {
            (pod.to_owned(), paths.iter().filter(has).map(|path| (*path).to_owned()).collect())
        })
        .collect()
}
