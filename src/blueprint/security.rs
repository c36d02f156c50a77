//! What is hardened beyond plain kubeadm: the components' extra flags and mounts, and the files they name.
//!
//! [`cluster_extra_args`] is the only source of extra flags. The static pods use it and so does the
//! ClusterConfiguration in `kubeadm-config`: a flag that stood in only one of them would be lost, or would
//! come as a surprise, at the next `kubeadm upgrade`.

use serde_json::json;

use super::files::{Files, text_file};
use super::load_balancer;
use super::model::{Content, FileGroup, FilePolicy};
use crate::inventory::{Component, Endpoint, Etcd, ExtraArg, Inventory, NetworkPlugin};
use crate::pki::SecretContent;
use crate::render::to_yaml;

/// Holds every file of the API server's that kubeadm does not know. It is mounted as a directory because a
/// file that is mounted by itself stays the old one when it is replaced by a rename. A control plane that
/// joins by kubeadm needs a copy of it first.
/// The API server takes the other two files of this directory up by itself.
pub(super) const AUDIT_POLICY: &str = "/etc/kubernetes/keelwright/audit-policy.yaml";
pub(super) const API_SERVER_DIRECTORY: &str = "/etc/kubernetes/keelwright";
pub(super) const AUDIT_DIRECTORY: &str = "/var/log/kubernetes/audit";

/// Strong suites that TLS 1.2 clients still agree on, for both kinds of keys a cluster may have; the TLS 1.3
/// ones are always on in Go and stand here because the benchmark looks for them (CIS 1.2.29, 4.2.12).
pub(super) const CIPHER_SUITES: [&str; 9] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// A directory or file of the host in a component's pod, with the fields of kubeadm's `extraVolumes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPathMount {
    pub name: String,
    pub host_path: String,
    pub mount_path: String,
    pub read_only: bool,
    /// As in the API: `Directory`, `DirectoryOrCreate`, `File`, ...
    pub path_type: String,
}

/// What one component has beyond kubeadm's defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComponentExtras {
    /// Ours, then the operator's. A flag of ours that the operator gives too is left out, as kubeadm leaves
    /// out its own default then.
    pub args: Vec<ExtraArg>,
    pub mounts: Vec<HostPathMount>,
}

/// What all components have beyond kubeadm's defaults; `etcd` counts only where kubeadm runs it (stacked)
/// or where we do (dedicated hosts), never for kubeadm's `etcd.external`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComponentArgs {
    pub api_server: ComponentExtras,
    pub controller_manager: ComponentExtras,
    pub scheduler: ComponentExtras,
    pub etcd: ComponentExtras,
}

/// The extra flags and mounts of a cluster, the same on every host and in `kubeadm-config`.
pub fn cluster_extra_args(inventory: &Inventory, etcd_token: &str) -> ComponentArgs {
    ComponentArgs {
        api_server: api_server_extras(inventory),
        controller_manager: controller_manager_extras(inventory),
        scheduler: scheduler_extras(inventory),
        etcd: etcd_extras(&inventory.etcd, etcd_token),
    }
}

fn arg(name: &str, value: impl Into<String>) -> ExtraArg {
    ExtraArg { name: name.to_owned(), value: value.into() }
}

fn merged(ours: Vec<ExtraArg>, operators: &[ExtraArg]) -> Vec<ExtraArg> {
    let given = |name: &str| operators.iter().any(|arg| arg.name == name);
    ours.into_iter().filter(|arg| !given(&arg.name)).chain(operators.iter().cloned()).collect()
}

fn api_server_extras(inventory: &Inventory) -> ComponentExtras {
    let security = &inventory.security;
    let operators = &inventory.api_server.extra_args;
    // It says that it is not ready and serves on until balancers have noticed.
    // Watches end then too: it would wait for them until the kubelet kills it.
    let mut ours = vec![
        arg("shutdown-delay-duration", format!("{}s", notice_seconds(inventory))),
        arg("shutdown-watch-termination-grace-period", "3s"),
    ];
    if security.cis {
        ours.push(arg("enable-admission-plugins", "NodeRestriction,DenyServiceExternalIPs")); // CIS 1.2.3
        ours.push(arg("profiling", "false")); // CIS 1.2.15
        ours.push(arg("service-account-extend-token-expiration", "false")); // CIS 1.2.30
        ours.push(arg("tls-cipher-suites", CIPHER_SUITES.join(","))); // CIS 1.2.29
        if !configures_authentication(&inventory.api_server) {
            ours.push(arg("authentication-config", format!("{API_SERVER_DIRECTORY}/authentication.yaml")));
        }
    }
    if security.encryption_at_rest {
        ours.push(arg("encryption-provider-config", format!("{API_SERVER_DIRECTORY}/encryption.yaml")));
        // Keys are rotated by writing the file; without this every step of a rotation would be a restart.
        ours.push(arg("encryption-provider-config-automatic-reload", "true"));
    }
    if security.audit {
        // All three limits are explicit because their defaults changed in 1.36.
        ours.push(arg("audit-log-maxage", "30"));
        ours.push(arg("audit-log-maxbackup", "10"));
        ours.push(arg("audit-log-maxsize", "100"));
        ours.push(arg("audit-log-path", format!("{AUDIT_DIRECTORY}/audit.log")));
        ours.push(arg("audit-policy-file", AUDIT_POLICY));
    }
    let args = merged(ours, operators);
    let below = |directory: &str| args.iter().any(|arg| arg.value.starts_with(&format!("{directory}/")));
    let mut mounts = Vec::new();
    if below(API_SERVER_DIRECTORY) {
        mounts.push(mount("keelwright-config", API_SERVER_DIRECTORY, true, "Directory"));
    }
    if below(AUDIT_DIRECTORY) {
        mounts.push(mount("keelwright-audit", AUDIT_DIRECTORY, false, "DirectoryOrCreate"));
    }
    ComponentExtras { args, mounts }
}

