use std::time::Duration;

use super::*;
use crate::inventory::{MigrationSide, Probe, ProbeKind};
use crate::migrate::gates::Answer;
use crate::migrate::plan::tests::migration as planned;
use crate::migrate::ports::{
    BalancerFacts, BalancerKind, BalancerTarget, Health, Machine, Rule, RuleSource, TargetGroup, TargetKind,
};
use crate::migrate::record::{Routing, Sides};
use crate::migrate::survey::{GroupFacts, NameAnswer, SideFacts, Unpaired};

const NAME: &str = "shop.example.org";
const BALANCER_ZONE: &str = "Z3F0SRJ5LGBH90";

pub(crate) fn migration() -> Migration {
    let side = |name: &str| MigrationSide {
        balancer: Balancer::Name(name.into()),
        kubeconfig: None,
        inventory: None,
    };
    let kind = ProbeKind::Http {
        path: "/".into(),
        host: NAME.into(),
        server_name: Some(NAME.into()),
        statuses: Vec::new(),
    };
    Migration {
        blue: side("shop-old"),
        green: side("shop-new"),
        probes: vec![Probe { name: "page".into(), port: 443, kind, timeout: 5 }],
        ..planned()
    }
}

pub(crate) fn alias(name: &str) -> Target {
    Target::Alias {
        dns_name: format!("{name}-1.elb.eu-central-1.amazonaws.com."),
        hosted_zone: BALANCER_ZONE.into(),
        evaluate_target_health: false,
    }
}

/// The name of these tests.
pub(crate) fn service() -> ServiceName {
    planned().names.remove(0)
}

fn values(ttl: u32, value: &str) -> Target {
    Target::Values { ttl, values: vec![value.to_owned()] }
}

pub(crate) fn record(record_type: RecordType, routing: Routing, target: Target) -> RecordSet {
    RecordSet { name: format!("{NAME}."), record_type, routing, target, health_check: None }
}

pub(crate) fn facts(record_type: RecordType) -> NameFacts {
    NameFacts {
        service: service(),
        record_type,
        records: vec![record(record_type, Routing::Simple, alias("shop-old"))],
        sides: Sides { blue: alias("shop-old"), green: alias("shop-new") },
    }
}

fn target(id: &str, port: u16) -> BalancerTarget {
    BalancerTarget { id: id.into(), port, is_outside: false }
}

fn side(side: Side, name: &str, address: &str, port: u16, machines: [(&str, &str); 2]) -> SideFacts {
    let group = format!("tg-{name}");
    let balancer = BalancerFacts {
        arn: format!("arn:{name}"),
        dns_name: format!("{name}-1.elb.eu-central-1.amazonaws.com"),
        hosted_zone: BALANCER_ZONE.into(),
        kind: BalancerKind::Network,
        is_internal: false,
        is_active: true,
        vpc: "vpc-1".into(),
        subnets: vec!["10.1.0.0/24".parse().unwrap(), "10.1.1.0/24".parse().unwrap()],
        groups: vec![format!("sg-{name}")],
        target_groups: vec![TargetGroup {
            arn: group.clone(),
            port: 443,
            target_port: port,
            kind: TargetKind::Instance,
            vpc: "vpc-1".into(),
            preserves_client_address: true,
            deregistration_delay: 300,
        }],
    };
    let machine = |(id, address): (&str, &str)| Machine {
        id: id.into(),
        address: address.parse().unwrap(),
        vpc: "vpc-1".into(),
        groups: vec![format!("sg-{name}-nodes")],
    };
    let rule = Rule {
        group: format!("sg-{name}-nodes"),
        ports: (30_000, 32_767),
        from: RuleSource::Addresses("0.0.0.0/0".parse().unwrap()),
    };
    let at = format!("{address}:443").parse().unwrap();
    let answer = Answer {
        probe: "page".into(),
        side: Some(side),
        led: None,
        took: Duration::from_millis(20),
        error: None,
    };
    let name_alone =
        Target::Values { ttl: 60, values: vec![format!("{name}-1.elb.eu-central-1.amazonaws.com.")] };
    SideFacts {
        balancer: Some(balancer),
        targets: [
            (RecordType::A, alias(name)),
            (RecordType::Aaaa, alias(name)),
            (RecordType::Cname, name_alone),
        ]
        .into(),
        addresses: vec![address.parse().unwrap()],
        unresolved: None,
        groups: vec![GroupFacts {
            arn: group,
            targets: machines.map(|(id, _)| (target(id, port), Health::Healthy)).into(),
        }],
        machines: machines.map(machine).into(),
        rules: vec![rule],
        probes: vec![Asked { at, answer }],
    }
}

