//! Static pods as kubeadm would write them, equal once decoded: `kubeadm upgrade` skips a component whose
//! decoded pod has not changed, so order of flags and volumes and the numbers of probes all count.

mod api_server;
mod controller_manager;
mod etcd;
mod scheduler;

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, HTTPGetAction, HostPathVolumeSource, Pod, PodSecurityContext, PodSpec, Probe,
    ResourceRequirements, SeccompProfile, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::files::{Files, text_file};
use super::model::{FileGroup, HostTraits};
use super::security::{ComponentArgs, ComponentExtras, HostPathMount};
use super::{KUBERNETES_DIRECTORY, PKI_DIRECTORY, runs_etcd};
use crate::blueprint::cluster;
use crate::inventory::{ExtraArg, Host, Inventory};
use crate::release::MinorRelease;

pub(super) use etcd::client_url;

pub(super) const MANIFESTS_DIRECTORY: &str = "/etc/kubernetes/manifests";

/// Where kubeadm looks for CA files that `/etc/ssl/certs` may link to; each is mounted where it exists.
pub const CA_DIRECTORIES: [&str; 5] = [
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];

/// What the static pods of one host are made from.
pub(super) struct Context<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) release: &'a MinorRelease,
    pub(super) extras: &'a ComponentArgs,
    pub(super) host: &'a Host,
    pub(super) traits: &'a HostTraits,
    pub(super) api_port: u16,
}

/// Adds the manifests of every static pod the host runs.
pub(super) fn add_files(files: &mut Files, context: &Context<'_>) {
    for pod in static_pods(context) {
        // invariant: `component_pod` always names the pod
        let name = pod.metadata.name.clone().unwrap_or_default();
        let path = format!("{MANIFESTS_DIRECTORY}/{name}.yaml");
        files.add(&path, text_file(FileGroup::Manifest, 0o600, manifest(&pod)));
    }
}

/// The text that kubeadm would write, letter by letter: `kubeadm upgrade diff` compares texts.
fn manifest(pod: &Pod) -> String {
    // invariant: our own plain data with string keys always serialises
    let mut value = serde_json::to_value(pod).unwrap_or_default();
    value["status"] = serde_json::json!({});
    cluster::yaml::write(&cluster::yaml::sorted(&value))
}

fn static_pods(context: &Context<'_>) -> Vec<Pod> {
    let mut pods = Vec::new();
    if runs_etcd(context.inventory, context.host) {
        pods.push(etcd::pod(context));
    }
    if context.host.is_control_plane() {
        pods.push(api_server::pod(context));
        pods.push(controller_manager::pod(context));
        pods.push(scheduler::pod(context));
    }
    pods
}

fn default_arg(name: &str, value: impl Into<String>) -> ExtraArg {
    ExtraArg { name: name.to_owned(), value: value.into() }
}

/// kubeadm's rule: its own flags sorted by name, without those that are given again; then the given ones in
/// their order.
fn command(program: &str, mut defaults: Vec<ExtraArg>, extras: &[ExtraArg]) -> Vec<String> {
    defaults.sort_by(|a, b| a.name.cmp(&b.name));
    defaults.retain(|arg| extras.iter().all(|extra| extra.name != arg.name));
    let flags = defaults.iter().chain(extras).map(|arg| format!("--{}={}", arg.name, arg.value));
    std::iter::once(program.to_owned()).chain(flags).collect()
}

/// The value that counts when a flag is given more than once.
fn last_value<'a>(args: &'a [ExtraArg], name: &str) -> Option<&'a str> {
    args.iter().rev().find(|arg| arg.name == name).map(|arg| arg.value.as_str())
}

/// Where the components on this host meet over the loopback: the family of the advertised address.
fn loopback(host: &Host) -> &'static str {
    match host.address {
        IpAddr::V4(_) => "127.0.0.1",
        IpAddr::V6(_) => "::1",
    }
}

fn pki(file: &str) -> String {
    format!("{PKI_DIRECTORY}/{file}")
}

fn kubeconfig(component: &str) -> String {
    format!("{KUBERNETES_DIRECTORY}/{component}.conf")
}

/// The three probes kubeadm gives a component; a path of None leaves one out.
struct Probes {
    /// None: the pod's own address, as for a component that listens on all of them.
    address: Option<String>,
    port: i32,
    scheme: &'static str,
    liveness: &'static str,
    readiness: Option<&'static str>,
    startup: &'static str,
}

