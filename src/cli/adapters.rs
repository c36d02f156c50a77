//! The real adapters: machines over SSH, the API and etcd through tunnels of the same connections.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use secrecy::SecretString;

use super::CommandError;
use crate::exec::ports::{Etcd, KubeApi, Remote};
use crate::inventory::{Host, HostName, Inventory};
use crate::ssh::{Prompt, SshEnvironment, SshRemote};
use crate::state::Vault;

/// What a run uses to touch the world.
pub struct Adapters {
    pub remote: Arc<dyn Remote>,
    pub kube: Arc<dyn KubeApi>,
    pub etcd: Arc<dyn Etcd>,
}
