//! CoreDNS as kubeadm installs it: rights, Corefile, Deployment, and the Service on the tenth address.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, HTTPGetAction, KeyToPath,
    PodAffinityTerm, PodAntiAffinity, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SecurityContext,
    Service, ServicePort, ServiceSpec, Toleration, Volume, VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::object::{config_map, service_account, string_map, to_value};
use super::{ClusterInputs, access};
use crate::release::catalog::Image;

/// In the order kubeadm makes them, rights first.
pub(super) fn coredns_objects(inputs: &ClusterInputs) -> Vec<Value> {
    let mut objects = vec![service_account("kube-system", "coredns")];
    objects.extend(access::coredns_access());
    let corefile = corefile(&inputs.inventory.network.dns_domain);
    objects.push(config_map(
        "kube-system",
        "coredns",
        BTreeMap::from([("Corefile".to_owned(), corefile)]),
        ObjectMeta::default(),
    ));
    objects.push(deployment(inputs));
    objects.push(service(inputs));
    objects
}

/// One plugin of a server block, with its options.
struct Plugin(&'static str, Vec<String>);

/// The default Corefile, to the letter: kubeadm migrates a Corefile it knows, and must be told to
/// overwrite one it does not.
fn corefile(domain: &str) -> String {
    let plain = |line| Plugin(line, Vec::new());
    let options = |options: &[&str]| options.iter().map(|option| (*option).to_owned()).collect();
    let kubernetes = format!("kubernetes {domain} in-addr.arpa ip6.arpa");
    let plugins = [
        plain("errors"),
        Plugin("health", options(&["lameduck 5s"])),
        plain("ready"),
        Plugin("kubernetes", options(&["pods insecure", "fallthrough in-addr.arpa ip6.arpa", "ttl 30"])),
        plain("prometheus :9153"),
        Plugin("forward . /etc/resolv.conf", options(&["max_concurrent 1000"])),
        Plugin("cache 30", vec![format!("disable success {domain}"), format!("disable denial {domain}")]),
        plain("loop"),
        plain("reload"),
        plain("loadbalance"),
    ];
    let mut text = String::from(".:53 {\n");
    for Plugin(head, options) in plugins {
        let head = if head == "kubernetes" { kubernetes.as_str() } else { head };
        if options.is_empty() {
            text.push_str(&format!("    {head}\n"));
            continue;
        }
        text.push_str(&format!("    {head} {{\n"));
        for option in options {
            text.push_str(&format!("       {option}\n"));
        }
        text.push_str("    }\n");
    }
    text.push_str("}\n");
    text
}

fn labels() -> BTreeMap<String, String> {
    // The name predates CoreDNS; policies and dashboards select by it.
    string_map(&[("k8s-app", "kube-dns")])
}

fn deployment(inputs: &ClusterInputs) -> Value {
    to_value(&Deployment {
        metadata: ObjectMeta {
            name: Some("coredns".into()),
            namespace: Some("kube-system".into()),
            labels: Some(labels()),
            ..ObjectMeta::default()
        },
        spec: DeploymentSpec {
            replicas: Some(2),
            selector: LabelSelector { match_labels: Some(labels()), match_expressions: None },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(1)),
                    max_surge: None,
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels()), ..ObjectMeta::default() }),
                spec: Some(PodSpec {
                    affinity: Some(apart()),
                    containers: vec![container(
                        &inputs.release.image(Image::CoreDns, inputs.inventory.version),
                    )],
                    // The host's resolvers: asking the cluster's DNS would be asking itself.
                    dns_policy: Some("Default".into()),
                    node_selector: Some(string_map(&[("kubernetes.io/os", "linux")])),
                    priority_class_name: Some("system-cluster-critical".into()),
                    service_account_name: Some("coredns".into()),
                    tolerations: Some(vec![
                        toleration("CriticalAddonsOnly", Some("Exists"), None),
                        toleration("node-role.kubernetes.io/control-plane", None, Some("NoSchedule")),
                    ]),
                    volumes: Some(vec![Volume {
                        name: "config-volume".into(),
                        config_map: Some(ConfigMapVolumeSource {
                            name: "coredns".into(),
                            items: Some(vec![KeyToPath {
                                key: "Corefile".into(),
                                path: "Corefile".into(),
                                ..KeyToPath::default()
                            }]),
                            ..ConfigMapVolumeSource::default()
                        }),
                        ..Volume::default()
                    }]),
                    ..PodSpec::default()
                }),
            },
            ..DeploymentSpec::default()
        },
        status: None,
    })
}

