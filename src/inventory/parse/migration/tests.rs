use std::net::IpAddr;

use camino::Utf8Path;

use crate::inventory::parse::{Origin, parse_migration};
use crate::inventory::*;

fn origin() -> Origin<'static> {
    Origin { file: "migration.yaml", base: Utf8Path::new("/srv/shop"), home: Some(Utf8Path::new("/home/me")) }
}

pub(crate) fn migration_text(text: &str) -> Result<(Migration, Vec<Diagnostic>), Diagnostics> {
    parse_migration(text.as_bytes(), &origin())
}

/// As little as there can be.
pub(crate) const SMALL_MIGRATION: &str = "\
apiVersion: keelwright.dev/v1
kind: Migration
metadata: {name: shop}
aws: {region: eu-central-1}
names: [{name: shop.example.org, hostedZone: Z0123456789ABC}]
blue: {balancer: {name: shop-old}}
green: {balancer: {name: shop-new}}
probes: [{name: page}]
";

/// Every field there is, but for the ways of a balancer, a teardown and a making that were not taken.
pub(crate) const FULL_MIGRATION: &str = r#"
apiVersion: keelwright.dev/v1
kind: Migration
metadata: {name: shop}
aws: {region: eu-central-1, profile: prod, assumeRole: "arn:aws:iam::123456789012:role/keelwright"}
names:
  - {name: shop.example.org, hostedZone: Z0123456789ABC}
  - {name: www.example.net, hostedZone: Z9876543210ABC}
blue:
  balancer: {arn: "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/shop-old/0123456789abcdef"}
  kubeconfig: old.kubeconfig
green:
  balancer: {name: shop-new}
  inventory: ~/clusters/prod.yaml
resolvers: [192.0.2.53, "192.0.2.54:5353", "2001:db8::53", "[2001:db8::53]:5353"]
probes:
  - {name: page, type: https, port: 8443, path: "/healthz?full=1", host: "www.example.org:8443", serverName: shop.example.org, statuses: [200, 204], timeout: 2s}
  - {name: plain, type: http, statuses: [301]}
  - {name: handshake, type: tls, port: 993}
  - {name: connection, type: tcp, port: 22}
schedule: [{green: 5%, soak: 1h}, {green: 100%, soak: 48h}]
gates:
  errorRate: 0.5%
  worseThanBlue: 0.25%
  latency: 300ms
  slowerThanBlue: 1.5
  healthyTargets: 75%
  nodesReady: true
  samples: 50
  interval: 2s
  window: 2m
  metrics:
    - {namespace: Shop, metric: Errors, dimensions: {Service: web, Side: green}, statistic: p99.9, period: 5m, below: 5, above: -0.5}
  commands:
    - {name: smoke, command: [./smoke.sh, -n, 3], timeout: 30s}
takeOver: {quiet: 15m, deadline: 72h}
teardown: {kops: {cluster: old.example.org, state: "s3://acme-kops/prod"}, simpleRecord: true}
make: {inventory: /home/me/clusters/prod.yaml}
copy:
  namespaces: [shop, team-*]
  except: [team-b]
  selector: "app=shop,tier notin (cache, tmp),!debug"
  withoutKinds: [Job, certificates.cert-manager.io]
  storageClasses: {gp2: gp3}
  snapshots: true
"#;

fn read(text: &str) -> Migration {
    let (migration, warnings) = migration_text(text).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(warnings.is_empty(), "{warnings:#?}");
    let json = serde_json::to_string(&migration).unwrap();
    assert_eq!(serde_json::from_str::<Migration>(&json).unwrap(), migration);
    migration
}

