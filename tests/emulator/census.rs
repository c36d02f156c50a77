//! Everything that there is in an account and region, of the kinds that keelwright makes, as moto itself has it.

use std::collections::BTreeMap;

use roxmltree::Node;
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::service::Service;
use super::xml;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Vpc,
    Subnet,
    InternetGateway,
    Address,
    NatGateway,
    /// Not the main one of a VPC.
    RouteTable,
    /// Not the default one of a VPC.
    SecurityGroup,
    KeyPair,
    LaunchTemplate,
    /// Not terminated.
    Instance,
    Volume,
    AutoScalingGroup,
    LoadBalancer,
    /// By name, without tags.
    ClassicLoadBalancer,
    TargetGroup,
    Listener,
    /// Not AWS's own.
    Role,
    InstanceProfile,
    /// Not NS or SOA.
    RecordSet,
    Parameter,
    Bucket,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thing {
    /// As AWS calls it: an id, an ARN or a name.
    pub id: String,
    pub tags: BTreeMap<String, String>,
    /// Empty for kinds without one; of record sets, what they hold.
    pub state: String,
}

/// Without the kinds of which there is nothing.
pub type Census = BTreeMap<Kind, Vec<Thing>>;

/// Asks moto, not a proxy: the proxy's journal and its waits are not disturbed, and its faults do not matter.
/// `parameters` is the path below which parameters of SSM count.
pub async fn census(moto: &Client, parameters: &str) -> Census {
    let mut census = Census::new();
    for kind in EC2 {
        census.insert(kind.kind, ec2(moto, &kind).await);
    }
    census.insert(Kind::AutoScalingGroup, groups(moto).await);
    balancing(moto, &mut census).await;
    census.insert(Kind::Role, roles(moto).await);
    census.insert(Kind::InstanceProfile, profiles(moto).await);
    census.insert(Kind::RecordSet, records(moto).await);
    census.insert(Kind::Parameter, self::parameters(moto, parameters).await);
    census.insert(Kind::Bucket, buckets(moto).await);
    census.retain(|_, things| !things.is_empty());
    census
}

/// Where EC2 has the things of a kind.
struct Ec2 {
    kind: Kind,
    action: &'static str,
    list: &'static str,
    id: &'static str,
    state: &'static str,
    counts: fn(Node<'_, '_>) -> bool,
}

const EC2: [Ec2; 11] = [
    Ec2 {
        counts: |node| xml::text(node, "isDefault") != "true",
        ..plain(Kind::Vpc, "DescribeVpcs", "vpcSet", "vpcId")
    },
    Ec2 {
        counts: |node| xml::text(node, "defaultForAz") != "true",
        ..plain(Kind::Subnet, "DescribeSubnets", "subnetSet", "subnetId")
    },
    plain(Kind::InternetGateway, "DescribeInternetGateways", "internetGatewaySet", "internetGatewayId"),
    plain(Kind::Address, "DescribeAddresses", "addressesSet", "allocationId"),
    Ec2 {
        counts: |node| xml::text(node, "state") != "deleted",
        ..plain(Kind::NatGateway, "DescribeNatGateways", "natGatewaySet", "natGatewayId")
    },
    Ec2 {
        counts: |node| {
            !xml::list(node, "associationSet")
                .iter()
                .any(|association| xml::text(*association, "main") == "true")
        },
        ..plain(Kind::RouteTable, "DescribeRouteTables", "routeTableSet", "routeTableId")
    },
    Ec2 {
        counts: |node| xml::text(node, "groupName") != "default",
        ..plain(Kind::SecurityGroup, "DescribeSecurityGroups", "securityGroupInfo", "groupId")
    },
    plain(Kind::KeyPair, "DescribeKeyPairs", "keySet", "keyName"),
    plain(Kind::LaunchTemplate, "DescribeLaunchTemplates", "launchTemplates", "launchTemplateId"),
    Ec2 {
        state: "instanceState/name",
        counts: |node| xml::text(node, "instanceState/name") != "terminated",
        ..plain(Kind::Instance, "DescribeInstances", "reservationSet", "instanceId")
    },
    Ec2 { state: "status", ..plain(Kind::Volume, "DescribeVolumes", "volumeSet", "volumeId") },
];

