//! What the program does, by hand: for tests of the stage alone.

use std::collections::BTreeMap;
use std::time::Duration;

use keelwright::migrate::record::Weights;

use super::account::{self, Account};
use super::{Side, until};
use crate::emulator::Cloud;
use crate::emulator::dns::route53::{self, Record};

const SOON: Duration = Duration::from_secs(60);

/// Both sides by weights.
pub async fn weigh(cloud: &Cloud, account: &Account, green: u8) {
    let weights = Weights::of_green(green);
    let record = |side: Side| {
        let identifier = format!("shop-{side}");
        account.record(side, Some((&identifier, weights.of(side).into())))
    };
    change(cloud, account, &Side::BOTH.map(record)).await;
}

/// A simple record.
pub async fn only_green(cloud: &Cloud, account: &Account) {
    change(cloud, account, &[account.record(Side::Green, None)]).await;
}

/// The name's records become these; those that are there are named exactly.
async fn change(cloud: &Cloud, account: &Account, wanted: &[Record]) {
    let mut there = route53::records(&cloud.moto, &account.zone).await;
    there.retain(|record| record.name == wanted[0].name);
    let delete = there.iter().map(|record| ("DELETE", record));
    let create = wanted.iter().map(|record| ("CREATE", record));
    let changes: Vec<_> = delete.chain(create).collect();
    route53::change(&cloud.proxy.client(), &account.zone, &changes).await.ok();
}

/// Green's targets come behind blue's balancer and are healthy before blue's go; returns when those have drained.
pub async fn take_over(cloud: &Cloud, account: &Account) {
    let (blue, green) = (&account.sides[&Side::Blue], &account.sides[&Side::Green]);
    // Past the proxy: no balancer of AWS would take an address of the loopback.
    account::register(&cloud.moto, &blue.group, &green.targets).await;
    all_are(cloud, &blue.group, &green.targets, Some("healthy")).await;
    account::deregister(&cloud.moto, &blue.group, &blue.targets).await;
    all_are(cloud, &blue.group, &blue.targets, None).await;
}

/// None: they are not there.
async fn all_are(cloud: &Cloud, group: &str, targets: &[(String, u16)], wanted: Option<&str>) {
    until(&format!("{targets:?} are not {wanted:?}"), SOON, async || {
        let health: BTreeMap<_, _> =
            account::health(&cloud.proxy.client(), group).await.into_iter().collect();
        let is_so = |target: &(String, u16)| health.get(target).map(String::as_str) == wanted;
        targets.iter().all(is_so).then_some(())
    })
    .await;
}
