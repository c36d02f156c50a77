//! What a minor of Kubernetes no longer has, of what an operator may have set or stored: flags and API versions.
//! Feature gates are in [`super::gates`].
//!
//! Data only. Flags: what the programs of one default patch release take and those of the next do not. API
//! versions: none of them is served unless `--runtime-config` asks for it.

use std::fmt;

use super::version::Minor;

/// A program that an inventory can give arguments to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    ApiServer,
    ControllerManager,
    Scheduler,
    Kubelet,
    KubeProxy,
    Etcd,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Program::ApiServer => "kube-apiserver",
            Program::ControllerManager => "kube-controller-manager",
            Program::Scheduler => "kube-scheduler",
            Program::Kubelet => "kubelet",
            Program::KubeProxy => "kube-proxy",
            Program::Etcd => "etcd",
        })
    }
}

/// A flag, or all flags that begin so, that a program ends with an error for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedFlag {
    pub program: Program,
    pub name: &'static str,
    pub is_prefix: bool,
    /// The first minor without it. For etcd, the minor whose etcd is the first without it.
    pub gone: Minor,
    /// In its place.
    pub remedy: &'static str,
}

/// A flag that older programs do not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedFlag {
    pub program: Program,
    pub name: &'static str,
    /// The first minor with it.
    pub since: Minor,
}

const REMOVE: &str = "remove it";
const CADVISOR: &str = "remove it: it was cAdvisor's and did nothing for the kubelet";
const IMAGE: &str = "remove it: containerd names the sandbox image";
/// etcd 3.6 has both, so the change can be made before.
const ETCD_STABLE: &str =
    "etcd 3.6 has it as a flag without `experimental-`, or as one of --feature-gates: use that one";
const ETCD_DISCOVERY: &str = "remove it: keelwright names all members itself";

const fn exact(program: Program, name: &'static str, gone: u32, remedy: &'static str) -> RemovedFlag {
    RemovedFlag { program, name, is_prefix: false, gone: Minor::new(1, gone), remedy }
}

const fn prefix(program: Program, name: &'static str, gone: u32, remedy: &'static str) -> RemovedFlag {
    RemovedFlag { program, name, is_prefix: true, gone: Minor::new(1, gone), remedy }
}

/// Underscores, which the kubelet takes for dashes, are written as dashes.
#[rustfmt::skip]
pub const REMOVED_FLAGS: &[RemovedFlag] = &[
    exact(Program::Kubelet, "pod-infra-container-image", 35, IMAGE),
    exact(Program::Kubelet, "application-metrics-count-limit", 37, CADVISOR),
    exact(Program::Kubelet, "boot-id-file", 37, CADVISOR),
    exact(Program::Kubelet, "container-hints", 37, CADVISOR),
    exact(Program::Kubelet, "containerd", 37, CADVISOR),
    exact(Program::Kubelet, "containerd-namespace", 37, CADVISOR),
    exact(Program::Kubelet, "enable-load-reader", 37, CADVISOR),
    prefix(Program::Kubelet, "event-storage-", 37, CADVISOR),
    exact(Program::Kubelet, "global-housekeeping-interval", 37, CADVISOR),
    exact(Program::Kubelet, "log-cadvisor-usage", 37, CADVISOR),
    exact(Program::Kubelet, "machine-id-file", 37, CADVISOR),
    prefix(Program::Kubelet, "storage-driver-", 37, CADVISOR),
    exact(Program::KubeProxy, "boot-id-file", 37, REMOVE),
    exact(Program::KubeProxy, "machine-id-file", 37, REMOVE),
    exact(Program::ControllerManager, "concurrent-service-syncs", 37, "remove it: it belongs to the cloud controller manager"),
    prefix(Program::Etcd, "experimental-", 37, ETCD_STABLE),
    exact(Program::Etcd, "discovery", 37, ETCD_DISCOVERY),
    exact(Program::Etcd, "discovery-proxy", 37, ETCD_DISCOVERY),
];

