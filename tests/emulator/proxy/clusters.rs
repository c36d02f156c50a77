//! Clusters of EKS and their nodes take a while to become active. Until then a control plane has no address, and
//! takes no nodes.

use serde_json::Value;

use super::super::client::{Answer, Client};
use super::super::service::Service;
use super::call::Call;
use super::reply;
use super::settling::{Passing, Settling};

const CREATING: Passing = |from, to| (from.is_none() && to == "ACTIVE").then_some("CREATING");

#[derive(Debug, Default)]
pub struct Clusters(Settling);

impl Clusters {
    /// Nodes are refused until their cluster is seen active.
    pub async fn refuse(&mut self, call: &Call, moto: &Client, looks: u32) -> Option<Answer> {
        if call.name() != "EKS.CreateNodegroup" {
            return None;
        }
        let name = call.param("name");
        let answer = moto.get(Service::Eks, &format!("/clusters/{name}")).await;
        let there: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let status = there["cluster"]["status"].as_str()?;
        let shown = self.0.look(&cluster_id(call, name), status, looks, CREATING);
        let message = format!("Cluster '{name}' is not in ACTIVE status");
        (shown != "ACTIVE").then(|| reply::refusal(call, 400, "InvalidRequestException", &message))
    }

    pub async fn rewrite(&mut self, call: &Call, moto: &Client, looks: u32, answer: &mut Answer) {
        let part = match call.name().as_str() {
            "EKS.CreateCluster" | "EKS.DescribeCluster" => "cluster",
            "EKS.CreateNodegroup" | "EKS.DescribeNodegroup" => "nodegroup",
            _ => return,
        };
        if answer.status >= 300 {
            return;
        }
        let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
        let thing = &mut body[part];
        let name = |field: &str| thing[field].as_str().unwrap_or_default().to_owned();
        let id = match part {
            "cluster" => cluster_id(call, &name("name")),
            _ => format!("{} {}", cluster_id(call, &name("clusterName")), name("nodegroupName")),
        };
        let status = name("status");
        let shown = match call.action.starts_with("Describe") {
            true => self.0.look(&id, &status, looks, CREATING),
            false => self.0.begin(&id, &status, looks, CREATING),
        };
        if part == "cluster" {
            let network = &mut thing["resourcesVpcConfig"];
            let subnet = network["subnetIds"][0].as_str().unwrap_or_default().to_owned();
            network["vpcId"] = vpc(moto, &subnet).await.into();
            if shown != "ACTIVE" {
                thing["endpoint"] = Value::Null;
                thing["certificateAuthority"] = Value::Null;
            }
        }
        thing["status"] = shown.into();
        answer.body = body.to_string().into();
    }
}

fn cluster_id(call: &Call, name: &str) -> String {
    format!("{} {name}", call.region)
}

async fn vpc(moto: &Client, subnet: &str) -> String {
    let answer = moto.ec2("DescribeSubnets", &[("SubnetId.1", subnet)]).await;
    answer.all("vpcId").into_iter().next().unwrap_or_default()
}
