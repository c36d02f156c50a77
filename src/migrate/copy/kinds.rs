//! Which kinds of objects are copied, and in which version: one that both sides serve. Pure.

use serde_json::Value;

use super::object::{group_and_version, items, name, text};

/// A kind in one of its versions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub kind: String,
    /// As it stands in paths.
    pub plural: String,
    pub is_namespaced: bool,
}

impl Kind {
    /// `v1`, `apps/v1`
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// For people: `Job`, `Certificate.cert-manager.io`.
    pub fn title(&self) -> String {
        if is_of_kubernetes(&self.group) {
            self.kind.clone()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }

    /// Whether an operator means it by `Job`, `jobs`, `Job.batch` or `jobs.batch`, in whatever case.
    pub fn is_called(&self, word: &str) -> bool {
        let (plain, group) = match word.split_once('.') {
            Some((plain, group)) => (plain, Some(group)),
            None => (word, None),
        };
        (plain.eq_ignore_ascii_case(&self.kind) || plain.eq_ignore_ascii_case(&self.plural))
            && group.is_none_or(|group| group.eq_ignore_ascii_case(&self.group))
    }
}

/// What one side serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Served {
    /// Groups in any order, the versions of each in the server's order: the one that it prefers first.
    pub kinds: Vec<Kind>,
    /// Groups and versions that did not answer.
    pub silent: Vec<Silent>,
}

/// A group and version whose own server does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    pub api_version: String,
    pub why: String,
}

impl Served {
    /// A kind in the version that this side prefers.
    pub fn find(&self, group: &str, kind: &str) -> Option<&Kind> {
        self.kinds.iter().find(|served| served.is(group, kind))
    }

    fn versions<'a>(&'a self, group: &'a str, kind: &'a str) -> impl Iterator<Item = &'a Kind> {
        self.kinds.iter().filter(move |served| served.is(group, kind))
    }

    /// One of each kind, in the version that this side prefers.
    pub fn preferred(&self) -> Vec<&Kind> {
        let mut found: Vec<&Kind> = Vec::new();
        for kind in &self.kinds {
            if !found.iter().any(|known| known.is(&kind.group, &kind.kind)) {
                found.push(kind);
            }
        }
        found
    }
}

/// How a kind of blue gets to green.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pairing {
    /// Both serve this version.
    Common(Kind),
    /// Green will serve it when its definition has been copied.
    Defined(Kind),
    /// Blue's, which green cannot take.
    Apart(Kind, Apart),
}

impl Pairing {
    pub fn kind(&self) -> &Kind {
        match self {
            Pairing::Common(kind) | Pairing::Defined(kind) | Pairing::Apart(kind, _) => kind,
        }
    }
}

/// Why a kind cannot get to green.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Apart {
    #[error("green does not serve this kind")]
    NotServed,
    #[error("green serves this kind as {} only, and blue as {}", green.join(", "), blue.join(", "))]
    OtherVersions { blue: Vec<String>, green: Vec<String> },
}

/// The version in which objects of a kind are read from blue and applied to green.
///
/// The version in which a custom resource is stored needs no webhook to convert it, and such a webhook may not run
/// yet on green. Otherwise green chooses: what it prefers lasts longest.
pub fn pair(kind: &Kind, blue: &Served, green: &Served, definitions: &[Value]) -> Pairing {
    let of_blue: Vec<&Kind> = blue.versions(&kind.group, &kind.kind).collect();
    let of_green: Vec<&Kind> = green.versions(&kind.group, &kind.kind).collect();
    let definition = definitions.iter().find(|definition| defines(definition, kind));
    let stored = definition.and_then(stored_version);
    let is_stored = |candidate: &&&Kind| Some(candidate.version.as_str()) == stored;
    if of_green.is_empty() {
        let chosen = of_blue.iter().find(is_stored).or(of_blue.first()).copied().unwrap_or(kind).clone();
        return match definition {
            Some(_) => Pairing::Defined(chosen),
            None => Pairing::Apart(chosen, Apart::NotServed),
        };
    }
    let is_common = |candidate: &&&Kind| of_blue.iter().any(|other| other.version == candidate.version);
    let common: Vec<&&Kind> = of_green.iter().filter(is_common).collect();
    let chosen = common.iter().copied().find(|candidate| is_stored(candidate)).or(common.first().copied());
    match chosen {
        Some(chosen) => Pairing::Common((*chosen).clone()),
        None => {
            let versions = |kinds: &[&Kind]| kinds.iter().map(|kind| kind.version.clone()).collect();
            let why = Apart::OtherVersions { blue: versions(&of_blue), green: versions(&of_green) };
            Pairing::Apart(of_blue.first().copied().unwrap_or(kind).clone(), why)
        }
    }
}

