//! What an upgrade meets, asked of servers that answer what the test says.

use http::Response;
use http_body_util::Full;
use keelwright::exec::observe_upgrade;
use keelwright::facts::Observed;
use keelwright::inventory::{Inventory, Origin, parse};
use keelwright::release::Minor;
use serde_json::{Value, json};

use super::authority::Authority;
use super::fake::{Server, client, host, response, status};

const METRICS: &str = r#"# TYPE apiserver_requested_deprecated_apis gauge
apiserver_requested_deprecated_apis{group="networking.k8s.io",removed_release="1.37",resource="servicecidrs",subresource="",version="v1beta1"} 1
"#;

fn inventory() -> Inventory {
    let text = "
apiVersion: keelwright.dev/v1
kind: Cluster
metadata: {name: demo}
kubernetes: {version: v1.37.1}
hosts:
- {name: cp-1, address: 10.0.0.11, roles: [control-plane]}
- {name: cp-2, address: 10.0.0.12, roles: [control-plane]}
- {name: cp-3, address: 10.0.0.13, roles: [control-plane]}
endpoint: {external: {host: api.example, port: 6443}}
";
    let origin = Origin { file: "inventory.yaml", base: camino::Utf8Path::new("/"), home: None };
    parse(text.as_bytes(), &origin).unwrap().0
}

fn discovery(kinds: &[(&str, &str, bool)]) -> Response<Full<bytes::Bytes>> {
    let resource = |(name, kind, namespaced): &(&str, &str, bool)| json!({"name": name, "kind": kind, "namespaced": namespaced});
    response(200, &json!({"resources": kinds.iter().map(resource).collect::<Value>()}))
}

/// A cluster that still serves one API version that goes; the others are not there.
fn answer(_: &str, path: &str) -> Response<Full<bytes::Bytes>> {
    let list = |items: Value| response(200, &json!({"metadata": {}, "items": items}));
    match path {
        "/api/v1" => {
            discovery(&[("nodes", "Node", false), ("namespaces", "Namespace", false), ("pods", "Pod", true)])
        }
        "/apis/apps/v1" => {
            discovery(&[("deployments", "Deployment", true), ("statefulsets", "StatefulSet", true)])
        }
        "/apis/policy/v1" => discovery(&[("poddisruptionbudgets", "PodDisruptionBudget", true)]),
        "/apis/discovery.k8s.io/v1" => discovery(&[("endpointslices", "EndpointSlice", true)]),
        "/apis/admissionregistration.k8s.io/v1" => discovery(&[
            ("validatingwebhookconfigurations", "ValidatingWebhookConfiguration", false),
            ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", false),
        ]),
        "/apis/scheduling.k8s.io/v1alpha2" => discovery(&[("workloads", "Workload", true)]),
        "/apis/scheduling.k8s.io/v1alpha2/workloads?limit=500" => {
            list(json!([{"metadata": {"namespace": "n", "name": "w"}}]))
        }
        "/apis/apps/v1/deployments?limit=500" => {
            list(json!([{"metadata": {"namespace": "n", "name": "a"}, "spec": {"replicas": 1}}]))
        }
        "/metrics" => Response::new(Full::new(METRICS.into())),
        path if path.ends_with("?limit=500") => list(json!([])),
        _ => status(404, "the server could not find the requested resource"),
    }
}

#[tokio::test]
async fn every_api_server_is_asked_for_its_metrics_and_one_for_the_objects() {
    let authority = Authority::new();
    let first = Server::start(&authority, "cp-1", "kubernetes", answer).await;
    let second = Server::start(&authority, "cp-2", "kubernetes", |method, path| {
        if path == "/metrics" { status(503, "starting") } else { answer(method, path) }
    })
    .await;
    let client = client(&authority, &[&first, &second]);
    let facts = observe_upgrade(&inventory(), &client, Minor::new(1, 36), Minor::new(1, 37)).await;
    let facts = facts.known().unwrap_or_else(|| panic!("{facts:?}"));
    assert_eq!(facts.asked, [host("cp-1")].into());
    let requested: Vec<&str> = facts.requested.iter().map(|api| api.resource.as_str()).collect();
    assert_eq!(requested, ["servicecidrs"]);
    assert_eq!(facts.stored.len(), 1);
    assert_eq!((facts.stored[0].kind.as_str(), facts.stored[0].count), ("Workload", 1));
    assert_eq!(facts.singles.len(), 1);
    assert!(second.requests().iter().any(|request| request == "GET /metrics"));
    assert!(
        !first.requests().iter().any(|request| request.contains("v1alpha1/workloads")),
        "gone before 1.36"
    );
}

#[tokio::test]
async fn without_an_api_there_are_no_facts() {
    let authority = Authority::new();
    let server = Server::start(&authority, "cp-1", "kubernetes", |_, _| status(500, "no etcd")).await;
    let client = client(&authority, &[&server]);
    let facts = observe_upgrade(&inventory(), &client, Minor::new(1, 36), Minor::new(1, 37)).await;
    assert!(matches!(&facts, Observed::Unreachable(why) if why.contains("no etcd")), "{facts:?}");
}