/// A world in which nothing is in the way.
pub(crate) fn surveyed() -> Surveyed {
    let servers = || vec!["ns-1.awsdns-1.org".to_owned(), "ns-2.awsdns-2.com".to_owned()];
    Surveyed {
        names: vec![facts(RecordType::A)],
        unpaired: Vec::new(),
        answers: vec![NameAnswer {
            name: NAME.into(),
            addresses: vec!["192.0.2.10".parse().unwrap()],
            error: None,
        }],
        zones: vec![ZoneFacts {
            id: "Z1".into(),
            zone: Some(Zone { name: "example.org".into(), is_private: false, name_servers: servers() }),
            delegation: Some(Delegation::Servers(servers())),
        }],
        blue: side(
            Side::Blue,
            "shop-old",
            "192.0.2.10",
            30_443,
            [("i-01", "10.1.0.11"), ("i-02", "10.1.1.12")],
        ),
        green: side(
            Side::Green,
            "shop-new",
            "192.0.2.20",
            31_443,
            [("i-11", "10.1.0.21"), ("i-12", "10.1.1.22")],
        ),
        peered: BTreeSet::new(),
    }
}

/// What is found after a change: severity, words and hint.
pub(crate) fn found(change: impl FnOnce(&mut Migration, &mut Surveyed)) -> Vec<String> {
    let (mut migration, mut surveyed) = (migration(), surveyed());
    change(&mut migration, &mut surveyed);
    let shown = |finding: Finding| {
        let severity = match finding.severity {
            Severity::Blocks => "blocks",
            Severity::Warns => "warns",
        };
        format!("{severity}: {}; {}", finding.what, finding.what.hint())
    };
    check(&migration, &surveyed).into_iter().map(shown).collect()
}

pub(crate) fn zone(surveyed: &mut Surveyed) -> &mut Zone {
    surveyed.zones[0].zone.as_mut().unwrap()
}

pub(crate) fn balancer(facts: &mut SideFacts) -> &mut BalancerFacts {
    facts.balancer.as_mut().unwrap()
}

#[test]
fn nothing_is_found_where_nothing_is_in_the_way() {
    assert_eq!(found(|_, _| {}), Vec::<String>::new());
    // Records may be weighted already, and names are the same in any case and with a dot.
    let weighted = found(|_, surveyed| {
        let batch = surveyed.names[0].batch(
            "shop",
            super::super::record::Point::Weighted(super::super::record::Weights::of_green(10)),
        );
        surveyed.names[0].records = batch.create;
        surveyed.zones[0].delegation =
            Some(Delegation::Servers(vec!["NS-2.awsdns-2.com.".into(), "ns-1.awsdns-1.org".into()]));
    });
    assert_eq!(weighted, Vec::<String>::new());
    // One of the zone's servers alone is told the parent: changes reach it.
    let half = found(|_, surveyed| {
        surveyed.zones[0].delegation = Some(Delegation::Servers(vec!["ns-1.awsdns-1.org".into()]));
    });
    assert_eq!(half, Vec::<String>::new());
}

