//! moto comes up, is one for all, and can be emptied.

use std::sync::Arc;

use crate::emulator::moto::Moto;

#[tokio::test]
async fn moto_is_shared_and_accounts_see_nothing_of_each_other() {
    let Some(moto) = Moto::shared() else { return };
    let (first, second) = (moto.account(), moto.account());
    let vpcs = async |client: &crate::emulator::client::Client| {
        client.ec2("DescribeVpcs", &[]).await.ok().all("vpcId").len()
    };
    let before = vpcs(&second).await;
    first.ec2("CreateVpc", &[("CidrBlock", "10.0.0.0/16")]).await.ok();
    assert_eq!(vpcs(&first).await, before + 1);
    assert_eq!(vpcs(&second).await, before);
}

#[tokio::test]
async fn a_reset_empties_moto_and_a_seed_repeats_its_ids() {
    let Some(moto) = Moto::start() else { return };
    let account = moto.account();
    let mut made = Vec::new();
    for _ in 0..2 {
        moto.reset().await;
        account.ec2("DescribeVpcs", &[]).await.ok();
        moto.seed(42).await;
        made.push(account.ec2("CreateVpc", &[("CidrBlock", "10.0.0.0/16")]).await.ok().one("vpcId"));
        // The default one, and this.
        assert_eq!(account.ec2("DescribeVpcs", &[]).await.ok().all("isDefault").len(), 2);
    }
    assert_eq!(made[0], made[1]);
}

#[tokio::test]
async fn a_shared_server_is_replaced_after_many_accounts() {
    let Some(old) = Moto::shared() else { return };
    let new = loop {
        match Moto::shared() {
            Some(moto) if Arc::ptr_eq(&moto, &old) => drop(moto.account()),
            moto => break moto.unwrap(),
        }
    };
    old.account().ec2("DescribeVpcs", &[]).await.ok();
    new.account().ec2("DescribeVpcs", &[]).await.ok();
}

#[test]
fn a_server_ends_when_it_is_dropped() {
    let Some(moto) = Moto::start() else { return };
    let there = std::path::PathBuf::from(format!("/proc/{}", moto.process()));
    assert!(there.exists());
    drop(moto);
    assert!(!there.exists());
}
