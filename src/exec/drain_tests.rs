//! Draining against an API of a few lines, in a time of its own.

use std::sync::Mutex;

use futures::future::BoxFuture;

use super::*;
use crate::blueprint::cluster::object_key;
use crate::exec::Objects;

/// Pods leave `grace` looks after their eviction; those named in `kept` are refused by their budget.
#[derive(Default)]
struct Api {
    node: Mutex<Option<Value>>,
    pods: Mutex<Vec<Value>>,
    budgets: Vec<Value>,
    kept: Vec<&'static str>,
    grace: usize,
}

impl KubeApi for Api {
    fn ready<'a>(&'a self, _: &'a HostName) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async { Ok(()) })
    }
    fn metrics<'a>(&'a self, _: &'a HostName) -> BoxFuture<'a, Result<String, KubeError>> {
        unreachable!()
    }
    fn fetch<'a>(&'a self, wanted: &'a [Value]) -> BoxFuture<'a, Result<Objects, KubeError>> {
        Box::pin(async move {
            let node = self.node.lock().unwrap().clone();
            Ok(node.into_iter().map(|node| (object_key(&wanted[0]), node)).collect())
        })
    }
    fn list<'a>(&'a self, _: &'a str, kind: &'a str) -> BoxFuture<'a, Result<Vec<Value>, KubeError>> {
        Box::pin(async move {
            if kind == "PodDisruptionBudget" {
                return Ok(self.budgets.clone());
            }
            let mut pods = self.pods.lock().unwrap();
            pods.retain_mut(|pod| match pod["left"].as_u64() {
                Some(0) => false,
                Some(left) => {
                    pod["left"] = (left - 1).into();
                    true
                }
                None => true,
            });
            Ok(pods.clone())
        })
    }
    fn apply<'a>(&'a self, _: &'a Value) -> BoxFuture<'a, Result<Value, KubeError>> {
        unreachable!()
    }
    fn patch<'a>(&'a self, _: &'a Value, patch: &'a Value) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move {
            if let Some(node) = self.node.lock().unwrap().as_mut() {
                node["spec"]["unschedulable"] = patch["spec"]["unschedulable"].clone();
                let mark = patch["metadata"]["annotations"][CORDONED_ANNOTATION].clone();
                node["metadata"]["annotations"] =
                    if mark.is_null() { json!({}) } else { json!({CORDONED_ANNOTATION: mark}) };
            }
            Ok(())
        })
    }
    fn delete<'a>(&'a self, _: &'a Value) -> BoxFuture<'a, Result<(), KubeError>> {
        unreachable!()
    }
    fn evict<'a>(&'a self, _: &'a str, pod: &'a str) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move {
            if self.kept.contains(&pod) {
                let message = "would violate the pod's disruption budget".to_owned();
                return Err(KubeError::Refused { what: pod.into(), code: 429, message });
            }
            for object in self.pods.lock().unwrap().iter_mut() {
                if object["metadata"]["name"] == pod {
                    object["metadata"]["deletionTimestamp"] = "now".into();
                    object["left"] = self.grace.into();
                }
            }
            Ok(())
        })
    }
}

#[derive(Default)]
struct Time(Mutex<Duration>);

impl Clock for Time {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }
    fn wait<'a>(&'a self, duration: Duration) -> BoxFuture<'a, ()> {
        *self.0.lock().unwrap() += duration;
        Box::pin(async {})
    }
}

fn pod(name: &str, node: &str, extra: Value) -> Value {
    let mut pod = json!({
        "metadata": {"namespace": "default", "name": name, "labels": {"app": name}},
        "spec": {"nodeName": node},
        "status": {"phase": "Running"},
    });
    for (key, value) in extra.as_object().unwrap() {
        pod["metadata"][key] = value.clone();
    }
    pod
}

fn api() -> Api {
    let daemon = json!({"ownerReferences": [{"kind": "DaemonSet", "controller": true}]});
    let mirror = json!({"annotations": {"kubernetes.io/config.mirror": "x"}});
    let mut finished = pod("finished", "w-1", json!({}));
    finished["status"]["phase"] = "Succeeded".into();
    Api {
        node: Mutex::new(Some(json!({"metadata": {"annotations": {}}, "spec": {}}))),
        pods: Mutex::new(vec![
            pod("web", "w-1", json!({})),
            pod("db", "w-1", json!({})),
            pod("elsewhere", "w-2", json!({})),
            pod("daemon", "w-1", daemon),
            pod("mirror", "w-1", mirror),
            finished,
        ]),
        grace: 3,
        ..Api::default()
    }
}

fn node() -> HostName {
    HostName::parse("w-1").unwrap()
}

#[tokio::test]
async fn evicts_what_must_leave_and_waits_until_it_is_gone() {
    let (api, time) = (api(), Time::default());
    let drained = drain(&api, &time, &node(), Duration::from_secs(60)).await.unwrap();
    assert_eq!(drained.evicted, ["default/db".to_owned(), "default/web".to_owned()].into());
    assert!(!drained.was_cordoned);
    assert!(time.now() >= Duration::from_secs(3));
    let live = api.node.lock().unwrap().clone().unwrap();
    assert_eq!(live["spec"]["unschedulable"], true);
    uncordon(&api, &node()).await.unwrap();
    assert_eq!(api.node.lock().unwrap().clone().unwrap()["spec"]["unschedulable"], Value::Null);
}

#[tokio::test]
async fn names_the_pod_and_the_budget_that_keeps_it() {
    let budget = |name: &str, app: &str| json!({"metadata": {"namespace": "default", "name": name}, "spec": {"selector": {"matchLabels": {"app": app}}}});
    let api =
        Api { kept: vec!["db"], budgets: vec![budget("db-budget", "db"), budget("other", "web")], ..api() };
    let error = drain(&api, &Time::default(), &node(), Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "node w-1 still had pod default/db (kept by disruption budget db-budget) after 5 s"
    );
}

#[tokio::test]
async fn leaves_a_node_cordoned_that_somebody_else_had_cordoned() {
    let api = api();
    *api.node.lock().unwrap() = Some(json!({"metadata": {}, "spec": {"unschedulable": true}}));
    let drained = drain(&api, &Time::default(), &node(), Duration::from_secs(60)).await.unwrap();
    assert!(drained.was_cordoned);
    uncordon(&api, &node()).await.unwrap();
    assert_eq!(api.node.lock().unwrap().clone().unwrap()["spec"]["unschedulable"], true);
}

#[tokio::test]
async fn a_node_that_never_registered_is_empty() {
    let api = Api::default();
    assert_eq!(drain(&api, &Time::default(), &node(), Duration::ZERO).await.unwrap(), Drained::default());
}

#[test]
fn selectors_select_as_kubernetes_does() {
    let labels = json!({"app": "a", "tier": "x"});
    for (selector, expected) in [
        (json!({}), true),
        (json!({"matchLabels": {"app": "a"}}), true),
        (json!({"matchLabels": {"app": "b"}}), false),
        (json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}), true),
        (json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}), false),
        (json!({"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["a"]}]}), true),
        (json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}), true),
        (json!({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}), false),
    ] {
        assert_eq!(selects(&selector, &labels), expected, "{selector}");
    }
}
