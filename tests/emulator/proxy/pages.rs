//! Lists come in pages, as short as they can be.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::super::client::Answer;
use super::super::xml::{self, Edits};
use super::call::Call;
use super::reply;

/// How a service names the parts of paging.
struct Style {
    service: &'static str,
    /// The parameters for the size of a page and for the place to go on from.
    size: &'static str,
    from: &'static str,
    /// What moto is asked for, so that it answers all; empty: it does.
    all: &'static str,
    /// The element that says where to go on.
    next: &'static str,
    invalid: &'static str,
}

const EC2: Style = Style {
    service: "EC2",
    size: "MaxResults",
    from: "NextToken",
    all: "",
    next: "nextToken",
    invalid: "InvalidNextToken",
};
const BALANCING: Style = Style {
    service: "ELBv2",
    size: "PageSize",
    from: "Marker",
    all: "400",
    next: "NextMarker",
    invalid: "ValidationError",
};
const SCALING: Style = Style {
    service: "AutoScaling",
    size: "MaxRecords",
    from: "NextToken",
    all: "100",
    next: "NextToken",
    invalid: "InvalidNextToken",
};
const IAM: Style = Style {
    service: "IAM",
    size: "MaxItems",
    from: "Marker",
    all: "1000",
    next: "Marker",
    invalid: "ValidationError",
};

/// The calls, their lists, and the parameters that name single things; with these, there are no pages.
#[rustfmt::skip]
const LISTS: [(&Style, &str, &str, &[&str]); 30] = [
    (&EC2, "DescribeInstances", "reservationSet", &["InstanceId."]),
    (&EC2, "DescribeInstanceStatus", "instanceStatusSet", &["InstanceId."]),
    (&EC2, "DescribeVpcs", "vpcSet", &["VpcId."]),
    (&EC2, "DescribeSubnets", "subnetSet", &["SubnetId."]),
    (&EC2, "DescribeSecurityGroups", "securityGroupInfo", &["GroupId.", "GroupName."]),
    (&EC2, "DescribeSecurityGroupRules", "securityGroupRuleSet", &["SecurityGroupRuleId."]),
    (&EC2, "DescribeRouteTables", "routeTableSet", &["RouteTableId."]),
    (&EC2, "DescribeInternetGateways", "internetGatewaySet", &["InternetGatewayId.", "internetGatewayId."]),
    (&EC2, "DescribeNatGateways", "natGatewaySet", &["NatGatewayId."]),
    (&EC2, "DescribeVolumes", "volumeSet", &["VolumeId."]),
    (&EC2, "DescribeSnapshots", "snapshotSet", &["SnapshotId."]),
    (&EC2, "DescribeImages", "imagesSet", &["ImageId."]),
    (&EC2, "DescribeLaunchTemplates", "launchTemplates", &["LaunchTemplateId.", "LaunchTemplateName."]),
    (&EC2, "DescribeLaunchTemplateVersions", "launchTemplateVersionSet", &["LaunchTemplateVersion."]),
    (&EC2, "DescribeNetworkInterfaces", "networkInterfaceSet", &["NetworkInterfaceId."]),
    (&EC2, "DescribeVpcEndpoints", "vpcEndpointSet", &["VpcEndpointId."]),
    (&EC2, "DescribeVpcPeeringConnections", "vpcPeeringConnectionSet", &["VpcPeeringConnectionId."]),
    (&EC2, "DescribeInstanceTypes", "instanceTypeSet", &["InstanceType."]),
    (&EC2, "DescribeInstanceTypeOfferings", "instanceTypeOfferingSet", &[]),
    (&EC2, "DescribeTags", "tagSet", &[]),
    (&BALANCING, "DescribeLoadBalancers", "LoadBalancers", &["LoadBalancerArns.", "Names."]),
    (&BALANCING, "DescribeTargetGroups", "TargetGroups", &["TargetGroupArns.", "Names."]),
    (&BALANCING, "DescribeListeners", "Listeners", &["ListenerArns."]),
    (&SCALING, "DescribeAutoScalingGroups", "AutoScalingGroups", &["AutoScalingGroupNames."]),
    (&SCALING, "DescribeScalingActivities", "Activities", &["ActivityIds."]),
    (&SCALING, "DescribeTags", "Tags", &[]),
    (&IAM, "ListRoles", "Roles", &[]),
    (&IAM, "ListInstanceProfiles", "InstanceProfiles", &[]),
    (&IAM, "ListPolicies", "Policies", &[]),
    (&IAM, "ListAttachedRolePolicies", "AttachedPolicies", &[]),
];

/// The page that a call asks for.
pub struct Page {
    style: &'static Style,
    list: &'static str,
    first: usize,
    size: usize,
    /// Of the call without its page: a token is good for the same question only.
    question: u64,
}

/// Asks for everything, and says which page of it the caller is to have; or that its token is none.
pub fn ask_for_all(call: &mut Call, longest: usize) -> Result<Option<Page>, Box<Answer>> {
    let of = |list: &&(&Style, &str, &str, &[&str])| {
        list.0.service == call.service.name() && list.1 == call.action && !names_single(call, list.3)
    };
    let Some((style, _, list, _)) = LISTS.iter().find(of) else { return Ok(None) };
    let size =
        call.params.remove(style.size).and_then(|size| size.parse().ok()).unwrap_or(longest).min(longest);
    let from = call.params.remove(style.from);
    let question = question(call);
    if !style.all.is_empty() {
        call.params.insert(style.size.into(), style.all.into());
    }
    let first = match from {
        None => 0,
        Some(token) => {
            let invalid = || Box::new(reply::refusal(call, 400, style.invalid, "The token is not valid"));
            of_token(&token, question).ok_or_else(invalid)?
        }
    };
    Ok(Some(Page { style, list, first, size, question }))
}

/// Leaves that page of an answer.
pub fn cut(page: Option<&Page>, answer: &mut Answer) {
    let Some(page) = page.filter(|_| answer.status < 300) else { return };
    let text = answer.text().to_owned();
    let document = xml::parse(&text);
    let Some(list) = xml::named(&document, page.list).next() else { return };
    let items = xml::items(&document, page.list);
    let end = page.first + page.size;
    let mut edits = Edits::default();
    for (index, item) in items.iter().enumerate() {
        if !(page.first..end).contains(&index) {
            edits.remove(*item);
        }
    }
    if items.len() > end
        && let Some(result) = list.parent()
    {
        xml::child(result, "IsTruncated").into_iter().for_each(|node| edits.set(node, "true"));
        let truncated = page.style.service == "IAM" && xml::child(result, "IsTruncated").is_none();
        let more = if truncated { "<IsTruncated>true</IsTruncated>" } else { "" };
        edits.append(result, &(xml::element(page.style.next, &token(end, page.question)) + more));
    }
    answer.body = edits.apply(&text).into();
}

fn names_single(call: &Call, prefixes: &[&str]) -> bool {
    call.params.keys().any(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
}

fn question(call: &Call) -> u64 {
    let mut hasher = DefaultHasher::new();
    (call.name(), &call.region, &call.params).hash(&mut hasher);
    hasher.finish()
}

fn token(first: usize, question: u64) -> String {
    format!("page-{first}-{question:016x}")
}

fn of_token(text: &str, question: u64) -> Option<usize> {
    let first = text.strip_prefix("page-")?.split('-').next()?.parse().ok()?;
    (token(first, question) == text).then_some(first)
}
