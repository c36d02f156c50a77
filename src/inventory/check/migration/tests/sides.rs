//! Balancers, and what goes with each other.

use super::{fine, one, warns, with};

const ARN: &str =
    "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/shop-old/0123456789abcdef";

fn blue(balancer: &str) -> String {
    with(&[("blue", &format!("{{balancer: {balancer}}}"))])
}

fn both(blue: &str, green: &str) -> String {
    with(&[("blue", &format!("{{balancer: {blue}}}")), ("green", &format!("{{balancer: {green}}}"))])
}

#[test]
fn a_balancer_is_named_in_one_way() {
    for (balancer, path, parts) in [
        ("{}", "balancer", ["want one of arn, name, alias, dnsName, addresses; got none", "{name: shop}"]),
        ("{name: a, dnsName: b.example.org}", "balancer", ["got name and dnsName", "keep one of them"]),
        (
            "lb.example.org",
            "balancer",
            ["got the text \"lb.example.org\"", "write {dnsName: \"lb.example.org\"}"],
        ),
        ("192.0.2.1", "balancer", ["got the text", "write {addresses: [\"192.0.2.1\"]}"]),
        ("shop", "balancer", ["got the text", "write {name: \"shop\"}"]),
        ("\"arn:x\"", "balancer", ["got the text", "write {arn: \"arn:x\"}"]),
        ("{hostname: a.example.org}", "balancer.hostname", ["use `dnsName`", "fields here: arn, name"]),
    ] {
        let text = blue(balancer);
        if balancer.contains("hostname") {
            let found = super::problems(&text);
            assert_eq!(found.len(), 2, "the field and that nothing is named: {found:#?}");
            assert!(found.iter().any(|problem| problem.path.ends_with("hostname")));
            continue;
        }
        one(&text, &format!("blue.{path}"), &parts);
    }
    one(&with(&[("blue", "{}")]), "blue.balancer", &["`balancer` is missing", "{name: shop}"]);
    one(
        &with(&[("blue", "{arn: x, balancer: {name: a}}")]),
        "blue.arn",
        &["use `balancer.arn`", "fields here"],
    );
}

#[test]
fn arns_are_of_balancers_in_this_region() {
    fine(&blue(&format!("{{arn: \"{ARN}\"}}")));
    fine(&blue(&format!("{{arn: \"{}\"}}", ARN.replace("/net/", "/app/"))));
    let base = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:";
    for (arn, parts) in [
        (
            "shop".to_owned(),
            ["is not the ARN of a load balancer", "for example arn:aws:elasticloadbalancing"],
        ),
        (format!("{base}loadbalancer/net/shop"), ["is not the ARN of a load balancer", "/0123456789abcdef"]),
        (
            format!("{base}loadbalancer/net/sh;op/0123456789abcdef"),
            ["is not the ARN of a load balancer", "for"],
        ),
        (ARN.replace("123456789012", "1234"), ["is not the ARN of a load balancer", "for example"]),
        (ARN.replace("arn:aws:", "arn:gcp:"), ["is not the ARN of a load balancer", "for example"]),
        (
            ARN.replace("elasticloadbalancing", "ec2"),
            ["is an ARN of \"ec2\", not of a load balancer", "for example"],
        ),
        (
            format!("{base}targetgroup/shop/0123456789abcdef"),
            ["the ARN of a target group", "that it is behind"],
        ),
        (format!("{base}listener/net/shop/0123/4567"), ["the ARN of a listener", "that it belongs to"]),
        (
            format!("{base}loadbalancer/gwy/shop/0123456789abcdef"),
            ["gateway load balancer", "what is behind it"],
        ),
        (format!("{base}loadbalancer/shop"), ["a classic load balancer", "write `alias:"]),
        (
            ARN.replace("eu-central-1", "eu-west-1"),
            [
                "is in eu-west-1, and the migration works in eu-central-1",
                "write `alias: {dnsName: …, hostedZone: …}` of it",
            ],
        ),
    ] {
        one(&blue(&format!("{{arn: \"{arn}\"}}")), "blue.balancer.arn", &parts);
    }
}

#[test]
fn names_aliases_and_addresses_are_what_aws_and_dns_take() {
    for name in ["-a", "a-", "a_b", "a.b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a;b"] {
        one(
            &blue(&format!("{{name: \"{name}\"}}")),
            "blue.balancer.name",
            &["is not the name of a load balancer", "1 to 32"],
        );
    }
    for (form, path, parts) in [
        ("{alias: {dnsName: lb.example.org.}}", "alias.hostedZone", ["`hostedZone` is missing", "Z"]),
        (
            "{alias: {dnsName: lb.example.org., hostedZone: Z1}}",
            "alias.dnsName",
            ["ends with a dot", "write"],
        ),
        (
            "{alias: {dnsName: lb.example.org, hostedZone: example.org}}",
            "alias.hostedZone",
            ["not the id", "not its name"],
        ),
        (
            "{alias: {dnsName: shop.example.org, hostedZone: Z1}}",
            "alias.dnsName",
            ["one of `names`, and would lead to itself", "has"],
        ),
        (
            "{dnsName: shop.example.org}",
            "dnsName",
            ["one of `names`, and would lead to itself", "the balancer itself has"],
        ),
        ("{dnsName: LB.example.net}", "dnsName", ["illegal character 'L'", "write lb.example.net"]),
        ("{dnsName: 192.0.2.1}", "dnsName", ["is an address, not a name", "lb.example.net"]),
        ("{addresses: []}", "addresses", ["is empty", "[192.0.2.10]"]),
        (
            "{addresses: [lb.example.net]}",
            "addresses[0]",
            ["is not an IP address", "a name goes to `dnsName`"],
        ),
        ("{addresses: [192.0.2.1, 192.0.2.1]}", "addresses[1]", ["192.0.2.1 is given twice", "remove"]),
        ("{addresses: [0.0.0.0]}", "addresses[0]", ["is the unspecified address", "clients reach"]),
        ("{addresses: [169.254.1.1]}", "addresses[0]", ["is a link-local address", "clients reach"]),
        ("{addresses: [192.0.02.1]}", "addresses[0]", ["leading zeros", "write 192.0.2.1"]),
    ] {
        one(&blue(form), &format!("blue.balancer.{path}"), &parts);
    }
    warns(&blue("{addresses: [127.0.0.2]}"), "blue.balancer.addresses[0]", "is a loopback address");
    warns(
        &blue("{dnsName: a-1.elb.eu-central-1.amazonaws.com}"),
        "blue.balancer.dnsName",
        "the name of a load balancer of AWS, and a CNAME leads to it",
    );
}

