//! One cluster of a migration: whatever its API serves, in any version, by a kubeconfig or through a client that is there.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use futures::StreamExt as _;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};

use super::client::{build, message_of, service_error};
use super::resources::{Resource, group_path, resource_path, segment};
use super::transport::chain;
use crate::migrate::copy::{
    Cluster, ClusterError, FieldConflict, Kind, MANAGER, Mode, Reply, Served, Silent,
};

/// Requests of discovery under way at once.
const CONCURRENCY: usize = 8;
/// Objects of one page of a list.
const PAGE: usize = 500;
const RETRY_PAUSE: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// An API server that is asked by many takes its time; one that is gone never answers.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
/// What can be done with the objects of a kind that can be copied.
const VERBS: [&str; 4] = ["list", "get", "create", "patch"];

/// A kubeconfig that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    #[error("cannot read kubeconfig {path}")]
    Read { path: Utf8PathBuf, source: kube::config::KubeconfigError },
    #[error("kubeconfig {path} cannot be used")]
    Use { path: Utf8PathBuf, source: kube::config::KubeconfigError },
    #[error("kubeconfig {path} leads to no client")]
    Client { path: Utf8PathBuf, source: kube::Error },
}

/// The API of one cluster.
#[derive(Clone)]
pub struct ApiCluster {
    client: kube::Client,
    patience: Duration,
}

impl ApiCluster {
    /// Of a client that is there.
    pub fn new(client: kube::Client) -> Self {
        ApiCluster { client, patience: Duration::ZERO }
    }

    /// Of the kubeconfig's current context, with whatever it logs in by: certificates, tokens, programs such as `aws`.
    /// Connects to nothing yet. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// [`KubeconfigError`] when the file is none, or cannot be used.
    pub async fn from_kubeconfig(path: &Utf8Path) -> Result<Self, KubeconfigError> {
        let given = || path.to_owned();
        let read = Kubeconfig::read_from(path.as_std_path())
            .map_err(|source| KubeconfigError::Read { path: given(), source })?;
        let config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
        let mut config = config.map_err(|source| KubeconfigError::Use { path: given(), source })?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(RESPONSE_TIMEOUT);
        config.reset_reader_on_write = true;
        // Our own patience has an end that is known.
        config.default_retry = false;
        let client = kube::Client::try_from(config)
            .map_err(|source| KubeconfigError::Client { path: given(), source })?;
        Ok(Self::new(client))
    }

