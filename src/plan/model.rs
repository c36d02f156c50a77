//! A plan as data: immutable, ordered, readable, saved as JSON, without a secret in it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::rollout::Rollout;
use super::upgrade::ClusterVersions;
use crate::blueprint::Content;
use crate::blueprint::cluster::NodeWish;
use crate::digest::Digest;
use crate::facts::Founding;
use crate::inventory::{ArtifactBucket, ClusterName, HookPlace, HookPoint, HostName};
use crate::pki::date::date;
use crate::pki::{CertificateSpec, KeyId};
use crate::release::KubeVersion;

pub use super::stage::Stage;

/// The format of saved plans; another number is refused.
pub const PLAN_FORMAT: u32 = 1;

/// What the operator asked for this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Make everything as the inventory says.
    Converge,
    /// Bring artifacts to the hosts and prepare those that are no nodes yet; start nothing of the cluster.
    Prefetch,
    /// Take everything of ours off the machines.
    Reset,
}

/// The steps from what is there to what is wanted, in an order that respects `after`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub format: u32,
    pub cluster: ClusterName,
    pub goal: Goal,
    /// Of the inventory and the facts it was made from.
    pub inputs: Digest,
    /// Of a cluster that did not exist when this was planned: what its apply founds it with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub founding: Option<Founding>,
    /// What runs before the first step, where anything does: what the skew policy is checked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<ClusterVersions>,
    /// What the cluster is to run.
    pub target: KubeVersion,
    /// The waves of workers, where any worker that runs is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    pub steps: Vec<Step>,
}

/// Names a step: `cp-1/start`, `cluster/objects`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub String);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Everything one target does in one stage: one script in one SSH exec, or a few API calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub id: StepId,
    pub target: Target,
    pub stage: Stage,
    pub actions: Vec<Planned>,
    /// Steps that must have ended well before this one starts.
    pub after: Vec<StepId>,
    /// Steps of which one must have ended well: any API server will do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after_any: Vec<StepId>,
    /// What puts the target back when the step fails; empty: it stays as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<Planned>,
    /// Seconds this is expected to take, for prediction only.
    pub expected: u32,
}

/// Who acts, or is acted on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The operator's own machine.
    Operator,
    Host(HostName),
    /// The cluster's API.
    Cluster,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Operator => f.pad("operator"),
            Target::Host(host) => f.pad(host.as_str()),
            Target::Cluster => f.pad("cluster"),
        }
    }
}

/// One action with why it is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    pub action: Action,
    pub reason: Reason,
}

