use super::*;
use crate::inventory::Migration;
use crate::migrate::check::tests::{alias, balancer, facts, found, record, service, zone};
use crate::migrate::record::{RecordType, Routing};
use crate::migrate::survey::{GroupFacts, Surveyed, Unpaired};

#[test]
fn balancers_are_there_and_serve_clients() {
    type Change = fn(&mut Migration, &mut Surveyed);
    let rows: [(Change, &[&str]); 6] = [
        (
            |_, surveyed| {
                surveyed.green = SideFacts::default();
                surveyed.names.clear();
                let service = service();
                let (records, sides) = (Vec::new(), vec![Side::Green]);
                surveyed.unpaired.push(Unpaired { service, record_type: RecordType::A, records, sides });
            },
            &[
                "blocks: green's balancer shop-new is not in this account and region; compare `green.balancer`, `aws.region` and `aws.profile` with the account; `make` makes green first",
            ],
        ),
        (
            |_, surveyed| balancer(&mut surveyed.green).is_active = false,
            &[
                "blocks: green's balancer cannot be used yet, or no longer: arn:shop-new; wait until its state is active, and run it again",
            ],
        ),
        (
            |_, surveyed| balancer(&mut surveyed.blue).kind = BalancerKind::Gateway,
            &[
                "blocks: blue's balancer is a gateway load balancer, which serves no clients: arn:shop-old; name the network or application load balancer in `blue.balancer`",
            ],
        ),
        (
            |_, surveyed| balancer(&mut surveyed.green).is_internal = true,
            &[
                "warns: green's balancer is internal, and shop.example.org is in a public zone: clients outside its network cannot reach it; go on if all clients are inside",
            ],
        ),
        (
            |_, surveyed| balancer(&mut surveyed.green).arn = "arn:shop-old".into(),
            &[
                "blocks: blue and green are the same balancer, arn:shop-old; name the new cluster's balancer in `green.balancer`",
            ],
        ),
        (
            |_, surveyed| {
                for side in [&mut surveyed.blue, &mut surveyed.green] {
                    side.addresses.clear();
                    side.probes.clear();
                    side.unresolved = Some("timed out".into());
                }
            },
            &[
                "warns: blue has no addresses: timed out; compare `blue.balancer` with what the name is, or name others in `resolvers`",
                "blocks: green has no addresses: timed out; compare `green.balancer` with what the name is, or name others in `resolvers`",
            ],
        ),
    ];
    for (change, want) in rows {
        assert_eq!(found(change), want);
    }
    let internal = found(|_, surveyed| {
        balancer(&mut surveyed.green).is_internal = true;
        zone(surveyed).is_private = true;
        surveyed.zones[0].delegation = None;
    });
    assert!(internal.len() == 1 && internal[0].contains("is private"), "{internal:?}");
}

