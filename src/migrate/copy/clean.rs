//! What of an object goes to another cluster: what a user said, without what a cluster wrote beside it. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::kinds::Kind;
use super::needs::pod_template;
use super::object::{annotation, items, text};

/// What `kubectl apply` remembers.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Fields of metadata that a cluster writes. Owners have other identities there; finalizers are set again by those
/// that look after the object, and would keep it for ever where nobody does.
const METADATA: [&str; 10] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "managedFields",
    "selfLink",
    "ownerReferences",
    "finalizers",
    "generateName",
    "deletionGracePeriodSeconds",
];

/// Annotations that controllers write.
const ANNOTATIONS: [&str; 17] = [
    LAST_APPLIED,
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.daemonset.template.generation",
    "control-plane.alpha.kubernetes.io/leader",
    "autoscaling.alpha.kubernetes.io/conditions",
    "autoscaling.alpha.kubernetes.io/current-metrics",
    "batch.kubernetes.io/job-tracking",
    "kubernetes.io/service-account.uid",
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/selected-node",
    "volume.kubernetes.io/storage-resizer",
    // Green has a default of its own.
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];
/// All annotations below these.
const ANNOTATION_PREFIXES: [&str; 2] = ["pv.kubernetes.io/", "cni.projectcalico.org/"];

/// Labels that the API server writes: it knows the name of a namespace, and which Job made a pod.
const LABELS: [&str; 1] = ["kubernetes.io/metadata.name"];
const JOB_LABELS: [&str; 4] =
    ["controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"];

/// An object of blue as it is applied to green. `classes`: what blue's StorageClasses are called there.
pub fn clean(kind: &Kind, object: &Value, classes: &BTreeMap<String, String>) -> Value {
    let Value::Object(given) = object else { return object.clone() };
    // These two first, as people write them.
    let mut cleaned = Map::new();
    cleaned.insert("apiVersion".to_owned(), kind.api_version().into());
    cleaned.insert("kind".to_owned(), kind.kind.as_str().into());
    let rest = given.iter().filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind" | "status"));
    cleaned.extend(rest.map(|(key, value)| (key.clone(), value.clone())));
    let mut cleaned = Value::Object(cleaned);
    clean_metadata(&mut cleaned);
    clean_pods(kind, &mut cleaned);
    clean_kind(kind, &mut cleaned, classes);
    drop_empty(&mut cleaned, &["metadata", "annotations"]);
    drop_empty(&mut cleaned, &["metadata", "labels"]);
    cleaned
}

fn clean_metadata(object: &mut Value) {
    remove_all(object, &["metadata"], &METADATA);
    remove_all(object, &["metadata", "annotations"], &ANNOTATIONS);
    if let Some(annotations) = map(object, &["metadata", "annotations"]) {
        annotations.retain(|key, _| !ANNOTATION_PREFIXES.iter().any(|prefix| key.starts_with(prefix)));
    }
    remove_all(object, &["metadata", "labels"], &LABELS);
}

/// What the pods of an object are made from.
fn clean_pods(kind: &Kind, object: &mut Value) {
    let Some(template) = pod_template(&kind.group, &kind.kind) else { return };
    let path: Vec<&str> = template.split('/').filter(|part| !part.is_empty()).collect();
    let below = |last: &'static str| path.iter().copied().chain([last]).collect::<Vec<_>>();
    if !path.is_empty() {
        remove_all(object, &below("metadata"), &["creationTimestamp"]);
    }
    // A node of blue.
    remove_all(object, &below("spec"), &["nodeName"]);
}

fn clean_kind(kind: &Kind, object: &mut Value, classes: &BTreeMap<String, String>) {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => remove_all(object, &["spec"], &["finalizers"]),
        ("", "Service") => clean_service(object),
        ("", "ServiceAccount") => remove_all(object, &[], &["secrets"]),
        ("", "PersistentVolumeClaim") => clean_claim(object, classes),
        ("", "Pod") => clean_pod(object),
        ("apps", "StatefulSet") => {
            for template in list(object, &["spec", "volumeClaimTemplates"]) {
                remove_all(template, &[], &["status"]);
                remove_all(template, &["metadata"], &["creationTimestamp"]);
                map_class(template, classes);
            }
        }
        ("batch", "Job") => clean_job(object),
        ("batch", "CronJob") => {
            remove_all(object, &["spec", "jobTemplate", "metadata"], &["creationTimestamp"]);
            drop_empty(object, &["spec", "jobTemplate", "metadata"]);
            // Until the service has moved, blue's runs by the same clock.
            set(object, &["spec"], "suspend", true.into());
        }
        // A controller gathers the rules from other roles.
        ("rbac.authorization.k8s.io", "ClusterRole")
            if object.pointer("/aggregationRule").is_some_and(|rule| !rule.is_null()) =>
        {
            remove_all(object, &[], &["rules"]);
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") if is_injected(object) => {
            remove_all(object, &["spec", "conversion", "webhook", "clientConfig"], &["caBundle"]);
        }
        ("apiregistration.k8s.io", "APIService") if is_injected(object) => {
            remove_all(object, &["spec"], &["caBundle"]);
        }
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) if is_injected(object) => {
            for webhook in list(object, &["webhooks"]) {
                remove_all(webhook, &["clientConfig"], &["caBundle"]);
            }
        }
        _ => {}
    }
    drop_empty(object, &["spec"]);
}