/// Everything keelwright can do, as data. Shell text exists only in `plan::lower`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Action {
    /// Makes keys and certificates in the vault.
    Mint {
        keys: BTreeMap<KeyId, CertificateSpec>,
    },
    /// Brings etcd's database to the operator, checked and sealed.
    Snapshot {
        /// What the cluster runs: the oldest, while it is between two versions.
        version: KubeVersion,
    },
    /// Brings a file of the bundle into the host's store.
    Upload {
        name: String,
        /// Whose bundle has it.
        release: KubeVersion,
        path: String,
        sha256: Digest,
        size: u64,
    },
    /// Lets the host fetch it from a mirror.
    Fetch {
        name: String,
        url: String,
        sha256: Digest,
        size: u64,
    },
    /// Lets the host fetch it from a bucket, as the machine that it is.
    FetchObject {
        name: String,
        bucket: ArtifactBucket,
        sha256: Digest,
        size: u64,
    },

    InstallPackages {
        names: Vec<String>,
    },
    SwapOff,
    LoadModule {
        name: String,
    },
    ApplySysctls,
    MakeDirectory {
        path: String,
        mode: u32,
    },
    InstallBinary {
        path: String,
        mode: u32,
        artifact: String,
        /// Of what is installed, as the bundle says it.
        version: String,
        sha256: Digest,
    },
    WriteFile {
        path: String,
        mode: u32,
        content: Content,
        digest: Option<Digest>,
        before: Option<Before>,
    },
    MakeLink {
        path: String,
        link: String,
    },
    RemovePath {
        path: String,
        recursive: bool,
    },
    ReloadUnits,
    StartUnit {
        unit: String,
    },
    RestartUnit {
        unit: String,
    },
    StopUnit {
        unit: String,
    },
    /// Stops a static pod's container; the kubelet starts it again, at once or when it runs again itself.
    RestartPod {
        pod: String,
    },
    /// Stops the kubelet for as long as its files are exchanged; containers go on.
    PauseKubelet,
    /// Waits on the host itself until a static pod runs that started after its manifest was written and
    /// after the kubelet was started.
    AwaitPod {
        pod: String,
    },
    /// Waits on the host itself until a component says that it is ready, at its own loopback endpoint.
    AwaitEndpoint {
        component: String,
        url: String,
    },
    /// Waits on the host itself until etcd's newest snapshot of its log holds all that was in it before: what came
    /// earlier is never read again.
    AwaitLogSnapshot {
        data_dir: String,
    },
    ImportImage {
        reference: String,
        sha256: Digest,
    },
    /// Waits on the host itself until containerd answers.
    AwaitRuntime,
    /// Takes everything of ours off the machine.
    CleanMachine {
        etcd_data_dir: String,
    },

    AwaitApi {
        host: HostName,
    },
    /// Applies cluster objects; `names` are for people, the objects are computed anew.
    ApplyObjects {
        set: ObjectSet,
        names: Vec<String>,
    },
    PatchNode {
        node: HostName,
        wish: NodeWish,
    },
    AwaitNode {
        node: HostName,
        /// The kubelet that has to say so; None: any.
        kubelet: Option<KubeVersion>,
    },
    /// Waits until these nodes run this kubelet and are well, and no workload has fewer pods than before.
    AwaitWave {
        nodes: Vec<HostName>,
        kubelet: KubeVersion,
    },
    /// Watches the same for so long; fails when it no longer holds.
    WatchWave {
        nodes: Vec<HostName>,
        kubelet: KubeVersion,
        seconds: u32,
    },
    /// Runs a command of the operator's own.
    RunHook {
        name: String,
        when: HookPoint,
        place: HookPlace,
        command: Vec<String>,
        /// Nothing secret: it is seen in process lists.
        environment: BTreeMap<String, String>,
        /// Seconds.
        timeout: u32,
    },
    /// Waits until etcd goes on without any one of its voters.
    AwaitSpareVoter,
    AwaitServing,
    AddLearner {
        peer_url: String,
    },
    PromoteLearner {
        peer_url: String,
    },
    RemoveMember {
        name: HostName,
        id: u64,
    },
    Drain {
        node: HostName,
    },
    /// Lets pods come back to a node that we drained.
    Uncordon {
        node: HostName,
    },
    DeleteNode {
        node: HostName,
    },
}

/// What a file holds now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    pub digest: Option<Digest>,
    pub mode: u32,
    /// Not secret and known: for the diff.
    pub text: Option<String>,
}

/// Which of the cluster's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectSet {
    /// Access rules: additive, so they may come before the version that needs them.
    Access,
    /// kubeadm's configuration maps.
    Config,
    /// kube-proxy, CoreDNS, the network plugin, the operator's own.
    Addons,
}

/// Why an action is in the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum Reason {
    Missing,
    /// It is there, but not as wanted.
    Differs {
        wanted: String,
        found: String,
    },
    /// Something it reads changes in this plan.
    Changed {
        what: String,
    },
    /// It follows from another step.
    Follows,
    /// The inventory no longer has it.
    Dropped,
    /// A certificate runs out.
    Expires {
        at: i64,
    },
    /// The operator asked for it.
    Asked,
    /// What follows could lose data, and only this brings it back.
    Precaution,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Missing => f.write_str("missing"),
            Reason::Differs { wanted, found } => write!(f, "is {found}, want {wanted}"),
            Reason::Changed { what } => write!(f, "{what} changes"),
            Reason::Follows => f.write_str("follows from the steps before"),
            Reason::Dropped => f.write_str("not in the inventory any more"),
            Reason::Expires { at } => write!(f, "runs out at {}", date(*at)),
            Reason::Asked => f.write_str("asked for"),
            Reason::Precaution => f.write_str("the way back, should what follows go wrong"),
        }
    }
}

impl Plan {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| &step.id == id)
    }
}