#[rustfmt::skip]
pub const ADDED_FLAGS: &[AddedFlag] = &[
    AddedFlag { program: Program::ApiServer, name: "min-compatibility-version", since: Minor::new(1, 35) },
    AddedFlag { program: Program::ControllerManager, name: "min-compatibility-version", since: Minor::new(1, 35) },
    AddedFlag { program: Program::Scheduler, name: "min-compatibility-version", since: Minor::new(1, 35) },
    AddedFlag { program: Program::ControllerManager, name: "concurrent-device-taint-eviction-syncs", since: Minor::new(1, 35) },
    AddedFlag { program: Program::ControllerManager, name: "controller-shutdown-timeout", since: Minor::new(1, 35) },
    AddedFlag { program: Program::ApiServer, name: "tls-curve-preferences", since: Minor::new(1, 36) },
    AddedFlag { program: Program::ControllerManager, name: "tls-curve-preferences", since: Minor::new(1, 36) },
    AddedFlag { program: Program::Scheduler, name: "tls-curve-preferences", since: Minor::new(1, 36) },
    AddedFlag { program: Program::ControllerManager, name: "concurrent-resourceclaim-syncs", since: Minor::new(1, 36) },
    AddedFlag { program: Program::ControllerManager, name: "concurrent-disruption-syncs", since: Minor::new(1, 37) },
];

/// The removal that keeps a program of minor `last` from starting with this flag.
pub fn removed_flag(program: Program, flag: &str, last: Minor) -> Option<&'static RemovedFlag> {
    let flag = flag.replace('_', "-");
    REMOVED_FLAGS.iter().filter(|removed| removed.program == program && removed.gone <= last).find(
        |removed| {
            if removed.is_prefix { flag.starts_with(removed.name) } else { flag == removed.name }
        },
    )
}

/// The minor before which a program does not know this flag, when `first` is older.
pub fn added_flag(program: Program, flag: &str, first: Minor) -> Option<Minor> {
    let added = ADDED_FLAGS.iter().find(|added| added.program == program && added.name == flag)?;
    (added.since > first).then_some(added.since)
}

/// What becomes of objects of an API version that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// No API server from then on can decode them: they stay in etcd, and whoever lists the resource gets an
    /// error.
    Unreadable,
    /// They are read and written through this version of the same group.
    ReadAs(&'static str),
}

/// An API version that is no longer served, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedApi {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub resource: &'static str,
    /// The first minor without it.
    pub gone: Minor,
    pub stored: Stored,
}

impl RemovedApi {
    /// As an object has it.
    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }
}

const fn api(
    (group, version): (&'static str, &'static str),
    (kind, resource): (&'static str, &'static str),
    gone: u32,
    stored: Stored,
) -> RemovedApi {
    RemovedApi { group, version, kind, resource, gone: Minor::new(1, gone), stored }
}

const STORAGE: &str = "storage.k8s.io";
const SCHEDULING: &str = "scheduling.k8s.io";
const NETWORKING: &str = "networking.k8s.io";

/// Whether they can still be decoded is what the API server's scheme of that minor says.
#[rustfmt::skip]
pub const REMOVED_APIS: &[RemovedApi] = &[
    api(("storagemigration.k8s.io", "v1alpha1"), ("StorageVersionMigration", "storageversionmigrations"), 35, Stored::Unreadable),
    api((STORAGE, "v1alpha1"), ("VolumeAttributesClass", "volumeattributesclasses"), 35, Stored::ReadAs("v1")),
    api((SCHEDULING, "v1alpha1"), ("Workload", "workloads"), 36, Stored::Unreadable),
    api((SCHEDULING, "v1alpha2"), ("Workload", "workloads"), 37, Stored::Unreadable),
    api((SCHEDULING, "v1alpha2"), ("PodGroup", "podgroups"), 37, Stored::Unreadable),
    api((NETWORKING, "v1beta1"), ("IPAddress", "ipaddresses"), 37, Stored::ReadAs("v1")),
    api((NETWORKING, "v1beta1"), ("ServiceCIDR", "servicecidrs"), 37, Stored::ReadAs("v1")),
    api((STORAGE, "v1beta1"), ("VolumeAttributesClass", "volumeattributesclasses"), 37, Stored::ReadAs("v1")),
    api(("certificates.k8s.io", "v1alpha1"), ("ClusterTrustBundle", "clustertrustbundles"), 37, Stored::ReadAs("v1beta1")),
];

