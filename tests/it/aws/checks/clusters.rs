//! Clusters of EKS become active after a while, and take nodes from then on.

use http::Method;
use serde_json::{Value, json};

use crate::emulator::Cloud;
use crate::emulator::client::{Answer, Client};
use crate::emulator::fixtures::{subnet, vpc};
use crate::emulator::service::Service;

const ROLE: &str = "arn:aws:iam::123456789012:role/eks";

async fn send(client: &Client, path: &str, body: &Value) -> Answer {
    client.rest(Service::Eks, Method::POST, path, &body.to_string()).await
}

async fn look(client: &Client, path: &str, part: &str) -> Value {
    let answer = client.get(Service::Eks, path).await.ok();
    serde_json::from_slice::<Value>(&answer.body).unwrap()[part].clone()
}

#[tokio::test]
async fn a_cluster_is_creating_and_takes_no_nodes_until_it_is_active() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let vpc = vpc(&client).await;
    let subnet = subnet(&client, &vpc).await;
    let cluster = json!({"name": "green", "roleArn": ROLE, "resourcesVpcConfig": {"subnetIds": [subnet]}});
    let nodes = json!({"nodegroupName": "nodes", "nodeRole": ROLE, "subnets": [subnet]});
    let missing = client.get(Service::Eks, "/clusters/green").await;
    assert_eq!(missing.error().as_deref(), Some("ResourceNotFoundException"));
    send(&client, "/clusters", &cluster).await.ok();
    assert_eq!(send(&client, "/clusters", &cluster).await.error().as_deref(), Some("ResourceInUseException"));
    let early = send(&client, "/clusters/green/node-groups", &nodes).await;
    assert_eq!(early.error().as_deref(), Some("InvalidRequestException"));
    let creating = look(&client, "/clusters/green", "cluster").await;
    assert_eq!((&creating["status"], &creating["endpoint"]), (&json!("CREATING"), &Value::Null));
    let active = look(&client, "/clusters/green", "cluster").await;
    assert_eq!(active["status"], "ACTIVE");
    assert_eq!(active["resourcesVpcConfig"]["vpcId"], vpc);
    assert!(active["endpoint"].is_string() && active["certificateAuthority"]["data"].is_string());
    send(&client, "/clusters/green/node-groups", &nodes).await.ok();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(look(&client, "/clusters/green/node-groups/nodes", "nodegroup").await["status"].clone());
    }
    assert_eq!(seen, ["CREATING", "CREATING", "ACTIVE"]);
}
