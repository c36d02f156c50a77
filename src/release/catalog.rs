//! What belongs to each supported Kubernetes minor: component versions and how its layout differs.
//!
//! Data only. The Kubernetes rows follow kubeadm's constants of the default patch release
//! (`cmd/kubeadm/app/constants`); layout follows the kubeadm version, so a golden file is keyed on it.

use super::version::{KubeVersion, Minor};

/// The host side is the same for all minors: one containerd 2 serves every supported kubelet (1.36 and
/// later need containerd 2), so an upgrade of Kubernetes never has to restart the runtime as well.
const CONTAINERD: &str = "2.3.3";
/// What containerd 2.3.3 is tested with (`script/setup/runc-version`).
const RUNC: &str = "1.4.3";
/// What containerd 2.3.3 and Kubernetes 1.37 are tested with (`build/dependencies.yaml`).
const CNI_PLUGINS: &str = "1.9.1";
/// CRI v1 is stable across the supported minors, so one crictl does for all.
const CRICTL: &str = "1.36.0";

/// The registry of every image name kubeadm writes.
pub const IMAGE_REGISTRY: &str = "registry.k8s.io";

/// One supported minor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinorRelease {
    pub minor: Minor,
    /// The patch release taken when the operator names only the minor, or nothing.
    pub default_patch: KubeVersion,
    /// Image tag of etcd, `3.7.0-0`.
    pub etcd_tag: &'static str,
    /// Image tag of CoreDNS, with its `v`: the newest its Corefile migrator knows.
    pub coredns_tag: &'static str,
    /// Image tag of pause; also containerd's sandbox image.
    pub pause_tag: &'static str,
    /// Image tag of agnhost, the workload of tests.
    pub agnhost_tag: &'static str,
    pub containerd: &'static str,
    pub runc: &'static str,
    pub cni_plugins: &'static str,
    pub crictl: &'static str,
    /// Subject O of `apiserver-kubelet-client.crt`. Renewal copies the old subject, so clusters that were
    /// upgraded keep theirs: accept both when reading.
    pub apiserver_kubelet_client_organization: Option<&'static str>,
    /// kubeadm itself creates the ClusterRoleBinding `kubeadm:apiserver-kubelet-client`. We create it on
    /// every minor; where this is false it is our addition, not drift.
    pub kubeadm_creates_kubelet_client_binding: bool,
    /// The controller manager's static pod mounts the flexvolume directory.
    pub kcm_flexvolume: bool,
    /// `kubeadm-flags.env` carries `--pod-infra-container-image`. kubelets from 1.35 refuse to start with it.
    pub pod_infra_flag: bool,
    /// `mode` in kube-proxy's ConfigMap as kubeadm writes it.
    pub kube_proxy_mode: &'static str,
    /// `init` on a host with systemd-resolved also leaves `resolvConf` in the kubelet-config ConfigMap.
    pub resolv_conf_in_config_map: bool,
    /// Feature gates kubeadm accepts; any other one in kubeadm-config fails `kubeadm init`.
    pub kubeadm_feature_gates: &'static [&'static str],
    /// kubeadm waits for all etcd members to be healthy, not for a quorum.
    pub etcd_health_needs_all_members: bool,
    /// The kubelet's default of `failCgroupV1`.
    pub fail_cgroup_v1: bool,
    /// `kubeadm upgrade` removes a left-over `--pod-infra-container-image`.
    pub upgrade_strips_pod_infra_flag: bool,
    /// The cri-socket annotation on a Node, as `kubeadm upgrade` treats it.
    pub cri_socket_annotation: CriSocketAnnotation,
}

/// What `kubeadm upgrade` does with a Node's `kubeadm.alpha.kubernetes.io/cri-socket` annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CriSocketAnnotation {
    Removed,
    Ignored,
}