const fn plain(kind: Kind, action: &'static str, list: &'static str, id: &'static str) -> Ec2 {
    Ec2 { kind, action, list, id, state: "state", counts: |_| true }
}

async fn ec2(moto: &Client, kind: &Ec2) -> Vec<Thing> {
    let answer = moto.ec2(kind.action, &[]).await.ok();
    let document = xml::parse(answer.text());
    let mut items = xml::items(&document, kind.list);
    if kind.kind == Kind::Instance {
        items = items.into_iter().flat_map(|reservation| xml::list(reservation, "instancesSet")).collect();
    }
    let thing = |node| Thing {
        id: xml::text(node, kind.id),
        tags: tags(xml::list(node, "tagSet"), "key", "value"),
        state: xml::text(node, kind.state),
    };
    items.into_iter().filter(|node| (kind.counts)(*node)).map(thing).collect()
}

fn tags(items: Vec<Node<'_, '_>>, key: &str, value: &str) -> BTreeMap<String, String> {
    items.into_iter().map(|tag| (xml::text(tag, key), xml::text(tag, value))).collect()
}

async fn groups(moto: &Client) -> Vec<Thing> {
    let answer = moto.scaling("DescribeAutoScalingGroups", &[("MaxRecords", "100")]).await.ok();
    let document = xml::parse(answer.text());
    let thing = |node| Thing {
        id: xml::text(node, "AutoScalingGroupName"),
        tags: tags(xml::list(node, "Tags"), "Key", "Value"),
        state: xml::text(node, "Status"),
    };
    xml::items(&document, "AutoScalingGroups").into_iter().map(thing).collect()
}

async fn balancing(moto: &Client, census: &mut Census) {
    let answer = moto.balancing("DescribeLoadBalancers", &[("PageSize", "400")]).await.ok();
    let balancers = balanced(moto, &answer, "LoadBalancers", "LoadBalancerArn", "State/Code").await;
    let mut listeners = Vec::new();
    for balancer in &balancers {
        let answer = moto.balancing("DescribeListeners", &[("LoadBalancerArn", &balancer.id)]).await.ok();
        listeners.extend(balanced(moto, &answer, "Listeners", "ListenerArn", "Port").await);
    }
    let answer = moto.balancing("DescribeTargetGroups", &[]).await.ok();
    let groups = balanced(moto, &answer, "TargetGroups", "TargetGroupArn", "TargetGroupName").await;
    let answer = moto.classic_balancing("DescribeLoadBalancers", &[]).await.ok();
    let document = xml::parse(answer.text());
    let classic =
        |node| Thing { id: xml::text(node, "LoadBalancerName"), tags: BTreeMap::new(), state: String::new() };
    let classic = xml::items(&document, "LoadBalancerDescriptions").into_iter().map(classic).collect();
    census.extend([
        (Kind::ClassicLoadBalancer, classic),
        (Kind::LoadBalancer, balancers),
        (Kind::Listener, listeners),
        (Kind::TargetGroup, groups),
    ]);
}

/// Tags of load balancing come by a call of their own.
async fn balanced(moto: &Client, answer: &Answer, list: &str, id: &str, state: &str) -> Vec<Thing> {
    let mut things: Vec<Thing> = {
        let document = xml::parse(answer.text());
        let items = xml::items(&document, list).into_iter();
        let thing =
            |node| Thing { id: xml::text(node, id), tags: BTreeMap::new(), state: xml::text(node, state) };
        items.map(thing).collect()
    };
    for thing in &mut things {
        let answer = moto.balancing("DescribeTags", &[("ResourceArns.member.1", &thing.id)]).await.ok();
        let document = xml::parse(answer.text());
        thing.tags = tags(xml::items(&document, "Tags"), "Key", "Value");
    }
    things
}

