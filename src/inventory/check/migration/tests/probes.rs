//! Probes and gates.

use super::{fine, one, problems, with};

fn probes(list: &str) -> String {
    with(&[("probes", list)])
}

#[test]
fn probes_have_names_ports_and_what_their_type_has() {
    for good in [
        "[{name: a, type: tcp, port: 1}]",
        "[{name: a, type: tls, serverName: x.example.org, timeout: 1m}]",
        "[{name: a, path: \"/a-b_c.d~e/?q=1&r=%20;x,y=(z)\"}]",
        "[{name: a, type: http, host: 192.0.2.1}, {name: b, type: http, host: \"[2001:db8::1]:8080\"}]",
        "[{name: a, host: 192.0.2.1, serverName: x.example.org}]",
        "[{name: a, host: localhost, type: http}]",
        "[{name: a, statuses: [100, 599]}]",
    ] {
        fine(&probes(good));
    }
    for (list, path, parts) in [
        ("[]", "probes", ["no probes", "add `- {name: page}`"]),
        ("[{}]", "probes[0].name", ["`name` is missing", "page"]),
        ("[{name: A}]", "probes[0].name", ["illegal character at column 1", "lower-case"]),
        ("[{name: a-}]", "probes[0].name", ["is not the name of a probe", "63 characters"]),
        (
            "[{name: a}, {name: a}]",
            "probes[1].name",
            ["two probes are called `a` (lines 8, 8)", "a name of its own"],
        ),
        ("[{name: a, type: htp}]", "probes[0].type", ["unknown type \"htp\"", "did you mean `http`?"]),
        ("[{name: a, type: tcp}]", "probes[0].port", ["`port` is missing", "443"]),
        ("[{name: a, port: 0}]", "probes[0].port", ["want a port from 1 to 65535", "without quotes"]),
        ("[{name: a, timeout: 61s}]", "probes[0].timeout", ["61 s is longer than the 60 s", "5s"]),
        ("[{name: a, timeout: 5}]", "probes[0].timeout", ["without a unit", "5m"]),
        ("[{name: a, path: healthz}]", "probes[0].path", ["does not begin with `/`", "/healthz"]),
        (
            "[{name: a, path: \"/a b\"}]",
            "probes[0].path",
            ["illegal character ' ' at column 3", "percent-encode"],
        ),
        ("[{name: a, path: \"/a#b\"}]", "probes[0].path", ["illegal character '#'", "percent-encode"]),
        ("[{name: a, path: \"/ä\"}]", "probes[0].path", ["illegal character 'ä'", "percent-encode"]),
        ("[{name: a, path: \"/%2\"}]", "probes[0].path", ["not followed by two hexadecimal digits", "%25"]),
        ("[{name: a, path: \"/a\\r\\nX: y\"}]", "probes[0].path", ["illegal character", "control"]),
        (
            "[{name: a, host: \"a b\"}]",
            "probes[0].host",
            ["is not a Host header: illegal character ' '", "shop.example.org"],
        ),
        ("[{name: a, host: \"a.example.org:0\"}]", "probes[0].host", ["\"0\" is not a port", "shop"]),
        ("[{name: a, type: http, host: \"2001:db8::1\"}]", "probes[0].host", ["is in brackets", "shop"]),
        (
            "[{name: a, host: 192.0.2.1}]",
            "probes[0].serverName",
            [
                "is an address, and a certificate is asked for by a name",
                "write `serverName: shop.example.org`",
            ],
        ),
        ("[{name: a, serverName: 192.0.2.1}]", "probes[0].serverName", ["is an address", "by a name"]),
        ("[{name: a, serverName: x.example.org.}]", "probes[0].serverName", ["ends with a dot", "write"]),
        ("[{name: a, statuses: []}]", "probes[0].statuses", ["is empty", "200 to 399"]),
        (
            "[{name: a, statuses: [99]}]",
            "probes[0].statuses[0]",
            ["a status code from 100 to 599", "without quotes"],
        ),
        (
            "[{name: a, type: tcp, port: 1, path: /}]",
            "probes[0].path",
            ["`path` is for http and https, and this probe is of type tcp", "remove it"],
        ),
        (
            "[{name: a, type: tcp, port: 1, serverName: x.example.org}]",
            "probes[0].serverName",
            ["for tls and https", "type tcp"],
        ),
        ("[{name: a, type: tls, host: x.example.org}]", "probes[0].host", ["for http and https", "type tls"]),
        (
            "[{name: a, type: http, serverName: x.example.org}]",
            "probes[0].serverName",
            ["for tls and https", "type http"],
        ),
        ("[{name: a, sni: x.example.org}]", "probes[0].sni", ["use `serverName`", "fields here: name, type"]),
    ] {
        one(&probes(list), path, &parts);
    }
}

