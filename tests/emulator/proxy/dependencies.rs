//! What AWS does not delete because something else needs it, and moto does.

use super::super::client::{Answer, Client};
use super::super::xml;
use super::call::Call;
use super::reply;
use super::states::{Delays, Lingering, States};
use super::world::{Balancer, World};

/// A refusal: code and message.
type Refusal = Option<(&'static str, String)>;

#[derive(Default)]
pub struct Dependencies {
    /// Load balancers whose network interfaces have not gone yet.
    gone: Vec<Balancer>,
    lingering: Lingering,
}

/// The calls that need a look at the world.
const CHECKED: [&str; 9] = [
    "EC2.DeleteSubnet",
    "EC2.DeleteSecurityGroup",
    "EC2.DetachInternetGateway",
    "EC2.ReleaseAddress",
    "EC2.DisassociateAddress",
    "EC2.DeleteRouteTable",
    "EC2.DeleteVpc",
    "EC2.DeleteNetworkInterface",
    "ELBv2.DeleteLoadBalancer",
];

impl Dependencies {
    pub async fn refuse(
        &mut self,
        call: &Call,
        moto: &Client,
        states: &mut States,
        delays: &Delays,
    ) -> Option<Answer> {
        let name = call.name();
        let refusal = if name == "AutoScaling.DeleteAutoScalingGroup" {
            group_with_instances(call, moto).await
        } else if CHECKED.contains(&name.as_str()) {
            let mut world = World::look(moto).await;
            if name == "ELBv2.DeleteLoadBalancer" {
                self.protected(call, moto, &world, delays).await
            } else {
                self.keep_what_lives(call, &mut world, states, delays);
                refusal(call, &world)
            }
        } else {
            None
        };
        refusal.map(|(code, message)| reply::refusal(call, 400, code, &message))
    }

    /// Leaves out of the world what does not count any more, and adds what still does. Only what is in the call's way
    /// is looked at, so that a test's looks are its own.
    fn keep_what_lives(&mut self, call: &Call, world: &mut World, states: &mut States, delays: &Delays) {
        let near = |place: &[&String]| call.params.values().any(|value| place.contains(&value));
        world.instances.retain(|instance| {
            let addresses = world.addresses.iter().filter(|address| address.instance == instance.id);
            let mut places = vec![&instance.vpc, &instance.subnet];
            places.extend(instance.groups.iter().chain(&instance.interfaces));
            places.extend(addresses.map(|address| &address.allocation));
            !near(&places) || states.instance_lives(&instance.id, &instance.state, delays)
        });
        world.nats.retain(|nat| {
            let mut places = vec![&nat.vpc, &nat.subnet];
            places.extend(nat.allocations.iter().chain(&nat.associations).chain(&nat.interfaces));
            !near(&places) || states.nat_lives(&nat.id, &nat.state, delays)
        });
        for balancer in &self.gone {
            let mut places = vec![&balancer.vpc];
            places.extend(balancer.subnets.iter().chain(&balancer.groups));
            if near(&places) && self.lingering.look(&balancer.arn) {
                world.balancers.push(balancer.clone());
            }
        }
    }

    async fn protected(&mut self, call: &Call, moto: &Client, world: &World, delays: &Delays) -> Refusal {
        let arn = call.param("LoadBalancerArn");
        let balancer = world.balancers.iter().find(|balancer| balancer.arn == arn)?;
        let attributes =
            moto.balancing("DescribeLoadBalancerAttributes", &[("LoadBalancerArn", arn)]).await.ok();
        let document = xml::parse(attributes.text());
        let on = |key: &str| {
            let items = xml::items(&document, "Attributes");
            items.iter().any(|item| xml::text(*item, "Key") == key && xml::text(*item, "Value") == "true")
        };
        if on("deletion_protection.enabled") {
            let message =
                format!("Load balancer '{arn}' cannot be deleted because deletion protection is enabled");
            return Some(("OperationNotPermitted", message));
        }
        self.gone.push(balancer.clone());
        self.lingering.begin(arn, delays.balancer_interfaces);
        None
    }
}

fn refusal(call: &Call, world: &World) -> Refusal {
    match call.action.as_str() {
        "DeleteSubnet" => subnet(call.param("SubnetId"), world),
        "DeleteSecurityGroup" => security_group(call.param("GroupId"), world),
        "DetachInternetGateway" => gateway(call.param("VpcId"), world),
        "ReleaseAddress" => address(call.param("AllocationId"), world),
        "DisassociateAddress" => association(call.param("AssociationId"), world),
        "DeleteRouteTable" => route_table(call.param("RouteTableId"), world),
        "DeleteVpc" => vpc(call.param("VpcId"), world),
        "DeleteNetworkInterface" => interface(call.param("NetworkInterfaceId"), world),
        _ => None,
    }
}

fn dependent(yes: bool, message: String) -> Refusal {
    yes.then_some(("DependencyViolation", message))
}

fn subnet(id: &str, world: &World) -> Refusal {
    let used = world.instances.iter().any(|instance| instance.subnet == id)
        || world.nats.iter().any(|nat| nat.subnet == id)
        || world.balancers.iter().any(|balancer| balancer.subnets.iter().any(|subnet| subnet == id))
        || world.interfaces.iter().any(|interface| interface.subnet == id);
    dependent(used, format!("The subnet '{id}' has dependencies and cannot be deleted."))
}

fn security_group(id: &str, world: &World) -> Refusal {
    if world.groups.iter().any(|group| group.id == id && group.name == "default") {
        let message = format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user");
        return Some(("CannotDelete", message));
    }
    let has = |groups: &[String]| groups.iter().any(|group| group == id);
    let used = world.instances.iter().any(|instance| has(&instance.groups))
        || world.balancers.iter().any(|balancer| has(&balancer.groups))
        || world.interfaces.iter().any(|interface| has(&interface.groups))
        || world.groups.iter().any(|group| group.id != id && has(&group.named));
    dependent(used, format!("resource {id} has a dependent object"))
}

fn gateway(vpc: &str, world: &World) -> Refusal {
    let used = world.instances.iter().any(|instance| instance.vpc == vpc && instance.public)
        || world.nats.iter().any(|nat| nat.vpc == vpc)
        || world.balancers.iter().any(|balancer| balancer.vpc == vpc && balancer.public);
    let message = format!(
        "Network {vpc} has some mapped public address(es). Please unmap those public address(es) before \
         detaching the gateway."
    );
    dependent(used, message)
}

fn address(allocation: &str, world: &World) -> Refusal {
    let addresses = world.addresses.iter().filter(|address| address.allocation == allocation);
    let holders = addresses.map(|address| &address.instance).collect::<Vec<_>>();
    let used = world.nats.iter().any(|nat| nat.allocations.iter().any(|used| used == allocation))
        || world.instances.iter().any(|instance| holders.contains(&&instance.id));
    used.then(|| ("InvalidIPAddress.InUse", format!("Address {allocation} is in use.")))
}

fn association(id: &str, world: &World) -> Refusal {
    let used = world.nats.iter().any(|nat| nat.associations.iter().any(|used| used == id));
    used.then(|| ("AuthFailure", "You do not have permission to access the specified resource.".to_owned()))
}

fn route_table(id: &str, world: &World) -> Refusal {
    let main = world.route_tables.iter().any(|table| table.id == id && table.main);
    dependent(main, format!("The routeTable '{id}' has dependencies and cannot be deleted."))
}

fn vpc(id: &str, world: &World) -> Refusal {
    let places = [&world.subnets, &world.gateways, &world.endpoints];
    let used = places.into_iter().flatten().any(|place| place.vpc == id)
        || world.route_tables.iter().any(|table| table.vpc == id && !table.main)
        || world.groups.iter().any(|group| group.vpc == id && group.name != "default")
        || world.instances.iter().any(|instance| instance.vpc == id)
        || world.nats.iter().any(|nat| nat.vpc == id)
        || world.balancers.iter().any(|balancer| balancer.vpc == id);
    dependent(used, format!("The vpc '{id}' has dependencies and cannot be deleted."))
}

fn interface(id: &str, world: &World) -> Refusal {
    let own = world.interfaces.iter().any(|interface| interface.id == id && interface.in_use);
    let theirs = world.instances.iter().flat_map(|instance| &instance.interfaces);
    let used = own || theirs.chain(world.nats.iter().flat_map(|nat| &nat.interfaces)).any(|used| used == id);
    used.then(|| ("InvalidParameterValue", format!("Network interface '{id}' is currently in use.")))
}

async fn group_with_instances(call: &Call, moto: &Client) -> Refusal {
    if call.param("ForceDelete") == "true" {
        return None;
    }
    let name = ("AutoScalingGroupNames.member.1", call.param("AutoScalingGroupName"));
    let groups = moto.scaling("DescribeAutoScalingGroups", &[name]).await.ok();
    let used = !groups.all("InstanceId").is_empty();
    let message = "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance \
                   request(s) still in the group.";
    used.then(|| ("ResourceInUse", message.to_owned()))
}
