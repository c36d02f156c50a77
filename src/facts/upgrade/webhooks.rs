//! Admission webhooks that refuse what they cannot be asked about.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Listed, text};
use crate::facts::pod::selects;

/// A webhook with `failurePolicy: Fail` behind a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookFacts {
    /// `ValidatingWebhookConfiguration NAME`.
    pub configuration: String,
    pub name: String,
    /// `namespace/name`.
    pub service: String,
    /// How many pods answer, by node; under an empty name those that are on none.
    pub endpoints: BTreeMap<String, usize>,
    /// The requests of an upgrade that it is asked about, in words.
    pub asked_about: BTreeSet<String>,
    /// It is asked about the pods that are to run it: with none of them left, none can be made.
    pub guards_itself: bool,
}

/// What an upgrade, or what follows from it, asks of the API: in words, operation, group and resource.
const REQUESTS: [(&str, &str, &str, &str); 7] = [
    (CREATES_PODS, "CREATE", "", "pods"),
    ("evicts pods", "CREATE", "", "pods/eviction"),
    ("changes nodes", "UPDATE", "", "nodes"),
    ("renews leases", "UPDATE", "coordination.k8s.io", "leases"),
    ("changes config maps", "UPDATE", "", "configmaps"),
    ("changes daemon sets", "UPDATE", "apps", "daemonsets"),
    ("changes deployments", "UPDATE", "apps", "deployments"),
];
const CREATES_PODS: &str = "creates pods";

pub(super) fn read(listed: &Listed) -> Vec<WebhookFacts> {
    let mut found: Vec<WebhookFacts> = listed
        .webhook_configurations
        .iter()
        .flat_map(|configuration| {
            let webhooks = configuration["webhooks"].as_array().into_iter().flatten();
            webhooks.filter_map(|webhook| facts(configuration, webhook, listed))
        })
        .collect();
    found.sort_by(|a, b| (&a.configuration, &a.name).cmp(&(&b.configuration, &b.name)));
    found
}