#[test]
fn somebody_is_behind_every_listener_that_clients_use() {
    let more = |facts: &mut SideFacts, port: u16| {
        let mut group = balancer(facts).target_groups[0].clone();
        (group.arn, group.port) = (format!("tg-{port}"), port);
        balancer(facts).target_groups.push(group);
    };
    type Change<'a> = &'a dyn Fn(&mut Migration, &mut Surveyed);
    let sick = |facts: &mut SideFacts| facts.groups[0].targets[0].1 = Health::Unhealthy;
    let rows: [(Change<'_>, &[&str]); 8] = [
        (
            &|_, surveyed| {
                more(&mut surveyed.blue, 80);
                let targets = surveyed.blue.groups[0].targets.clone();
                surveyed.blue.groups.push(GroupFacts { arn: "tg-80".into(), targets });
            },
            &[
                "blocks: blue's balancer listens on port 80, and green's does not; make a listener of green's on port 80, or remove blue's if nobody uses it",
            ],
        ),
        (
            &|_, surveyed| more(&mut surveyed.green, 9000),
            &[
                "warns: the group behind port 9000 of green's balancer has no targets; register targets, or remove the listener if nobody uses it",
            ],
        ),
        // Blue is none of AWS: what is asked for is used.
        (
            &|migration, surveyed| {
                migration.take_over = None;
                surveyed.blue.balancer = None;
                migration.blue.balancer =
                    crate::inventory::Balancer::Addresses(surveyed.blue.addresses.clone());
                surveyed.green.groups[0].targets.clear();
                more(&mut surveyed.green, 9000);
            },
            &[
                "blocks: the group behind port 443 of green's balancer has no targets; register targets, or remove the listener if nobody uses it",
                "warns: the group behind port 9000 of green's balancer has no targets; register targets, or remove the listener if nobody uses it",
            ],
        ),
        (
            &|_, surveyed| surveyed.green.groups[0].targets.clear(),
            &[
                "blocks: the group behind port 443 of green's balancer has no targets; register targets, or remove the listener if nobody uses it",
            ],
        ),
        (
            &|_, surveyed| surveyed.blue.groups[0].targets.clear(),
            &[
                "warns: the group behind port 443 of blue's balancer has no targets; register targets, or remove the listener if nobody uses it",
            ],
        ),
        (
            &|_, surveyed| {
                for (_, health) in &mut surveyed.green.groups[0].targets {
                    *health = Health::Initial;
                }
            },
            &[
                "blocks: none of the 2 targets behind port 443 of green's balancer is healthy; `aws elbv2 describe-target-health` says why",
            ],
        ),
        (
            &|_, surveyed| {
                sick(&mut surveyed.blue);
                surveyed.blue.groups[0].targets[1].1 = Health::Draining;
            },
            &[
                "warns: none of the 1 targets behind port 443 of blue's balancer is healthy; `aws elbv2 describe-target-health` says why",
            ],
        ),
        // One of two is enough to begin with: a gate says how many have to be.
        (&|_, surveyed| sick(&mut surveyed.green), &[]),
    ];
    for (change, want) in rows {
        assert_eq!(found(change), want);
    }
}

/// Route 53 gives no answer that leads to a balancer with an empty group, once the alias evaluates target health.
#[test]
fn a_spare_group_without_targets_poisons_an_alias_that_heeds_health() {
    let heeding = |target: &mut Target| match target {
        Target::Alias { evaluate_target_health, .. } => *evaluate_target_health = true,
        Target::Values { .. } => panic!("no alias"),
    };
    let spare = |surveyed: &mut Surveyed| {
        let mut group = balancer(&mut surveyed.green).target_groups[0].clone();
        (group.arn, group.port) = ("tg-spare".into(), 9000);
        balancer(&mut surveyed.green).target_groups.push(group);
    };
    let want = "blocks: the group behind port 9000 of green's balancer has no targets, and the alias of shop.example.org heeds that: green would never be the answer; register targets, remove the listener, or let the alias not evaluate target health";
    let new = found(|_, surveyed| {
        spare(surveyed);
        heeding(&mut surveyed.names[0].sides.green);
    });
    assert_eq!(new, [want]);
    // One that has targets, and none that is healthy, does the same; without the alias it harms nobody.
    let sick = |heeds: bool| {
        found(|_, surveyed| {
            spare(surveyed);
            let mut targets = surveyed.green.groups[0].targets.clone();
            for (_, health) in &mut targets {
                *health = Health::Unhealthy;
            }
            surveyed.green.groups.push(GroupFacts { arn: "tg-spare".into(), targets });
            if heeds {
                heeding(&mut surveyed.names[0].sides.green);
            }
        })
    };
    let unhealthy = "none of the 2 targets behind port 9000 of green's balancer is healthy; `aws elbv2 describe-target-health` says why";
    assert_eq!(sick(true), [format!("blocks: {unhealthy}")]);
    assert_eq!(sick(false), [format!("warns: {unhealthy}")]);
    // What is there counts, not what would have been made.
    let there = |heeds: bool| {
        found(|_, surveyed| {
            spare(surveyed);
            let mut green = alias("shop-new");
            if heeds {
                heeding(&mut green);
            } else {
                heeding(&mut surveyed.names[0].sides.green);
            }
            let weighted =
                |identifier: &str, weight| Routing::Weighted { identifier: identifier.into(), weight };
            surveyed.names[0].records = vec![
                record(RecordType::A, weighted("a", 1), alias("shop-old")),
                record(RecordType::A, weighted("b", 0), green),
            ];
        })
    };
    assert_eq!(there(true), [want]);
    let warned = there(false);
    assert!(warned.len() == 1 && warned[0].starts_with("warns: the group behind port 9000"), "{warned:?}");
}

#[test]
fn green_answers_every_probe_before_it_gets_clients() {
    let fails = |side: Side| {
        found(move |_, surveyed| {
            let facts = if side == Side::Blue { &mut surveyed.blue } else { &mut surveyed.green };
            let mut second = facts.probes[0].clone();
            second.at = "192.0.2.21:443".parse().unwrap();
            second.answer.error = Some("the certificate is for other.example.org".into());
            facts.probes.push(second);
        })
    };
    assert_eq!(
        fails(Side::Green),
        [
            "blocks: probe page straight at green failed at 1 of 2 addresses; 192.0.2.21:443 said: the certificate is for other.example.org; green has to answer every probe before it gets any clients; mend it, or the probe"
        ]
    );
    assert_eq!(
        fails(Side::Blue),
        [
            "warns: probe page straight at blue failed at 1 of 2 addresses; 192.0.2.21:443 said: the certificate is for other.example.org; gates compare green with blue; mend the probe if blue is well"
        ]
    );
}

/// An operator without IPv6 would else be told that green is broken.
#[test]
fn ipv6_that_nobody_can_be_asked_over_is_a_warning() {
    let over_v6 = |record_type, blue: Option<&str>, green: Option<&str>| {
        found(|_, surveyed| {
            surveyed.names.push(facts(record_type));
            for (facts, error) in [(&mut surveyed.blue, blue), (&mut surveyed.green, green)] {
                let mut asked = facts.probes[0].clone();
                asked.at = "[2001:db8::1]:443".parse().unwrap();
                asked.answer.error = error.map(str::to_owned);
                facts.addresses.push(asked.at.ip());
                facts.probes.push(asked);
            }
        })
    };
    let aaaa = RecordType::Aaaa;
    assert_eq!(
        over_v6(aaaa, Some("network is unreachable"), Some("network is unreachable")),
        [
            "warns: no probe of either side got an answer over IPv6, so nothing is known of it; [2001:db8::1]:443 said: network is unreachable; run it where there is IPv6, if clients use it"
        ]
    );
    assert_eq!(over_v6(aaaa, None, None), Vec::<String>::new());
    let green = over_v6(aaaa, None, Some("refused"));
    assert!(green.len() == 1 && green[0].starts_with("blocks: probe page straight at green"), "{green:?}");
    // A balancer may have addresses that no record leads to.
    assert_eq!(over_v6(RecordType::A, None, Some("refused")), Vec::<String>::new());
    assert_eq!(over_v6(RecordType::Cname, None, Some("refused")).len(), 1);
}