#[test]
fn a_small_migration_gets_its_defaults() {
    let migration = read(SMALL_MIGRATION);
    assert_eq!(migration.name, "shop");
    assert_eq!(migration.aws, Account { region: "eu-central-1".into(), profile: None, assume_role: None });
    assert_eq!(migration.blue.balancer, Balancer::Name("shop-old".into()));
    assert_eq!((migration.blue.kubeconfig, migration.green.inventory), (None, None));
    assert!(migration.resolvers.is_empty());
    let name = || "shop.example.org".to_owned();
    let kind =
        ProbeKind::Http { path: "/".into(), host: name(), server_name: Some(name()), statuses: Vec::new() };
    assert_eq!(migration.probes, [Probe { name: "page".into(), port: 443, kind, timeout: 5 }]);
    let moves: Vec<(u8, u32)> = migration.schedule.iter().map(|wanted| (wanted.green, wanted.soak)).collect();
    assert_eq!(moves, [(1, 600), (5, 600), (10, 600), (25, 600), (50, 600), (100, 1800)]);
    assert_eq!(
        migration.gates,
        Gates {
            error_rate: 0.01,
            worse_than_blue: 0.01,
            latency: None,
            slower_than_blue: None,
            healthy_targets: 0.5,
            nodes_ready: false,
            metrics: Vec::new(),
            commands: Vec::new(),
            samples: 20,
            interval: 1,
            window: 60,
        }
    );
    assert_eq!(migration.take_over, None);
    assert_eq!(migration.teardown, Teardown { by: None, simple_record: false });
    assert_eq!((migration.make, migration.copy), (None, None));
}

#[test]
fn every_field_of_a_migration_is_read() {
    let migration = read(FULL_MIGRATION);
    assert_eq!(migration.aws.profile.as_deref(), Some("prod"));
    assert_eq!(migration.names.len(), 2);
    assert!(matches!(&migration.blue.balancer, Balancer::Arn(arn) if arn.ends_with("0123456789abcdef")));
    assert_eq!(migration.blue.kubeconfig.as_deref(), Some(Utf8Path::new("/srv/shop/old.kubeconfig")));
    assert_eq!(migration.green.inventory.as_deref(), Some(Utf8Path::new("/home/me/clusters/prod.yaml")));
    let resolvers: Vec<String> = migration.resolvers.iter().map(ToString::to_string).collect();
    assert_eq!(resolvers, ["192.0.2.53:53", "192.0.2.54:5353", "[2001:db8::53]:53", "[2001:db8::53]:5353"]);
    let kinds: Vec<&ProbeKind> = migration.probes.iter().map(|probe| &probe.kind).collect();
    let name = || "shop.example.org".to_owned();
    assert_eq!(
        kinds,
        [
            &ProbeKind::Http {
                path: "/healthz?full=1".into(),
                host: "www.example.org:8443".into(),
                server_name: Some(name()),
                statuses: vec![200, 204],
            },
            &ProbeKind::Http { path: "/".into(), host: name(), server_name: None, statuses: vec![301] },
            &ProbeKind::Tls { server_name: name() },
            &ProbeKind::Tcp,
        ]
    );
    let ports: Vec<(u16, u32)> = migration.probes.iter().map(|probe| (probe.port, probe.timeout)).collect();
    assert_eq!(ports, [(8443, 2), (80, 5), (993, 5), (22, 5)]);
    assert_eq!(migration.schedule[1], Move { green: 100, soak: 48 * 3600 });
    let gates = &migration.gates;
    assert_eq!((gates.error_rate, gates.worse_than_blue, gates.healthy_targets), (0.005, 0.0025, 0.75));
    assert_eq!((gates.latency, gates.slower_than_blue, gates.samples), (Some(300), Some(1.5), 50));
    assert_eq!((gates.interval, gates.window), (2, 120));
    assert!(gates.nodes_ready);
    let metric = &gates.metrics[0];
    assert_eq!((metric.statistic.as_str(), metric.period), ("p99.9", 300));
    assert_eq!((metric.below, metric.above), (Some(5.0), Some(-0.5)));
    assert_eq!(metric.dimensions[1], ("Side".to_owned(), "green".to_owned()));
    assert_eq!(gates.commands[0].command, ["/srv/shop/smoke.sh", "-n", "3"]);
    assert_eq!(migration.take_over, Some(TakeOver { quiet: 900, deadline: 72 * 3600 }));
    let by = TeardownBy::Kops { cluster: "old.example.org".into(), state: "s3://acme-kops/prod".into() };
    assert_eq!(migration.teardown, Teardown { by: Some(by), simple_record: true });
    let copy = migration.copy.unwrap();
    assert_eq!((copy.namespaces.len(), copy.except.len(), copy.without_kinds.len()), (2, 1, 2));
    assert_eq!(copy.storage_classes, [("gp2".to_owned(), "gp3".to_owned())]);
    assert!(copy.snapshots && copy.selector.is_some());
}