/// What goes on the way from one minor to another.
pub fn removed_apis(from: Minor, to: Minor) -> impl Iterator<Item = &'static RemovedApi> {
    REMOVED_APIS.iter().filter(move |api| from < api.gone && api.gone <= to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::SUPPORTED;

    #[test]
    fn flags_are_found_by_program_and_from_the_minor_on_that_lacks_them() {
        for (program, flag, last, gone) in [
            (Program::Kubelet, "containerd", 36, None),
            (Program::Kubelet, "containerd", 37, Some(37)),
            (Program::Kubelet, "containerd-gc", 37, None),
            (Program::Kubelet, "housekeeping-interval", 37, None),
            (Program::Kubelet, "storage_driver_db", 37, Some(37)),
            (Program::Kubelet, "pod-infra-container-image", 34, None),
            (Program::Kubelet, "pod-infra-container-image", 37, Some(35)),
            (Program::ControllerManager, "concurrent-service-syncs", 37, Some(37)),
            (Program::ApiServer, "concurrent-service-syncs", 37, None),
            (Program::Etcd, "experimental-initial-corrupt-check", 36, None),
            (Program::Etcd, "experimental-initial-corrupt-check", 37, Some(37)),
            (Program::Etcd, "discovery", 37, Some(37)),
            (Program::Etcd, "discovery-srv", 37, None),
        ] {
            let found = removed_flag(program, flag, Minor::new(1, last)).map(|removed| removed.gone);
            assert_eq!(found, gone.map(|gone| Minor::new(1, gone)), "{program} {flag} {last}");
        }
    }

    #[test]
    fn flags_that_are_too_new_for_the_first_minor_are_found() {
        for (program, flag, first, since) in [
            (Program::ApiServer, "tls-curve-preferences", 35, Some(36)),
            (Program::ApiServer, "tls-curve-preferences", 36, None),
            (Program::ControllerManager, "concurrent-disruption-syncs", 36, Some(37)),
            (Program::ApiServer, "concurrent-disruption-syncs", 36, None),
            (Program::ApiServer, "profiling", 34, None),
        ] {
            let found = added_flag(program, flag, Minor::new(1, first));
            assert_eq!(found, since.map(|since| Minor::new(1, since)), "{program} {flag} {first}");
        }
    }

    #[test]
    fn api_versions_go_between_two_minors() {
        let gone = |from, to| -> Vec<String> {
            let found = removed_apis(Minor::new(1, from), Minor::new(1, to));
            found.map(|api| format!("{} {}", api.api_version(), api.resource)).collect()
        };
        assert_eq!(gone(35, 35), [""; 0]);
        assert_eq!(gone(35, 36), ["scheduling.k8s.io/v1alpha1 workloads"]);
        assert_eq!(gone(34, 37).len(), REMOVED_APIS.len());
        assert_eq!(gone(34, 35).len(), 2);
    }

    #[test]
    fn every_row_is_of_a_supported_minor() {
        let flags =
            REMOVED_FLAGS.iter().map(|flag| flag.gone).chain(ADDED_FLAGS.iter().map(|flag| flag.since));
        for minor in flags.chain(REMOVED_APIS.iter().map(|api| api.gone)) {
            assert!(SUPPORTED.iter().any(|release| release.minor == minor), "{minor}");
        }
    }
}
