use aws_sdk_elasticloadbalancingv2::types::{ForwardActionConfig, TargetGroupTuple};

use super::*;

fn forward(shares: &[(&str, Option<i32>)]) -> Action {
    let tuple = |(arn, weight): &(&str, Option<i32>)| {
        TargetGroupTuple::builder().target_group_arn(*arn).set_weight(*weight).build()
    };
    let shares = shares.iter().map(tuple).collect();
    let config = ForwardActionConfig::builder().set_target_groups(Some(shares)).build();
    Action::builder().r#type(ActionTypeEnum::Forward).forward_config(config).build()
}

#[test]
fn a_listener_forwards_to_groups_that_have_a_weight() {
    let plain = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn("one").build();
    let redirect = Action::builder().r#type(ActionTypeEnum::Redirect).build();
    for (actions, expected) in [
        (vec![plain], vec!["one"]),
        (vec![forward(&[("one", Some(1))])], vec!["one"]),
        (vec![forward(&[("one", None), ("two", Some(0))])], vec!["one"]),
        (vec![forward(&[("one", Some(1)), ("two", Some(9))])], vec!["one", "two"]),
        (vec![redirect], vec![]),
        (vec![], vec![]),
    ] {
        assert_eq!(forwarded(&actions), expected, "{actions:?}");
    }
}

#[test]
fn clients_addresses_are_kept_as_the_group_says_or_as_its_kind_does() {
    let group = |kind: TargetTypeEnum, protocol: ProtocolEnum| {
        ThereGroup::builder().target_type(kind).protocol(protocol).build()
    };
    let said = |value: &str| BTreeMap::from([(PRESERVE.to_owned(), value.to_owned())]);
    let silent = BTreeMap::new();
    let (network, application) = (BalancerKind::Network, BalancerKind::Application);
    for (group, attributes, kind, expected) in [
        (group(TargetTypeEnum::Instance, ProtocolEnum::Tcp), silent.clone(), network, true),
        (group(TargetTypeEnum::Instance, ProtocolEnum::Tcp), said("false"), network, false),
        (group(TargetTypeEnum::Ip, ProtocolEnum::Tcp), silent.clone(), network, false),
        (group(TargetTypeEnum::Ip, ProtocolEnum::Tls), silent.clone(), network, false),
        (group(TargetTypeEnum::Ip, ProtocolEnum::Udp), silent.clone(), network, true),
        (group(TargetTypeEnum::Ip, ProtocolEnum::Tcp), said("true"), network, true),
        (group(TargetTypeEnum::Instance, ProtocolEnum::Http), silent.clone(), application, false),
    ] {
        assert_eq!(preserves(&group, &attributes, kind), expected, "{group:?} {attributes:?}");
    }
}

#[test]
fn only_what_is_a_balancers_name_is_looked_for() {
    for (name, expected) in [
        ("blue-0123.elb.eu-central-1.amazonaws.com", true),
        ("dualstack.web-0123.eu-central-1.ELB.amazonaws.com.", true),
        ("blue.elb.cn-north-1.amazonaws.com.cn", true),
        ("lb.example.org", false),
        ("blue.elb.example.org", false),
        ("bucket.s3.amazonaws.com", false),
    ] {
        assert_eq!(is_balancers(name), expected, "{name}");
    }
    assert!(by(&Balancer::Addresses(vec![])).is_none());
}

#[test]
fn targets_that_could_not_be_registered_again_are_left_alone() {
    let quic = ThereGroup::builder().target_type(TargetTypeEnum::Ip).protocol(ProtocolEnum::Quic).build();
    let lambda = ThereGroup::builder().target_type(TargetTypeEnum::Lambda).build();
    assert_eq!((target_kind(&quic), target_kind(&lambda)), (TargetKind::Other, TargetKind::Other));
}
