//! Makes haproxies do what the account says of the balancers that they stand for, and counts their connections into
//! the account's CloudWatch.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinHandle;

use super::Side;
use super::account::{self, Account, REGION};
use super::balancer::{Haproxy, Takes};
use crate::emulator::Cloud;
use crate::emulator::client::Client;
use crate::emulator::xml;

const INTERVAL: Duration = Duration::from_secs(1);

/// Connections of each balancer, told to the account's CloudWatch.
pub struct Counted {
    cloud: Arc<Cloud>,
    ever: Mutex<BTreeMap<String, u64>>,
}

impl Counted {
    pub fn into(cloud: &Arc<Cloud>) -> Arc<Counted> {
        Arc::new(Counted { cloud: Arc::clone(cloud), ever: Mutex::default() })
    }

    pub fn of(&self, balancer: &str) -> u64 {
        self.ever.lock().unwrap().get(balancer).copied().unwrap_or(0)
    }

    /// `balancer`: its ARN. So many since it was told last; nothing is told of nothing, as in AWS.
    fn begun(&self, balancer: &str, connections: u64) {
        let count = u32::try_from(connections).unwrap();
        self.cloud.proxy.set(|settings| settings.metrics.flows(balancer, SystemTime::now(), count));
        *self.ever.lock().unwrap().entry(balancer.to_owned()).or_default() += connections;
    }
}

/// What is followed, and what was seen of it.
pub struct Follower {
    task: JoinHandle<()>,
    proxies: Proxies,
    seen: Arc<Mutex<Vec<(Instant, String)>>>,
}

type Proxies = Arc<tokio::sync::Mutex<BTreeMap<Side, Haproxy>>>;

impl Follower {
    /// Everything is as the account says when this returns. `aws` is asked as AWS's own balancers would know it.
    pub async fn start(
        aws: &Client,
        account: &Account,
        proxies: BTreeMap<Side, Haproxy>,
        flows: Arc<Counted>,
    ) -> Follower {
        let proxies = Arc::new(tokio::sync::Mutex::new(proxies));
        let seen = Arc::default();
        let mut following = Following {
            aws: aws.in_region(REGION),
            groups: account
                .sides
                .iter()
                .map(|(side, of)| (*side, (of.arn.clone(), of.group.clone())))
                .collect(),
            proxies: Arc::clone(&proxies),
            flows,
            addresses: BTreeMap::new(),
            owners: BTreeMap::new(),
            last: BTreeMap::new(),
            counted: BTreeMap::new(),
            seen: Arc::clone(&seen),
        };
        for (side, of) in &account.sides {
            for (id, _) in &of.targets {
                let address = following.address(id).await;
                following.owners.insert(address, *side);
            }
        }
        following.look().await;
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                following.look().await;
            }
        });
        Follower { task, proxies, seen }
    }

    /// A balancer is gone with all its connections.
    pub async fn remove(&self, side: Side) {
        let gone = self.proxies.lock().await.remove(&side);
        assert!(gone.is_some(), "{side} was gone before");
    }

    /// Connections that a target has now at a balancer.
    pub async fn open(&self, side: Side, target: SocketAddrV4) -> u64 {
        self.proxies.lock().await[&side].open(target).await
    }

    /// What has changed, and when.
    pub fn seen(&self) -> Vec<(Instant, String)> {
        assert!(!self.task.is_finished(), "nobody follows the account any more");
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// By what a target is registered as, its state.
type States = BTreeMap<(String, u16), String>;

struct Following {
    aws: Client,
    groups: BTreeMap<Side, (String, String)>,
    proxies: Proxies,
    flows: Arc<Counted>,
    /// Of instances.
    addresses: BTreeMap<String, Ipv4Addr>,
    /// The cluster of a target.
    owners: BTreeMap<Ipv4Addr, Side>,
    last: BTreeMap<Side, States>,
    /// Connections that were told of.
    counted: BTreeMap<Side, u64>,
    seen: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Following {
    async fn look(&mut self) {
        for (side, (arn, group)) in self.groups.clone() {
            let states: States = account::health(&self.aws, &group).await.into_iter().collect();
            let mut wanted = BTreeMap::new();
            for ((id, port), takes) in taken(&states) {
                wanted.insert(SocketAddrV4::new(self.address(&id).await, port), takes);
            }
            let about = self.told(side, &states).await;
            let mut proxies = self.proxies.lock().await;
            let Some(proxy) = proxies.get_mut(&side) else { continue };
            if self.last.get(&side) != Some(&states) {
                proxy.follow(&wanted).await;
                self.seen.lock().unwrap().push((Instant::now(), about));
            }
            self.last.insert(side, states);
            let ever = proxy.flows().await;
            let before = self.counted.insert(side, ever).unwrap_or(0);
            if ever > before {
                self.flows.begun(&arn, ever - before);
            }
        }
    }

    /// `behind blue's balancer: blue draining (2), green healthy (2)`
    async fn told(&mut self, side: Side, states: &States) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for ((id, _), state) in states {
            let address = self.address(id).await;
            let owner = self.owners[&address];
            *counts.entry(format!("{owner} {state}")).or_default() += 1;
        }
        let counts = counts.iter().map(|(what, number)| format!("{what} ({number})"));
        format!("behind {side}'s balancer: {}", counts.collect::<Vec<_>>().join(", "))
    }

    async fn address(&mut self, id: &str) -> Ipv4Addr {
        if let Ok(address) = id.parse() {
            return address;
        }
        if !self.addresses.contains_key(id) {
            let answer = self.aws.ec2("DescribeInstances", &[("InstanceId.1", id)]).await.ok();
            let document = xml::parse(answer.text());
            let instance =
                xml::named(&document, "instancesSet").next().and_then(|set| set.first_element_child());
            let address = xml::text(instance.unwrap(), "privateIpAddress");
            self.addresses.insert(id.to_owned(), address.parse().unwrap());
        }
        self.addresses[id]
    }
}

/// Healthy targets get new connections, those that drain keep what they have. When none is healthy, all that are
/// registered get some, as with AWS's balancers.
fn taken(states: &States) -> BTreeMap<(String, u16), Takes> {
    let is = |state: &str, wanted: &str| state == wanted;
    let fails_open = !states.values().any(|state| is(state, "healthy"));
    let takes = |state: &str| match state {
        "healthy" => Some(Takes::New),
        "draining" => Some(Takes::NoMore),
        _ if fails_open => Some(Takes::New),
        "unhealthy" => Some(Takes::NoMore),
        _ => None,
    };
    states.iter().filter_map(|(target, state)| Some((target.clone(), takes(state)?))).collect()
}

mod tests {
    use super::*;

    #[test]
    fn targets_get_connections_by_their_health() {
        let states = |all: &[(&str, &str)]| -> States {
            all.iter().map(|(id, state)| (((*id).to_owned(), 80), (*state).to_owned())).collect()
        };
        let told = |all: &[(&str, &str)]| -> Vec<(String, Takes)> {
            taken(&states(all)).into_iter().map(|((id, _), takes)| (id, takes)).collect()
        };
        let (new, no_more) =
            (|id: &str| (id.to_owned(), Takes::New), |id: &str| (id.to_owned(), Takes::NoMore));
        assert_eq!(
            told(&[("a", "healthy"), ("b", "initial"), ("c", "draining"), ("d", "unhealthy")]),
            [new("a"), no_more("c"), no_more("d")]
        );
        assert_eq!(told(&[("a", "unhealthy"), ("b", "draining")]), [new("a"), no_more("b")]);
        assert_eq!(told(&[("a", "initial")]), [new("a")]);
        assert!(told(&[]).is_empty());
    }
}
