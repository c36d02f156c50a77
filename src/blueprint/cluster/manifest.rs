//! Manifests by others: YAML of several documents to objects in an order in which they can be applied,
//! and what a network plugin's manifest must be told of the cluster.

use serde_json::Value;

use super::config::comma_separated;
use super::object::object_title;
use crate::inventory::{Network, NetworkPlugin};

/// A manifest that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("not YAML: {0}")]
    Syntax(String),
    #[error("document {document}: {problem}")]
    NotAnObject { document: usize, problem: String },
    #[error("the manifest has no {0} to tell the pod range")]
    NoPodRange(&'static str),
}

/// Reads a manifest. Empty documents are skipped, Lists are taken apart. Objects come in the order in
/// which they can be applied and, within a kind, as they were written.
pub fn parse_manifest(bytes: &[u8]) -> Result<Vec<Value>, ManifestError> {
    let documents: Vec<Value> = serde_yaml::from_slice_multiple_with_options(bytes, options())
        .map_err(|error| ManifestError::Syntax(error.to_string()))?;
    let mut objects = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        if document.is_null() {
            continue;
        }
        let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default();
        let items = document.get("items").and_then(Value::as_array);
        let parts = match items {
            Some(items) if kind.ends_with("List") => items.clone(),
            Some(_) | None => vec![document],
        };
        for part in parts {
            check(&part).map_err(|problem| ManifestError::NotAnObject { document: index + 1, problem })?;
            objects.push(part);
        }
    }
    objects.sort_by_key(rank);
    Ok(objects)
}

/// CRDs of network plugins are far larger than an inventory: bounded, but generously.
fn options() -> serde_yaml::Options {
    serde_yaml::options! {
        // `n` is a name, not a refusal.
        strict_booleans: true,
        budget: serde_yaml::budget! {
            max_nodes: 2_000_000,
            max_events: 4_000_000,
            max_documents: 10_000,
            max_total_scalar_bytes: 64 << 20,
        },
    }
}

fn check(object: &Value) -> Result<(), String> {
    for pointer in ["/apiVersion", "/kind", "/metadata/name"] {
        let text = object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if text.is_empty() {
            return Err(format!("{} is missing", pointer.trim_start_matches('/').replace('/', ".")));
        }
    }
    Ok(())
}

/// What others stand on comes first; what can stop others from being applied comes last.
fn rank(object: &Value) -> usize {
    const FIRST: [&str; 14] = [
        "Namespace",
        "CustomResourceDefinition",
        "PriorityClass",
        "StorageClass",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "Secret",
        "ConfigMap",
        "Service",
        "Deployment",
        "DaemonSet",
    ];
    const LAST: [&str; 3] = ["APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let first = FIRST.iter().position(|known| *known == kind);
    let last = LAST.iter().position(|known| *known == kind).map(|at| FIRST.len() + 1 + at);
    first.or(last).unwrap_or(FIRST.len())
}

/// Images that the objects' pods run, by their full names, sorted: what a bundle must hold besides.
pub fn images_of(objects: &[Value]) -> Vec<String> {
    fn collect(value: &Value, images: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, child) in map {
                    if matches!(key.as_str(), "containers" | "initContainers") {
                        let of_container = |item: &Value| Some(full_image_name(item.get("image")?.as_str()?));
                        images.extend(child.as_array().into_iter().flatten().filter_map(of_container));
                    }
                    collect(child, images);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, images)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut images = Vec::new();
    objects.iter().for_each(|object| collect(object, &mut images));
    images.sort();
    images.dedup();
    images
}

/// The name under which containerd keeps an image that a pod names like this: with registry and tag, or
/// by digest alone (github.com/distribution/reference, `ParseDockerRef`).
pub fn full_image_name(text: &str) -> String {
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        Some(_) | None => (name, None),
    };
    let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
    let path = match path.split_once('/') {
        Some((host, _)) if is_host(host) => path.to_owned(),
        Some(_) => format!("docker.io/{path}"),
        None => format!("docker.io/library/{path}"),
    };
    match digest {
        Some(digest) => format!("{path}@{digest}"),
        None => format!("{path}:{}", tag.unwrap_or("latest")),
    }
}

/// Tells a network plugin the cluster's pod range, which its manifest has an example of.
pub fn adapt_to_cluster(objects: &mut [Value], network: &Network) -> Result<(), ManifestError> {
    match &network.plugin {
        NetworkPlugin::Flannel { .. } => flannel(objects, network),
        NetworkPlugin::Calico { .. } => calico(objects, network),
        NetworkPlugin::Cilium { .. } => cilium(objects, network),
        NetworkPlugin::Routes { .. } | NetworkPlugin::Manifest { .. } | NetworkPlugin::None => Ok(()),
    }
}

fn titled<'a>(objects: &'a mut [Value], ending: &str) -> Option<&'a mut Value> {
    objects.iter_mut().find(|object| object_title(object).ends_with(ending))
}

