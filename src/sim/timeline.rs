//! Watches a simulated fleet second by second, for a timeline of what ran where. Looking changes nothing:
//! a run that is watched is the same run.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::converge::Simulation;
use super::ports::Fleet;
use super::world::World;
use crate::facts::pod::leaves_on_drain;
use crate::inventory::HostName;
use crate::timeline::{Client, Component, HostSample, Outcome, Recorder, Running, Sample, Timeline};

const PODS: [Component; 4] =
    [Component::Etcd, Component::KubeApiserver, Component::KubeControllerManager, Component::KubeScheduler];

/// What has been seen of a fleet since [`Simulation::watch`].
pub struct Watch {
    began: Duration,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    recorder: Recorder,
    /// How many samples there are: one of each second.
    seconds: u64,
    /// One call a second, to one API server after the other.
    calls: Vec<(u64, Outcome)>,
}

impl Simulation {
    /// Watches from now on, until the simulation ends; one that watches already sees no more.
    pub fn watch(&self) -> Watch {
        let began = self.fleet.runtime.now();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (fleet, writes) = (Arc::downgrade(&self.fleet), Arc::clone(&seen));
        self.fleet.runtime.watch(Box::new(move |_, until| {
            if let Some(fleet) = fleet.upgrade() {
                look(&fleet, &writes, began, until);
            }
        }));
        Watch { began, seen }
    }
}

impl Watch {
    /// Everything up to now.
    pub fn timeline(&self, simulation: &Simulation, title: &str) -> Timeline {
        let now = simulation.fleet.runtime.now();
        look(&simulation.fleet, &self.seen, self.began, now);
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = now.saturating_sub(self.began).as_secs_f64();
        let calls = (!seen.calls.is_empty()).then(|| Client::of("API", seen.calls.iter().copied()));
        seen.recorder.clone().timeline(title, seconds, calls.into_iter().collect())
    }
}

/// Samples each whole second that ends before `until`; nobody acts until then.
fn look(fleet: &Fleet, seen: &Mutex<Seen>, began: Duration, until: Duration) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let mut world = fleet.world();
    let now = world.now;
    loop {
        let at = began + Duration::from_secs(seen.seconds);
        if at >= until {
            break;
        }
        // Between two events only the clock goes on, and with it what has started becomes ready.
        world.now = at.max(now);
        let second = seen.seconds;
        seen.recorder.add(at.saturating_sub(began).as_secs_f64(), sample(&world));
        if let Some(outcome) = call(&world, second) {
            seen.calls.push((second, outcome));
        }
        seen.seconds += 1;
    }
    world.now = now;
}

fn sample(world: &World) -> Sample {
    let objects = world.stored();
    let kube_proxy = objects
        .get(&"apps/v1/DaemonSet/kube-system/kube-proxy".to_owned())
        .and_then(|live| live.pointer("/spec/template/spec/containers/0/image")?.as_str().map(tag));
    let occupied: BTreeSet<&str> = objects
        .values()
        .filter(|object| object["kind"] == "Pod" && leaves_on_drain(object))
        .filter_map(|pod| pod["spec"]["nodeName"].as_str())
        .collect();
    let host = |name: &HostName| {
        let pods = PODS.into_iter().filter_map(|pod| Some((pod, running(world, name, pod)?)));
        let kubelet = world.kubelet_version(name).map(|version| Running::of_tag(&version.to_string()));
        let node = objects.get(&World::node_key(name));
        let mut components: std::collections::BTreeMap<Component, Running> = pods.collect();
        if let Some(kubelet) = kubelet {
            // A DaemonSet of the simulation has its pods wherever a kubelet runs that is a node's.
            if let (Some(_), Some(version)) = (node, &kube_proxy) {
                components.insert(Component::KubeProxy, version.clone());
            }
            components.insert(Component::Kubelet, kubelet);
        }
        let cordoned = node.is_some_and(|node| node["spec"]["unschedulable"].as_bool().unwrap_or(false));
        HostSample { components, cordoned, drained: cordoned && !occupied.contains(name.as_str()) }
    };
    Sample { hosts: world.hosts.keys().map(|name| (name.clone(), host(name))).collect() }
}

/// The version of a static pod that has become ready.
fn running(world: &World, name: &HostName, component: Component) -> Option<Running> {
    let host = world.hosts.get(name).filter(|host| host.up)?;
    let image = &host.pods.get(component.name())?.manifest.image;
    let is_ready = match component {
        Component::Etcd => {
            world.member_on(name).is_some_and(|(cluster, member)| world.answers(cluster, member))
        }
        Component::KubeApiserver => world.api_serves(name).is_some(),
        Component::KubeControllerManager
        | Component::KubeScheduler
        | Component::KubeProxy
        | Component::Kubelet => true,
    };
    is_ready.then(|| tag(image))
}

fn tag(image: &str) -> Running {
    Running::of_tag(image.rsplit_once(':').map_or(image, |(_, tag)| tag))
}

/// A call goes to one control plane after the other, and to the next one when that one does not answer. None:
/// there is no cluster yet.
fn call(world: &World, second: u64) -> Option<Outcome> {
    if !world.clusters.values().any(|cluster| cluster.established) {
        return None;
    }
    let servers: Vec<&HostName> = world.api_hosts.iter().collect();
    let first = usize::try_from(second).unwrap_or(0).checked_rem(servers.len())?;
    let answers =
        |at: usize| servers.get(at % servers.len()).is_some_and(|name| world.api_serves(name).is_some());
    Some(match (answers(first), answers(first + 1)) {
        (true, _) => Outcome::Ok,
        (false, true) => Outcome::Retried,
        (false, false) => Outcome::Failed,
    })
}