#[test]
fn zones_are_ours_and_clients_are_sent_to_them() {
    type Change = fn(&mut Migration, &mut Surveyed);
    let delegated = |servers: &[&str]| {
        Some(Delegation::Servers(servers.iter().map(|server| (*server).to_owned()).collect()))
    };
    let rows: [(Change, &str); 3] = [
        (
            |_, surveyed| {
                surveyed.zones[0].zone = None;
                surveyed.names.clear();
            },
            "blocks: zone Z1 of shop.example.org is not in this account; compare `hostedZone` with `aws route53 list-hosted-zones`, and `aws.profile` and `aws.assumeRole` with its account",
        ),
        (
            |_, surveyed| zone(surveyed).name = "hop.example.org".into(),
            "blocks: shop.example.org is not in zone Z1, which is that of hop.example.org; write the id of the zone that the name is in",
        ),
        (
            |_, surveyed| surveyed.zones[0].delegation = Some(Delegation::Unknown("timed out".into())),
            "warns: resolvers do not say who answers for example.org: timed out; make sure that clients are sent to ns-1.awsdns-1.org, ns-2.awsdns-2.com; `resolvers` names others to ask",
        ),
    ];
    for (change, want) in rows {
        assert_eq!(found(change), [want]);
    }
    for (servers, want) in [
        (
            delegated(&[]),
            "blocks: no name server answers for example.org: changes of zone Z1 would reach nobody; change the records that clients see, or delegate the zone to ns-1.awsdns-1.org, ns-2.awsdns-2.com",
        ),
        (
            delegated(&["ns.example.net", "b.example.net."]),
            "blocks: example.org is answered for by b.example.net, ns.example.net, none of them of zone Z1: changes would reach nobody; change the records that clients see, or delegate the zone to ns-1.awsdns-1.org, ns-2.awsdns-2.com",
        ),
        (
            delegated(&["ns-1.awsdns-1.org", "ns.example.net"]),
            "blocks: example.org is answered for by ns.example.net too, which is not of zone Z1: changes would not reach everybody; take the others out of the delegation until the migration is over",
        ),
    ] {
        assert_eq!(found(|_, surveyed| surveyed.zones[0].delegation = servers), [want]);
    }
}

#[test]
fn a_private_zone_needs_resolvers_that_see_it() {
    let private = |error: Option<&str>| {
        found(|_, surveyed| {
            zone(surveyed).is_private = true;
            surveyed.zones[0].delegation = None;
            surveyed.answers[0].error = error.map(str::to_owned);
        })
    };
    assert_eq!(
        private(None),
        [
            "warns: zone Z1 of shop.example.org is private: nobody outside its networks sees what changes; go on if all clients are in networks of the zone"
        ]
    );
    assert_eq!(
        private(Some("no such name")),
        [
            "blocks: zone Z1 of shop.example.org is private, and the resolvers here do not answer for the name: no such name; run it in a network of the zone, or name one of its resolvers in `resolvers`"
        ]
    );
    let public = found(|_, surveyed| surveyed.answers[0].error = Some("refused".into()));
    assert_eq!(
        public,
        [
            "warns: resolvers do not answer for shop.example.org: refused; name others in `resolvers`: probes through the name need an answer"
        ]
    );
}

#[test]
fn records_are_those_of_a_migration() {
    let weighted = |identifier: &str, weight, target| {
        record(RecordType::A, Routing::Weighted { identifier: identifier.into(), weight }, target)
    };
    let simple = |target| record(RecordType::A, Routing::Simple, target);
    let other = record(RecordType::A, Routing::Other("latency".into()), alias("shop-old"));
    for (records, want) in [
        (
            vec![simple(alias("third"))],
            "blocks: shop.example.org. A leads to third-1.elb.eu-central-1.amazonaws.com., which is neither blue's nor green's; name its balancer in `blue.balancer`, or remove the record if nobody needs it",
        ),
        (
            vec![other],
            "blocks: shop.example.org. A is answered by latency, not by weights; make it a simple or a weighted record first",
        ),
        (
            vec![weighted("a", 1, alias("shop-old")), weighted("b", 1, alias("shop-old"))],
            "blocks: shop.example.org. A has two records that lead to blue; remove one of the two",
        ),
        (
            vec![weighted("a", 0, alias("shop-old")), weighted("b", 0, alias("shop-new"))],
            "blocks: shop.example.org. A has only weights of zero, so every answer is as likely; give the record of blue a weight",
        ),
        (
            vec![
                weighted("a", 1, alias("shop-old")),
                weighted("b", 1, alias("shop-new")),
                weighted("c", 1, alias("third")),
            ],
            "blocks: shop.example.org. A leads to third-1.elb.eu-central-1.amazonaws.com., which is neither blue's nor green's; name its balancer in `blue.balancer`, or remove the record if nobody needs it",
        ),
    ] {
        assert_eq!(found(|_, surveyed| surveyed.names[0].records = records), [want]);
    }
    assert_eq!(
        found(|_, surveyed| surveyed.names.clear()),
        [
            "blocks: shop.example.org has no A, AAAA or CNAME record in zone Z1; make the record that leads to blue; it is taken over from there"
        ]
    );
}