/// Whether something on green writes the authority of its own certificates into the object.
fn is_injected(object: &Value) -> bool {
    [
        "cert-manager.io/inject-ca-from",
        "cert-manager.io/inject-ca-from-secret",
        "cert-manager.io/inject-apiserver-ca",
        "certmanager.k8s.io/inject-ca-from",
        "service.beta.openshift.io/inject-cabundle",
    ]
    .iter()
    .any(|key| annotation(object, key).is_some())
}

/// Addresses are of blue's own ranges, and so are those of its balancers. The ports on nodes stay where the type is
/// NodePort: balancers in front of both clusters send there. Those of a LoadBalancer are chosen by the cluster, and
/// known to the balancer that it makes.
fn clean_service(object: &mut Value) {
    let is_headless = object.pointer("/spec/clusterIP").and_then(Value::as_str) == Some("None");
    if !is_headless {
        remove_all(object, &["spec"], &["clusterIP", "clusterIPs"]);
    }
    remove_all(object, &["spec"], &["healthCheckNodePort", "loadBalancerIP"]);
    let has_node_ports = object.pointer("/spec/type").and_then(Value::as_str) == Some("NodePort");
    if !has_node_ports {
        for port in list(object, &["spec", "ports"]) {
            remove_all(port, &[], &["nodePort"]);
        }
    }
}

fn clean_claim(object: &mut Value, classes: &BTreeMap<String, String>) {
    // What it was made from is on blue.
    remove_all(object, &["spec"], &["volumeName", "dataSource", "dataSourceRef"]);
    map_class(object, classes);
}

fn map_class(claim: &mut Value, classes: &BTreeMap<String, String>) {
    const OLD: &str = "volume.beta.kubernetes.io/storage-class";
    for (path, key) in [(vec!["spec"], "storageClassName"), (vec!["metadata", "annotations"], OLD)] {
        if let Some(fields) = map(claim, &path)
            && let Some(green) = fields.get(key).and_then(Value::as_str).and_then(|blue| classes.get(blue))
        {
            fields.insert(key.to_owned(), green.as_str().into());
        }
    }
}

/// Made by hand: what admission of blue has put into it goes.
fn clean_pod(object: &mut Value) {
    remove_all(object, &["spec"], &["priority", "preemptionPolicy", "overhead", "ephemeralContainers"]);
    let mounted = token_volumes(object);
    let mut gone: Vec<String> = Vec::new();
    if let Some(Value::Array(volumes)) = object.pointer_mut("/spec/volumes") {
        volumes.retain(|volume| {
            let name = text(volume, "/name");
            // A projected one nowadays, a Secret of the account in old clusters.
            let is_tokens = name.starts_with("kube-api-access-")
                || text(volume, "/secret/secretName").contains("-token-");
            let is_gone = is_tokens && mounted.iter().any(|mounted| mounted == name);
            if is_gone {
                gone.push(name.to_owned());
            }
            !is_gone
        });
    }
    for containers in ["containers", "initContainers"] {
        for container in list(object, &["spec", containers]) {
            if let Some(Value::Array(mounts)) = container.get_mut("volumeMounts") {
                mounts.retain(|mount| !gone.iter().any(|gone| gone == text(mount, "/name")));
            }
        }
    }
}

/// Volumes that are mounted where a pod finds its account's token.
fn token_volumes(pod: &Value) -> Vec<String> {
    let containers = items(pod, "/spec/containers").chain(items(pod, "/spec/initContainers"));
    let mounts = containers.flat_map(|container| items(container, "/volumeMounts"));
    mounts
        .filter(|mount| text(mount, "/mountPath") == "/var/run/secrets/kubernetes.io/serviceaccount")
        .map(|mount| text(mount, "/name").to_owned())
        .collect()
}

fn clean_job(object: &mut Value) {
    let is_manual = object.pointer("/spec/manualSelector").and_then(Value::as_bool) == Some(true);
    if !is_manual {
        remove_all(object, &["spec"], &["selector"]);
        remove_all(object, &["metadata", "labels"], &JOB_LABELS);
        remove_all(object, &["spec", "template", "metadata", "labels"], &JOB_LABELS);
    }
    // It runs on blue already.
    set(object, &["spec"], "suspend", true.into());
}

/// The map at a path.
fn map<'a>(object: &'a mut Value, path: &[&str]) -> Option<&'a mut Map<String, Value>> {
    let mut at = object;
    for part in path {
        at = at.get_mut(*part)?;
    }
    at.as_object_mut()
}

fn list<'a>(object: &'a mut Value, path: &[&str]) -> impl Iterator<Item = &'a mut Value> {
    let found =
        path.split_last().and_then(|(last, above)| map(object, above)?.get_mut(*last)?.as_array_mut());
    found.into_iter().flatten()
}

fn remove_all(object: &mut Value, path: &[&str], keys: &[&str]) {
    if let Some(fields) = map(object, path) {
        fields.retain(|key, _| !keys.contains(&key.as_str()));
    }
}

fn set(object: &mut Value, path: &[&str], key: &str, value: Value) {
    if let Some(fields) = map(object, path) {
        fields.insert(key.to_owned(), value);
    }
}

/// An empty map would be owned, and say nothing.
fn drop_empty(object: &mut Value, path: &[&str]) {
    if let Some((last, above)) = path.split_last()
        && let Some(fields) = map(object, above)
        && fields.get(*last).is_some_and(|value| value.as_object().is_some_and(Map::is_empty))
    {
        fields.shift_remove(*last);
    }
}

#[cfg(test)]
#[path = "clean_tests.rs"]
mod tests;