    /// How long one call goes on trying while nobody answers, or the server is too busy. The default is a single try.
    pub fn patient(self, patience: Duration) -> Self {
        ApiCluster { patience, ..self }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Value, ClusterError> {
        let deadline = Instant::now() + self.patience;
        loop {
            let (error, may_pass) = match self.attempt(&method, path, body).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let next = Instant::now() + RETRY_PAUSE;
            if !may_pass || next >= deadline {
                return Err(error);
            }
            sleep_until(next).await;
        }
    }

    /// One try; the flag says whether another may help.
    async fn attempt(
        &self,
        method: &Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Value, (ClusterError, bool)> {
        let unreachable = |reason: String| (ClusterError::Unreachable(reason), true);
        let refused = |code: u16, message: String| ClusterError::Refused { code, message };
        let request: Request<Body> =
            build(method, path, body).map_err(|error| (refused(0, error.to_string()), false))?;
        let response = self.client.send(request).await.map_err(|error| unreachable(service_error(error)))?;
        let (parts, body) = response.into_parts();
        let body = timeout(RESPONSE_TIMEOUT, body.collect())
            .await
            .map_err(|_| unreachable("the answer stopped half way".to_owned()))?
            .map_err(|error| unreachable(chain(&error)))?
            .to_bytes();
        if parts.status.is_success() {
            let parsed = serde_json::from_slice(&body);
            return parsed.map_err(|error| (refused(parts.status.as_u16(), error.to_string()), false));
        }
        if let Some(conflicts) = field_conflicts(&body) {
            return Err((ClusterError::Conflict(conflicts), false));
        }
        let may_pass = matches!(
            parts.status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        Err((refused(parts.status.as_u16(), message_of(&body)), may_pass))
    }

    async fn get(&self, path: &str) -> Result<Value, ClusterError> {
        self.call(Method::GET, path, None).await
    }

    async fn discover(&self) -> Result<Served, ClusterError> {
        let core: CoreVersions = parse(self.get("/api").await?)?;
        let groups: GroupList = parse(self.get("/apis").await?)?;
        let versions = core.versions.into_iter().chain(groups.groups.into_iter().flat_map(Group::versions));
        let answers = futures::stream::iter(versions)
            .map(|api_version| async move {
                // In one try: a part whose own server is gone answers like one that is too busy.
                let answer = self.attempt(&Method::GET, &group_path(&api_version), None).await;
                (api_version, answer.map_err(|(error, _)| error))
            })
            .buffered(CONCURRENCY)
            .collect::<Vec<_>>()
            .await;
        let mut served = Served::default();
        for (api_version, answer) in answers {
            match answer.and_then(parse::<ResourceList>) {
                Ok(list) => served.kinds.extend(list.kinds(&api_version)),
                Err(error @ ClusterError::Unreachable(_)) => return Err(error),
                Err(error) => served.silent.push(Silent { api_version, why: error.to_string() }),
            }
        }
        Ok(served)
    }

    async fn list_all(&self, kind: &Kind) -> Result<Vec<Value>, ClusterError> {
        match self.list_in_pages(kind, &format!("limit={PAGE}")).await {
            // It took so long that the server has forgotten the rest: all at once, then.
            Err(ClusterError::Refused { code: 410, .. }) => self.list_in_pages(kind, "").await,
            found => found,
        }
    }

    async fn list_in_pages(&self, kind: &Kind, limit: &str) -> Result<Vec<Value>, ClusterError> {
        let path = path_of(kind, None, None);
        let (mut items, mut from) = (Vec::new(), String::new());
        loop {
            let answer = self.get(&format!("{path}?{limit}{from}")).await?;
            let next = answer.pointer("/metadata/continue").and_then(Value::as_str).map(segment);
            if let Some(Value::Array(list)) = answer.get("items") {
                items.extend(list.iter().map(|item| with_kind(item, kind)));
            }
            match next {
                Some(token) if !token.is_empty() => from = format!("&continue={token}"),
                Some(_) | None => return Ok(items),
            }
        }
    }
}

/// Items of a list do not say what they are.
fn with_kind(item: &Value, kind: &Kind) -> Value {
    let mut item = item.clone();
    if let Value::Object(fields) = &mut item {
        fields.insert("apiVersion".to_owned(), kind.api_version().into());
        fields.insert("kind".to_owned(), kind.kind.as_str().into());
    }
    item
}

fn path_of(kind: &Kind, namespace: Option<&str>, name: Option<&str>) -> String {
    let resource = Resource { plural: kind.plural.clone(), namespaced: kind.is_namespaced };
    resource_path(&kind.api_version(), &resource, namespace, name)
}

fn parse<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, ClusterError> {
    serde_json::from_value(answer)
        .map_err(|error| ClusterError::Refused { code: 200, message: format!("not understood: {error}") })
}

#[derive(Deserialize)]
struct CoreVersions {
    versions: Vec<String>,
}

#[derive(Deserialize)]
struct GroupList {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    versions: Vec<GroupVersion>,
    preferred_version: Option<GroupVersion>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct GroupVersion {
    group_version: String,
}

impl Group {
    /// The preferred one first.
    fn versions(self) -> impl Iterator<Item = String> {
        let preferred = self.preferred_version;
        let rest = self.versions.into_iter().map(|one| one.group_version);
        let first = preferred.map(|one| one.group_version);
        first.clone().into_iter().chain(rest.filter(move |one| Some(one) != first.as_ref()))
    }
}

#[derive(Deserialize)]
struct ResourceList {
    resources: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    kind: String,
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

impl ResourceList {
    /// Those that can be copied; subresources (`pods/log`) are none.
    fn kinds(self, api_version: &str) -> impl Iterator<Item = Kind> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let (group, version) = (group.to_owned(), version.to_owned());
        let can = |listed: &Listed| VERBS.iter().all(|verb| listed.verbs.iter().any(|has| has == verb));
        let listed =
            self.resources.into_iter().filter(move |listed| !listed.name.contains('/') && can(listed));
        listed.map(move |listed| Kind {
            group: group.clone(),
            version: version.clone(),
            kind: listed.kind,
            plural: listed.name,
            is_namespaced: listed.namespaced,
        })
    }
}

/// Who has set which fields, from a Status that refuses an apply for that.
fn field_conflicts(body: &[u8]) -> Option<Vec<FieldConflict>> {
    let status: Value = serde_json::from_slice(body).ok()?;
    let causes = status.pointer("/details/causes")?.as_array()?;
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for cause in causes {
        let of = |key: &str| cause.get(key).and_then(Value::as_str).unwrap_or_default();
        if of("reason") == "FieldManagerConflict" {
            // conflict with "kubectl-edit" using apps/v1
            let manager = of("message").split('"').nth(1).unwrap_or("somebody").to_owned();
            fields.entry(manager).or_default().push(of("field").to_owned());
        }
    }
    let conflicts = fields.into_iter().map(|(manager, fields)| FieldConflict { manager, fields });
    let conflicts: Vec<FieldConflict> = conflicts.collect();
    (!conflicts.is_empty()).then_some(conflicts)
}

impl Cluster for ApiCluster {
    fn kinds(&self) -> Reply<'_, Served> {
        Box::pin(self.discover())
    }

    fn list<'a>(&'a self, kind: &'a Kind) -> Reply<'a, Vec<Value>> {
        Box::pin(self.list_all(kind))
    }

    fn read<'a>(&'a self, kind: &'a Kind, namespace: &'a str, name: &'a str) -> Reply<'a, Option<Value>> {
        Box::pin(async move {
            match self.get(&path_of(kind, Some(namespace), Some(name))).await {
                Ok(object) => Ok(Some(object)),
                Err(ClusterError::Refused { code: 404, .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn apply<'a>(&'a self, kind: &'a Kind, object: &'a Value, mode: Mode) -> Reply<'a, Value> {
        Box::pin(async move {
            let field = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
            let path = path_of(kind, field("/metadata/namespace"), field("/metadata/name"));
            let dry_run = match mode {
                Mode::DryRun => "&dryRun=All",
                Mode::Real => "",
            };
            let path = format!("{path}?fieldManager={MANAGER}{dry_run}");
            self.call(Method::PATCH, &path, Some(("application/apply-patch+yaml", object))).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn discovery_takes_what_can_be_copied_and_the_preferred_version_first() {
        let group: Group = serde_json::from_value(json!({
            "versions": [{"groupVersion": "autoscaling/v1"}, {"groupVersion": "autoscaling/v2"}],
            "preferredVersion": {"groupVersion": "autoscaling/v2"},
        }))
        .unwrap();
        assert_eq!(group.versions().collect::<Vec<_>>(), ["autoscaling/v2", "autoscaling/v1"]);
        let all = json!(["create", "delete", "get", "list", "patch", "update", "watch"]);
        let list: ResourceList = serde_json::from_value(json!({"resources": [
            {"name": "deployments", "kind": "Deployment", "namespaced": true, "verbs": all},
            {"name": "deployments/scale", "kind": "Scale", "namespaced": true, "verbs": ["get", "patch"]},
            {"name": "reviews", "kind": "Review", "namespaced": false, "verbs": ["create"]},
        ]}))
        .unwrap();
        let kinds: Vec<Kind> = list.kinds("apps/v1").collect();
        assert_eq!(kinds.len(), 1);
        assert_eq!(
            (kinds[0].group.as_str(), kinds[0].version.as_str(), kinds[0].plural.as_str()),
            ("apps", "v1", "deployments")
        );
    }

    #[test]
    fn a_refused_apply_says_who_has_set_what() {
        let cause = |manager: &str, field: &str| {
            json!({"reason": "FieldManagerConflict", "field": field,
                "message": format!("conflict with \"{manager}\" using apps/v1")})
        };
        let status = json!({"kind": "Status", "code": 409, "details": {"causes": [
            cause("kubectl-edit", ".spec.replicas"), cause("helm", ".metadata.labels.a"), cause("kubectl-edit", ".spec.paused"),
        ]}});
        let found = field_conflicts(status.to_string().as_bytes()).unwrap();
        let text: Vec<String> =
            found.iter().map(|c| format!("{}: {}", c.manager, c.fields.join(" "))).collect();
        assert_eq!(text, ["helm: .metadata.labels.a", "kubectl-edit: .spec.replicas .spec.paused"]);
        let other =
            json!({"kind": "Status", "code": 409, "details": {"causes": [{"reason": "FieldValueInvalid"}]}});
        assert_eq!(field_conflicts(other.to_string().as_bytes()), None);
        assert_eq!(field_conflicts(b"gateway timeout"), None);
    }
}
