//! Things of EC2 and load balancers take a while to become what they are to be, and to go.

use std::collections::BTreeMap;

use roxmltree::Node;

use super::super::client::Answer;
use super::super::xml::{self, Edits};
use super::call::Call;
use super::settling::{Passing, Settling};

/// How many looks each takes; a look is an answer that shows it, or a refusal because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// NAT gateways, `pending` and `deleting`.
    pub nat: u32,
    /// Instances, `pending` and `stopping`.
    pub instance: u32,
    pub shutting_down: u32,
    /// Load balancers, `provisioning`.
    pub balancer: u32,
    /// Network interfaces of load balancers that are gone.
    pub balancer_interfaces: u32,
    /// Targets, `initial`.
    pub target: u32,
    pub draining: u32,
    /// Volumes, `creating`; snapshots and endpoints, `pending`.
    pub volume: u32,
    /// Changes of Route 53, `PENDING`.
    pub change: u32,
    /// Clusters of EKS and their nodes, `CREATING`.
    pub cluster: u32,
}

impl Delays {
    pub fn all(looks: u32) -> Delays {
        Delays {
            nat: looks,
            instance: looks,
            shutting_down: looks,
            balancer: looks,
            balancer_interfaces: looks,
            target: looks,
            draining: looks,
            volume: looks,
            change: looks,
            cluster: looks,
        }
    }

    pub fn none() -> Delays {
        Delays::all(0)
    }
}

/// A kind of thing with states, and where answers have them.
struct Kind {
    calls: &'static [&'static str],
    id: &'static str,
    state: &'static str,
    /// The filter of EC2 that names states; moto would apply it to the states it has.
    filter: &'static str,
    looks: fn(&Delays, &str) -> u32,
    passing: Passing,
}

const KINDS: [Kind; 6] = [
    Kind {
        calls: &["EC2.RunInstances", "EC2.DescribeInstances", "EC2.DescribeInstanceStatus"],
        id: "instanceId",
        state: "instanceState/name",
        filter: "instance-state-name",
        looks: instance_looks,
        passing: instance_passing,
    },
    Kind {
        calls: &["EC2.CreateNatGateway", "EC2.DescribeNatGateways"],
        id: "natGatewayId",
        state: "state",
        filter: "state",
        looks: |delays, _| delays.nat,
        passing: nat_passing,
    },
    Kind {
        calls: &["EC2.CreateVolume", "EC2.DescribeVolumes"],
        id: "volumeId",
        state: "status",
        filter: "status",
        looks: |delays, _| delays.volume,
        passing: |from, to| (from.is_none() && to == "available").then_some("creating"),
    },
    Kind {
        calls: &["EC2.CreateSnapshot", "EC2.DescribeSnapshots"],
        id: "snapshotId",
        state: "status",
        filter: "status",
        looks: |delays, _| delays.volume,
        passing: |from, _| from.is_none().then_some("pending"),
    },
    Kind {
        calls: &["EC2.CreateVpcEndpoint", "EC2.DescribeVpcEndpoints"],
        id: "vpcEndpointId",
        state: "state",
        filter: "vpc-endpoint-state",
        looks: |delays, _| delays.volume,
        passing: |from, to| (from.is_none() && to == "available").then_some("pending"),
    },
    Kind {
        calls: &["ELBv2.CreateLoadBalancer", "ELBv2.DescribeLoadBalancers"],
        id: "LoadBalancerArn",
        state: "State/Code",
        filter: "",
        looks: |delays, _| delays.balancer,
        passing: |from, to| (from.is_none() && to == "active").then_some("provisioning"),
    },
];

fn instance_looks(delays: &Delays, to: &str) -> u32 {
    if to == "terminated" { delays.shutting_down } else { delays.instance }
}

fn instance_passing(from: Option<&str>, to: &str) -> Option<&'static str> {
    match (from, to) {
        (_, "running") => Some("pending"),
        (Some(_), "stopped") => Some("stopping"),
        (Some(_), "terminated") => Some("shutting-down"),
        _ => None,
    }
}

fn nat_passing(from: Option<&str>, to: &str) -> Option<&'static str> {
    match (from, to) {
        (None, "available") => Some("pending"),
        (Some(_), "deleted") => Some("deleting"),
        _ => None,
    }
}