fn of_family(network: &Network, v6: bool) -> Option<String> {
    network.pod_cidrs.iter().find(|cidr| cidr.addr().is_ipv6() == v6).map(ToString::to_string)
}

fn flannel(objects: &mut [Value], network: &Network) -> Result<(), ManifestError> {
    let missing = || ManifestError::NoPodRange("ConfigMap kube-flannel-cfg");
    let map = titled(objects, "/kube-flannel-cfg").ok_or_else(missing)?;
    let text = map.pointer_mut("/data/net-conf.json").ok_or_else(missing)?;
    let mut document: Value =
        text.as_str().and_then(|text| serde_json::from_str(text).ok()).ok_or_else(missing)?;
    if let Some(range) = of_family(network, false) {
        document["Network"] = range.into();
    }
    if let Some(range) = of_family(network, true) {
        document["IPv6Network"] = range.into();
        document["EnableIPv6"] = true.into();
    }
    *text = document.to_string().into();
    Ok(())
}

fn calico(objects: &mut [Value], network: &Network) -> Result<(), ManifestError> {
    let missing = || ManifestError::NoPodRange("DaemonSet calico-node");
    // A ServiceAccount of the same name comes first.
    let set = objects
        .iter_mut()
        .find(|object| object["kind"] == "DaemonSet" && object["metadata"]["name"] == "calico-node");
    let containers = set
        .and_then(|set| set.pointer_mut("/spec/template/spec/containers"))
        .and_then(Value::as_array_mut)
        .ok_or_else(missing)?;
    let node =
        containers.iter_mut().find(|container| container["name"] == "calico-node").ok_or_else(missing)?;
    let environment = node.get_mut("env").and_then(Value::as_array_mut).ok_or_else(missing)?;
    for (name, v6) in [("CALICO_IPV4POOL_CIDR", false), ("CALICO_IPV6POOL_CIDR", true)] {
        if let Some(range) = of_family(network, v6) {
            environment.retain(|variable| variable["name"] != name);
            environment.push(serde_json::json!({"name": name, "value": range}));
        }
    }
    Ok(())
}

fn cilium(objects: &mut [Value], network: &Network) -> Result<(), ManifestError> {
    let missing = || ManifestError::NoPodRange("ConfigMap cilium-config");
    let map = titled(objects, "/cilium-config").ok_or_else(missing)?;
    let data = map.get_mut("data").and_then(Value::as_object_mut).ok_or_else(missing)?;
    // The ranges that the controller manager already gives to nodes.
    data.insert("ipam".into(), "kubernetes".into());
    data.insert("cluster-pool-ipv4-cidr".into(), comma_separated(&network.pod_cidrs).into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(objects: &[Value]) -> Vec<String> {
        objects.iter().map(object_title).collect()
    }

    #[test]
    fn orders_what_others_stand_on_first_and_keeps_the_rest() {
        let manifest = "
kind: ValidatingWebhookConfiguration
apiVersion: admissionregistration.k8s.io/v1
metadata: {name: hook}
---
# only a comment
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: b, namespace: n}
---
apiVersion: v1
kind: List
items:
- {apiVersion: example.org/v1, kind: Widget, metadata: {name: a, namespace: n}}
- {apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: widgets.example.org}}
- {apiVersion: v1, kind: Namespace, metadata: {name: n}}
";
        let objects = parse_manifest(manifest.as_bytes()).unwrap();
        assert_eq!(
            titles(&objects),
            [
                "Namespace n",
                "CustomResourceDefinition widgets.example.org",
                "Widget n/b",
                "Widget n/a",
                "ValidatingWebhookConfiguration hook"
            ]
        );
    }

    #[test]
    fn says_which_document_is_no_object() {
        let error =
            parse_manifest(b"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\nkind: Pod\n").unwrap_err();
        assert_eq!(error.to_string(), "document 2: apiVersion is missing");
        assert!(matches!(parse_manifest(b"a: [").unwrap_err(), ManifestError::Syntax(_)));
        assert!(parse_manifest(b"").unwrap().is_empty());
    }

    #[test]
    fn collects_images_of_all_pods() {
        let manifest = b"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: a}
spec: {template: {spec: {initContainers: [{image: i}], containers: [{image: c}, {image: i}]}}}
";
        assert_eq!(
            images_of(&parse_manifest(manifest).unwrap()),
            ["docker.io/library/c:latest", "docker.io/library/i:latest"]
        );
    }

    #[test]
    fn names_images_as_containerd_keeps_them() {
        for (text, full) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("calico/node:v3", "docker.io/calico/node:v3"),
            ("quay.io/cilium/cilium:v1.18.1@sha256:ab", "quay.io/cilium/cilium@sha256:ab"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ] {
            assert_eq!(full_image_name(text), full);
        }
    }
}
