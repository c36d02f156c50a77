//! What an operator should know before objects are copied: what they may do on green that they did not do before. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::needs::pod_spec;
use super::object::{ObjectId, annotation, items, name, namespace, text};
use super::select::Found;

/// What green has already.
#[derive(Debug, Clone, Default)]
pub struct GreenServices<'a> {
    pub services: Vec<&'a Value>,
    /// Drivers of volumes.
    pub drivers: Vec<&'a str>,
}

/// In the order of the objects. `is_new`: green does not have the object yet.
pub fn warnings(
    copied: &[&Found],
    blue_drivers: &[&str],
    green: &GreenServices,
    is_new: &dyn Fn(&ObjectId) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for one in copied {
        let new = is_new(&one.id);
        let said = match (one.id.group.as_str(), one.id.kind.as_str()) {
            (
                "admissionregistration.k8s.io",
                "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
            ) => {
                vec![webhook(&one.object)]
            }
            ("apiregistration.k8s.io", "APIService") => {
                let service = service_of(&one.object, "/spec/service");
                vec![format!("this part of green's API is silent until {service} answers there")]
            }
            ("", "Service") => service(one, green),
            ("storage.k8s.io", "StorageClass") => class(&one.object, blue_drivers, green),
            ("", "ServiceAccount") => role(&one.object).into_iter().collect(),
            ("batch", "CronJob" | "Job") if new => vec![suspended(&one.id)],
            _ => Vec::new(),
        };
        let named = dns_names(&one.object).chain(machines(&one.object));
        found.extend(said.into_iter().chain(named).map(|said| format!("{}: {said}", one.id)));
    }
    found
}

fn service_of(object: &Value, pointer: &str) -> String {
    let of = |field: &str| text(object, &format!("{pointer}/{field}"));
    format!("Service {}/{}", of("namespace"), of("name"))
}

fn webhook(object: &Value) -> String {
    let strict = items(object, "/webhooks").filter(|webhook| text(webhook, "/failurePolicy") != "Ignore");
    let services: Vec<String> = strict
        .filter(|webhook| webhook.pointer("/clientConfig/service").is_some())
        .map(|webhook| service_of(webhook, "/clientConfig/service"))
        .collect();
    match services.as_slice() {
        [] => "green asks it about its changes from now on".to_owned(),
        [first, ..] => {
            format!("green refuses the changes that it is asked about until {first} answers there")
        }
    }
}

fn service(one: &Found, green: &GreenServices) -> Vec<String> {
    let mut said = Vec::new();
    let kind = text(&one.object, "/spec/type");
    if kind == "LoadBalancer" {
        said.push("green makes a balancer of its own for it, with another address".to_owned());
    }
    if kind == "NodePort" {
        said.extend(items(&one.object, "/spec/ports").filter_map(|port| clash(one, port, green)));
    }
    let has_selector =
        one.object.pointer("/spec/selector").and_then(Value::as_object).is_some_and(|s| !s.is_empty());
    if !has_selector && kind != "ExternalName" {
        said.push(
            "it has no selector, and addresses made by hand are not copied: make its EndpointSlices on green"
                .to_owned(),
        );
    }
    said
}

/// A port on nodes that another Service of green has.
fn clash(one: &Found, port: &Value, green: &GreenServices) -> Option<String> {
    let number = port.get("nodePort")?.as_u64()?;
    let has = |service: &&&Value| {
        ObjectId::of(service) != one.id
            && items(service, "/spec/ports")
                .any(|port| port.get("nodePort").and_then(Value::as_u64) == Some(number))
    };
    let other = green.services.iter().find(has)?;
    Some(format!(
        "its node port {number} is {}/{}'s on green: give one of the two another",
        namespace(other),
        name(other)
    ))
}

fn class(object: &Value, blue_drivers: &[&str], green: &GreenServices) -> Vec<String> {
    let driver = text(object, "/provisioner");
    // Those that Kubernetes once had itself have CSI drivers by other names.
    let is_driver = blue_drivers.contains(&driver) || driver.starts_with("kubernetes.io/");
    if !is_driver || driver == "kubernetes.io/no-provisioner" || green.drivers.contains(&driver) {
        return Vec::new();
    }
    vec![format!("green has no driver {driver}: map the class to one of green's with `storageClasses`")]
}

/// A role of AWS trusts the issuer of one cluster's tokens.
fn role(account: &Value) -> Option<String> {
    let role = annotation(account, "eks.amazonaws.com/role-arn")?;
    Some(format!("role {role} trusts blue's issuer of tokens: let it trust green's too"))
}

fn suspended(id: &ObjectId) -> String {
    let ObjectId { kind, namespace, name, .. } = id;
    format!(
        "comes suspended, or both sides would run it; let it run on green when the service has moved: \
         kubectl -n {namespace} patch {} {name} -p '{{\"spec\":{{\"suspend\":false}}}}'",
        kind.to_lowercase()
    )
}