/// moto shows the way there once; the truth is where it leads.
fn actual(state: &str) -> &str {
    match state {
        "pending" => "running",
        "shutting-down" => "terminated",
        "stopping" => "stopped",
        "provisioning" => "active",
        other => other,
    }
}

fn instance_code(state: &str) -> &'static str {
    match state {
        "pending" => "0",
        "running" => "16",
        "shutting-down" => "32",
        "terminated" => "48",
        "stopping" => "64",
        _ => "80",
    }
}

/// The states that a call wants to see, once moto has been asked for all.
pub type Wanted = Option<Vec<String>>;

#[derive(Default)]
pub struct States(Settling);

impl States {
    /// Takes the filter by states out of a call, because moto's states are not those shown.
    pub fn ask_for_all(&self, call: &mut Call) -> Wanted {
        let kind = kind_of(call).filter(|kind| !kind.filter.is_empty())?;
        let (states, others): (Vec<_>, Vec<_>) =
            call.filters().into_iter().partition(|(name, _)| name == kind.filter);
        // This one shows what runs unless it is asked for all.
        let status = call.action == "DescribeInstanceStatus" && call.param("IncludeAllInstances") != "true";
        if states.is_empty() {
            return status.then(|| vec!["running".into()]);
        }
        call.set_filters(&others);
        Some(states.into_iter().flat_map(|(_, values)| values).collect())
    }

    /// Shows the states of what an answer has.
    pub fn rewrite(&mut self, call: &Call, wanted: &Wanted, delays: &Delays, answer: &mut Answer) {
        let Some(kind) = kind_of(call).filter(|_| answer.status < 300) else { return };
        let look = call.action.starts_with("Describe");
        let text = answer.text().to_owned();
        let document = xml::parse(&text);
        let mut edits = Edits::default();
        for node in document.descendants() {
            let (id, Some(state)) = (xml::text(node, kind.id), xml::at(node, kind.state)) else { continue };
            if id.is_empty() {
                continue;
            }
            let to = actual(state.text().unwrap_or_default());
            let looks = (kind.looks)(delays, to);
            let shown = match look {
                true => self.0.look(&id, to, looks, kind.passing),
                false => self.0.begin(&id, to, looks, kind.passing),
            };
            if look && wanted.as_ref().is_some_and(|wanted| !wanted.contains(&shown)) {
                edits.remove(alone(node));
            }
            edits.set(state, &shown);
            if let Some(code) = xml::at(node, "instanceState/code") {
                edits.set(code, instance_code(&shown));
            }
        }
        answer.body = edits.apply(&text).into();
    }

    /// Whether an instance is still there, as far as others are concerned; a look.
    pub fn instance_lives(&mut self, id: &str, state: &str, delays: &Delays) -> bool {
        self.instance(id, state, delays) != "terminated"
    }

    /// The state of an instance; a look.
    pub fn instance(&mut self, id: &str, state: &str, delays: &Delays) -> String {
        let to = actual(state);
        self.0.look(id, to, instance_looks(delays, to), instance_passing)
    }

    /// Whether a NAT gateway is; a look.
    pub fn nat_lives(&mut self, id: &str, state: &str, delays: &Delays) -> bool {
        self.0.look(id, state, delays.nat, nat_passing) != "deleted"
    }

    /// The state of a volume; a look.
    pub fn volume(&mut self, id: &str, state: &str, delays: &Delays) -> String {
        self.0.look(id, state, delays.volume, KINDS[2].passing)
    }
}

fn kind_of(call: &Call) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.calls.contains(&call.name().as_str()))
}

/// An instance is removed with its reservation, if it is the only one in it.
fn alone<'a>(node: Node<'a, 'a>) -> Node<'a, 'a> {
    let list = node.parent().filter(|list| list.tag_name().name() == "instancesSet");
    match list {
        Some(list) if list.children().filter(Node::is_element).count() == 1 => list.parent().unwrap_or(node),
        _ => node,
    }
}

/// Things that stay for so many looks after what they belong to has gone.
#[derive(Debug, Default)]
pub struct Lingering(BTreeMap<String, u32>);

impl Lingering {
    pub fn begin(&mut self, id: &str, looks: u32) {
        self.0.insert(id.to_owned(), looks);
    }

    /// Whether it is still there; a look.
    pub fn look(&mut self, id: &str) -> bool {
        match self.0.get_mut(id) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}
