//! What machines may ask of the cloud: no more than their work takes.

use serde_json::{Value, json};

/// Where a cluster is, as ARNs say it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub partition: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    pub cluster: &'a str,
}

/// Where the token that new workers join with lies, in the Parameter Store.
fn token_parameter(place: Place<'_>) -> String {
    let Place { partition, region, account, cluster } = place;
    format!("arn:{partition}:ssm:{region}:{account}:parameter/keelwright/{cluster}/node-token")
}

/// A worker reads the token it joins with.
pub(super) fn read_token(place: Place<'_>) -> Value {
    policy(&[json!({"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": token_parameter(place)})])
}

/// A control plane puts a new token there before the last one runs out.
pub(super) fn write_token(place: Place<'_>) -> Value {
    policy(&[json!({"Effect": "Allow", "Action": "ssm:PutParameter", "Resource": token_parameter(place)})])
}

/// A worker that is to go says when it is drained.
pub(super) fn drain(place: Place<'_>) -> Value {
    let Place { partition, region, account, cluster } = place;
    let groups = format!(
        "arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/{cluster}-*"
    );
    policy(&[json!({
        "Effect": "Allow",
        "Action": ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"],
        "Resource": groups,
        "Condition": {"StringEquals": {"aws:ResourceTag/keelwright.dev/cluster": cluster}},
    })])
}

fn policy(statements: &[Value]) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}