impl Probes {
    fn probe(&self, path: &str, delay: Option<i32>, failures: i32, period: i32) -> Probe {
        Probe {
            http_get: Some(HTTPGetAction {
                host: self.address.clone(),
                path: Some(path.to_owned()),
                port: IntOrString::String("probe-port".to_owned()),
                scheme: Some(self.scheme.to_owned()),
                ..HTTPGetAction::default()
            }),
            initial_delay_seconds: delay,
            timeout_seconds: Some(15),
            failure_threshold: Some(failures),
            period_seconds: Some(period),
            ..Probe::default()
        }
    }
}

/// The address of probes for a component that was told to listen somewhere else.
fn probe_address(extras: &ComponentExtras) -> Option<String> {
    match last_value(&extras.args, "bind-address").unwrap_or("127.0.0.1") {
        "0.0.0.0" | "::" => None,
        address => Some(address.to_owned()),
    }
}

struct Component<'a> {
    name: &'a str,
    image: String,
    command: Vec<String>,
    probes: Probes,
    cpu: &'a str,
    memory: Option<&'a str>,
    /// Sorted by name in the pod.
    mounts: Vec<HostPathMount>,
    /// Mounts stay in the order given, as in kubeadm's etcd.
    keep_mount_order: bool,
    annotation: Option<(&'a str, String)>,
}

fn component_pod(component: Component<'_>) -> Pod {
    let name = component.name.to_owned();
    let (mounts, volumes) = mounts_and_volumes(&component.mounts, component.keep_mount_order);
    let probes = &component.probes;
    let requests = [("cpu", Some(component.cpu)), ("memory", component.memory)]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Quantity(value?.to_owned()))))
        .collect();
    let container = Container {
        name: name.clone(),
        image: Some(component.image),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(component.command),
        liveness_probe: Some(probes.probe(probes.liveness, Some(10), 8, 10)),
        readiness_probe: probes.readiness.map(|path| probes.probe(path, None, 3, 1)),
        // 24 periods of 10 s are the 4 minutes kubeadm allows a component
        startup_probe: Some(probes.probe(probes.startup, Some(10), 24, 10)),
        ports: Some(vec![ContainerPort {
            container_port: probes.port,
            name: Some("probe-port".to_owned()),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(ResourceRequirements { requests: Some(requests), ..ResourceRequirements::default() }),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let labels = [("component", name.as_str()), ("tier", "control-plane")];
    Pod {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some("kube-system".to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            annotations: component.annotation.map(|(key, value)| [(key.to_owned(), value)].into()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![container],
            host_network: Some(true),
            priority: Some(2_000_001_000),
            priority_class_name: Some("system-node-critical".to_owned()),
            security_context: Some(PodSecurityContext {
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            volumes: Some(volumes),
            ..PodSpec::default()
        }),
        ..Pod::default()
    }
}

fn mounts_and_volumes(mounts: &[HostPathMount], keep_mount_order: bool) -> (Vec<VolumeMount>, Vec<Volume>) {
    // A later mount of the same name replaces an earlier one, as kubeadm's do.
    let by_name: BTreeMap<&str, &HostPathMount> =
        mounts.iter().map(|mount| (mount.name.as_str(), mount)).collect();
    let volume_mount = |mount: &HostPathMount| VolumeMount {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: mount.read_only.then_some(true),
        ..VolumeMount::default()
    };
    let volumes = by_name.values().map(|mount| Volume {
        name: mount.name.clone(),
        host_path: Some(HostPathVolumeSource {
            path: mount.host_path.clone(),
            type_: Some(mount.path_type.clone()),
        }),
        ..Volume::default()
    });
    let volume_mounts = if keep_mount_order {
        mounts.iter().map(volume_mount).collect()
    } else {
        by_name.values().map(|mount| volume_mount(mount)).collect()
    };
    (volume_mounts, volumes.collect())
}

fn host_path(name: &str, path: &str, read_only: bool, path_type: &str) -> HostPathMount {
    HostPathMount {
        name: name.to_owned(),
        host_path: path.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        path_type: path_type.to_owned(),
    }
}

/// What API server and controller manager both mount: certificates, and the CA files of the host.
fn certificate_mounts(traits: &HostTraits) -> Vec<HostPathMount> {
    let mut mounts = vec![
        host_path("k8s-certs", PKI_DIRECTORY, true, "DirectoryOrCreate"),
        host_path("ca-certs", "/etc/ssl/certs", true, "DirectoryOrCreate"),
    ];
    for directory in CA_DIRECTORIES {
        if traits.ca_directories.contains(directory) {
            let name = directory.trim_start_matches('/').replace('/', "-");
            mounts.push(host_path(&name, directory, true, "DirectoryOrCreate"));
        }
    }
    mounts
}
