use super::*;
use crate::inventory::check::rows::problems;

#[test]
fn networks_that_are_made() {
    let network = |text: &str| aws(&format!("network: {{{text}}}"));
    good(
        network,
        &["", "nat: single", "nat: none", "cidr: 172.16.0.0/16", "cidr: 100.64.0.0/22, nat: per-zone"],
    );
    rows(
        network,
        "aws.network",
        &[
            ("cidr: 10.0.0.0/15", ".cidr", ["not between /16 and /22", "no wider VPC"]),
            ("cidr: 10.0.0.0/23", ".cidr", ["not between /16 and /22", "no room"]),
            ("cidr: 10.0.0.1/16", ".cidr", ["host bits", "write 10.0.0.0/16"]),
            ("cidr: \"fd00::/16\"", ".cidr", ["is IPv6; a VPC has an IPv4 range", "10.0.0.0/16"]),
            ("cidr: 10.244.0.0/16", ".cidr", ["overlaps pods' 10.244.0.0/16", "share no address"]),
            ("cidr: 10.100.0.0/16", ".cidr", ["overlaps services' 10.96.0.0/12", "share no address"]),
            ("nat: both", ".nat", ["unknown way out \"both\"", "`per-zone`, `single`, `none`"]),
            (
                "nat: single, vpc: vpc-0abc1234",
                "",
                ["`nat` is for a VPC that is made, `vpc` for one that is there", "cidr and nat, or vpc"],
            ),
            ("privateSubnets: [subnet-0abc1234]", "", ["`vpc` is missing", "add `vpc: vpc-"]),
            ("subnets: []", ".subnets", ["unknown field", "use `publicSubnets and privateSubnets`"]),
        ],
    );
    one(&network("cidr: 169.254.0.0/16"), "aws.network.cidr", &["a link-local address"]);
    warns(&network("cidr: 192.0.0.0/16"), "aws.network.cidr", "is not a private range");
    warns(&network("cidr: 172.32.0.0/16"), "aws.network.cidr", "is not a private range");
}

#[test]
fn networks_that_are_there() {
    let ids = |kind: &str| (1..=3).map(|n| format!("subnet-{kind}abc123{n}")).collect::<Vec<_>>().join(", ");
    let network = |text: &str| {
        let text = text.replace("PUBLIC", &ids("0")).replace("PRIVATE", &ids("1"));
        aws(&format!("network: {{vpc: vpc-0abc1234, {text}}}"))
    };
    good(network, &["publicSubnets: [PUBLIC], privateSubnets: [PRIVATE]"]);
    let inside = |text: &str| network(text).replace(SSH, "bastion: false, api: {internal: true}");
    good(inside, &["privateSubnets: [PRIVATE]"]);
    rows(
        network,
        "aws.network.",
        &[
            (
                "publicSubnets: [PUBLIC]",
                "privateSubnets",
                ["has no subnet, and nodes are in private ones", "in each zone"],
            ),
            (
                "publicSubnets: [PUBLIC], privateSubnets: [subnet-1abc1231]",
                "privateSubnets",
                ["1 subnets for 3 zones", "in each zone"],
            ),
            (
                "publicSubnets: [subnet-0abc1231], privateSubnets: [PRIVATE]",
                "publicSubnets",
                ["1 subnets for 3 zones", "in each zone"],
            ),
            (
                "publicSubnets: [PUBLIC], privateSubnets: [PRIVATE, subnet-2abc1231]",
                "privateSubnets",
                ["4 subnets for 3 zones", "in each zone"],
            ),
            (
                "publicSubnets: [PUBLIC], privateSubnets: [subnet-1, subnet-2abc1231, subnet-2abc1232]",
                "privateSubnets[0]",
                ["\"subnet-1\" is not the id of a subnet", "for example"],
            ),
            (
                "publicSubnets: [PUBLIC], privateSubnets: [subnet-0abc1231, subnet-2abc1231, subnet-2abc1232]",
                "privateSubnets[0]",
                ["is given twice", "either public or private"],
            ),
            (
                "privateSubnets: [PRIVATE]",
                "publicSubnets",
                ["these face the internet: the bastion, the API's balancer", "internal: true"],
            ),
        ],
    );
    one(
        &inside("privateSubnets: [PRIVATE]").replace(
            "internal: true}",
            "internal: true}, access: {ingress: [0.0.0.0/0]}, ingress: [{port: 80, nodePort: 30080}]",
        ),
        "aws.network.publicSubnets",
        &["the ingress balancer"],
    );
    let vpc =
        network("publicSubnets: [PUBLIC], privateSubnets: [PRIVATE]").replace("vpc-0abc1234", "vpc-mine");
    one(&vpc, "aws.network.vpc", &["\"vpc-mine\" is not the id of a VPC", "vpc-0123456789abcdef0"]);
    let named = |names: &str| {
        network("publicSubnets: [PUBLIC], privateSubnets: [PRIVATE]")
            .replace("zones: 3", &format!("zones: [{names}]"))
    };
    good(named, &["eu-central-1a, eu-central-1b, eu-central-1c", "eu-central-1a, eu-central-1b"]);
    let four = problems(&named("eu-central-1a, eu-central-1b, eu-central-1c, eu-central-1d"));
    assert!(
        four.len() == 2 && four.iter().all(|problem| problem.message == "3 subnets for 4 zones"),
        "{four:#?}"
    );
}

