//! Where green's own word counts once an object is there: fields that a controller of green, or the operator, has set
//! since the last copy. Without this, a second copy would fight with them. Pure.

use serde_json::Value;

use super::object::{ObjectId, items, text};
use super::snapshots::larger;

/// The wanted object beside the one on green. `is_scaled`: an autoscaler sets how many pods it has.
pub fn settle(id: &ObjectId, mut wanted: Value, live: &Value, is_scaled: bool) -> Value {
    if is_scaled {
        keep(&mut wanted, live, &["spec"], "replicas");
    }
    match (id.group.as_str(), id.kind.as_str()) {
        // They arrive suspended, and run when the operator lets them.
        ("batch", "Job" | "CronJob") => keep(&mut wanted, live, &["spec"], "suspend"),
        ("", "PersistentVolumeClaim") => settle_claim(&mut wanted, live),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            keep(&mut wanted, live, &["spec", "conversion", "webhook", "clientConfig"], "caBundle");
        }
        ("apiregistration.k8s.io", "APIService") => keep(&mut wanted, live, &["spec"], "caBundle"),
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => settle_webhooks(&mut wanted, live),
        _ => {}
    }
    wanted
}

/// What a volume was made from cannot be changed, nor can it shrink.
fn settle_claim(wanted: &mut Value, live: &Value) {
    let source = live.pointer("/spec/dataSource").filter(|source| !source.is_null()).cloned();
    if let Some(Value::Object(spec)) = wanted.get_mut("spec") {
        spec.shift_remove("dataSource");
        spec.extend(source.map(|source| ("dataSource".to_owned(), source)));
    }
    const SIZE: &str = "/spec/resources/requests/storage";
    let size = larger(text(wanted, SIZE), text(live, SIZE)).to_owned();
    if let Some(storage) = wanted.pointer_mut(SIZE) {
        *storage = size.into();
    }
}

fn settle_webhooks(wanted: &mut Value, live: &Value) {
    let Some(Value::Array(webhooks)) = wanted.get_mut("webhooks") else { return };
    for webhook in webhooks {
        let name = text(webhook, "/name").to_owned();
        if let Some(other) = items(live, "/webhooks").find(|other| text(other, "/name") == name) {
            keep(webhook, other, &["clientConfig"], "caBundle");
        }
    }
}

/// Takes a field from green, where green has it.
fn keep(wanted: &mut Value, live: &Value, path: &[&str], key: &str) {
    let mut from = live;
    for part in path {
        match from.get(*part) {
            Some(below) => from = below,
            None => return,
        }
    }
    let Some(value) = from.get(key).filter(|value| !value.is_null()) else { return };
    let mut to = wanted;
    for part in path {
        match to.get_mut(*part) {
            Some(below) => to = below,
            None => return,
        }
    }
    if let Value::Object(fields) = to {
        fields.insert(key.to_owned(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::copy::testing::yaml;

    #[test]
    fn what_greens_controllers_and_operators_have_set_since_stays() {
        let webhook = |bundle: &str| {
            format!(
                "{{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {{name: w}}, \
                 webhooks: [{{name: a.example.org, clientConfig: {{service: {{name: s}}{bundle}}}}}]}}"
            )
        };
        for (name, wanted, live, is_scaled, settled) in [
            (
                "an autoscaler's count",
                "{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 2, paused: false}}",
                "{spec: {replicas: 7, paused: true}}",
                true,
                "{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 7, paused: false}}",
            ),
            (
                "a count that nobody scales",
                "{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 2}}",
                "{spec: {replicas: 7}}",
                false,
                "{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 2}}",
            ),
            (
                "a CronJob that runs on green now",
                "{apiVersion: batch/v1, kind: CronJob, spec: {suspend: true, schedule: x}}",
                "{spec: {suspend: false, schedule: y}}",
                false,
                "{apiVersion: batch/v1, kind: CronJob, spec: {suspend: false, schedule: x}}",
            ),
            (
                "what a claim was made from, and a larger size",
                "{apiVersion: v1, kind: PersistentVolumeClaim, spec: {resources: {requests: {storage: 900Mi}}}}",
                "{spec: {dataSource: {kind: VolumeSnapshot, name: s}, resources: {requests: {storage: 1Gi}}}}",
                false,
                "{apiVersion: v1, kind: PersistentVolumeClaim, spec: {resources: {requests: {storage: 1Gi}}, dataSource: {kind: VolumeSnapshot, name: s}}}",
            ),
            (
                "a claim that was made empty stays so",
                "{apiVersion: v1, kind: PersistentVolumeClaim, spec: {resources: {requests: {storage: 2Gi}}, dataSource: {kind: VolumeSnapshot, name: s}}}",
                "{spec: {resources: {requests: {storage: 1Gi}}}}",
                false,
                "{apiVersion: v1, kind: PersistentVolumeClaim, spec: {resources: {requests: {storage: 2Gi}}}}",
            ),
            (
                "the authority of a webhook",
                webhook(", caBundle: blue").as_str(),
                webhook(", caBundle: green").as_str(),
                false,
                webhook(", caBundle: green").as_str(),
            ),
            (
                "a webhook's authority that green does not have",
                webhook(", caBundle: blue").as_str(),
                webhook("").as_str(),
                false,
                webhook(", caBundle: blue").as_str(),
            ),
            (
                "a converter's authority",
                "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, spec: {conversion: {webhook: {clientConfig: {url: x}}}}}",
                "{spec: {conversion: {webhook: {clientConfig: {url: y, caBundle: green}}}}}",
                false,
                "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, spec: {conversion: {webhook: {clientConfig: {url: x, caBundle: green}}}}}",
            ),
        ] {
            let wanted = yaml(wanted);
            let found = settle(&ObjectId::of(&wanted), wanted, &yaml(live), is_scaled);
            assert_eq!(found, yaml(settled), "{name}");
        }
    }
}
