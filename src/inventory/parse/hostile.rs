//! Input made to hurt: nothing panics, and time stays in bounds.

use std::time::Duration;

use proptest::prelude::*;

use super::aws::tests::FULL_AWS;
use super::migration::tests::FULL_MIGRATION;
use super::tests::{FULL, parse_text};
use super::*;
use crate::inventory::Aws;

fn parse_bytes(bytes: &[u8]) -> Result<(Wanted, Vec<Diagnostic>), Diagnostics> {
    parse_wanted(bytes, &here())
}

fn here() -> Origin<'static> {
    Origin { file: "x", base: Utf8Path::new("/srv"), home: Some(Utf8Path::new("/home/me")) }
}

/// Without optimisation the parser is ten times slower: a quarter of the input, and more time.
const SIZE: usize = if cfg!(debug_assertions) { SIZE_LIMIT / 4 } else { SIZE_LIMIT };
const BOUND: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });

/// What this thread has used of a processor: unlike the wall clock, the same on a busy machine.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn no_input_takes_long() {
    let fill = |unit: &str| unit.repeat(SIZE / unit.len());
    let lines = |make: &dyn Fn(usize) -> String| -> String {
        let mut text = String::new();
        for number in 0.. {
            let line = make(number);
            if text.len() + line.len() > SIZE {
                break;
            }
            text.push_str(&line);
        }
        text
    };
    let cases = [
        ("open lists", fill("[")),
        ("open maps", fill("{a: ")),
        ("closed lists", fill("[]\n")),
        ("dashes", fill("- ")),
        ("dash lines", fill("- x\n")),
        ("list of lists", format!("a: [{}]", fill("[],").split_at(SIZE - 10).0)),
        ("question marks", fill("? ")),
        ("colons", fill(": ")),
        ("ampersands", fill("&a ")),
        ("aliases", format!("a: &a 1\nb: [{}]", fill("*a,").split_at(SIZE - 20).0)),
        ("one word", fill("a")),
        ("one quoted word", format!("\"{}\"", fill("a").split_at(SIZE - 2).0)),
        ("quotes", fill("\"")),
        ("escapes", format!("a: \"{}\"", fill("\\u0041").split_at(SIZE - 100).0)),
        ("comments", fill("#\n")),
        ("blanks", fill(" ")),
        ("lines", fill("\n")),
        ("tabs", fill("\t")),
        ("documents", fill("---\n")),
        ("directives", fill("%A b\n")),
        ("folded", format!("a: >\n{}", fill(" b\n").split_at(SIZE - 10).0)),
        ("plain lines", format!("a: b\n{}", fill(" c\n").split_at(SIZE - 10).0)),
        ("unknown keys", lines(&|n| format!("k{n}: 1\n"))),
        ("same key", fill("a: 1\n")),
        ("steps", lines(&|n| format!("{}a:\n", " ".repeat(n)))),
        (
            "hosts",
            format!(
                "hosts:\n{}",
                lines(&|n| format!("- {{name: n, address: 1, ssh: {{k{n}: 1}}}}\n")).split_at(SIZE - 100).0
            ),
        ),
    ];
    let aws = |before: &str, make: &dyn Fn(usize) -> String| {
        let items = lines(make);
        let (items, _) = items[..items.len().min(SIZE - 200)].rsplit_once('\n').unwrap();
        format!("provider: aws\naws:\n  region: eu-central-1\n{before}\n{items}\n")
    };
    let zone = |n: usize| format!("eu-central-1-a{n}b");
    let aws_cases = [
        ("zones", aws("  zones:", &|n| format!("  - {}\n", zone(n)))),
        ("same zone", aws("  zones:", &|_| "  - eu-central-1a\n".into())),
        (
            "groups",
            aws("  zones: [eu-central-1a]\n  workerGroups:", &|n| {
                format!("  - {{name: g{n:030}, min: 9, max: 1, zones: [{}]}}\n", zone(n))
            }),
        ),
        (
            "zones of a group",
            aws("  zones: [eu-central-1a]\n  workerGroups:\n  - name: g\n    zones:", &|n| {
                format!("    - {}\n", zone(n))
            }),
        ),
        (
            "subnets",
            aws("  network:\n    vpc: vpc-01234567\n    privateSubnets:", &|n| {
                format!("    - subnet-{n:08x}\n")
            }),
        ),
        ("access", aws("  access:\n    api:", &|_| "    - 203.0.113.0/24\n".into())),
        ("listeners", aws("  ingress:", &|_| "  - {port: 80, nodePort: 30080}\n".into())),
        ("tags", aws("  tags:", &|n| format!("    k{n}: v;w\n"))),
    ];
    for (what, text) in cases.into_iter().chain(aws_cases) {
        in_time(what, &text, |bytes| parse_bytes(bytes).unwrap_err());
    }
}

