//! kube-proxy as kubeadm installs it: ServiceAccount, configuration, DaemonSet.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, EnvVar, EnvVarSource, HostPathVolumeSource, ObjectFieldSelector,
    PodSpec, PodTemplateSpec, SecurityContext, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde_json::{Value, json};

use super::config::{comma_separated, component_config_map, merge};
use super::object::{service_account, string_map, to_value};
use super::{ClusterInputs, access, yaml};
use crate::release::catalog::Image;

/// In the order kubeadm makes them, rights first.
pub(super) fn kube_proxy_objects(inputs: &ClusterInputs) -> Vec<Value> {
    let mut objects = vec![service_account("kube-system", "kube-proxy")];
    objects.extend(access::kube_proxy_access());
    objects.push(config_map(inputs));
    objects.push(daemon_set(inputs));
    objects
}

fn config_map(inputs: &ClusterInputs) -> Value {
    let overlay = &inputs.inventory.kube_proxy.config;
    let mut configuration = configuration(inputs);
    if !overlay.is_empty() {
        merge(&mut configuration, &json!(overlay));
    }
    // kubeadm stores both without a newline at their end, and its hash covers exactly that.
    let text = |value: &Value| yaml::write(value).trim_end().to_owned();
    let data = BTreeMap::from([
        ("config.conf".to_owned(), text(&yaml::sorted(&configuration))),
        ("kubeconfig.conf".to_owned(), text(&kubeconfig(inputs))),
    ]);
    let metadata = ObjectMeta { labels: Some(string_map(&[("app", "kube-proxy")])), ..ObjectMeta::default() };
    component_config_map("kube-proxy", data, overlay.is_empty(), metadata)
}

/// KubeProxyConfiguration v1alpha1 with the zeros and nulls that kubeadm's encoder writes.
fn configuration(inputs: &ClusterInputs) -> Value {
    let network = &inputs.inventory.network;
    let any = match inputs.inventory.control_planes().next().map(|host| host.address) {
        Some(IpAddr::V6(_)) => "::",
        Some(IpAddr::V4(_)) | None => "0.0.0.0",
    };
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": any,
        "bindAddressHardFail": false,
        "clientConnection": {
            "acceptContentTypes": "", "burst": 0, "contentType": "",
            "kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf", "qps": 0,
        },
        "clusterCIDR": comma_separated(&network.pod_cidrs),
        "configSyncPeriod": "0s",
        "conntrack": {
            "maxPerCore": null, "min": null, "tcpBeLiberal": false, "tcpCloseWaitTimeout": null,
            "tcpEstablishedTimeout": null, "udpStreamTimeout": "0s", "udpTimeout": "0s",
        },
        "detectLocal": {"bridgeInterface": "", "interfaceNamePrefix": ""},
        "detectLocalMode": "",
        "enableProfiling": false,
        "healthzBindAddress": "",
        "hostnameOverride": "",
        "iptables": {
            "localhostNodePorts": null, "masqueradeAll": false, "masqueradeBit": null,
            "minSyncPeriod": "0s", "syncPeriod": "0s",
        },
        "ipvs": {
            "excludeCIDRs": null, "minSyncPeriod": "0s", "scheduler": "", "strictARP": false,
            "syncPeriod": "0s", "tcpFinTimeout": "0s", "tcpTimeout": "0s", "udpTimeout": "0s",
        },
        "logging": {
            "flushFrequency": 0,
            "options": {"json": {"infoBufferSize": "0"}, "text": {"infoBufferSize": "0"}},
            "verbosity": 0,
        },
        "metricsBindAddress": "",
        "mode": inputs.release.kube_proxy_mode,
        "nftables": {
            "masqueradeAll": false, "masqueradeBit": null, "minSyncPeriod": "0s", "syncPeriod": "0s",
        },
        "nodePortAddresses": null,
        "oomScoreAdj": null,
        "portRange": "",
        "showHiddenMetricsForVersion": "",
        "winkernel": {
            "enableDSR": false, "forwardHealthCheckVip": false, "networkName": "",
            "rootHnsEndpointName": "", "sourceVip": "",
        },
    })
}

