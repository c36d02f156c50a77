//! The rules of a migration's file, one after another: what each refuses, where, and what it says to do.

mod clusters;
mod probes;
mod sides;

use crate::inventory::parse::migration::tests::{SMALL_MIGRATION, migration_text};
use crate::inventory::{Diagnostic, Severity};

/// The small migration with other sections, in flow style, one a line.
fn with(sections: &[(&str, &str)]) -> String {
    let mut lines: Vec<String> = SMALL_MIGRATION.lines().map(str::to_owned).collect();
    for (key, text) in sections {
        let line = format!("{key}: {text}");
        match lines.iter_mut().find(|line| line.starts_with(&format!("{key}:"))) {
            Some(there) => *there = line,
            None => lines.push(line),
        }
    }
    lines.join("\n") + "\n"
}

fn problems(text: &str) -> Vec<Diagnostic> {
    match migration_text(text) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems.list,
    }
}

/// Exactly one error, at this path, with these parts in its message and help.
#[track_caller]
fn one(text: &str, path: &str, parts: &[&str]) {
    let found = problems(text);
    let errors: Vec<_> = found.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert_eq!(errors.len(), 1, "{text}\n{found:#?}");
    let said = format!("{} {}", errors[0].message, errors[0].help.as_deref().unwrap_or_default());
    assert_eq!(errors[0].path, path, "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}

#[track_caller]
fn warns(text: &str, path: &str, part: &str) {
    let (_, warnings) = migration_text(text).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(warnings.iter().any(|w| w.path == path && w.message.contains(part)), "{warnings:#?}");
}

#[track_caller]
fn fine(text: &str) {
    let found = problems(text);
    assert!(found.is_empty(), "{text}\n{found:#?}");
}

#[test]
fn the_base_of_these_tests_is_good() {
    fine(&with(&[]));
}

#[test]
fn the_name_is_one_dns_label() {
    for name in ["Shop", "a.b", "-a", "a b", "a;b"] {
        one(&with(&[("metadata", &format!("{{name: \"{name}\"}}"))]), "metadata.name", &["one DNS label"]);
    }
    one(&with(&[("metadata", "{}")]), "metadata.name", &["`name` is missing", "add `name: shop`"]);
}

#[test]
fn the_account_is_a_region_and_a_role() {
    for (aws, key, parts) in [
        ("{}", "region", ["`region` is missing", "eu-central-1"]),
        ("{region: eu}", "region", ["\"eu\" is not the name of a region", "eu-central-1"]),
        (
            "{region: eu-west-1b}",
            "region",
            ["is not the name of a region", "write eu-west-1, without its zone"],
        ),
        (
            "{region: eu-west-1, assumeRole: me}",
            "assumeRole",
            ["is not the ARN of an IAM role", "role/keelwright"],
        ),
        ("{region: eu-west-1, roleArn: me}", "roleArn", ["use `assumeRole`", "fields here: region"]),
    ] {
        one(&with(&[("aws", aws)]), &format!("aws.{key}"), &parts);
    }
}

#[test]
fn names_are_names_and_zones_are_ids() {
    one(&with(&[("names", "[]")]), "names", &["no names", "add `- {name: shop.example.org"]);
    let name = |name: &str| with(&[("names", &format!("[{{name: \"{name}\", hostedZone: Z1}}]"))]);
    for (text, parts) in [
        ("shop.example.org.", ["ends with a dot", "write \"shop.example.org\""]),
        ("Shop.example.org", ["illegal character 'S' at column 1", "write shop.example.org"]),
        ("shop example.org", ["illegal character ' ' at column 5", "for example"]),
        ("shop;rm.example.org", ["illegal character ';'", "for example"]),
        ("shop..example.org", ["each part between dots", "for example"]),
        ("*.example.org", ["stands for many names", "name those that clients use"]),
        ("shop", ["has no dot", "write the whole name"]),
        ("192.0.2.1", ["is an address, not a name", "shop.example.org"]),
        ("Z0123456789ABC", ["looks like the id of a hosted zone", "goes to `hostedZone`"]),
    ] {
        one(&name(text), "names[0].name", &parts);
    }
    let zone =
        |zone: &str| with(&[("names", &format!("[{{name: shop.example.org, hostedZone: \"{zone}\"}}]"))]);
    for (text, parts) in [
        ("/hostedzone/Z1", ["is not the id of a hosted zone", "write Z1"]),
        ("hostedzone/Z1", ["is not the id of a hosted zone", "write Z1"]),
        ("example.org", ["is not the id of a hosted zone", "list-hosted-zones"]),
        ("z1", ["is not the id of a hosted zone", "capital letters"]),
        ("Z1; x", ["is not the id of a hosted zone", "capital letters"]),
    ] {
        one(&zone(text), "names[0].hostedZone", &parts);
    }
    let pair = "[{name: a.example.org, hostedZone: Z1}, {name: a.example.org, hostedZone: ZONE}]";
    one(
        &with(&[("names", &pair.replace("ZONE", "Z1"))]),
        "names[1].name",
        &["\"a.example.org\" is named twice in one zone (lines 5, 5)", "remove one"],
    );
    // One zone for the world and one for the inside.
    fine(&with(&[("names", &pair.replace("ZONE", "Z2"))]));
    one(
        &with(&[("names", "[shop.example.org]")]),
        "names[0]",
        &["want a map", "write {name: \"shop.example.org\", hostedZone: Z…}"],
    );
}

#[test]
fn resolvers_are_addresses_with_or_without_a_port() {
    fine(&with(&[("resolvers", "[127.0.0.1:5353, \"::1\"]")]));
    for (text, parts) in [
        ("dns.example.org", ["is not an IP address", "address:port"]),
        ("dns.example.org:53", ["has no IP address before its port", "192.0.2.53:5353"]),
        ("192.0.2.53:0", ["has no port from 1 to 65535", "192.0.2.53:5353"]),
        ("192.0.2.53:053", ["has no port from 1 to 65535", "192.0.2.53:5353"]),
        ("192.0.2.53:65536", ["has no port from 1 to 65535", "192.0.2.53:5353"]),
        ("[2001:db8::53", ["is not an IP address", "[2001:db8::53]:5353"]),
        ("0.0.0.0", ["is the unspecified address", "resolver that clients use"]),
        ("224.0.0.1:53", ["is a multicast address", "resolver that clients use"]),
        ("192.0.2.0/24", ["is not an IP address", "leave the prefix length out"]),
        ("::ffff:192.0.2.1", ["is an IPv4 address in IPv6 form", "write 192.0.2.1"]),
    ] {
        one(&with(&[("resolvers", &format!("[\"{text}\"]"))]), "resolvers[0]", &parts);
    }
    one(
        &with(&[("resolvers", "[192.0.2.53, \"192.0.2.53:53\"]")]),
        "resolvers[1]",
        &["192.0.2.53:53 is given twice", "remove"],
    );
}

#[test]
fn shares_grow_to_all_and_are_watched_for_a_bounded_time() {
    let schedule = |moves: &str| with(&[("schedule", moves)]);
    fine(&schedule("[{green: 100%, soak: 1s}]"));
    fine(&schedule("[{green: 1%, soak: 1m}, {green: 2%, soak: 168h}, {green: 100%, soak: 1m}]"));
    for (moves, path, parts) in [
        ("[]", "schedule", ["no moves", "leave `schedule` out"]),
        (
            "[{green: 0%, soak: 1m}, {green: 100%, soak: 1m}]",
            "schedule[0].green",
            ["0% is what green has before", "begin with 1%"],
        ),
        (
            "[{green: 10%, soak: 1m}, {green: 10%, soak: 1m}, {green: 100%, soak: 1m}]",
            "schedule[1].green",
            ["10% is not more than the 10% before it", "grows"],
        ),
        (
            "[{green: 10%, soak: 1m}, {green: 5%, soak: 1m}, {green: 100%, soak: 1m}]",
            "schedule[1].green",
            ["5% is not more than the 10% before it", "grows"],
        ),
        (
            "[{green: 50%, soak: 1m}]",
            "schedule[0].green",
            ["the last move leaves green with 50%", "add `- {green: 100%"],
        ),
        ("[{green: 101%, soak: 1m}]", "schedule[0].green", ["is not a share from 0% to 100%", "50%"]),
        ("[{green: 10, soak: 1m}]", "schedule[0].green", ["got the number 10 without `%`", "write 10%"]),
        ("[{green: 100%}]", "schedule[0].soak", ["`soak` is missing", "10m"]),
        ("[{green: 100%, soak: 169h}]", "schedule[0].soak", ["169h is not between 1s and 168h", "1h30m"]),
        ("[{green: 100%, soak: 0s}]", "schedule[0].soak", ["0s is not between 1s and 168h", "30s"]),
        ("[{green: 100%, soak: 10}]", "schedule[0].soak", ["without a unit", "5m"]),
        ("[{green: 100%, wait: 10m, soak: 1m}]", "schedule[0].wait", ["use `soak`", "fields here"]),
        ("{green: 100%}", "schedule", ["want a list", "one `- a` per line"]),
    ] {
        one(&schedule(moves), path, &parts);
    }
}

/// Many things are wrong, in all parts of the file, and all are said at once, in its order.
#[test]
fn everything_that_is_wrong_is_found_in_one_go() {
    let text = with(&[
        ("metadata", "{name: Shop}"),
        ("aws", "{region: nowhere}"),
        ("names", "[{name: shop, hostedZone: 1Z}]"),
        ("blue", "{balancer: {arn: x}, kubeconfig: -k}"),
        ("green", "{balancer: {}, colour: green}"),
        ("probes", "[{name: page, host: a b}, {name: page, type: ftp}]"),
        ("schedule", "[{green: 10%, soak: 1m}]"),
        ("gates", "{errorRate: 1, metrics: [{namespace: A}]}"),
        ("takeOver", "{quiet: 1h, deadline: 30m}"),
        ("teardown", "{kops: {}, reset: {}}"),
        ("make", "{}"),
        ("copy", "{}"),
        ("extra", "1"),
    ]);
    let paths: Vec<String> = problems(&text).into_iter().map(|problem| problem.path).collect();
    assert_eq!(
        paths,
        [
            "metadata.name",
            "aws.region",
            "names[0].name",
            "names[0].hostedZone",
            "blue.balancer.arn",
            "blue.kubeconfig",
            "green.balancer",
            "green.colour",
            "probes[0].host",
            "probes[1].type",
            "schedule[0].green",
            "gates.errorRate",
            "gates.metrics[0].metric",
            "takeOver.deadline",
            "teardown",
            "teardown.kops.cluster",
            "teardown.kops.state",
            "teardown.reset.inventory",
            "make",
            "copy",
            "copy",
            "extra",
        ]
    );
}
