//! What AWS does not do with things that are not ready, and moto does.

use super::super::client::{Answer, Client};
use super::super::xml;
use super::call::Call;
use super::reply;
use super::states::{Delays, States};

pub async fn refuse(call: &Call, moto: &Client, states: &mut States, delays: &Delays) -> Option<Answer> {
    match call.name().as_str() {
        "EC2.AttachVolume" => attach(call, moto, states, delays).await,
        "EC2.AssociateAddress" => {
            let (id, state) = instance(call.param("InstanceId"), moto, states, delays).await?;
            let message = format!("The {state} instance '{id}' is not in a valid state for this operation.");
            (state == "pending").then(|| reply::refusal(call, 400, "InvalidInstanceID", &message))
        }
        "ELBv2.RegisterTargets" => register(call, moto, states, delays).await,
        _ => None,
    }
}

async fn attach(call: &Call, moto: &Client, states: &mut States, delays: &Delays) -> Option<Answer> {
    let volumes = moto.ec2("DescribeVolumes", &[("VolumeId.1", call.param("VolumeId"))]).await;
    let document = xml::parse(volumes.text());
    let actual = xml::items(&document, "volumeSet").first().map(|volume| xml::text(*volume, "status"))?;
    let volume = states.volume(call.param("VolumeId"), &actual, delays);
    if volume == "creating" {
        let message = format!("{} is not 'available'.", call.param("VolumeId"));
        return Some(reply::refusal(call, 400, "IncorrectState", &message));
    }
    let (id, state) = instance(call.param("InstanceId"), moto, states, delays).await?;
    let message = format!("Instance '{id}' is not 'running'.");
    let ready = ["running", "stopped"].contains(&state.as_str());
    (!ready).then(|| reply::refusal(call, 400, "IncorrectState", &message))
}

async fn register(call: &Call, moto: &Client, states: &mut States, delays: &Delays) -> Option<Answer> {
    let named = (1..).map(|index: u32| call.param(&format!("Targets.member.{index}.Id")));
    for id in named.take_while(|id| !id.is_empty()).filter(|id| id.starts_with("i-")) {
        let state = instance(id, moto, states, delays).await.map(|(_, state)| state);
        if state.as_deref() != Some("running") {
            let message =
                format!("The following targets are not in a running state and cannot be registered: '{id}'");
            return Some(reply::refusal(call, 400, "InvalidTarget", &message));
        }
    }
    None
}

/// An instance with the state that is shown of it.
async fn instance(id: &str, moto: &Client, states: &mut States, delays: &Delays) -> Option<(String, String)> {
    let instances = moto.ec2("DescribeInstances", &[("InstanceId.1", id)]).await;
    if instances.status >= 300 || id.is_empty() {
        return None;
    }
    let document = xml::parse(instances.text());
    let actual =
        xml::items(&document, "instancesSet").first().map(|node| xml::text(*node, "instanceState/name"))?;
    Some((id.to_owned(), states.instance(id, &actual, delays)))
}