#[test]
fn both_sides_have_something_for_every_type_that_there_is() {
    let unpaired = |record_type, sides: &[Side]| Unpaired {
        service: service(),
        record_type,
        records: Vec::new(),
        sides: sides.to_vec(),
    };
    for (record_type, side, want) in [
        (
            RecordType::Aaaa,
            Side::Green,
            "blocks: shop.example.org has AAAA records, and green has nothing that one leads to; give green IPv6, or take the AAAA records away first",
        ),
        (
            RecordType::Cname,
            Side::Blue,
            "blocks: shop.example.org has CNAME records, and blue has nothing that one leads to; write blue's balancer as `arn`, `name`, `alias` or `dnsName`",
        ),
        (
            RecordType::A,
            Side::Green,
            "blocks: shop.example.org has A records, and green has nothing that one leads to; write green's balancer as `arn`, `name`, `alias` or `addresses` with IPv4",
        ),
    ] {
        let found = found(|_, surveyed| surveyed.unpaired.push(unpaired(record_type, &[side])));
        assert_eq!(found, [want]);
    }
    // An alias of IPv6 leads to a balancer that has no such address.
    let half = found(|_, surveyed| {
        surveyed.names.push(facts(RecordType::Aaaa));
        surveyed.blue.addresses.push("2001:db8::10".parse().unwrap());
    });
    assert_eq!(
        half,
        [
            "blocks: shop.example.org has AAAA records, and green's balancer has no IPv6 address; make green's balancer a dual-stack one, or take the AAAA records away first"
        ]
    );
    let apex = found(|migration, surveyed| {
        zone(surveyed).name = NAME.into();
        migration.green.balancer = Balancer::DnsName("lb.example.net".into());
        surveyed.green.balancer = None;
        surveyed.names.clear();
        surveyed.unpaired.push(unpaired(RecordType::A, &[Side::Green]));
        migration.take_over = None;
    });
    assert_eq!(
        apex,
        [
            "blocks: shop.example.org is the top of its zone, where no CNAME can be, and green is known by a DNS name alone; write green's balancer as `arn`, `name`, `alias` or `addresses`"
        ]
    );
}

#[test]
fn old_answers_run_out_soon_and_at_once() {
    let with = |records: &[(u32, &str)], green: Target| {
        let blue = values(60, "192.0.2.10");
        found(|_, surveyed| {
            let all = records.iter().enumerate().map(|(number, (ttl, value))| {
                let routing = Routing::Weighted { identifier: number.to_string(), weight: 1 };
                record(RecordType::A, routing, values(*ttl, value))
            });
            surveyed.names[0].records = all.collect();
            surveyed.names[0].sides = Sides { blue, green };
        })
    };
    let two = values(60, "192.0.2.20");
    assert_eq!(with(&[(300, "192.0.2.10"), (300, "192.0.2.20")], two.clone()), Vec::<String>::new());
    assert_eq!(
        with(&[(60, "192.0.2.10"), (30, "192.0.2.20")], two.clone()),
        [
            "blocks: shop.example.org A has records with TTLs of 30, 60 s: weights are right among equal ones only; give all of them the same TTL, 60 s or less"
        ]
    );
    assert_eq!(
        with(&[(301, "192.0.2.10")], two),
        [
            "warns: shop.example.org A has a TTL of 301 s: so long old answers are used after each move, also on the way back; set it to 60 s, and wait 301 s before you begin"
        ]
    );
    assert_eq!(with(&[(60, "192.0.2.10")], alias("shop-new")), Vec::<String>::new());
    assert_eq!(
        with(&[(120, "192.0.2.10")], alias("shop-new")),
        [
            "warns: shop.example.org A has a TTL of 120 s beside an alias, whose own is 60 s: shares would not be as the weights say; set it to 60 s, and wait for the old TTL to run out"
        ]
    );
}

/// What is shown can be saved with a plan and is read again.
#[test]
fn findings_and_surveys_are_saved_and_read() {
    let text = serde_json::to_string(&surveyed()).unwrap();
    assert_eq!(serde_json::from_str::<Surveyed>(&text).unwrap(), surveyed());
    let mut odd = surveyed();
    odd.zones[0].zone = None;
    odd.green.balancer = None;
    let findings = check(&migration(), &odd);
    let text = serde_json::to_string(&findings).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Finding>>(&text).unwrap(), findings);
    assert!(
        text.contains(
            r#"{"severity":"blocks","what":{"zoneMissing":{"zone":"Z1","name":"shop.example.org"}}}"#
        )
    );
}