/// Seconds until whatever stands before the API servers has noticed that one is not ready any more. Below the
/// 30 s that the kubelet gives a static pod to end.
fn notice_seconds(inventory: &Inventory) -> u32 {
    match inventory.endpoint {
        // Two checks must fail, the second half a second after the first.
        Endpoint::NodeLocal { .. } => (load_balancer::check_interval(inventory.nodes().count()) + 1).min(25),
        Endpoint::Vip { .. } => 5,
        // Others' balancers usually look every ten seconds, twice.
        Endpoint::External { .. } => 20,
    }
}

fn mount(name: &str, path: &str, read_only: bool, path_type: &str) -> HostPathMount {
    HostPathMount {
        name: name.to_owned(),
        host_path: path.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        path_type: path_type.to_owned(),
    }
}

/// The API server refuses `--authentication-config` beside any of these.
fn configures_authentication(api_server: &Component) -> bool {
    api_server.extra_args.iter().any(|arg| {
        arg.name == "authentication-config" || arg.name == "anonymous-auth" || arg.name.starts_with("oidc-")
    })
}

fn controller_manager_extras(inventory: &Inventory) -> ComponentExtras {
    let mut ours = Vec::new();
    if matches!(inventory.network.plugin, NetworkPlugin::Routes { .. }) {
        // Each host's range is decided before it registers and is in its CNI configuration; a second
        // allocator would write other ranges into the Node objects.
        ours.push(arg("allocate-node-cidrs", "false"));
    }
    if inventory.security.cis {
        ours.push(arg("profiling", "false")); // CIS 1.3.2
        ours.push(arg("terminated-pod-gc-threshold", "1000")); // CIS 1.3.1
    }
    ComponentExtras { args: merged(ours, &inventory.controller_manager.extra_args), mounts: Vec::new() }
}

fn scheduler_extras(inventory: &Inventory) -> ComponentExtras {
    let ours = if inventory.security.cis { vec![arg("profiling", "false")] } else { Vec::new() }; // CIS 1.4.1
    ComponentExtras { args: merged(ours, &inventory.scheduler.extra_args), mounts: Vec::new() }
}

fn etcd_extras(etcd: &Etcd, token: &str) -> ComponentExtras {
    // etcd's default token is the same everywhere: members of two clusters that used the same addresses in
    // turn could otherwise mix.
    let ours = vec![arg("initial-cluster-token", token)];
    ComponentExtras { args: merged(ours, &etcd.extra_args), mounts: Vec::new() }
}

/// The files behind the API server's extra flags, the same on every control plane.
pub(super) fn add_files(files: &mut Files, inventory: &Inventory) {
    let flags = api_server_extras(inventory).args;
    let wanted = |path: &str| flags.iter().any(|arg| arg.value == path);

    if flags.iter().any(|arg| arg.value.starts_with(&format!("{API_SERVER_DIRECTORY}/"))) {
        files.directory(API_SERVER_DIRECTORY, 0o700);
    }
    let path = format!("{API_SERVER_DIRECTORY}/encryption.yaml");
    if wanted(&path) {
        let content = Content::Secret(SecretContent::EncryptionConfiguration);
        files.file(&path, FileGroup::Config, 0o600, content, FilePolicy::Exact);
    }
    if wanted(AUDIT_POLICY) {
        files.add(AUDIT_POLICY, text_file(FileGroup::Config, 0o600, to_yaml(&audit_policy())));
    }
    let path = format!("{API_SERVER_DIRECTORY}/authentication.yaml");
    if wanted(&path) {
        files.add(&path, text_file(FileGroup::Config, 0o600, to_yaml(&authentication(inventory))));
    }
    if wanted(&format!("{AUDIT_DIRECTORY}/audit.log")) {
        files.directory(AUDIT_DIRECTORY, 0o700);
    }
}

/// Anonymous requests are for probes only (CIS 1.2.1): kubeadm's static pods are probed without
/// credentials, and a node that joins by token reads `cluster-info` before it has any.
fn authentication(inventory: &Inventory) -> serde_json::Value {
    let mut paths = vec!["/livez", "/readyz", "/healthz"];
    if !inventory.pki.external_ca {
        paths.push("/api/v1/namespaces/kube-public/configmaps/cluster-info");
    }
    let conditions: Vec<_> = paths.into_iter().map(|path| json!({ "path": path })).collect();
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": { "enabled": true, "conditions": conditions },
    })
}

/// Who did what, without the contents of secrets, and without the noise of probes and watches.
fn audit_policy() -> serde_json::Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            { "level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/version"] },
            { "level": "None", "resources": [
                { "group": "", "resources": ["events"] },
                { "group": "events.k8s.io", "resources": ["events"] },
            ] },
            { "level": "None", "verbs": ["get", "update", "patch"], "resources": [
                { "group": "coordination.k8s.io", "resources": ["leases"] },
            ] },
            { "level": "Metadata", "resources": [
                { "group": "", "resources": ["secrets", "configmaps", "serviceaccounts/token"] },
                { "group": "authentication.k8s.io", "resources": ["tokenreviews"] },
            ] },
            { "level": "Request",
              "verbs": ["create", "update", "patch", "delete", "deletecollection"],
              "resources": [{ "group": "rbac.authorization.k8s.io" }] },
            { "level": "None", "verbs": ["watch"] },
            { "level": "Metadata" },
        ],
    })
}