#[test]
fn the_two_sides_are_two() {
    let alias = |name: &str| format!("{{alias: {{dnsName: {name}, hostedZone: Z1}}}}");
    for (blue, green, part) in [
        ("{name: shop}".to_owned(), "{name: shop}".to_owned(), "both are shop"),
        (format!("{{arn: \"{ARN}\"}}"), format!("{{arn: \"{ARN}\"}}"), "both are arn:aws"),
        (format!("{{arn: \"{ARN}\"}}"), "{name: shop-old}".to_owned(), "both are shop-old"),
        ("{name: shop-old}".to_owned(), format!("{{arn: \"{ARN}\"}}"), "both are shop-old"),
        (alias("a.example.net"), alias("a.example.net"), "both are a.example.net"),
        (alias("a.example.net"), alias("dualstack.a.example.net"), "both are a.example.net"),
        (
            "{dnsName: a.example.net}".to_owned(),
            "{dnsName: a.example.net}".to_owned(),
            "both are a.example.net",
        ),
        (
            "{addresses: [192.0.2.1]}".to_owned(),
            "{addresses: [192.0.2.2, 192.0.2.1]}".to_owned(),
            "both are 192.0.2.1",
        ),
    ] {
        one(
            &both(&blue, &green),
            "green.balancer",
            &["blue and green are the same", part, "the new cluster"],
        );
    }
    // Two in one account may differ in their ids alone.
    fine(&both(&format!("{{arn: \"{ARN}\"}}"), &format!("{{arn: \"{}\"}}", ARN.replace("abcdef", "abcdee"))));
    for key in ["kubeconfig", "inventory"] {
        let side = |name: &str| format!("{{balancer: {{name: {name}}}, {key}: x/../c}}");
        let text = with(&[("blue", &side("a")), ("green", &side("b").replace("x/../", ""))]);
        one(&text, &format!("green.{key}"), &[&format!("the same {key}"), "an old and a new one"]);
    }
}

#[test]
fn records_of_one_type_lead_to_both_sides() {
    let addresses = "{addresses: [192.0.2.1]}";
    for (blue, green) in [(addresses, "{dnsName: lb.example.net}"), ("{dnsName: lb.example.net}", addresses)]
    {
        one(
            &both(blue, green),
            "green.balancer",
            &["a name has a CNAME, or it has A and AAAA, never both", "write both"],
        );
    }
    one(
        &both(addresses, "{addresses: [\"2001:db8::1\"]}"),
        "green.balancer",
        &["IPv4 addresses and the other IPv6", "one family"],
    );
    fine(&both(addresses, "{addresses: [192.0.2.2, \"2001:db8::1\"]}"));
    // An alias beside addresses, a CNAME to a balancer of AWS beside another.
    fine(&both(addresses, "{name: shop}"));
    fine(&both("{dnsName: lb.example.net}", "{name: shop}"));
}

#[test]
fn a_take_over_needs_balancers_whose_targets_can_be_changed() {
    let take_over = |blue: &str, green: &str, window: &str| {
        let text = both(blue, green);
        format!("{text}takeOver: {window}\n")
    };
    let (one_name, other_name) = ("{name: a}", "{name: b}");
    fine(&take_over(one_name, other_name, "{}"));
    fine(&take_over(&format!("{{arn: \"{ARN}\"}}"), other_name, "{quiet: 1h, deadline: 168h}"));
    for (blue, green, parts) in [
        (
            "{addresses: [192.0.2.1]}",
            other_name,
            ["blue's balancer is a list of addresses", "`blue.balancer.arn` or `name`"],
        ),
        (
            one_name,
            "{dnsName: lb.example.net}",
            ["green's balancer is a DNS name", "`green.balancer.arn` or `name`"],
        ),
        (
            "{alias: {dnsName: lb.example.net, hostedZone: Z1}}",
            other_name,
            ["blue's balancer is an alias, whose targets cannot be seen or changed", "leave `takeOver` out"],
        ),
    ] {
        one(&take_over(blue, green, "{}"), "takeOver", &parts);
    }
    for (window, path, parts) in [
        (
            "{quiet: 1h, deadline: 1h}",
            "takeOver.deadline",
            ["ends before it can have been quiet", "longer than `quiet`"],
        ),
        ("{deadline: 169h}", "takeOver.deadline", ["169h is not between 1s and 168h", "1h30m"]),
        ("{quiet: 5}", "takeOver.quiet", ["without a unit", "30s"]),
        ("{window: 5m}", "takeOver.window", ["use `deadline`", "fields here: quiet, deadline"]),
    ] {
        one(&take_over(one_name, other_name, window), path, &parts);
    }
    warns(&take_over(one_name, other_name, "{quiet: 1m}"), "takeOver.quiet", "counted by the minute");
}