/// None: it lets requests pass when it does not answer, or somebody outside of the cluster runs it.
fn facts(configuration: &Value, webhook: &Value, listed: &Listed) -> Option<WebhookFacts> {
    // The default of admissionregistration.k8s.io/v1.
    if webhook["failurePolicy"].as_str().unwrap_or("Fail") != "Fail" {
        return None;
    }
    let service = webhook["clientConfig"].get("service").filter(|service| !service.is_null())?;
    let (namespace, name) = (text(service, "/namespace"), text(service, "/name"));
    let rules: Vec<&Value> = webhook["rules"].as_array().into_iter().flatten().collect();
    let asked_about: BTreeSet<String> = REQUESTS
        .iter()
        .filter(|(_, operation, group, resource)| {
            rules.iter().any(|rule| matches_rule(rule, operation, group, resource))
        })
        .map(|(words, ..)| (*words).to_owned())
        .collect();
    // With conditions that only the API server can compute, the pods may be exempt; then this is not claimed.
    let unconditional = is_empty(&webhook["matchConditions"]) && is_empty(&webhook["objectSelector"]);
    Some(WebhookFacts {
        configuration: format!("{} {}", text(configuration, "/kind"), text(configuration, "/metadata/name")),
        name: text(webhook, "/name").to_owned(),
        service: format!("{namespace}/{name}"),
        endpoints: endpoints(namespace, name, &listed.endpoint_slices),
        guards_itself: unconditional
            && asked_about.contains(CREATES_PODS)
            && selects(&webhook["namespaceSelector"], &labels_of(namespace, &listed.namespaces)),
        asked_about,
    })
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The API server gives each Namespace its name as a label.
fn labels_of(namespace: &str, namespaces: &[Value]) -> Value {
    let found = namespaces.iter().find(|object| text(object, "/metadata/name") == namespace);
    let labels = found.and_then(|object| object.pointer("/metadata/labels")).cloned();
    labels.unwrap_or_else(|| serde_json::json!({"kubernetes.io/metadata.name": namespace}))
}

fn matches_rule(rule: &Value, operation: &str, group: &str, resource: &str) -> bool {
    let has = |field: &str, wanted: &str| {
        let listed = rule[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        listed.into_iter().any(|one| one == wanted || one == "*")
    };
    let resources = rule["resources"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let named = resources.into_iter().any(|pattern| matches_resource(pattern, resource));
    has("operations", operation) && has("apiGroups", group) && named
}

/// `*` is every resource and no subresource; `pods/*`, `*/eviction` and `*/*` are what they look like.
fn matches_resource(pattern: &str, resource: &str) -> bool {
    let same = |pattern: &str, name: &str| pattern == "*" || pattern == name;
    match (pattern.split_once('/'), resource.split_once('/')) {
        (None, None) => same(pattern, resource),
        // `*/*` has the resources themselves, too, and so has `pods/*`.
        (Some((pattern, "*")), None) => same(pattern, resource),
        (Some((of, part)), Some((resource, subresource))) => same(of, resource) && same(part, subresource),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Pods behind a Service that are ready, by node.
fn endpoints(namespace: &str, service: &str, slices: &[Value]) -> BTreeMap<String, usize> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for slice in slices {
        let label = slice["metadata"]["labels"].get("kubernetes.io/service-name").and_then(Value::as_str);
        if text(slice, "/metadata/namespace") != namespace || label != Some(service) {
            continue;
        }
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            // Unknown counts as ready.
            if endpoint["conditions"]["ready"].as_bool() == Some(false) {
                continue;
            }
            // In a dual-stack cluster a pod is in two slices.
            let who = match endpoint["targetRef"]["name"].as_str() {
                Some(pod) => pod.to_owned(),
                None => endpoint["addresses"].to_string(),
            };
            let node = endpoint["nodeName"].as_str().unwrap_or_default();
            found.entry(node.to_owned()).or_default().insert(who);
        }
    }
    found.into_iter().map(|(node, pods)| (node, pods.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn resources_match_as_the_api_server_matches_them() {
        for (pattern, resource, matches) in [
            ("pods", "pods", true),
            ("pods", "pods/eviction", false),
            ("*", "pods", true),
            ("*", "pods/eviction", false),
            ("pods/*", "pods/eviction", true),
            ("pods/*", "pods", true),
            ("*/eviction", "pods/eviction", true),
            ("*/eviction", "pods", false),
            ("*/*", "pods/eviction", true),
            ("*/*", "nodes", true),
            ("nodes/*", "pods/eviction", false),
        ] {
            assert_eq!(matches_resource(pattern, resource), matches, "{pattern} {resource}");
        }
    }

    fn webhook(change: Value) -> Value {
        let mut webhook = json!({
            "name": "a.example", "clientConfig": {"service": {"namespace": "hooks", "name": "a"}},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "resources": ["pods"]}],
        });
        for (key, value) in change.as_object().unwrap() {
            webhook[key] = value.clone();
        }
        webhook
    }

    fn read_one(change: Value) -> Option<WebhookFacts> {
        let slice = |name: &str, endpoints: Value| {
            json!({
                "metadata": {"namespace": "hooks", "labels": {"kubernetes.io/service-name": name}},
                "endpoints": endpoints,
            })
        };
        let pod = |name: &str, node: &str| json!({"targetRef": {"name": name}, "nodeName": node});
        let mut away = pod("p-3", "w-2");
        away["conditions"] = json!({"ready": false});
        let configuration = json!({
            "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "a"}, "webhooks": [webhook(change)],
        });
        let listed = Listed {
            webhook_configurations: vec![configuration],
            endpoint_slices: vec![
                slice("a", json!([pod("p-1", "w-1"), away])),
                slice("a", json!([pod("p-1", "w-1"), pod("p-2", "w-1")])),
                slice("b", json!([pod("q", "w-2")])),
            ],
            namespaces: vec![json!({"metadata": {"name": "hooks", "labels": {"team": "x"}}})],
            ..Listed::default()
        };
        read(&listed).into_iter().next()
    }

    #[test]
    fn a_webhook_is_read_with_the_pods_that_answer() {
        let facts = read_one(json!({})).unwrap();
        assert_eq!(facts.configuration, "ValidatingWebhookConfiguration a");
        assert_eq!(facts.endpoints, BTreeMap::from([("w-1".to_owned(), 2)]));
        assert_eq!(facts.asked_about, BTreeSet::from(["creates pods".to_owned()]));
        assert!(facts.guards_itself);
        assert_eq!(read_one(json!({"failurePolicy": "Ignore"})), None);
        assert_eq!(read_one(json!({"clientConfig": {"url": "https://x"}})), None);
    }

    #[test]
    fn a_webhook_guards_itself_unless_its_own_pods_may_be_exempt() {
        for (change, guards) in [
            (json!({"namespaceSelector": {}, "objectSelector": {}}), true),
            (json!({"namespaceSelector": {"matchLabels": {"team": "x"}}}), true),
            (
                json!({"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}}),
                false,
            ),
            (json!({"objectSelector": {"matchLabels": {"a": "b"}}}), false),
            (json!({"matchConditions": [{"name": "x", "expression": "true"}]}), false),
            (json!({"rules": [{"operations": ["*"], "apiGroups": ["apps"], "resources": ["*"]}]}), false),
        ] {
            assert_eq!(read_one(change.clone()).unwrap().guards_itself, guards, "{change}");
        }
        let all = json!({"rules": [{"operations": ["*"], "apiGroups": ["*"], "resources": ["*/*"]}]});
        assert_eq!(read_one(all).unwrap().asked_about.len(), REQUESTS.len());
    }
}