/// The supported minors, oldest first.
pub const SUPPORTED: [MinorRelease; 4] = [
    MinorRelease {
        minor: Minor::new(1, 34),
        default_patch: KubeVersion::new(1, 34, 4),
        etcd_tag: "3.6.5-0",
        coredns_tag: "v1.12.1",
        pause_tag: "3.10.1",
        agnhost_tag: "2.56",
        containerd: CONTAINERD,
        runc: RUNC,
        cni_plugins: CNI_PLUGINS,
        crictl: CRICTL,
        apiserver_kubelet_client_organization: Some("kubeadm:cluster-admins"),
        kubeadm_creates_kubelet_client_binding: false,
        kcm_flexvolume: true,
        pod_infra_flag: true,
        kube_proxy_mode: "",
        resolv_conf_in_config_map: true,
        kubeadm_feature_gates: &[
            "ControlPlaneKubeletLocalMode",
            "NodeLocalCRISocket",
            "PublicKeysECDSA",
            "RootlessControlPlane",
            "WaitForAllControlPlaneComponents",
        ],
        etcd_health_needs_all_members: true,
        fail_cgroup_v1: false,
        upgrade_strips_pod_infra_flag: false,
        cri_socket_annotation: CriSocketAnnotation::Removed,
    },
    MinorRelease {
        minor: Minor::new(1, 35),
        default_patch: KubeVersion::new(1, 35, 4),
        etcd_tag: "3.6.6-0",
        coredns_tag: "v1.13.1",
        pause_tag: "3.10.1",
        agnhost_tag: "2.59",
        containerd: CONTAINERD,
        runc: RUNC,
        cni_plugins: CNI_PLUGINS,
        crictl: CRICTL,
        apiserver_kubelet_client_organization: Some("kubeadm:cluster-admins"),
        kubeadm_creates_kubelet_client_binding: false,
        kcm_flexvolume: true,
        pod_infra_flag: false,
        kube_proxy_mode: "",
        resolv_conf_in_config_map: true,
        kubeadm_feature_gates: &[
            "ControlPlaneKubeletLocalMode",
            "NodeLocalCRISocket",
            "PublicKeysECDSA",
            "RootlessControlPlane",
        ],
        etcd_health_needs_all_members: true,
        fail_cgroup_v1: true,
        upgrade_strips_pod_infra_flag: true,
        cri_socket_annotation: CriSocketAnnotation::Removed,
    },
    MinorRelease {
        minor: Minor::new(1, 36),
        default_patch: KubeVersion::new(1, 36, 4),
        etcd_tag: "3.6.8-0",
        coredns_tag: "v1.14.2",
        pause_tag: "3.10.2",
        agnhost_tag: "2.63.0",
        containerd: CONTAINERD,
        runc: RUNC,
        cni_plugins: CNI_PLUGINS,
        crictl: CRICTL,
        apiserver_kubelet_client_organization: None,
        kubeadm_creates_kubelet_client_binding: true,
        kcm_flexvolume: false,
        pod_infra_flag: false,
        kube_proxy_mode: "",
        resolv_conf_in_config_map: true,
        kubeadm_feature_gates: &["NodeLocalCRISocket", "PublicKeysECDSA", "RootlessControlPlane"],
        etcd_health_needs_all_members: false,
        fail_cgroup_v1: true,
        upgrade_strips_pod_infra_flag: false,
        cri_socket_annotation: CriSocketAnnotation::Removed,
    },
    MinorRelease {
        minor: Minor::new(1, 37),
        default_patch: KubeVersion::new(1, 37, 1),
        etcd_tag: "3.7.0-0",
        coredns_tag: "v1.14.6",
        pause_tag: "3.10.2",
        agnhost_tag: "2.66.1",
        containerd: CONTAINERD,
        runc: RUNC,
        cni_plugins: CNI_PLUGINS,
        crictl: CRICTL,
        apiserver_kubelet_client_organization: None,
        kubeadm_creates_kubelet_client_binding: true,
        kcm_flexvolume: false,
        pod_infra_flag: false,
        kube_proxy_mode: "iptables",
        resolv_conf_in_config_map: false,
        kubeadm_feature_gates: &["RootlessControlPlane"],
        etcd_health_needs_all_members: false,
        fail_cgroup_v1: true,
        upgrade_strips_pod_infra_flag: false,
        cri_socket_annotation: CriSocketAnnotation::Ignored,
    },
];

/// A minor outside the catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Kubernetes {minor} is not supported: this release knows {}", supported_minors())]
pub struct UnsupportedMinor {
    pub minor: Minor,
}

fn supported_minors() -> String {
    SUPPORTED.iter().map(|release| release.minor.to_string()).collect::<Vec<_>>().join(", ")
}

/// What belongs to the minor of `version`.
pub fn release_of(version: KubeVersion) -> Result<&'static MinorRelease, UnsupportedMinor> {
    release_of_minor(version.minor())
}

/// What belongs to `minor`.
pub fn release_of_minor(minor: Minor) -> Result<&'static MinorRelease, UnsupportedMinor> {
    static RELEASES: [MinorRelease; 4] = SUPPORTED;
    RELEASES.iter().find(|release| release.minor == minor).ok_or(UnsupportedMinor { minor })
}

/// The version taken when the operator names none: the default patch of the newest minor.
pub fn default_version() -> KubeVersion {
    let [.., newest] = &SUPPORTED;
    newest.default_patch
}