/// The pod's own service account, against the control-plane endpoint: services do not work before
/// kube-proxy does.
fn kubeconfig(inputs: &ClusterInputs) -> Value {
    const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "cluster": {
                "certificate-authority": format!("{ACCOUNT}/ca.crt"),
                "server": format!("https://{}", inputs.inventory.control_plane_endpoint()),
            },
            "name": "default",
        }],
        "contexts": [{
            "context": {"cluster": "default", "namespace": "default", "user": "default"},
            "name": "default",
        }],
        "current-context": "default",
        "users": [{"name": "default", "user": {"tokenFile": format!("{ACCOUNT}/token")}}],
    })
}

fn daemon_set(inputs: &ClusterInputs) -> Value {
    let labels = string_map(&[("k8s-app", "kube-proxy")]);
    to_value(&DaemonSet {
        metadata: ObjectMeta {
            name: Some("kube-proxy".into()),
            namespace: Some("kube-system".into()),
            labels: Some(labels.clone()),
            ..ObjectMeta::default()
        },
        spec: DaemonSetSpec {
            selector: LabelSelector { match_labels: Some(labels.clone()), match_expressions: None },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
                spec: Some(pod(inputs)),
            },
            update_strategy: Some(DaemonSetUpdateStrategy {
                type_: Some("RollingUpdate".into()),
                ..DaemonSetUpdateStrategy::default()
            }),
            ..DaemonSetSpec::default()
        },
        status: None,
    })
}

fn pod(inputs: &ClusterInputs) -> PodSpec {
    PodSpec {
        containers: vec![Container {
            name: "kube-proxy".into(),
            image: Some(inputs.release.image(Image::KubeProxy, inputs.inventory.version)),
            image_pull_policy: Some("IfNotPresent".into()),
            command: Some(
                [
                    "/usr/local/bin/kube-proxy",
                    "--config=/var/lib/kube-proxy/config.conf",
                    "--hostname-override=$(NODE_NAME)",
                ]
                .map(str::to_owned)
                .to_vec(),
            ),
            env: Some(vec![EnvVar {
                name: "NODE_NAME".into(),
                value_from: Some(EnvVarSource {
                    field_ref: Some(ObjectFieldSelector {
                        field_path: "spec.nodeName".into(),
                        api_version: None,
                    }),
                    ..EnvVarSource::default()
                }),
                ..EnvVar::default()
            }]),
            security_context: Some(SecurityContext { privileged: Some(true), ..SecurityContext::default() }),
            volume_mounts: Some(vec![
                mount("kube-proxy", "/var/lib/kube-proxy", false),
                mount("xtables-lock", "/run/xtables.lock", false),
                mount("lib-modules", "/lib/modules", true),
            ]),
            ..Container::default()
        }],
        host_network: Some(true),
        node_selector: Some(string_map(&[("kubernetes.io/os", "linux")])),
        priority_class_name: Some("system-node-critical".into()),
        service_account_name: Some("kube-proxy".into()),
        // Before anything else can run on a node, even one that is not ready.
        tolerations: Some(vec![Toleration { operator: Some("Exists".into()), ..Toleration::default() }]),
        volumes: Some(vec![
            Volume {
                name: "kube-proxy".into(),
                config_map: Some(ConfigMapVolumeSource {
                    name: "kube-proxy".into(),
                    ..ConfigMapVolumeSource::default()
                }),
                ..Volume::default()
            },
            host_path("xtables-lock", "/run/xtables.lock", Some("FileOrCreate")),
            host_path("lib-modules", "/lib/modules", None),
        ]),
        ..PodSpec::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn host_path(name: &str, path: &str, kind: Option<&str>) -> Volume {
    Volume {
        name: name.into(),
        host_path: Some(HostPathVolumeSource { path: path.into(), type_: kind.map(str::to_owned) }),
        ..Volume::default()
    }
}
