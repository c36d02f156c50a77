//! Where an object lives in the API: its path, from its apiVersion and kind.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One kind that an API server serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    pub plural: String,
    pub namespaced: bool,
}

/// `APIResourceList`, as discovery answers for one group and version.
#[derive(Debug, Deserialize)]
struct ResourceList {
    resources: Vec<ListedResource>,
}

#[derive(Debug, Deserialize)]
struct ListedResource {
    name: String,
    kind: String,
    namespaced: bool,
}

/// The kinds of one group and version; subresources (`pods/log`) are left out.
pub(super) fn parse_resources(list: Value) -> Result<BTreeMap<String, Resource>, serde_json::Error> {
    let list: ResourceList = serde_json::from_value(list)?;
    Ok(list
        .resources
        .into_iter()
        .filter(|resource| !resource.name.contains('/'))
        .map(|listed| (listed.kind, Resource { plural: listed.name, namespaced: listed.namespaced }))
        .collect())
}

/// `/api/v1` or `/apis/apps/v1`.
pub(super) fn group_path(api_version: &str) -> String {
    if api_version.contains('/') { format!("/apis/{api_version}") } else { format!("/api/{api_version}") }
}

/// The path of all objects of a kind, or of those of one namespace, or of one object.
pub(super) fn resource_path(
    api_version: &str,
    resource: &Resource,
    namespace: Option<&str>,
    name: Option<&str>,
) -> String {
    let mut path = group_path(api_version);
    if let (true, Some(namespace)) = (resource.namespaced, namespace) {
        path.push_str("/namespaces/");
        path.push_str(&segment(namespace));
    }
    path.push('/');
    path.push_str(&segment(&resource.plural));
    if let Some(name) = name {
        path.push('/');
        path.push_str(&segment(name));
    }
    path
}

/// One segment of a path: what is not plainly allowed there is escaped.
pub(super) fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_the_paths_the_api_has() {
        let resource = |plural: &str, namespaced| Resource { plural: plural.into(), namespaced };
        for (api_version, resource, namespace, name, path) in [
            ("v1", resource("nodes", false), None, Some("cp-1"), "/api/v1/nodes/cp-1"),
            ("v1", resource("pods", true), None, None, "/api/v1/pods"),
            (
                "apps/v1",
                resource("daemonsets", true),
                Some("kube-system"),
                Some("a"),
                "/apis/apps/v1/namespaces/kube-system/daemonsets/a",
            ),
            (
                "rbac.authorization.k8s.io/v1",
                resource("clusterroles", false),
                Some("ignored"),
                Some("kubeadm:get-nodes"),
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/kubeadm:get-nodes",
            ),
            ("v1", resource("x", true), Some("a/../b"), Some("?"), "/api/v1/namespaces/a%2F..%2Fb/x/%3F"),
        ] {
            assert_eq!(resource_path(api_version, &resource, namespace, name), path);
        }
    }
}