impl MinorRelease {
    /// The version of etcd behind its tag: `3.7.0` of `3.7.0-0`.
    pub fn etcd_version(&self) -> &'static str {
        self.etcd_tag.split_once('-').map_or(self.etcd_tag, |(version, _)| version)
    }

    /// Image references exactly as kubeadm names them.
    pub fn image(&self, image: Image, version: KubeVersion) -> String {
        image.reference(IMAGE_REGISTRY, self, version)
    }
}

/// The images of a cluster, and one for its tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Image {
    ApiServer,
    ControllerManager,
    Scheduler,
    KubeProxy,
    Etcd,
    CoreDns,
    Pause,
    /// A test workload; part of no cluster.
    Agnhost,
}

impl Image {
    pub const ALL: [Image; 8] = [
        Image::ApiServer,
        Image::ControllerManager,
        Image::Scheduler,
        Image::KubeProxy,
        Image::Etcd,
        Image::CoreDns,
        Image::Pause,
        Image::Agnhost,
    ];

    /// The short name, which is also the command inside.
    pub const fn name(self) -> &'static str {
        match self {
            Image::ApiServer => "kube-apiserver",
            Image::ControllerManager => "kube-controller-manager",
            Image::Scheduler => "kube-scheduler",
            Image::KubeProxy => "kube-proxy",
            Image::Etcd => "etcd",
            Image::CoreDns => "coredns",
            Image::Pause => "pause",
            Image::Agnhost => "agnhost",
        }
    }

    /// The repository under the registry. CoreDNS has a directory of its own since kubeadm 1.21.
    pub const fn repository(self) -> &'static str {
        match self {
            Image::CoreDns => "coredns/coredns",
            Image::Agnhost => "e2e-test-images/agnhost",
            Image::ApiServer
            | Image::ControllerManager
            | Image::Scheduler
            | Image::KubeProxy
            | Image::Etcd
            | Image::Pause => self.name(),
        }
    }

    /// The tag in `release` for Kubernetes `version`.
    pub fn tag(self, release: &MinorRelease, version: KubeVersion) -> String {
        match self {
            Image::ApiServer | Image::ControllerManager | Image::Scheduler | Image::KubeProxy => {
                version.to_string()
            }
            Image::Etcd => release.etcd_tag.to_owned(),
            Image::CoreDns => release.coredns_tag.to_owned(),
            Image::Pause => release.pause_tag.to_owned(),
            Image::Agnhost => release.agnhost_tag.to_owned(),
        }
    }

    /// `REGISTRY/REPOSITORY:TAG`.
    pub fn reference(self, registry: &str, release: &MinorRelease, version: KubeVersion) -> String {
        format!("{registry}/{}:{}", self.repository(), self.tag(release, version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minors_are_consecutive_and_defaults_belong_to_them() {
        for pair in SUPPORTED.windows(2) {
            assert_eq!(pair[0].minor.next(), pair[1].minor);
        }
        for release in &SUPPORTED {
            assert_eq!(release.default_patch.minor(), release.minor);
            assert_eq!(release_of(release.default_patch).unwrap(), release);
        }
        assert_eq!(default_version().to_string(), "v1.37.1");
    }

    #[test]
    fn names_images_as_kubeadm_does() {
        let version: KubeVersion = "v1.37.1".parse().unwrap();
        let release = release_of(version).unwrap();
        let references: Vec<String> = Image::ALL.iter().map(|image| release.image(*image, version)).collect();
        assert_eq!(
            references,
            [
                "registry.k8s.io/kube-apiserver:v1.37.1",
                "registry.k8s.io/kube-controller-manager:v1.37.1",
                "registry.k8s.io/kube-scheduler:v1.37.1",
                "registry.k8s.io/kube-proxy:v1.37.1",
                "registry.k8s.io/etcd:3.7.0-0",
                "registry.k8s.io/coredns/coredns:v1.14.6",
                "registry.k8s.io/pause:3.10.2",
                "registry.k8s.io/e2e-test-images/agnhost:2.66.1",
            ]
        );
        assert_eq!(release.etcd_version(), "3.7.0");
    }

    #[test]
    fn refuses_a_minor_it_does_not_know_and_says_which_it_does() {
        let error = release_of("v1.33.0".parse().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Kubernetes 1.33 is not supported: this release knows 1.34, 1.35, 1.36, 1.37"
        );
    }

    #[test]
    fn etcd_moves_at_most_one_minor_between_neighbouring_releases() {
        for pair in SUPPORTED.windows(2) {
            let from = semver::Version::parse(pair[0].etcd_version()).unwrap();
            let to = semver::Version::parse(pair[1].etcd_version()).unwrap();
            crate::release::skew::etcd_step(&from, &to).unwrap();
        }
    }
}
