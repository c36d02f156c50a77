//! The ports of `exec`, played by the simulated fleet. Every effect lies between two boundaries at
//! which something can go wrong.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;
use serde_json::Value;

use super::disk::{Bytes, Entry, Node};
use super::faults::{Fault, Site};
use super::runtime::Runtime;
use super::stage::{StageEnd, run_stage};
use super::world::World;
use super::{host::SimHost, probe};
use crate::digest::Digest;
use crate::exec::Clock;
use crate::exec::ports::{
    Etcd, EtcdMember, KubeApi, KubeError, Objects, PortError, Remote, RemoteError, StageResult,
};
use crate::inventory::HostName;
use crate::script::HostScript;

/// One SSH round trip on a session that is open.
const ROUND_TRIP: Duration = Duration::from_millis(40);
const CONNECT: Duration = Duration::from_millis(250);
/// How long the client tries before it says that a host does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a fallen connection is tried again while a stage runs.
const RECONNECT: Duration = Duration::from_secs(60);
const API_CALL: Duration = Duration::from_millis(15);
const UPLOAD_BYTES_PER_SECOND: u64 = 100 << 20;

/// The machines and their time.
pub struct Fleet {
    pub runtime: Runtime,
    world: Mutex<World>,
}

impl Fleet {
    pub fn new(world: World) -> Arc<Self> {
        Arc::new(Fleet { runtime: Runtime::default(), world: Mutex::new(world) })
    }

    /// The world as it is now.
    pub fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.now = self.runtime.now();
        world
    }

    /// A dead process does nothing more.
    pub async fn alive(&self) {
        if self.runtime.is_killed() {
            futures::future::pending::<()>().await;
        }
    }

    /// A boundary of an effect on the operator's own disk; whether the process dies there.
    pub(super) fn dies(&self, before: bool) -> bool {
        let fault = self.world().faults.pass(Site::Operator, before);
        let dies = matches!(fault, Some(Fault::Kill | Fault::KillWithStage));
        if dies {
            self.runtime.kill();
        }
        dies
    }

    /// A boundary of an effect that the operator's process itself has.
    pub(super) async fn boundary(&self, site: Site, before: bool) -> Option<Fault> {
        self.alive().await;
        let fault = self.world().faults.pass(site, before)?;
        if matches!(fault, Fault::Kill | Fault::KillWithStage) {
            self.runtime.kill();
            self.alive().await;
        }
        Some(fault)
    }

    /// Connects, or says after a while that nobody answers.
    async fn connect(&self, host: &HostName) -> Result<(), RemoteError> {
        self.alive().await;
        let reachable = {
            let world = self.world();
            world.hosts.get(host).is_some_and(|found| found.is_reachable(world.now))
        };
        if reachable {
            self.runtime.wait(CONNECT).await;
            return Ok(());
        }
        self.runtime.wait(CONNECT_TIMEOUT).await;
        let reason = "no answer within 10 s".to_owned();
        Err(RemoteError::Connect { reason, hint: Some(format!("look after {host}, then apply again")) })
    }

    /// An API call: refused, done, or done with its answer lost.
    async fn call<T>(&self, effect: impl FnOnce(&mut World) -> Result<T, KubeError>) -> Result<T, KubeError> {
        self.alive().await;
        self.runtime.wait(API_CALL).await;
        let fault = self.boundary(Site::Api, true).await;
        if let Some(Fault::ApiError) = fault {
            let code = if self.world().faults.random.chance(500) { 429 } else { 500 };
            return Err(KubeError::Refused { what: "call".into(), code, message: "try again".into() });
        }
        let result = effect(&mut self.world());
        let fault = self.boundary(Site::Api, false).await;
        if let (Ok(_), Some(Fault::LostReply)) = (&result, fault) {
            self.world().faults.note("an answer was lost after its effect");
            return Err(KubeError::Unreachable("the answer did not come back".to_owned()));
        }
        result
    }

    /// Calls that only read are no boundary.
    pub(super) async fn read<T>(
        &self,
        look: impl FnOnce(&mut World) -> Result<T, KubeError>,
    ) -> Result<T, KubeError> {
        self.alive().await;
        self.runtime.wait(API_CALL).await;
        self.alive().await;
        look(&mut self.world())
    }
}

/// The fleet as its clients see it.
#[derive(Clone)]
pub struct SimPorts(pub Arc<Fleet>);

impl Clock for SimPorts {
    fn now(&self) -> Duration {
        self.0.runtime.now()
    }

    fn wait<'a>(&'a self, duration: Duration) -> BoxFuture<'a, ()> {
        Box::pin(self.0.runtime.wait(duration))
    }
}

impl Remote for SimPorts {
    fn probe<'a>(
        &'a self,
        host: &'a HostName,
        _script: &'a str,
        stdin: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, RemoteError>> {
        Box::pin(async move {
            self.0.connect(host).await?;
            self.0.runtime.wait(Duration::from_millis(120)).await;
            self.0.alive().await;
            let mut world = self.0.world();
            world.settle(host);
            let now = world.now;
            let found = world.hosts.get(host).filter(|found| found.is_reachable(now));
            let found = found.ok_or_else(|| RemoteError::Lost { reason: "the host went away".to_owned() })?;
            Ok(probe::answer(found, &String::from_utf8_lossy(stdin), now).into_bytes())
        })
    }

