use super::*;
use crate::inventory::Migration;
use crate::migrate::check::tests::{found, surveyed};
use crate::migrate::ports::Rule;

type Change<'a> = &'a dyn Fn(&mut Migration, &mut Surveyed);

fn group(facts: &mut SideFacts) -> &mut TargetGroup {
    &mut facts.balancer.as_mut().unwrap().target_groups[0]
}

/// Blue's group takes addresses, and green is in another network.
fn outside(surveyed: &mut Surveyed, is_peered: bool) {
    let blue = group(&mut surveyed.blue);
    blue.kind = TargetKind::Address;
    blue.preserves_client_address = false;
    group(&mut surveyed.green).vpc = "vpc-2".into();
    for machine in &mut surveyed.green.machines {
        machine.vpc = "vpc-2".into();
    }
    if is_peered {
        surveyed.peered.insert(("vpc-1".into(), "vpc-2".into()));
    }
}

/// Targets of green's that are pods with addresses of their own.
fn pods(surveyed: &mut Surveyed, ids: [&str; 2]) {
    group(&mut surveyed.green).kind = TargetKind::Address;
    for ((target, _), id) in surveyed.green.groups[0].targets.iter_mut().zip(ids) {
        target.id = id.into();
    }
    surveyed.green.machines.clear();
}

fn targets(change: Change<'_>) -> Vec<(String, Vec<String>)> {
    let mut surveyed = surveyed();
    change(&mut crate::migrate::check::tests::migration(), &mut surveyed);
    let shown = |target: BalancerTarget| {
        let outside = if target.is_outside { " outside" } else { "" };
        format!("{}:{}{outside}", target.id, target.port)
    };
    let all = take_over_targets(&surveyed).into_iter();
    all.map(|(group, targets)| (group, targets.into_iter().map(shown).collect())).collect()
}

