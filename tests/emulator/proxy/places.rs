//! Where a target has to be: in the network of its group, or an address that is said to be outside.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::client::{Answer, Client};
use super::super::xml;
use super::call::Call;
use super::reply;
use super::targets;

pub async fn refuse(call: &Call, moto: &Client) -> Option<Answer> {
    let params = [("TargetGroupArns.member.1", call.param("TargetGroupArn"))];
    let answer = moto.balancing("DescribeTargetGroups", &params).await;
    if answer.status >= 300 {
        return None;
    }
    let (vpc, kind) = (answer.all("VpcId").concat(), answer.one("TargetType"));
    let inside = ranges(moto, &vpc).await;
    for ((id, _), zone) in targets::named(call) {
        let refused = match (kind.as_str(), id.parse::<IpAddr>()) {
            ("ip", Ok(address)) => {
                let is_inside = inside.iter().any(|range| range.contains(&address));
                place_of_address(address, is_inside, &zone)
            }
            ("ip", Err(_)) => Err(("ValidationError", format!("The IP address '{id}' is not valid"))),
            ("instance", Ok(_)) => Err(("ValidationError", format!("Instance ID '{id}' is not valid"))),
            ("instance", Err(_)) => {
                let there = vpc_of(moto, &id).await;
                let message =
                    format!("The following targets are not in the target group VPC '{vpc}': '{id}'");
                if there.is_none_or(|there| there == vpc) { Ok(()) } else { Err(("InvalidTarget", message)) }
            }
            _ => Ok(()),
        };
        if let Err((code, message)) = refused {
            return Some(reply::refusal(call, 400, code, &message));
        }
    }
    None
}

fn place_of_address(address: IpAddr, is_inside: bool, zone: &str) -> Result<(), (&'static str, String)> {
    let is_private = match address {
        IpAddr::V4(four) => {
            // RFC 6598.
            let shared: IpNet = "100.64.0.0/10".parse().unwrap();
            four.is_private() || shared.contains(&address)
        }
        IpAddr::V6(_) => true,
    };
    match (is_inside, zone) {
        (true, "all") => Err((
            "ValidationError",
            format!(
                "The IP address '{address}' is within the VPC, and cannot have its Availability Zone overridden to 'all'"
            ),
        )),
        (false, "") => Err((
            "ValidationError",
            format!(
                "You must specify a valid Availability Zone or select 'all' for all enabled Availability zones, since the \
                 IP address '{address}' is outside the VPC"
            ),
        )),
        (false, _) if !is_private => Err((
            "InvalidTarget",
            format!("The IP address '{address}' is not in a private range that load balancers reach"),
        )),
        _ => Ok(()),
    }
}

/// Of the subnets of a network.
async fn ranges(moto: &Client, vpc: &str) -> Vec<IpNet> {
    let filter = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc)];
    let answer = moto.ec2("DescribeSubnets", &filter).await.ok();
    answer.all("cidrBlock").iter().filter_map(|range| range.parse().ok()).collect()
}

async fn vpc_of(moto: &Client, instance: &str) -> Option<String> {
    let answer = moto.ec2("DescribeInstances", &[("InstanceId.1", instance)]).await;
    if answer.status >= 300 {
        return None;
    }
    let document = xml::parse(answer.text());
    xml::items(&document, "instancesSet").first().map(|instance| xml::text(*instance, "vpcId"))
}
