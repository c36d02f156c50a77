//! Green's machines behind blue's balancer, and blue's own out of it.

use keelwright::migrate::ports::{BalancerTarget, Balancers as _, CallError, Health};

use super::{Scene, is_later, is_unknown, refusal};
use crate::emulator::client::Client;
use crate::emulator::fixtures::{balancer, forward, instance, subnet, vpc};
use crate::emulator::proxy::{Delays, Fault, Faults, Moment};

const REGISTER: &str = "ELBv2.RegisterTargets";
const DEREGISTER: &str = "ELBv2.DeregisterTargets";

/// A listener's target group, and the network and subnet that its balancer is in.
struct Blue {
    group: String,
    subnet: String,
}

async fn blue(client: &Client, kind: &str) -> Blue {
    let vpc = vpc(client).await;
    let subnet = subnet(client, &vpc).await;
    let params =
        [("Name", "blue"), ("Protocol", "TCP"), ("Port", "30443"), ("VpcId", &vpc), ("TargetType", kind)];
    let group = client.balancing("CreateTargetGroup", &params).await.ok().one("TargetGroupArn");
    let balancer = balancer(client, &subnet, &[]).await;
    client.balancing("CreateListener", &forward(&balancer, "443", &group)).await.ok();
    Blue { group, subnet }
}

fn target(id: &str, is_outside: bool) -> BalancerTarget {
    BalancerTarget { id: id.to_owned(), port: 30443, is_outside }
}

async fn seen(scene: &Scene, group: &str) -> Vec<(BalancerTarget, Health)> {
    scene.aws.targets(group).await.unwrap()
}

#[tokio::test]
async fn green_is_healthy_behind_blue_before_blues_own_are_drained_out() {
    let Some(scene) = Scene::new() else { return };
    let moto = &scene.cloud.moto;
    let there = blue(moto, "instance").await;
    let old = target(&instance(moto, &there.subnet, &[]).await, false);
    let new = target(&instance(moto, &there.subnet, &[]).await, false);
    scene.cloud.proxy.set(|settings| settings.delays.instance = 0);
    scene.aws.register(&there.group, std::slice::from_ref(&old)).await.unwrap();
    let only_old = |health| vec![(old.clone(), health)];
    for health in [Health::Initial, Health::Initial, Health::Healthy] {
        assert_eq!(seen(&scene, &there.group).await, only_old(health));
    }
    let both = [old.clone(), new.clone()];
    // One that is there stays as it is.
    scene.aws.register(&there.group, &both).await.unwrap();
    let healths = async |old_one: &BalancerTarget| {
        let seen = seen(&scene, &there.group).await;
        let of = |wanted: &BalancerTarget| {
            seen.iter().find(|(target, _)| target == wanted).map(|(_, health)| *health)
        };
        (of(old_one), of(&new))
    };
    for green in [Health::Initial, Health::Initial, Health::Healthy] {
        assert_eq!(healths(&old).await, (Some(Health::Healthy), Some(green)));
    }
    scene.aws.deregister(&there.group, std::slice::from_ref(&old)).await.unwrap();
    for left in [Some(Health::Draining), Some(Health::Draining), None] {
        assert_eq!(healths(&old).await, (left, Some(Health::Healthy)));
    }
    scene.cloud.proxy.set(|settings| settings.unhealthy = [new.id.clone()].into());
    assert_eq!(seen(&scene, &there.group).await, [(new.clone(), Health::Unhealthy)]);
    // Those that are not there are no error, nor is nobody, nor a group that has gone.
    scene.aws.deregister(&there.group, std::slice::from_ref(&old)).await.unwrap();
    scene.aws.deregister(&there.group, &[]).await.unwrap();
    scene.aws.register(&there.group, &[]).await.unwrap();
    scene.aws.deregister(&there.group.replace("blue", "gone"), &[old]).await.unwrap();
    assert_eq!(seen(&scene, &there.group).await, [(new, Health::Unhealthy)]);
    scene.was_foretold();
}

#[tokio::test]
async fn addresses_of_a_peered_network_are_registered_as_such() {
    let Some(scene) = Scene::new() else { return };
    let there = blue(&scene.cloud.moto, "ip").await;
    scene.cloud.proxy.set(|settings| settings.delays = Delays { draining: 1, ..Delays::none() });
    let (inside, outside) = (target("10.0.1.7", false), target("10.1.0.7", true));
    scene.aws.register(&there.group, &[inside.clone(), outside.clone()]).await.unwrap();
    let expected = [(inside.clone(), Health::Healthy), (outside.clone(), Health::Healthy)];
    assert_eq!(seen(&scene, &there.group).await, expected);
    for (target, why) in [
        (target("10.1.0.8", false), "outside the VPC"),
        (target("10.0.1.8", true), "within the VPC"),
        (target("203.0.113.8", true), "private"),
        (target("i-0123456789abcdef0", false), "not valid"),
    ] {
        let said = refusal(scene.aws.register(&there.group, &[target]).await);
        assert!(said.contains(why), "{said}");
    }
    scene.aws.deregister(&there.group, std::slice::from_ref(&outside)).await.unwrap();
    let expected = [(inside.clone(), Health::Healthy), (outside, Health::Draining)];
    assert_eq!(seen(&scene, &there.group).await, expected, "it is still told as one that is outside");
    assert_eq!(seen(&scene, &there.group).await, [(inside, Health::Healthy)]);
}