/// What is wrong with the first name is said once, at the name.
#[test]
fn a_probe_that_takes_its_host_from_a_wrong_name_says_nothing_of_it() {
    let text = with(&[("names", "[{name: Shop, hostedZone: Z1}]")]);
    one(&text, "names[0].name", &["illegal character 'S'"]);
    let text = with(&[("names", "[{hostedZone: Z1}]")]);
    one(&text, "names[0].name", &["`name` is missing"]);
}

fn gates(text: &str) -> String {
    with(&[("gates", text)])
}

#[test]
fn gates_have_numbers_in_their_ranges() {
    for good in [
        "{}",
        "{errorRate: 0%, worseThanBlue: 100%, healthyTargets: 0.125%}",
        "{latency: 1ms, slowerThanBlue: 1, samples: 1}",
        "{latency: 1m, slowerThanBlue: 100, samples: 3600, interval: 1s, window: 1h}",
    ] {
        fine(&gates(good));
    }
    for (text, key, parts) in [
        (
            "{errorRate: 1}",
            "errorRate",
            ["want a share of all answers; got the number 1 without `%`", "0.5%"],
        ),
        ("{errorRate: 0.01}", "errorRate", ["got the float 0.01 without `%`", "0.5%"]),
        ("{errorRate: 100.1%}", "errorRate", ["is not a share from 0% to 100%", "three decimals"]),
        ("{errorRate: -1%}", "errorRate", ["is not a share from 0% to 100%", "three decimals"]),
        ("{worseThanBlue: x%}", "worseThanBlue", ["is not a share", "three decimals"]),
        ("{healthyTargets: 80}", "healthyTargets", ["want a share of all targets", "without `%`"]),
        ("{latency: 300}", "latency", ["got the number 300 without a unit", "300ms"]),
        ("{latency: 0ms}", "latency", ["is not between 1ms and 60s", "300ms"]),
        ("{latency: 61s}", "latency", ["is not between 1ms and 60s", "300ms"]),
        ("{latency: 1.5s}", "latency", ["is not a time", "300ms"]),
        ("{latency: 99999999999999999999ms}", "latency", ["is not a time", "300ms"]),
        ("{slowerThanBlue: 0.5}", "slowerThanBlue", ["0.5 is not between 1 and 100", "twice as long"]),
        ("{slowerThanBlue: \"2\"}", "slowerThanBlue", ["want a number", "without quotes"]),
        ("{slowerThanBlue: .inf}", "slowerThanBlue", ["want a number", "without quotes"]),
        ("{samples: 20, window: 10s}", "samples", ["10s of a round every 1s are", "make `window` longer"]),
        ("{interval: 2h}", "interval", ["2h is not between 1s and 1h", "30s, 5m"]),
        ("{window: 60}", "window", ["without a unit", "30s, 5m"]),
        ("{samples: 0}", "samples", ["a number of answers from 1 to 10000", "without quotes"]),
        ("{nodesReady: yes}", "nodesReady", ["want true or false", "write true"]),
        (
            "{nodesReady: true}",
            "nodesReady",
            ["neither a kubeconfig nor an inventory", "add `green.kubeconfig` or"],
        ),
        ("{errors: 1%}", "errors", ["use `errorRate`", "fields here"]),
    ] {
        one(&gates(text), &format!("gates.{key}"), &parts);
    }
    let ready = with(&[("green", "{balancer: {name: b}, kubeconfig: k}"), ("gates", "{nodesReady: true}")]);
    fine(&ready);
}

