//! What moto leaves behind and AWS does not: interfaces of what is gone, and their addresses.

use std::collections::BTreeSet;

use super::super::client::{Answer, Client};
use super::super::xml::{self, Edits};
use super::call::Call;
use super::states::{Delays, States};
use super::world;

pub async fn clear(call: &Call, moto: &Client, states: &mut States, delays: &Delays, answer: &mut Answer) {
    if answer.status >= 300 {
        return;
    }
    match call.name().as_str() {
        "EC2.DeleteNatGateway" => free_addresses(call.param("NatGatewayId"), moto).await,
        "EC2.DescribeNetworkInterfaces" => {
            let gone = gone(moto, states, delays).await;
            let text = answer.text().to_owned();
            let document = xml::parse(&text);
            let mut edits = Edits::default();
            let items = xml::items(&document, "networkInterfaceSet").into_iter();
            items
                .filter(|item| gone.contains(&xml::text(*item, "networkInterfaceId")))
                .for_each(|item| edits.remove(item));
            answer.body = edits.apply(&text).into();
        }
        _ => {}
    }
}

async fn free_addresses(gateway: &str, moto: &Client) {
    let nats = world::nats(moto).await;
    for association in nats.iter().filter(|nat| nat.id == gateway).flat_map(|nat| &nat.associations) {
        moto.ec2("DisassociateAddress", &[("AssociationId", association)]).await;
    }
}

/// The interfaces of instances and NAT gateways that are gone.
async fn gone(moto: &Client, states: &mut States, delays: &Delays) -> BTreeSet<String> {
    let instances = world::instances(moto).await.into_iter();
    let dead = instances.filter(|instance| !states.instance_lives(&instance.id, &instance.state, delays));
    let mut gone: BTreeSet<_> = dead.flat_map(|instance| instance.interfaces).collect();
    let nats = world::nats(moto).await.into_iter();
    gone.extend(
        nats.filter(|nat| !states.nat_lives(&nat.id, &nat.state, delays)).flat_map(|nat| nat.interfaces),
    );
    gone
}