#[tokio::test]
async fn a_machine_that_does_not_run_yet_is_registered_later_and_one_of_another_network_never() {
    let Some(scene) = Scene::new() else { return };
    let moto = &scene.cloud.moto;
    let there = blue(moto, "instance").await;
    let starting = target(&instance(moto, &there.subnet, &[]).await, false);
    for _ in 0..2 {
        assert!(is_later(&scene.aws.register(&there.group, std::slice::from_ref(&starting)).await));
    }
    scene.aws.register(&there.group, std::slice::from_ref(&starting)).await.unwrap();
    let other = moto.ec2("CreateVpc", &[("CidrBlock", "10.1.0.0/16")]).await.ok().one("vpcId");
    let params =
        [("VpcId", other.as_str()), ("CidrBlock", "10.1.0.0/24"), ("AvailabilityZone", "eu-central-1a")];
    let elsewhere = moto.ec2("CreateSubnet", &params).await.ok().one("subnetId");
    let foreign = target(&instance(moto, &elsewhere, &[]).await, false);
    scene.cloud.proxy.set(|settings| settings.delays.instance = 0);
    let said = refusal(scene.aws.register(&there.group, &[foreign]).await);
    assert!(said.contains("InvalidTarget"), "{said}");
    let said = refusal(scene.aws.targets(&there.group.replace("blue", "gone")).await);
    assert!(said.contains("TargetGroupNotFound"), "{said}");
}

#[tokio::test]
async fn targets_come_and_go_once_whatever_becomes_of_the_answers() {
    let Some(scene) = Scene::new() else { return };
    let there = blue(&scene.cloud.moto, "ip").await;
    scene.cloud.proxy.set(|settings| settings.delays = Delays::none());
    let green = target("10.1.0.7", true);
    let all = std::slice::from_ref(&green);
    for fault in [Fault::LostReply, Fault::CutBefore, Fault::Throttle, Fault::InternalError] {
        let is_told = |answer: &Result<(), CallError>| match fault {
            Fault::Throttle => is_later(answer),
            _ => is_unknown(answer),
        };
        let was_done = fault == Fault::LostReply;
        scene.cloud.proxy.set_faults(Faults::first(1, REGISTER, fault));
        let before = scene.cloud.proxy.count(REGISTER);
        assert!(is_told(&scene.aws.register(&there.group, all).await), "{fault:?}");
        assert_eq!(scene.cloud.proxy.count(REGISTER) - before, 1, "{fault:?}");
        assert_eq!(seen(&scene, &there.group).await.len(), usize::from(was_done), "{fault:?}");
        scene.aws.register(&there.group, all).await.unwrap();
        scene.cloud.proxy.set_faults(Faults::first(1, DEREGISTER, fault));
        assert!(is_told(&scene.aws.deregister(&there.group, all).await), "{fault:?}");
        assert_eq!(seen(&scene, &there.group).await.len(), usize::from(!was_done), "{fault:?}");
        scene.aws.deregister(&there.group, all).await.unwrap();
        assert_eq!(seen(&scene, &there.group).await, [], "{fault:?}");
    }
}

#[tokio::test]
async fn more_targets_than_one_call_takes_are_registered() {
    let Some(scene) = Scene::new() else { return };
    let there = blue(&scene.cloud.moto, "ip").await;
    scene.cloud.proxy.set(|settings| settings.delays = Delays::none());
    let all: Vec<BalancerTarget> =
        (0..150).map(|number| target(&format!("10.1.{}.{}", number / 100, number % 100), true)).collect();
    scene.aws.register(&there.group, &all).await.unwrap();
    let mut expected = all.clone();
    expected.sort();
    let seen_all = seen(&scene, &there.group).await;
    assert_eq!(seen_all.into_iter().map(|(target, _)| target).collect::<Vec<_>>(), expected);
    scene.aws.deregister(&there.group, &all).await.unwrap();
    assert_eq!(seen(&scene, &there.group).await, []);
    assert_eq!((scene.cloud.proxy.count(REGISTER), scene.cloud.proxy.count(DEREGISTER)), (2, 2));
}

#[tokio::test]
async fn an_operator_who_is_killed_while_green_comes_leaves_blue_in_its_place() {
    for (moment, came) in [(Moment::Before, false), (Moment::After, true)] {
        let Some(scene) = Scene::new() else { return };
        let there = blue(&scene.cloud.moto, "ip").await;
        scene.cloud.proxy.set(|settings| settings.delays = Delays::none());
        let (old, new) = (target("10.0.1.7", false), target("10.1.0.7", true));
        scene.aws.register(&there.group, std::slice::from_ref(&old)).await.unwrap();
        scene.cloud.proxy.stop_at(scene.cloud.proxy.calls().len(), moment);
        let (aws, group, green) = (scene.aws.clone(), there.group.clone(), new.clone());
        let operator = tokio::spawn(async move { aws.register(&group, &[green]).await });
        scene.cloud.proxy.stopped().await;
        operator.abort();
        assert!(operator.await.unwrap_err().is_cancelled());
        scene.cloud.proxy.release();
        let left: Vec<_> = seen(&scene, &there.group).await.into_iter().map(|(target, _)| target).collect();
        let expected = if came { vec![old, new] } else { vec![old] };
        assert_eq!(left, expected, "{moment:?}");
    }
}