/// Names in DNS that a controller on green would take.
fn dns_names(object: &Value) -> impl Iterator<Item = String> {
    let names = text(object, "/metadata/annotations/external-dns.alpha.kubernetes.io~1hostname");
    (!names.is_empty())
        .then(|| format!("an external-dns on green would lead {names} to green at once"))
        .into_iter()
}

/// Machines of blue that pods are bound to by name.
fn machines(object: &Value) -> impl Iterator<Item = String> {
    let spec = pod_spec(object);
    let selected = spec.map(|spec| text(spec, "/nodeSelector/kubernetes.io~1hostname")).unwrap_or_default();
    let named = spec.map(|spec| text(spec, "/nodeName")).unwrap_or_default();
    let is_pod = text(object, "/kind") == "Pod";
    let selected = (!selected.is_empty())
        .then(|| format!("its pods run on node {selected} only, which is blue's: change its nodeSelector"));
    // A pod by itself says where it runs, not where it has to.
    let named = (!named.is_empty() && !is_pod)
        .then(|| format!("its pods were bound to node {named} of blue; on green any node may have them"));
    selected.into_iter().chain(named)
}

/// What drivers are called, from their CSIDriver objects.
pub fn drivers<'a>(objects: impl Iterator<Item = &'a Value>) -> Vec<&'a str> {
    objects.map(name).collect()
}

/// By name.
pub fn by_name(objects: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
    objects.into_iter().map(|object| (name(&object).to_owned(), object)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::copy::kinds::Pairing;
    use crate::migrate::copy::testing::{kind_of, yaml};

    #[test]
    fn what_objects_may_do_on_green_is_said() {
        let taken = yaml(
            "{apiVersion: v1, kind: Service, metadata: {name: other, namespace: x}, spec: {ports: [{port: 80, nodePort: 30080}]}}",
        );
        let green = GreenServices { services: vec![&taken], drivers: vec!["d.example.org"] };
        for (text, said) in [
            (
                "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop}, spec: {type: NodePort, selector: {a: b}, ports: [{port: 80, nodePort: 30080}, {port: 81, nodePort: 30081}]}}",
                vec![
                    "Service shop/a: its node port 30080 is x/other's on green: give one of the two another",
                ],
            ),
            (
                "{apiVersion: v1, kind: Service, metadata: {name: other, namespace: x}, spec: {type: NodePort, selector: {a: b}, ports: [{port: 80, nodePort: 30080}]}}",
                vec![],
            ),
            (
                "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop}, spec: {type: LoadBalancer, selector: {a: b}}}",
                vec!["Service shop/a: green makes a balancer of its own for it, with another address"],
            ),
            (
                "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop}, spec: {type: ClusterIP}}",
                vec![
                    "Service shop/a: it has no selector, and addresses made by hand are not copied: make its EndpointSlices on green",
                ],
            ),
            (
                "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop, annotations: {external-dns.alpha.kubernetes.io/hostname: a.example.org}}, spec: {type: ExternalName}}",
                vec!["Service shop/a: an external-dns on green would lead a.example.org to green at once"],
            ),
            (
                "{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: m}, webhooks: [{failurePolicy: Ignore, clientConfig: {service: {namespace: i, name: i}}}, {clientConfig: {service: {namespace: hooks, name: w}}}]}",
                vec![
                    "MutatingWebhookConfiguration m: green refuses the changes that it is asked about until Service hooks/w answers there",
                ],
            ),
            (
                "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1.m}, spec: {service: {namespace: m, name: s}}}",
                vec!["APIService v1.m: this part of green's API is silent until Service m/s answers there"],
            ),
            (
                "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: a}, provisioner: d.example.org}",
                vec![],
            ),
            (
                "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: a}, provisioner: e.example.org}",
                vec![
                    "StorageClass a: green has no driver e.example.org: map the class to one of green's with `storageClasses`",
                ],
            ),
            (
                // Brought by a Deployment that is copied too.
                "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: a}, provisioner: example.org/nfs}",
                vec![],
            ),
            (
                "{apiVersion: v1, kind: ServiceAccount, metadata: {name: a, namespace: shop, annotations: {eks.amazonaws.com/role-arn: 'arn:x'}}}",
                vec![
                    "ServiceAccount shop/a: role arn:x trusts blue's issuer of tokens: let it trust green's too",
                ],
            ),
            (
                "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, namespace: shop}, spec: {template: {spec: {nodeSelector: {kubernetes.io/hostname: n1}}}}}",
                vec![
                    "Deployment shop/a: its pods run on node n1 only, which is blue's: change its nodeSelector",
                ],
            ),
            (
                "{apiVersion: batch/v1, kind: CronJob, metadata: {name: a, namespace: shop}}",
                vec![
                    "CronJob shop/a: comes suspended, or both sides would run it; let it run on green when the service has moved: kubectl -n shop patch cronjob a -p '{\"spec\":{\"suspend\":false}}'",
                ],
            ),
        ] {
            let object = yaml(text);
            let one = Found::new(Pairing::Common(kind_of(&object)), object);
            assert_eq!(warnings(&[&one], &["e.example.org"], &green, &|_| true), said, "{text}");
        }
    }
}