fn toleration(key: &str, operator: Option<&str>, effect: Option<&str>) -> Toleration {
    Toleration {
        key: Some(key.into()),
        operator: operator.map(str::to_owned),
        effect: effect.map(str::to_owned),
        ..Toleration::default()
    }
}

/// Two replicas on one host are one failure.
fn apart() -> Affinity {
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                weight: 100,
                pod_affinity_term: PodAffinityTerm {
                    label_selector: Some(LabelSelector {
                        match_expressions: Some(vec![LabelSelectorRequirement {
                            key: "k8s-app".into(),
                            operator: "In".into(),
                            values: Some(vec!["kube-dns".into()]),
                        }]),
                        match_labels: None,
                    }),
                    topology_key: "kubernetes.io/hostname".into(),
                    ..PodAffinityTerm::default()
                },
            }]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

fn container(image: &str) -> Container {
    Container {
        name: "coredns".into(),
        image: Some(image.into()),
        image_pull_policy: Some("IfNotPresent".into()),
        args: Some(vec!["-conf".into(), "/etc/coredns/Corefile".into()]),
        ports: Some(vec![
            container_port("dns", 53, "UDP"),
            container_port("dns-tcp", 53, "TCP"),
            container_port("metrics", 9153, "TCP"),
            container_port("liveness-probe", 8080, "TCP"),
            container_port("readiness-probe", 8181, "TCP"),
        ]),
        liveness_probe: Some(Probe {
            initial_delay_seconds: Some(60),
            timeout_seconds: Some(5),
            success_threshold: Some(1),
            failure_threshold: Some(5),
            ..probe("/health", "liveness-probe")
        }),
        readiness_probe: Some(probe("/ready", "readiness-probe")),
        resources: Some(ResourceRequirements {
            limits: Some(BTreeMap::from([("memory".to_owned(), Quantity("170Mi".into()))])),
            requests: Some(BTreeMap::from([
                ("cpu".to_owned(), Quantity("100m".into())),
                ("memory".to_owned(), Quantity("70Mi".into())),
            ])),
            claims: None,
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                add: Some(vec!["NET_BIND_SERVICE".into()]),
                drop: Some(vec!["ALL".into()]),
            }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![VolumeMount {
            name: "config-volume".into(),
            mount_path: "/etc/coredns".into(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

fn container_port(name: &str, port: i32, protocol: &str) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: port,
        protocol: Some(protocol.into()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str, port: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String(port.into()),
            scheme: Some("HTTP".into()),
            ..HTTPGetAction::default()
        }),
        ..Probe::default()
    }
}

fn service(inputs: &ClusterInputs) -> Value {
    let network = &inputs.inventory.network;
    to_value(&Service {
        metadata: ObjectMeta {
            name: Some("kube-dns".into()),
            namespace: Some("kube-system".into()),
            labels: Some(string_map(&[
                ("k8s-app", "kube-dns"),
                ("kubernetes.io/cluster-service", "true"),
                ("kubernetes.io/name", "CoreDNS"),
            ])),
            annotations: Some(string_map(&[
                ("prometheus.io/port", "9153"),
                ("prometheus.io/scrape", "true"),
            ])),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            cluster_ip: network.service_address(10).map(|address| address.to_string()),
            ports: Some(vec![
                service_port("dns", 53, "UDP"),
                service_port("dns-tcp", 53, "TCP"),
                service_port("metrics", 9153, "TCP"),
            ]),
            selector: Some(labels()),
            ..ServiceSpec::default()
        }),
        status: None,
    })
}

fn service_port(name: &str, port: i32, protocol: &str) -> ServicePort {
    ServicePort {
        name: Some(name.into()),
        port,
        protocol: Some(protocol.into()),
        target_port: Some(IntOrString::Int(port)),
        ..ServicePort::default()
    }
}