/// Whether a CustomResourceDefinition brings a kind.
pub fn defines(definition: &Value, kind: &Kind) -> bool {
    text(definition, "/spec/group") == kind.group && text(definition, "/spec/names/kind") == kind.kind
}

fn stored_version(definition: &Value) -> Option<&str> {
    let is_stored = |version: &&Value| version.get("storage").and_then(Value::as_bool) == Some(true);
    items(definition, "/spec/versions").find(is_stored).map(|version| text(version, "/name"))
}

/// Groups that Kubernetes itself brings. Others that end in `.k8s.io` are of SIGs' projects, and have definitions like
/// anybody's.
const OF_KUBERNETES: [&str; 21] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// Whether a group is one that Kubernetes itself brings.
pub fn is_of_kubernetes(group: &str) -> bool {
    OF_KUBERNETES.contains(&group)
}

/// Kinds that are never copied: what a cluster says of its own machines and controllers, or makes by itself.
const OF_THE_CLUSTER: [(&str, &str); 20] = [
    ("", "Binding"),
    ("", "ComponentStatus"),
    ("", "Endpoints"),
    ("", "Event"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("apps", "ControllerRevision"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("networking.k8s.io", "IPAddress"),
    ("networking.k8s.io", "ServiceCIDR"),
    ("resource.k8s.io", "ResourceSlice"),
    ("resource.k8s.io", "DeviceTaintRule"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "CSIStorageCapacity"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("cilium.io", "CiliumEndpoint"),
    ("cilium.io", "CiliumIdentity"),
    ("cilium.io", "CiliumNode"),
    // Their CiliumNetworkPolicies are the operator's.
    ("cilium.io", "CiliumEndpointSlice"),
];

/// Groups that are never copied, with the definitions of their kinds.
const GROUPS_OF_THE_CLUSTER: [&str; 17] = [
    "certificates.k8s.io",
    "coordination.k8s.io",
    "events.k8s.io",
    "internal.apiserver.k8s.io",
    "metrics.k8s.io",
    "storagemigration.k8s.io",
    // Old servers serve the same objects under their newer groups as well.
    "extensions",
    // A volume's snapshots are of its own cluster; volumes have a way of their own to green.
    "snapshot.storage.k8s.io",
    "groupsnapshot.storage.k8s.io",
    // Pods and machines as network plugins and node makers know them.
    "crd.k8s.amazonaws.com",
    "networking.k8s.aws",
    "vpcresources.k8s.aws",
    "eks.amazonaws.com",
    "karpenter.sh",
    "karpenter.k8s.aws",
    "cluster.x-k8s.io",
    "infrastructure.cluster.x-k8s.io",
];

/// Groups of which only policies are the operator's; pools, blocks and peers are the network plugin's.
const NETWORK_GROUPS: [&str; 3] = ["crd.projectcalico.org", "projectcalico.org", "operator.tigera.io"];
const NETWORK_KINDS: [&str; 4] = ["NetworkPolicy", "GlobalNetworkPolicy", "NetworkSet", "GlobalNetworkSet"];

/// Whether objects of a kind are the cluster's own.
pub fn is_of_the_cluster(group: &str, kind: &str) -> bool {
    OF_THE_CLUSTER.contains(&(group, kind))
        || GROUPS_OF_THE_CLUSTER.contains(&group)
        || (NETWORK_GROUPS.contains(&group) && !NETWORK_KINDS.contains(&kind))
}

/// Whether a definition is one that green's own parts bring: of a network plugin, of snapshots, of node makers.
pub fn is_definition_of_the_cluster(definition: &Value) -> bool {
    let group = text(definition, "/spec/group");
    GROUPS_OF_THE_CLUSTER.contains(&group) || NETWORK_GROUPS.contains(&group) || group == "cilium.io"
}

/// What a definition calls its kind, for people.
pub fn defined_title(definition: &Value) -> String {
    let (kind, group) = (text(definition, "/spec/names/kind"), text(definition, "/spec/group"));
    if kind.is_empty() { name(definition).to_owned() } else { format!("{kind}.{group}") }
}

/// The group of an apiVersion.
pub fn group_of(api_version: &str) -> &str {
    group_and_version(api_version).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::copy::testing::kind;
    use serde_json::json;

    fn served(kinds: &[&Kind]) -> Served {
        Served { kinds: kinds.iter().map(|kind| (*kind).clone()).collect(), silent: Vec::new() }
    }

    #[test]
    fn both_sides_have_to_serve_the_version_and_green_chooses() {
        let v = |version: &str| kind(&format!("autoscaling/{version}"), "HorizontalPodAutoscaler");
        let (v1, v2, v2beta2) = (v("v1"), v("v2"), v("v2beta2"));
        for (blue, green, chosen) in [
            (vec![&v1, &v2beta2], vec![&v2, &v1], Ok("v1")),
            (vec![&v1, &v2], vec![&v2, &v1], Ok("v2")),
            (vec![&v2, &v1], vec![&v1, &v2], Ok("v1")),
            (vec![&v2beta2], vec![&v2], Err("green serves this kind as v2 only, and blue as v2beta2")),
            (vec![&v1], vec![], Err("green does not serve this kind")),
        ] {
            let found = pair(blue[0], &served(&blue), &served(&green), &[]);
            match (&found, chosen) {
                (Pairing::Common(kind), Ok(version)) => assert_eq!(kind.version, version),
                (Pairing::Apart(_, why), Err(text)) => assert_eq!(why.to_string(), text),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_custom_resource_goes_as_it_is_stored() {
        let v = |version: &str| kind(&format!("example.org/{version}"), "Widget");
        let (v1, v2) = (v("v1"), v("v2"));
        let definition = json!({"spec": {"group": "example.org", "names": {"kind": "Widget"}, "versions": [
            {"name": "v1", "storage": true}, {"name": "v2", "storage": false},
        ]}});
        let definitions = [definition];
        let blue = served(&[&v2, &v1]);
        assert_eq!(pair(&v2, &blue, &served(&[&v2, &v1]), &definitions), Pairing::Common(v1.clone()));
        assert_eq!(pair(&v2, &blue, &served(&[&v2]), &definitions), Pairing::Common(v2.clone()));
        assert_eq!(pair(&v2, &blue, &served(&[]), &definitions), Pairing::Defined(v1));
        assert_eq!(pair(&v2, &blue, &served(&[]), &[]), Pairing::Apart(v2.clone(), Apart::NotServed));
    }

    #[test]
    fn an_operator_names_a_kind_in_any_usual_way() {
        let job = kind("batch/v1", "Job");
        for (word, is_it) in [
            ("Job", true),
            ("job", true),
            ("jobs", true),
            ("jobs.batch", true),
            ("Job.batch", true),
            ("jobs.example.org", false),
            ("CronJob", false),
        ] {
            assert_eq!(job.is_called(word), is_it, "{word}");
        }
        let certificate = kind("cert-manager.io/v1", "Certificate");
        assert!(certificate.is_called("certificates.cert-manager.io"));
        assert_eq!(
            (job.title().as_str(), certificate.title().as_str()),
            ("Job", "Certificate.cert-manager.io")
        );
    }

    #[test]
    fn what_a_cluster_says_of_itself_is_never_copied() {
        for (group, kind, own) in [
            ("", "Node", true),
            ("", "ConfigMap", false),
            ("events.k8s.io", "Event", true),
            ("coordination.k8s.io", "Lease", true),
            ("certificates.k8s.io", "CertificateSigningRequest", true),
            ("crd.projectcalico.org", "IPPool", true),
            ("crd.projectcalico.org", "GlobalNetworkPolicy", false),
            ("cilium.io", "CiliumNetworkPolicy", false),
            ("cilium.io", "CiliumNode", true),
            ("snapshot.storage.k8s.io", "VolumeSnapshot", true),
            ("storage.k8s.io", "StorageClass", false),
            ("networking.k8s.io", "Ingress", false),
        ] {
            assert_eq!(is_of_the_cluster(group, kind), own, "{group} {kind}");
        }
    }

    #[test]
    fn groups_with_definitions_of_their_own_are_not_kubernetes_own() {
        for (group, own) in [
            ("", true),
            ("rbac.authorization.k8s.io", true),
            ("storage.k8s.io", true),
            ("gateway.networking.k8s.io", false),
            ("snapshot.storage.k8s.io", false),
            ("groupsnapshot.storage.k8s.io", false),
            ("kueue.x-k8s.io", false),
            ("app.k8s.io", false),
            ("example.org", false),
        ] {
            assert_eq!(is_of_kubernetes(group), own, "{group}");
        }
    }
}