#[test]
fn greens_machines_go_into_blues_groups_at_the_ports_where_they_listen() {
    let rows: [(Change<'_>, &[&str]); 6] = [
        (&|_, _| {}, &["i-11:31443", "i-12:31443"]),
        (
            &|_, surveyed| group(&mut surveyed.blue).kind = TargetKind::Address,
            &["10.1.0.21:31443", "10.1.1.22:31443"],
        ),
        (&|_, surveyed| outside(surveyed, true), &["10.1.0.21:31443 outside", "10.1.1.22:31443 outside"]),
        // Only those that are well, and each at its own port.
        (
            &|_, surveyed| {
                surveyed.green.groups[0].targets[0].1 = Health::Unhealthy;
                surveyed.green.groups[0].targets[1].0.port = 8443;
            },
            &["i-12:8443"],
        ),
        (
            &|_, surveyed| {
                group(&mut surveyed.blue).kind = TargetKind::Address;
                pods(surveyed, ["10.1.9.2", "10.1.9.1"]);
            },
            &["10.1.9.1:31443", "10.1.9.2:31443"],
        ),
        // The same machine as an instance behind one balancer and by its address behind the other.
        (
            &|_, surveyed| {
                group(&mut surveyed.green).kind = TargetKind::Address;
                surveyed.green.groups[0].targets[0].0.id = "10.1.0.21".into();
                surveyed.green.groups[0].targets.pop();
            },
            &["i-11:31443"],
        ),
    ];
    for (change, want) in rows {
        assert_eq!(
            targets(change),
            [("tg-shop-old".to_owned(), want.iter().map(|id| (*id).to_owned()).collect())]
        );
    }
    let nobody: [Change<'_>; 4] = [
        &|_, surveyed| group(&mut surveyed.green).port = 80,
        &|_, surveyed| group(&mut surveyed.blue).kind = TargetKind::Other,
        &|_, surveyed| outside(surveyed, false),
        &|_, surveyed| surveyed.green.balancer = None,
    ];
    for change in nobody {
        assert_eq!(targets(change), []);
    }
}

/// Two of blue's listeners may lead to one group.
#[test]
fn targets_of_a_group_behind_two_ports_are_named_once() {
    let second = |facts: &mut SideFacts, arn: &str| {
        let mut more = group(facts).clone();
        (more.port, more.arn) = (80, arn.to_owned());
        facts.balancer.as_mut().unwrap().target_groups.push(more);
    };
    let one_port = |surveyed: &mut Surveyed| {
        second(&mut surveyed.blue, "tg-shop-old");
        second(&mut surveyed.green, "tg-shop-new");
    };
    assert_eq!(targets(&|_, surveyed| one_port(surveyed))[0].1, ["i-11:31443", "i-12:31443"]);
    assert_eq!(found(|_, surveyed| one_port(surveyed)), Vec::<String>::new());
    let two_ports = found(|_, surveyed| {
        second(&mut surveyed.blue, "tg-shop-old");
        second(&mut surveyed.green, "tg-plain");
        let mut plain = surveyed.green.groups[0].clone();
        plain.arn = "tg-plain".into();
        for (target, _) in &mut plain.targets {
            target.port = 31_080;
        }
        surveyed.green.groups.push(plain);
    });
    assert_eq!(
        two_ports,
        [
            "blocks: blue's balancer sends ports 443, 80 to one group, and green serves them at different ports; give each of blue's ports a group of its own, or leave `takeOver` out"
        ]
    );
}

#[test]
fn what_blues_groups_cannot_take_is_said_with_the_reason() {
    let rows: [(Change<'_>, &[&str]); 8] = [
        (
            &|_, surveyed| group(&mut surveyed.blue).kind = TargetKind::Other,
            &[
                "blocks: blue's group behind port 443 takes no machines, so green's cannot take over; leave `takeOver` out, or put a group of addresses behind blue's listener",
            ],
        ),
        (
            &|_, surveyed| surveyed.green.machines[1].vpc = "vpc-2".into(),
            &[
                "blocks: blue's group behind port 443 takes instances of vpc-1 only, and green's i-12 is in vpc-2; peer vpc-1 and vpc-2 and put a group of addresses behind blue's listener, or leave `takeOver` out",
            ],
        ),
        (
            &|_, surveyed| pods(surveyed, ["10.1.9.1", "10.1.9.2"]),
            &[
                "blocks: blue's group behind port 443 takes instances, and green's 10.1.9.1, 10.1.9.2 are none that can be seen; leave `takeOver` out, or put a group of addresses behind blue's listener: it takes what is no instance",
            ],
        ),
        (
            &|_, surveyed| outside(surveyed, false),
            &[
                "blocks: green's i-11, i-12 are in vpc-2, which is not peered with vpc-1 of blue's group behind port 443; peer vpc-1 and vpc-2, with routes both ways, or leave `takeOver` out",
            ],
        ),
        (&|_, surveyed| outside(surveyed, true), &[]),
        (
            &|_, surveyed| {
                outside(surveyed, true);
                group(&mut surveyed.blue).preserves_client_address = true;
            },
            &[
                "warns: behind port 443, green's machines see the address of blue's balancer in place of the clients' while they take over; go on if green does not need the clients' addresses for that time",
            ],
        ),
        (
            &|_, surveyed| {
                outside(surveyed, true);
                surveyed.green.machines[0].address = "192.0.2.99".parse().unwrap();
            },
            &[
                "blocks: green's i-11 is no private address, and blue's group behind port 443 takes no other from outside its network; leave `takeOver` out, or put a group of addresses behind blue's listener",
            ],
        ),
        (
            &|_, surveyed| {
                outside(surveyed, true);
                pods(surveyed, ["10.2.9.1", "10.2.9.2"]);
                surveyed.green.groups[0].targets[0].0.is_outside = true;
            },
            &[
                "blocks: nobody can see which network green's 10.2.9.1 is in, so blue's group behind port 443 cannot take it; leave `takeOver` out, or register green's machines by their instances",
                "warns: nobody can see who may reach green's 10.2.9.2 at port 31443; make sure that TCP 31443 is open to blue's balancer",
            ],
        ),
    ];
    for (change, want) in rows {
        assert_eq!(found(change), want);
    }
}

#[test]
fn without_a_take_over_nobody_asks_whether_it_is_possible() {
    let found = found(|migration, surveyed| {
        migration.take_over = None;
        group(&mut surveyed.blue).kind = TargetKind::Other;
        surveyed.green.rules.clear();
    });
    assert_eq!(found, Vec::<String>::new());
}

/// First and last port, and who is let in: a range of addresses or a group.
type Let = (u16, u16, &'static str);

/// What green's machines let in, and whether blue's group keeps the clients' addresses.
fn doors(rules: &[Let], keeps: bool) -> Vec<String> {
    found(|_, surveyed| {
        group(&mut surveyed.blue).preserves_client_address = keeps;
        let rule = |(first, last, from): &Let| Rule {
            group: "sg-shop-new-nodes".into(),
            ports: (*first, *last),
            from: match from.parse() {
                Ok(range) => RuleSource::Addresses(range),
                Err(_) => RuleSource::Group((*from).into()),
            },
        };
        surveyed.green.rules = rules.iter().map(rule).collect();
    })
}

#[test]
fn security_groups_let_blues_balancer_in_and_its_clients() {
    let fine: [(&[Let], bool); 7] = [
        (&[(31_443, 31_443, "0.0.0.0/0")], true),
        (&[(0, 65_535, "0.0.0.0/1"), (31_000, 32_000, "128.0.0.0/1")], true),
        (&[(31_443, 31_443, "sg-shop-old")], true),
        (&[(31_443, 31_443, "sg-shop-old")], false),
        (&[(31_443, 31_443, "10.1.0.0/16")], false),
        (&[(31_443, 31_443, "10.1.0.0/24"), (31_443, 31_443, "10.1.1.0/24")], false),
        (
            &[(31_443, 31_443, "10.1.0.0/25"), (31_443, 31_443, "10.1.0.128/25"), (1, 65_535, "10.1.1.0/24")],
            false,
        ),
    ];
    for (rules, keeps) in fine {
        assert_eq!(doors(rules, keeps), Vec::<String>::new(), "{rules:?}");
    }
    let shut: [(&[Let], bool); 7] = [
        (&[], true),
        (&[], false),
        (&[(30_443, 30_443, "0.0.0.0/0")], true),
        (&[(31_443, 31_443, "10.1.0.0/24")], false),
        (&[(31_443, 31_443, "sg-other")], false),
        (&[(31_443, 31_443, "::/0")], false),
        // Clients get in, and the balancer, which asks for health, does not: no target would ever be healthy.
        (&[(31_443, 31_443, "203.0.113.0/24")], true),
    ];
    for (rules, keeps) in shut {
        assert_eq!(
            doors(rules, keeps),
            [
                "blocks: security groups of green's i-11, i-12 do not let blue's balancer in at port 31443; allow TCP 31443 from sg-shop-old"
            ],
            "{rules:?}"
        );
    }
    assert_eq!(
        doors(&[(31_443, 31_443, "10.1.0.0/16"), (31_443, 31_443, "203.0.113.0/24")], true),
        [
            "warns: blue's balancer keeps clients' addresses, and security groups of green's i-11, i-12 let in at port 31443 those of 10.1.0.0/16, 203.0.113.0/24 only; allow TCP 31443 from 0.0.0.0/0 if all clients are to get in"
        ]
    );
}

/// An older balancer has no security group of its own, and comes from its subnets.
#[test]
fn a_balancer_without_security_groups_is_known_by_its_subnets() {
    let found = |subnets: &[&str], from: &str| {
        found(|_, surveyed| {
            let blue = surveyed.blue.balancer.as_mut().unwrap();
            blue.groups.clear();
            blue.subnets = subnets.iter().map(|net| net.parse().unwrap()).collect();
            blue.target_groups[0].preserves_client_address = false;
            surveyed.green.rules[0].from = RuleSource::Addresses(from.parse().unwrap());
        })
    };
    assert_eq!(found(&["10.1.0.0/24", "2001:db8::/64"], "10.1.0.0/16"), Vec::<String>::new());
    assert_eq!(
        found(&["10.1.0.0/24", "10.3.0.0/24"], "10.1.0.0/16"),
        [
            "blocks: security groups of green's i-11, i-12 do not let blue's balancer in at port 31443; allow TCP 31443 from 10.1.0.0/24, 10.3.0.0/24"
        ]
    );
    assert_eq!(found(&[], "0.0.0.0/0"), Vec::<String>::new());
    assert_eq!(found(&[], "10.0.0.0/8").len(), 1);
}