fn in_time(what: &str, text: &str, parse: impl Fn(&[u8]) -> Diagnostics) {
    let text = &text.as_bytes()[..text.len().min(SIZE)];
    let start = processor_time();
    let problems = parse(text);
    let took = processor_time() - start;
    println!("{what}: {took:?}, {}", problems.list.first().map_or("", |problem| &problem.message));
    assert!(took < BOUND, "{what} took {took:?}");
    assert!(problems.list.len() <= 100 && problems.render("").len() < 100_000, "{what}");
}

#[test]
fn no_migration_takes_long() {
    let head = "apiVersion: keelwright.dev/v1\nkind: Migration\n";
    let items = |before: &str, make: &dyn Fn(usize) -> String| {
        let mut text = format!("{head}{before}\n");
        for number in 0.. {
            let line = make(number);
            if text.len() + line.len() > SIZE {
                break;
            }
            text.push_str(&line);
        }
        text
    };
    let address = |n: usize| format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
    let half = |from: usize| (from..from + SIZE / 30).map(address).collect::<Vec<_>>().join(", ");
    let sides = format!(
        "{head}blue: {{balancer: {{addresses: [{}]}}}}\ngreen: {{balancer: {{addresses: [{}]}}}}\n",
        half(0),
        half(1 << 20)
    );
    for (what, text) in [
        ("names", items("names:", &|n| format!("- {{name: n{n}.example.org, hostedZone: Z{n}}}\n"))),
        ("same name", items("names:", &|_| "- {name: n, hostedZone: z}\n".into())),
        ("addresses of both sides", sides),
        ("probes", items("probes:", &|n| format!("- {{name: p{n}}}\n"))),
        ("wrong probes", items("probes:", &|_| "- {name: p, type: tcp, path: /, host: a b}\n".into())),
        ("moves", items("schedule:", &|n| format!("- {{green: {}%, soak: 1m}}\n", n % 101))),
        (
            "metrics",
            items("gates:\n  metrics:", &|n| format!("  - {{namespace: a, metric: m{n}, below: 1}}\n")),
        ),
        (
            "dimensions",
            items(
                "gates:\n  metrics:\n  - namespace: a\n    metric: b\n    below: 1\n    dimensions:",
                &|n| format!("      d{n}: x\n"),
            ),
        ),
        ("commands", items("gates:\n  commands:", &|n| format!("  - {{name: c{n}, command: [a]}}\n"))),
        ("resolvers", items("resolvers:", &|n| format!("- {}\n", address(n)))),
        ("subnets", items("make:\n  eks:\n    subnets:", &|n| format!("    - subnet-{n:08x}\n"))),
        ("instance types", items("make:\n  eks:\n    instanceTypes:", &|_| "    - large\n".into())),
        ("namespaces", items("copy:\n  namespaces:", &|n| format!("  - n{n}\n"))),
        ("selector", format!("{head}copy: {{selector: \"{}\"}}\n", "a=b,".repeat(SIZE / 5))),
        ("storage classes", items("copy:\n  storageClasses:", &|n| format!("    c{n}: d\n"))),
    ] {
        in_time(what, &text, |bytes| parse_migration(bytes, &here()).unwrap_err());
    }
}