#[test]
fn metrics_and_commands_can_be_told_apart_and_can_fail() {
    let metric = |more: &str| format!("{{metrics: [{{namespace: AWS/NetworkELB, metric: M, {more}}}]}}");
    for good in [
        "below: 1",
        "above: 0",
        "below: 1.5, above: -1e3, statistic: p99",
        "below: 1, period: 10s, dimensions: {}",
    ] {
        fine(&gates(&metric(good)));
    }
    let many: Vec<String> = (0..31).map(|number| format!("d{number}: x")).collect();
    let many = format!("below: 1, dimensions: {{{}}}", many.join(", "));
    for (more, key, parts) in [
        ("period: 1m", "", ["has neither `below` nor `above`", "below or above"]),
        ("below: 1, above: 1", ".below", ["no value is above 1 and below 1", "more than `above`"]),
        ("below: one", ".below", ["want a number, which the metric has to stay below", "without quotes"]),
        ("below: 1, period: 45s", ".period", ["45 s is not a period of CloudWatch", "whole minutes"]),
        ("below: 1, statistic: average", ".statistic", ["unknown statistic", "did you mean `Average`?"]),
        ("below: 1, statistic: p101", ".statistic", ["unknown statistic", "p99"]),
        (
            "below: 1, dimensions: {\"\": x}",
            ".dimensions[\"\"]",
            ["is not a dimension: it has 0 characters", "as CloudWatch shows it"],
        ),
        (
            "below: 1, dimensions: {a: \"ä\"}",
            ".dimensions.a",
            ["illegal character 'ä'", "as CloudWatch shows it"],
        ),
        ("below: 1, max: 1", ".max", ["use `below`", "fields here"]),
        (&many, ".dimensions", ["31 dimensions", "at most 30"]),
    ] {
        one(&gates(&metric(more)), &format!("gates.metrics[0]{key}"), &parts);
    }
    one(&gates("{metrics: [{namespace: A, below: 1}]}"), "gates.metrics[0].metric", &["`metric` is missing"]);
    let twice = "{metrics: [{namespace: A, metric: M, below: 1}, {namespace: B, metric: M, above: 1}]}";
    one(&gates(twice), "gates.metrics[1].metric", &["two gates look at \"M\" (lines 9, 9)", "in one gate"]);
    for (text, key, parts) in [
        ("[{command: [x]}]", "[0].name", ["`name` is missing", "smoke"]),
        ("[{name: a}]", "[0].command", ["`command` is missing", "[./smoke.sh]"]),
        ("[{name: a, command: ./x y}]", "[0].command", ["want a list of words", "as a list"]),
        ("[{name: a, command: [\"a\\nb\"]}]", "[0].command[0]", ["illegal character", "control"]),
        ("[{name: a_b, command: [x]}]", "[0].name", ["illegal character at column 2", "lower-case"]),
        ("[{name: a, command: [x], timeout: 25h}]", "[0].timeout", ["25h is not between 1s and 24h", "5m"]),
        (
            "[{name: a, command: [x]}, {name: a, command: [y]}]",
            "[1].name",
            ["two gates are called `a`", "of its own"],
        ),
    ] {
        one(&gates(&format!("{{commands: {text}}}")), &format!("gates.commands{key}"), &parts);
    }
    assert_eq!(problems(&gates("{commands: [{}, {}], metrics: [{}]}")).len(), 6);
}