async fn roles(moto: &Client) -> Vec<Thing> {
    let answer = moto.iam("ListRoles", &[("MaxItems", "1000")]).await.ok();
    let names: Vec<_> = {
        let document = xml::parse(answer.text());
        let ours = |role: &Node<'_, '_>| !xml::text(*role, "Path").starts_with("/aws-service-role/");
        let roles = xml::items(&document, "Roles").into_iter().filter(ours);
        roles.map(|role| xml::text(role, "RoleName")).collect()
    };
    let mut things = Vec::new();
    for id in names {
        let answer = moto.iam("ListRoleTags", &[("RoleName", &id)]).await.ok();
        let document = xml::parse(answer.text());
        things.push(Thing {
            id,
            tags: tags(xml::items(&document, "Tags"), "Key", "Value"),
            state: String::new(),
        });
    }
    things
}

async fn profiles(moto: &Client) -> Vec<Thing> {
    let answer = moto.iam("ListInstanceProfiles", &[("MaxItems", "1000")]).await.ok();
    let document = xml::parse(answer.text());
    let thing = |node| Thing {
        id: xml::text(node, "InstanceProfileName"),
        tags: tags(xml::list(node, "Tags"), "Key", "Value"),
        state: String::new(),
    };
    xml::items(&document, "InstanceProfiles").into_iter().map(thing).collect()
}

async fn records(moto: &Client) -> Vec<Thing> {
    let zones = moto.get(Service::Route53, "/2013-04-01/hostedzone").await.ok();
    let ids: Vec<_> = {
        let document = xml::parse(zones.text());
        xml::items(&document, "HostedZones").into_iter().map(|zone| xml::text(zone, "Id")).collect()
    };
    let mut things = Vec::new();
    for id in ids {
        let answer = moto.get(Service::Route53, &format!("/2013-04-01{id}/rrset")).await.ok();
        let document = xml::parse(answer.text());
        let sets = xml::items(&document, "ResourceRecordSets").into_iter();
        things.extend(
            sets.filter(|set| !["NS", "SOA"].contains(&xml::text(*set, "Type").as_str())).map(record),
        );
    }
    things
}

/// Its name, type and, of one of several, its identifier; its state is its weight and what it answers.
fn record(set: Node<'_, '_>) -> Thing {
    let words = |paths: &[&str]| {
        let words = paths.iter().map(|path| xml::text(set, path)).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(" ")
    };
    let values = xml::list(set, "ResourceRecords").into_iter().map(|record| xml::text(record, "Value"));
    let state = std::iter::once(words(&["Weight", "AliasTarget/DNSName"])).chain(values);
    Thing {
        id: words(&["Name", "Type", "SetIdentifier"]),
        tags: BTreeMap::new(),
        state: state.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "),
    }
}

async fn parameters(moto: &Client, path: &str) -> Vec<Thing> {
    let mut things = Vec::new();
    let mut request = json!({"Path": path, "Recursive": true});
    loop {
        let answer = moto.parameters("GetParametersByPath", &request).await.ok();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        for parameter in answer["Parameters"].as_array().unwrap() {
            let id = parameter["Name"].as_str().unwrap().to_owned();
            let asked = json!({"ResourceType": "Parameter", "ResourceId": id});
            let tags = moto.parameters("ListTagsForResource", &asked).await.ok();
            let tags: Value = serde_json::from_slice(&tags.body).unwrap();
            let text = |tag: &Value, key| tag[key].as_str().unwrap_or_default().to_owned();
            let tags = tags["TagList"].as_array().into_iter().flatten();
            let tags = tags.map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect();
            things.push(Thing { id, tags, state: String::new() });
        }
        match answer["NextToken"].as_str() {
            Some(token) => request["NextToken"] = token.into(),
            None => return things,
        }
    }
}

async fn buckets(moto: &Client) -> Vec<Thing> {
    let answer = moto.get(Service::S3, "/").await.ok();
    let names: Vec<_> = {
        let document = xml::parse(answer.text());
        xml::items(&document, "Buckets").into_iter().map(|bucket| xml::text(bucket, "Name")).collect()
    };
    let mut things = Vec::new();
    for id in names {
        // A bucket without tags answers with an error.
        let answer = moto.get(Service::S3, &format!("/{id}?tagging")).await;
        let document = xml::parse(answer.text());
        things.push(Thing {
            id,
            tags: tags(xml::items(&document, "TagSet"), "Key", "Value"),
            state: String::new(),
        });
    }
    things
}