#[test]
fn five_thousand_hosts_are_read_in_time() {
    let mut text = super::tests::MINIMAL.to_owned();
    for number in 0..5000 {
        let (high, low) = (number / 250, number % 250 + 1);
        text.push_str(&format!(
            "  - {{name: w-{number}, address: 172.16.{high}.{low}, labels: {{a: b, c: d}}, ssh: {{port: 22, user: me}}}}\n"
        ));
    }
    text.push_str("network: {podCidrs: [10.128.0.0/9], plugin: none}\ncontrollerManager: {extraArgs: {node-cidr-mask-size: 25}}\n");
    let start = processor_time();
    let (inventory, _) = parse_text(&text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(inventory.hosts.len(), 5001);
    let took = processor_time() - start;
    assert!(took < BOUND, "{took:?}");
}

/// Pieces that mean something to YAML or to the parser.
const PIECES: &[&str] = &[
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "---\n",
    "...\n",
    "- ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "|\n",
    ">\n",
    "? ",
    "\t",
    "\n",
    "#",
    "%",
    "\u{feff}",
    "\u{202e}",
    "\u{1f980}",
    "0",
    "-1",
    "1.30",
    "no",
    "~",
    "null",
    "hosts:",
    "name:",
    "aws:",
    "ami-",
    "ssm:",
    "10.0.0.0/8",
    "::/0",
    "\\",
    "99999999999999999999",
    "\0",
];

fn mutated(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let edits =
        prop::collection::vec((any::<prop::sample::Index>(), 0..5_u8, any::<u8>(), 0..PIECES.len()), 1..12);
    edits.prop_map(move |edits| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, kind, byte, piece) in edits {
            let at = at.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            let end = (at + usize::from(byte)).min(bytes.len());
            match kind {
                0 => bytes.splice(at..at, PIECES[piece].bytes()).for_each(drop),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy).for_each(drop);
                }
                3 => bytes.splice(at..end.min(at + 1), PIECES[piece].bytes()).for_each(drop),
                _ => {
                    if let Some(slot) = bytes.get_mut(at) {
                        *slot = byte;
                    }
                }
            }
        }
        bytes
    })
}

fn survives(bytes: &[u8]) {
    match parse_bytes(bytes) {
        Ok((Wanted::Hosts(inventory), _)) => {
            let json = serde_json::to_string(&inventory).unwrap();
            assert_eq!(serde_json::from_str::<Inventory>(&json).unwrap(), *inventory);
        }
        Ok((Wanted::Aws(inventory), _)) => {
            let json = serde_json::to_string(&inventory.aws).unwrap();
            assert_eq!(serde_json::from_str::<Aws>(&json).unwrap(), inventory.aws);
        }
        Err(problems) => are_shown(&problems, bytes),
    }
}

fn migration_survives(bytes: &[u8]) {
    match parse_migration(bytes, &here()) {
        Ok((migration, _)) => {
            let json = serde_json::to_string(&migration).unwrap();
            assert_eq!(serde_json::from_str::<Migration>(&json).unwrap(), migration);
        }
        Err(problems) => are_shown(&problems, bytes),
    }
}

fn are_shown(problems: &Diagnostics, bytes: &[u8]) {
    assert!(problems.error_count() > 0);
    let text = problems.render(&String::from_utf8_lossy(bytes));
    let bad = text.chars().find(|c| crate::inventory::diagnostic::is_invisible(*c) && *c != '\n');
    assert_eq!(bad, None, "{text:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        survives(&bytes);
        migration_survives(&bytes);
    }

    #[test]
    fn pieces_of_yaml_never_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..200)) {
        survives(pieces.concat().as_bytes());
    }

    #[test]
    fn mutated_inventories_never_panic(bytes in mutated(FULL)) {
        survives(&bytes);
    }

    #[test]
    fn mutated_migrations_never_panic(bytes in mutated(FULL_MIGRATION)) {
        migration_survives(&bytes);
    }

    #[test]
    fn mutated_inventories_in_aws_never_panic(bytes in mutated(FULL_AWS)) {
        survives(&bytes);
    }
}
