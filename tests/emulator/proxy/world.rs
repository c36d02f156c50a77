//! What there is in moto, as far as it can be in the way of a deletion.

use roxmltree::Node;

use super::super::client::Client;
use super::super::xml;

#[derive(Debug, Clone, Default)]
pub struct Instance {
    pub id: String,
    pub state: String,
    pub vpc: String,
    pub subnet: String,
    pub groups: Vec<String>,
    pub public: bool,
    pub interfaces: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Nat {
    pub id: String,
    pub state: String,
    pub vpc: String,
    pub subnet: String,
    pub allocations: Vec<String>,
    pub associations: Vec<String>,
    pub interfaces: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Balancer {
    pub arn: String,
    pub vpc: String,
    pub subnets: Vec<String>,
    pub groups: Vec<String>,
    pub public: bool,
}

#[derive(Debug, Clone, Default)]
pub struct SecurityGroup {
    pub id: String,
    pub name: String,
    pub vpc: String,
    /// Groups that its rules name.
    pub named: Vec<String>,
}

/// A network interface that somebody has made for itself.
#[derive(Debug, Clone, Default)]
pub struct Interface {
    pub id: String,
    pub subnet: String,
    pub groups: Vec<String>,
    pub in_use: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Address {
    pub allocation: String,
    pub instance: String,
}

/// Something of which no more matters than where it is.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub id: String,
    pub vpc: String,
    pub main: bool,
}

/// All of it in one region.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub instances: Vec<Instance>,
    pub nats: Vec<Nat>,
    pub balancers: Vec<Balancer>,
    pub groups: Vec<SecurityGroup>,
    pub interfaces: Vec<Interface>,
    pub addresses: Vec<Address>,
    pub subnets: Vec<Place>,
    pub gateways: Vec<Place>,
    pub route_tables: Vec<Place>,
    pub endpoints: Vec<Place>,
}

impl World {
    pub async fn look(moto: &Client) -> World {
        let mut world = World {
            instances: instances(moto).await,
            nats: nats(moto).await,
            balancers: [balancers(moto).await, classic_balancers(moto).await].concat(),
            groups: read(moto, "DescribeSecurityGroups", "ipPermissions", security_group).await,
            interfaces: read(moto, "DescribeNetworkInterfaces", "macAddress", interface).await,
            addresses: read(moto, "DescribeAddresses", "allocationId", address).await,
            subnets: read(moto, "DescribeSubnets", "subnetId", |node| place(node, "subnetId", "vpcId")).await,
            gateways: read(moto, "DescribeInternetGateways", "internetGatewayId", gateway).await,
            route_tables: read(moto, "DescribeRouteTables", "routeSet", route_table).await,
            endpoints: read(moto, "DescribeVpcEndpoints", "vpcEndpointId", endpoint).await,
        };
        let owned = world.owned_interfaces();
        world.interfaces.retain(|interface| !owned.contains(&interface.id));
        world
    }