    fn run<'a>(
        &'a self,
        host: &'a HostName,
        script: &'a HostScript,
    ) -> BoxFuture<'a, Result<StageResult, RemoteError>> {
        Box::pin(async move {
            self.0.connect(host).await?;
            self.0.runtime.wait(ROUND_TRIP).await;
            self.0.alive().await;
            let (sender, receiver) = oneshot::channel();
            self.0.runtime.spawn(Box::pin(run_stage(
                Arc::clone(&self.0),
                host.clone(),
                script.clone(),
                sender,
            )));
            let end = receiver.await;
            self.0.alive().await;
            self.reattach(host).await?;
            match end {
                Ok(StageEnd::Result(result)) => Ok(result),
                Ok(StageEnd::Fenced(newest)) => {
                    Err(RemoteError::Lost { reason: format!("run {newest} has taken over") })
                }
                Ok(StageEnd::Rebooted) | Err(_) => {
                    Err(RemoteError::Lost { reason: "the host was booted while the stage ran".to_owned() })
                }
            }
        })
    }

    fn upload<'a>(
        &'a self,
        host: &'a HostName,
        _source: &'a camino::Utf8Path,
        sha256: &'a str,
        progress: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), RemoteError>> {
        Box::pin(async move {
            let failed =
                |reason: &str| RemoteError::Transfer { name: sha256.to_owned(), reason: reason.to_owned() };
            let digest = Digest::parse(sha256).map_err(|error| failed(&error.to_string()))?;
            self.0.connect(host).await?;
            let size = self.0.world().sizes.get(&digest).copied().unwrap_or(0);
            progress(size / 2);
            self.0.runtime.wait(Duration::from_millis(size * 1000 / UPLOAD_BYTES_PER_SECOND)).await;
            match self.0.boundary(Site::Host, true).await {
                Some(Fault::DiskFull) => return Err(failed("no space left on device")),
                Some(Fault::Fail | Fault::Disconnect) => return Err(failed("the connection fell")),
                Some(Fault::PowerCut) => self.0.power_cut(host),
                Some(_) | None => {}
            }
            let path = SimHost::artifact_path(sha256);
            {
                let mut world = self.0.world();
                let now = world.now;
                let found = world.hosts.get_mut(host).filter(|found| found.is_reachable(now));
                let found = found.ok_or_else(|| failed("the host went away"))?;
                found.disk.make_directories(crate::plan::lower::ARTIFACT_STORE);
                let entry = Entry { mode: 0o600, node: Node::File { bytes: Bytes::Artifact, digest } };
                found.disk.put_durable(&path, entry);
                world.writes += 1;
            }
            if let Some(Fault::PowerCut) = self.0.boundary(Site::Host, false).await {
                self.0.power_cut(host);
            }
            progress(size);
            Ok(())
        })
    }
}

impl SimPorts {
    /// After a stage the client must be able to reach the host again, or the result stays there.
    async fn reattach(&self, host: &HostName) -> Result<(), RemoteError> {
        let until = self.0.runtime.now() + RECONNECT;
        let mut waited = false;
        loop {
            {
                let mut world = self.0.world();
                let now = world.now;
                if world.hosts.get(host).is_some_and(|found| found.is_reachable(now)) {
                    if waited {
                        world.faults.note("re-attached to a stage after the connection fell");
                    }
                    return Ok(());
                }
            }
            if self.0.runtime.now() >= until {
                self.0.world().faults.note("gave up on a host that stayed away");
                return Err(RemoteError::Lost { reason: "no connection for 60 s".to_owned() });
            }
            waited = true;
            self.0.runtime.wait(Duration::from_secs(1)).await;
            self.0.alive().await;
        }
    }
}

impl KubeApi for SimPorts {
    fn ready<'a>(&'a self, host: &'a HostName) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(self.0.read(move |world| world.kube_ready(host)))
    }

    fn metrics<'a>(&'a self, host: &'a HostName) -> BoxFuture<'a, Result<String, KubeError>> {
        Box::pin(self.0.read(move |world| world.kube_metrics(host)))
    }

    fn fetch<'a>(&'a self, wanted: &'a [Value]) -> BoxFuture<'a, Result<Objects, KubeError>> {
        Box::pin(self.0.read(move |world| world.kube_fetch(wanted)))
    }

    fn list<'a>(&'a self, version: &'a str, kind: &'a str) -> BoxFuture<'a, Result<Vec<Value>, KubeError>> {
        Box::pin(self.0.read(move |world| world.kube_list(version, kind)))
    }

    fn apply<'a>(&'a self, object: &'a Value) -> BoxFuture<'a, Result<Value, KubeError>> {
        Box::pin(self.0.call(move |world| world.kube_apply(object)))
    }

    fn patch<'a>(&'a self, object: &'a Value, patch: &'a Value) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(self.0.call(move |world| world.kube_patch(object, patch)))
    }

    fn delete<'a>(&'a self, object: &'a Value) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(self.0.call(move |world| world.kube_delete(object)))
    }

    fn evict<'a>(&'a self, namespace: &'a str, pod: &'a str) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(self.0.call(move |world| world.kube_evict(namespace, pod)))
    }
}

impl Etcd for SimPorts {
    fn members<'a>(&'a self) -> BoxFuture<'a, Result<Vec<EtcdMember>, KubeError>> {
        Box::pin(self.0.read(World::etcd_members))
    }

    fn add_learner<'a>(&'a self, peer_url: &'a str) -> BoxFuture<'a, Result<Vec<EtcdMember>, KubeError>> {
        Box::pin(self.0.call(move |world| {
            world.add_learner(peer_url)?;
            world.etcd_members()
        }))
    }

    fn promote<'a>(&'a self, id: u64) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(self.0.call(move |world| world.promote(id)))
    }

    fn remove<'a>(&'a self, id: u64) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(self.0.call(move |world| world.remove_member(id)))
    }

    fn snapshot<'a>(
        &'a self,
        member: &'a EtcdMember,
        sink: &'a mut (dyn FnMut(&[u8]) -> Result<(), PortError> + Send),
    ) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(self.0.stream_snapshot(member, sink))
    }
}