#[test]
fn every_way_to_name_a_balancer_is_read() {
    let green = |text: &str| {
        let whole = SMALL_MIGRATION.replace("{name: shop-new}", text);
        read(&whole).green.balancer
    };
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(
        green("{alias: {dnsName: shop.elb.eu-west-1.amazonaws.com, hostedZone: Z2IFOLAFXWLO4F}}"),
        Balancer::Alias {
            dns_name: "shop.elb.eu-west-1.amazonaws.com".into(),
            hosted_zone: "Z2IFOLAFXWLO4F".into()
        }
    );
    assert_eq!(green("{dnsName: lb.example.net}"), Balancer::DnsName("lb.example.net".into()));
    assert_eq!(
        green("{addresses: [192.0.2.10, \"2001:db8::10\"]}"),
        Balancer::Addresses(vec![address("192.0.2.10"), address("2001:db8::10")])
    );
}

#[test]
fn what_is_made_is_green_and_what_is_reset_is_blue() {
    let made = read(&format!("{SMALL_MIGRATION}make: {{inventory: new.yaml}}\n"));
    assert_eq!(made.green.inventory.as_deref(), Some(Utf8Path::new("/srv/shop/new.yaml")));
    let text = SMALL_MIGRATION.replace("{name: shop-old}", "{name: shop-old}, inventory: old.yaml");
    let reset = read(&format!("{text}teardown: {{reset: {{}}}}\n"));
    assert_eq!(
        reset.teardown,
        Teardown {
            by: Some(TeardownBy::Reset { inventory: "/srv/shop/old.yaml".into() }),
            simple_record: false
        }
    );
    let terraform = read(&format!("{SMALL_MIGRATION}teardown: {{terraform: {{directory: ../old}}}}\n"));
    assert_eq!(terraform.teardown.by, Some(TeardownBy::Terraform { directory: "/srv/old".into() }));
}

#[test]
fn a_cluster_of_eks_gets_its_defaults() {
    let text = r#"make: {eks: {cluster: shop, version: "1.34", role: "arn:aws:iam::123456789012:role/c", subnets: [subnet-01234567, subnet-89abcdef], nodeRole: "arn:aws:iam::123456789012:role/n"}}"#;
    let made = read(&format!("{SMALL_MIGRATION}{text}\n"));
    let Some(MakeGreen::Eks(eks)) = made.make else { panic!("{:?}", made.make) };
    assert_eq!(eks.instance_types, ["m6i.large"]);
    assert_eq!((eks.min, eks.max, eks.desired), (1, 20, 1));
    assert_eq!((eks.subnets.len(), eks.version.as_str()), (2, "1.34"));
}

/// One is told which of the two files it is, and nothing else.
#[test]
fn an_inventory_and_a_migration_are_not_taken_for_each_other() {
    let problems = migration_text(crate::inventory::MINIMAL).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "migration.yaml:2:7: error: kind: this file is an inventory, and a migration is needed here"
    );
    let problems = crate::inventory::parse::parse_wanted(SMALL_MIGRATION.as_bytes(), &origin()).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "migration.yaml:2:7: error: kind: this file is a migration, and an inventory is needed here"
    );
    assert_eq!(problems.list[0].help.as_deref(), Some("name a file with `kind: Cluster`"));
}

#[test]
fn the_examples_of_migrations_are_read_without_a_warning() {
    let directory = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("inventories/migrations");
    let mut names = Vec::new();
    for entry in directory.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        let bytes = std::fs::read(&path).unwrap();
        let origin = Origin { file: path.as_str(), base: &directory, home: Some(&directory) };
        let (migration, warnings) =
            parse_migration(&bytes, &origin).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(warnings.is_empty(), "{path}: {warnings:#?}");
        let sides = [&migration.blue.inventory, &migration.green.inventory];
        for inventory in sides.into_iter().flatten() {
            assert!(inventory.is_file(), "{path} names {inventory}");
        }
        names.push(path.file_name().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, ["eks.yaml", "kops.yaml"]);
}
