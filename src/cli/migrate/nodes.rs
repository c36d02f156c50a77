//! The nodes of green, for gates that want them Ready.

use futures::future::BoxFuture;
use serde_json::Value;

use super::sides::{SideArgs, connect};
use crate::cli::CommandError;
use crate::inventory::Migration;
use crate::kube::ApiCluster;
use crate::migrate::copy::{Cluster as _, Kind};
use crate::migrate::ports::Nodes;

/// By the API of green.
pub(super) struct GreenNodes(ApiCluster);

impl GreenNodes {
    /// None: no gate wants to know.
    pub fn connect(migration: &Migration, args: &SideArgs) -> Result<Option<Self>, CommandError> {
        match migration.gates.nodes_ready {
            true => Ok(Some(GreenNodes(connect(&migration.green, "green", args)?))),
            false => Ok(None),
        }
    }
}

impl Nodes for GreenNodes {
    fn unready(&self) -> BoxFuture<'_, Result<Vec<String>, String>> {
        Box::pin(async {
            let kind = Kind {
                group: String::new(),
                version: "v1".to_owned(),
                kind: "Node".to_owned(),
                plural: "nodes".to_owned(),
                is_namespaced: false,
            };
            let nodes = self.0.list(&kind).await.map_err(|error| error.to_string())?;
            Ok(unready(&nodes))
        })
    }
}

/// Names of nodes whose condition `Ready` is not true.
fn unready(nodes: &[Value]) -> Vec<String> {
    let is_ready = |node: &Value| {
        let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|condition| {
            condition.get("type").and_then(Value::as_str) == Some("Ready")
                && condition.get("status").and_then(Value::as_str) == Some("True")
        })
    };
    let name = |node: &Value| node.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
    nodes.iter().filter(|node| !is_ready(node)).filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::unready;

    #[test]
    fn a_node_is_ready_only_when_it_says_so() {
        let node = |name: &str, status: &str| json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": status}]}});
        let nodes = [
            node("a", "True"),
            node("b", "False"),
            node("c", "Unknown"),
            json!({"metadata": {"name": "d"}, "status": {}}),
        ];
        assert_eq!(unready(&nodes), ["b", "c", "d"]);
    }
}