#[test]
fn access_and_balancers() {
    let access = |text: &str| only(&format!("{PLACE}, access: {{{text}}}"));
    good(access, &["ssh: [203.0.113.0/24, \"2001:db8::/32\"], api: [203.0.113.7/32]"]);
    rows(
        access,
        "aws.access.",
        &[
            ("ssh: [203.0.113.7]", "ssh[0]", ["the prefix length is missing", "for example"]),
            ("ssh: [203.0.113.7/24]", "ssh[0]", ["host bits", "write 203.0.113.0/24"]),
            ("ssh: 203.0.113.0/24", "ssh", ["want a list", "[a, b]"]),
            ("https: []", "https", ["unknown field `https`", "fields here: ssh, api, ingress"]),
        ],
    );
    warns(&access("ssh: [0.0.0.0/0]"), "aws.access.ssh[0]", "0.0.0.0/0 is the whole internet");
    warns(
        &access("ssh: [203.0.113.0/24], api: [\"::/0\"]"),
        "aws.access.api[0]",
        "::/0 is the whole internet",
    );
    warns(&access("ssh: [203.0.113.0/24, 203.0.113.0/24]"), "aws.access.ssh[1]", "is given twice");
    warns(&access(""), "aws.access.ssh", "nobody can reach the bastion");
    warns(
        &access("ssh: [203.0.113.0/24], ingress: [0.0.0.0/0]"),
        "aws.access.ingress",
        "there is no ingress balancer",
    );
    warns(&aws("bastion: false"), "aws.access.ssh", "there is no bastion to reach");
    let ingress = |text: &str| {
        access(&format!("ssh: [203.0.113.0/24], ingress: [0.0.0.0/0]}}, ingress: [{text}], tags: {{"))
    };
    good(ingress, &["{port: 80, nodePort: 30080}, {port: 443, nodePort: 30443}"]);
    warns(
        &aws("ingress: [{port: 80, nodePort: 30080}]"),
        "aws.access.ingress",
        "nobody can reach the ingress balancer",
    );
    rows(
        ingress,
        "aws.ingress",
        &[
            (
                "{port: 80, nodePort: 30080}, {port: 80, nodePort: 30443}",
                "[1].port",
                ["port 80 is given twice (lines 8, 8)", "remove one"],
            ),
            (
                "{port: 80, nodePort: 30080}, {port: 443, nodePort: 30080}",
                "[1].nodePort",
                ["port 30080 is given twice", "remove one"],
            ),
            ("{port: 6443, nodePort: 30080}", "[0].port", ["port 6443 is the API's", "another port"]),
            (
                "{port: 80, nodePort: 8080}",
                "[0].nodePort",
                ["8080 is not in the range of NodePorts", "30000 to 32767"],
            ),
            ("{port: 80, nodePort: 32768}", "[0].nodePort", ["32768 is not in the range", "30000 to 32767"]),
            ("{port: 0, nodePort: 30080}", "[0].port", ["want a port from 1 to 65535", "got the number 0"]),
            ("{port: 80}", "[0].nodePort", ["`nodePort` is missing", "add `nodePort: 30443`"]),
        ],
    );
}

#[test]
fn the_api() {
    let api = |text: &str| aws(&format!("api: {{{text}}}"));
    good(api, &["", "internal: true", "record: {name: api.prod.example.org, hostedZone: Z0123456789ABC}"]);
    rows(
        api,
        "aws.api.record",
        &[
            ("record: {name: api.example.org}", ".hostedZone", ["`hostedZone` is missing", "Z0123456789ABC"]),
            (
                "record: {name: api_1.example.org, hostedZone: Z1}",
                ".name",
                ["is not a DNS name", "illegal character '_'"],
            ),
            (
                "record: {name: api, hostedZone: Z1}",
                ".name",
                ["is not the name of a record in a zone", "example.org"],
            ),
            (
                "record: {name: 192.0.2.1, hostedZone: Z1}",
                ".name",
                ["is not the name of a record in a zone", "example.org"],
            ),
            (
                "record: {name: api.example.org, hostedZone: example.org}",
                ".hostedZone",
                ["is not the id of a hosted zone", "Z0123456789ABC"],
            ),
            (
                "record: {name: api.example.org, hostedZone: /hostedzone/Z1}",
                ".hostedZone",
                ["is not the id", "write Z1"],
            ),
        ],
    );
    one(
        &api("private: true"),
        "aws.api.private",
        &["unknown field `private`", "fields here: internal, record"],
    );
}