    /// The interfaces of instances and gateways; in moto these outlive them.
    fn owned_interfaces(&self) -> Vec<String> {
        let instances = self.instances.iter().flat_map(|instance| &instance.interfaces);
        instances.chain(self.nats.iter().flat_map(|nat| &nat.interfaces)).cloned().collect()
    }
}

pub async fn instances(moto: &Client) -> Vec<Instance> {
    read(moto, "DescribeInstances", "instanceId", instance).await
}

pub async fn nats(moto: &Client) -> Vec<Nat> {
    read(moto, "DescribeNatGateways", "natGatewayId", nat).await
}

/// The items of a list of EC2; they are told from other items by an element that only they have.
async fn read<T>(moto: &Client, action: &str, mark: &str, item: fn(Node<'_, '_>) -> T) -> Vec<T> {
    let answer = moto.ec2(action, &[]).await.ok();
    let document = xml::parse(answer.text());
    let top = |node: &Node<'_, '_>| {
        node.tag_name().name() == "item"
            && xml::child(*node, mark).is_some()
            && !node.ancestors().skip(1).any(|above| xml::child(above, mark).is_some())
    };
    document.descendants().filter(top).map(item).collect()
}

fn texts(node: Node<'_, '_>, list: &str, path: &str) -> Vec<String> {
    xml::list(node, list)
        .into_iter()
        .map(|item| xml::text(item, path))
        .filter(|text| !text.is_empty())
        .collect()
}

fn instance(node: Node<'_, '_>) -> Instance {
    Instance {
        id: xml::text(node, "instanceId"),
        state: xml::text(node, "instanceState/name"),
        vpc: xml::text(node, "vpcId"),
        subnet: xml::text(node, "subnetId"),
        groups: xml::list(node, "networkInterfaceSet")
            .into_iter()
            .flat_map(|interface| texts(interface, "groupSet", "groupId"))
            .collect(),
        public: !xml::text(node, "ipAddress").is_empty(),
        interfaces: texts(node, "networkInterfaceSet", "networkInterfaceId"),
    }
}

fn nat(node: Node<'_, '_>) -> Nat {
    Nat {
        id: xml::text(node, "natGatewayId"),
        state: xml::text(node, "state"),
        vpc: xml::text(node, "vpcId"),
        subnet: xml::text(node, "subnetId"),
        allocations: texts(node, "natGatewayAddressSet", "allocationId"),
        associations: texts(node, "natGatewayAddressSet", "associationId"),
        interfaces: texts(node, "natGatewayAddressSet", "networkInterfaceId"),
    }
}

async fn balancers(moto: &Client) -> Vec<Balancer> {
    let answer = moto.balancing("DescribeLoadBalancers", &[("PageSize", "400")]).await.ok();
    let document = xml::parse(answer.text());
    xml::items(&document, "LoadBalancers").into_iter().map(balancer).collect()
}

async fn classic_balancers(moto: &Client) -> Vec<Balancer> {
    let answer = moto.classic_balancing("DescribeLoadBalancers", &[]).await.ok();
    let document = xml::parse(answer.text());
    xml::items(&document, "LoadBalancerDescriptions").into_iter().map(classic_balancer).collect()
}

fn classic_balancer(node: Node<'_, '_>) -> Balancer {
    let texts = |list| -> Vec<String> {
        xml::list(node, list).into_iter().filter_map(|item| item.text().map(str::to_owned)).collect()
    };
    Balancer {
        arn: xml::text(node, "LoadBalancerName"),
        vpc: xml::text(node, "VPCId"),
        subnets: texts("Subnets"),
        groups: texts("SecurityGroups"),
        public: xml::text(node, "Scheme") != "internal",
    }
}

fn balancer(node: Node<'_, '_>) -> Balancer {
    let groups = xml::list(node, "SecurityGroups").into_iter();
    Balancer {
        arn: xml::text(node, "LoadBalancerArn"),
        vpc: xml::text(node, "VpcId"),
        subnets: texts(node, "AvailabilityZones", "SubnetId"),
        groups: groups.filter_map(|group| group.text().map(str::to_owned)).collect(),
        // Unless it says something else, it is.
        public: xml::text(node, "Scheme") != "internal",
    }
}

fn security_group(node: Node<'_, '_>) -> SecurityGroup {
    let rules = ["ipPermissions", "ipPermissionsEgress"].map(|list| xml::list(node, list));
    SecurityGroup {
        id: xml::text(node, "groupId"),
        name: xml::text(node, "groupName"),
        vpc: xml::text(node, "vpcId"),
        named: rules.concat().into_iter().flat_map(|rule| texts(rule, "groups", "groupId")).collect(),
    }
}

fn interface(node: Node<'_, '_>) -> Interface {
    Interface {
        id: xml::text(node, "networkInterfaceId"),
        subnet: xml::text(node, "subnetId"),
        groups: texts(node, "groupSet", "groupId"),
        in_use: xml::text(node, "status") == "in-use",
    }
}

fn address(node: Node<'_, '_>) -> Address {
    Address { allocation: xml::text(node, "allocationId"), instance: xml::text(node, "instanceId") }
}

fn place(node: Node<'_, '_>, id: &str, vpc: &str) -> Place {
    Place { id: xml::text(node, id), vpc: xml::text(node, vpc), main: false }
}

fn gateway(node: Node<'_, '_>) -> Place {
    let vpc = texts(node, "attachmentSet", "vpcId").into_iter().next().unwrap_or_default();
    Place { id: xml::text(node, "internetGatewayId"), vpc, main: false }
}

fn route_table(node: Node<'_, '_>) -> Place {
    let main = texts(node, "associationSet", "main").contains(&"true".to_owned());
    Place { main, ..place(node, "routeTableId", "vpcId") }
}

fn endpoint(node: Node<'_, '_>) -> Place {
    let deleted = xml::text(node, "state").starts_with("delet");
    let vpc = if deleted { String::new() } else { xml::text(node, "vpcId") };
    Place { id: xml::text(node, "vpcEndpointId"), vpc, main: false }
}
