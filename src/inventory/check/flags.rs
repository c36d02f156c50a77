//! Flags that keelwright computes, by component, and the field that sets each.
//!
//! kubeadm lets extra arguments override anything. An override of these would leave certificates,
//! manifests and the plan in contradiction, so they are refused. What operators do override (admission
//! plugins, authorization modes, bind addresses for metrics, feature gates) is theirs.

/// A flag and what to use in its place.
pub(super) type Owned = (&'static str, &'static str);

const FIXED: &str = "it follows from the cluster's layout; remove it";
const CERTIFICATES: &str = "certificates are keelwright's; bring your own CA with pki.bringYourOwn";
const SERVICES: &str = "use network.serviceCidrs";
const PODS: &str = "use network.podCidrs";

pub(super) const API_SERVER: &[Owned] = &[
    ("advertise-address", "use hosts[].address"),
    ("client-ca-file", CERTIFICATES),
    ("etcd-cafile", CERTIFICATES),
    ("etcd-certfile", CERTIFICATES),
    ("etcd-keyfile", CERTIFICATES),
    ("etcd-servers", "use hosts with role etcd, or etcd.placement"),
    ("kubelet-client-certificate", CERTIFICATES),
    ("kubelet-client-key", CERTIFICATES),
    ("proxy-client-cert-file", CERTIFICATES),
    ("proxy-client-key-file", CERTIFICATES),
    ("requestheader-client-ca-file", CERTIFICATES),
    ("secure-port", FIXED),
    ("service-account-key-file", CERTIFICATES),
    ("service-account-signing-key-file", CERTIFICATES),
    ("service-cluster-ip-range", SERVICES),
    ("tls-cert-file", "use apiServer.certSANs for more names"),
    ("tls-private-key-file", CERTIFICATES),
];

/// Owned while `security.encryptionAtRest` is on.
pub(super) const ENCRYPTION: &[Owned] = &[
    ("encryption-provider-config", "set security.encryptionAtRest: false to bring your own"),
    ("encryption-provider-config-automatic-reload", "set security.encryptionAtRest: false to bring your own"),
];

/// Owned while `security.audit` is on; sizes and ages are not.
pub(super) const AUDIT: &[Owned] = &[
    ("audit-policy-file", "set security.audit: false to bring your own"),
    ("audit-log-path", "set security.audit: false to bring your own"),
];

pub(super) const CONTROLLER_MANAGER: &[Owned] = &[
    ("allocate-node-cidrs", "it follows from network.plugin"),
    ("authentication-kubeconfig", FIXED),
    ("authorization-kubeconfig", FIXED),
    ("client-ca-file", CERTIFICATES),
    ("cluster-cidr", PODS),
    ("cluster-name", "use metadata.name"),
    ("cluster-signing-cert-file", "use pki.externalCA"),
    ("cluster-signing-key-file", "use pki.externalCA"),
    ("kubeconfig", FIXED),
    ("requestheader-client-ca-file", CERTIFICATES),
    ("root-ca-file", CERTIFICATES),
    ("service-account-private-key-file", CERTIFICATES),
    ("service-cluster-ip-range", SERVICES),
];

pub(super) const SCHEDULER: &[Owned] =
    &[("authentication-kubeconfig", FIXED), ("authorization-kubeconfig", FIXED), ("kubeconfig", FIXED)];

pub(super) const ETCD: &[Owned] = &[
    ("advertise-client-urls", "use hosts[].address"),
    ("auto-tls", CERTIFICATES),
    ("cert-file", CERTIFICATES),
    ("client-cert-auth", FIXED),
    ("config-file", "use etcd.extraArgs"),
    ("data-dir", "use etcd.dataDir"),
    ("force-new-cluster", "it throws the other members away; remove it"),
    ("initial-advertise-peer-urls", "use hosts[].address"),
    ("initial-cluster", FIXED),
    ("initial-cluster-state", FIXED),
    ("initial-cluster-token", FIXED),
    ("key-file", CERTIFICATES),
    ("listen-client-urls", "use hosts[].address"),
    ("listen-peer-urls", "use hosts[].address"),
    ("name", "use hosts[].name"),
    ("peer-auto-tls", CERTIFICATES),
    ("peer-cert-file", CERTIFICATES),
    ("peer-client-cert-auth", FIXED),
    ("peer-key-file", CERTIFICATES),
    ("peer-trusted-ca-file", CERTIFICATES),
    ("trusted-ca-file", CERTIFICATES),
];

pub(super) const KUBELET: &[Owned] = &[
    ("bootstrap-kubeconfig", FIXED),
    ("cluster-dns", "use kubelet.config.clusterDNS"),
    ("cluster-domain", "use network.dnsDomain"),
    ("config", "use kubelet.config"),
    ("config-dir", "use kubelet.config"),
    ("container-runtime-endpoint", FIXED),
    ("hostname-override", "use hosts[].name"),
    ("kubeconfig", FIXED),
    ("node-ip", "use hosts[].address"),
    ("node-labels", "use hosts[].labels"),
    ("pod-infra-container-image", "kubelets from 1.35 do not start with it; remove it"),
    ("pod-manifest-path", FIXED),
    ("register-with-taints", "use hosts[].taints"),
];

/// Top-level fields of KubeletConfiguration that keelwright owns.
pub(super) const KUBELET_CONFIG: &[Owned] = &[
    ("apiVersion", FIXED),
    ("kind", FIXED),
    ("clusterDomain", "use network.dnsDomain"),
    ("containerRuntimeEndpoint", FIXED),
    ("registerWithTaints", "use hosts[].taints"),
    ("staticPodPath", FIXED),
    ("staticPodURL", "static pods come from files only"),
    ("tlsCertFile", CERTIFICATES),
    ("tlsPrivateKeyFile", CERTIFICATES),
];

/// Top-level fields of KubeProxyConfiguration that keelwright owns.
pub(super) const KUBE_PROXY_CONFIG: &[Owned] = &[
    ("apiVersion", FIXED),
    ("kind", FIXED),
    ("clientConnection", FIXED),
    ("clusterCIDR", PODS),
    ("hostnameOverride", "use hosts[].name"),
];
