//! The operator's own commands, played: each leaves a note of what it was told and what it would have seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::BoxFuture;

use super::faults::Site;
use super::ports::SimPorts;
use super::world::World;
use crate::exec::ports::{LocalCommand, LocalCommands, LocalEnd, PortError};
use crate::inventory::{HookPlace, HostName};

/// What an ordinary script takes on the operator's machine.
const LOCAL: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RanHook {
    pub at: Duration,
    pub place: HookPlace,
    pub environment: BTreeMap<String, String>,
    /// The versions that ran just then of what it is about: on its host, its wave, or everywhere.
    pub saw: BTreeSet<String>,
}

impl RanHook {
    /// The value of `KEELWRIGHT_NAME`.
    pub fn says(&self, name: &str) -> &str {
        self.environment.get(&format!("KEELWRIGHT_{name}")).map_or("", String::as_str)
    }
}

impl World {
    /// Runs one; returns its exit code.
    pub fn run_hook(&mut self, place: HookPlace, environment: &BTreeMap<String, String>) -> i32 {
        let mut ran = RanHook { at: self.now, place, environment: environment.clone(), saw: BTreeSet::new() };
        let named: Vec<&str> =
            [ran.says("HOST"), ran.says("HOSTS")].iter().flat_map(|names| names.split_whitespace()).collect();
        let names: Vec<HostName> = match named.is_empty() {
            true => self.hosts.keys().cloned().collect(),
            false => named.iter().filter_map(|name| HostName::parse(name).ok()).collect(),
        };
        let stage = ran.says("STAGE").to_owned();
        ran.saw = names.iter().filter_map(|name| self.version_seen(name, &stage)).collect();
        let fails = self.failing_hook.as_deref() == Some(ran.says("HOOK"));
        self.hooks.push(ran);
        if fails { 3 } else { 0 }
    }

    fn version_seen(&self, name: &HostName, stage: &str) -> Option<String> {
        match stage {
            "etcd" => {
                let image = &self.hosts.get(name)?.pods.get("etcd")?.manifest.image;
                let tag = image.rsplit_once(':')?.1;
                Some(tag.split_once('-').map_or(tag, |(version, _)| version).to_owned())
            }
            "control-plane" => self.pod_version(name, "kube-apiserver").map(|version| version.to_string()),
            _node => self.kubelet_version(name).map(|version| version.to_string()),
        }
    }
}

impl LocalCommands for SimPorts {
    fn run<'a>(&'a self, command: &'a LocalCommand) -> BoxFuture<'a, Result<LocalEnd, PortError>> {
        Box::pin(async move {
            self.0.boundary(Site::Operator, true).await;
            self.0.runtime.wait(LOCAL).await;
            self.0.alive().await;
            let status = self.0.world().run_hook(HookPlace::Local, &command.environment);
            self.0.boundary(Site::Operator, false).await;
            let output = if status == 0 { String::new() } else { "as the test wants it".to_owned() };
            Ok(LocalEnd { status, output })
        })
    }
}
