//! What happens to a target, in the order it happens in.

use serde::{Deserialize, Serialize};

/// The stages of a step's target, in the order they happen in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    Mint,
    Snapshot,
    Upload,
    Prepare,
    AddMember,
    Start,
    ApiReady,
    PromoteMember,
    Access,
    Before,
    Etcd,
    ControlPlane,
    Objects,
    Register,
    Addons,
    Node,
    After,
    Gate,
    Pause,
    Ready,
    Drain,
    RemoveMember,
    Clean,
    DeleteNode,
    Serve,
}

impl Stage {
    /// The stage as the last part of a step's id.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Mint => "mint",
            Stage::Snapshot => "snapshot",
            Stage::Upload => "upload",
            Stage::Prepare => "prepare",
            Stage::AddMember => "add-member",
            Stage::Start => "start",
            Stage::ApiReady => "api-ready",
            Stage::PromoteMember => "promote-member",
            Stage::Access => "access",
            Stage::Before => "before",
            Stage::After => "after",
            Stage::Etcd => "etcd",
            Stage::ControlPlane => "control-plane",
            Stage::Objects => "objects",
            Stage::Register => "register",
            Stage::Addons => "addons",
            Stage::Node => "node",
            Stage::Gate => "gate",
            Stage::Pause => "pause",
            Stage::Ready => "ready",
            Stage::Drain => "drain",
            Stage::RemoveMember => "remove-member",
            Stage::Clean => "clean",
            Stage::DeleteNode => "delete-node",
            Stage::Serve => "serve",
        }
    }

    /// What it does, as progress says it.
    pub fn describe(self) -> &'static str {
        match self {
            Stage::Mint => "making keys and certificates",
            Stage::Snapshot => "taking a snapshot of etcd",
            Stage::Upload => "bringing artifacts to the host",
            Stage::Prepare => "preparing the host",
            Stage::AddMember => "adding an etcd learner",
            Stage::Start => "writing configuration and starting the kubelet",
            Stage::ApiReady => "waiting for the API server",
            Stage::PromoteMember => "making the etcd learner a voter",
            Stage::Access => "applying access rules",
            Stage::Before => "running hooks before it",
            Stage::After => "running hooks after it",
            Stage::Etcd => "replacing the etcd member",
            Stage::ControlPlane => "replacing the control plane",
            Stage::Objects => "applying cluster objects",
            Stage::Register => "labelling the node",
            Stage::Addons => "applying add-ons",
            Stage::Node => "replacing the kubelet",
            Stage::Gate => "waiting for the wave to be well",
            Stage::Pause => "watching the wave before the next",
            Stage::Ready => "waiting for the node to be Ready",
            Stage::Drain => "draining the node",
            Stage::RemoveMember => "removing the etcd member",
            Stage::Clean => "cleaning the machine",
            Stage::DeleteNode => "deleting the Node",
            Stage::Serve => "waiting for the cluster's services",
        }
    }
}
