//! How long planning takes, and how much memory: `cargo bench --bench plan [HOSTS...]`.
//!
//! Bounds: 1,000 new hosts in one second and 200 MB, 5,000 in five seconds. A bound that is missed
//! fails the run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use keelwright::inventory::{Inventory, Origin, parse};
use keelwright::plan::{Goal, ObjectSet, PlanInput, plan};
use keelwright::sim::vault::EPOCH;
use keelwright::sim::{Faults, Simulation};

/// Hosts, seconds, MB.
const BOUNDS: [(usize, f64, u64); 2] = [(1000, 1.0, 200), (5000, 5.0, u64::MAX)];

fn inventory(hosts: usize) -> Inventory {
    let mut text = String::from(
        "apiVersion: keelwright.dev/v1\nkind: Cluster\nmetadata: {name: bench}\nkubernetes: {version: v1.37.1}\n\
         network: {podCidrs: [10.0.0.0/9], serviceCidrs: [172.16.0.0/16]}\nhosts:\n",
    );
    for number in 0..hosts {
        let address =
            std::net::Ipv4Addr::from(u32::from(std::net::Ipv4Addr::new(198, 18, 0, 1)) + number as u32);
        let roles = if number < 3 { ", roles: [control-plane]" } else { "" };
        text += &format!("  - {{name: host-{number:05}, address: {address}{roles}}}\n");
    }
    let origin = Origin { file: "bench", base: Utf8Path::new("/"), home: None };
    match parse(text.as_bytes(), &origin) {
        Ok((inventory, _)) => inventory,
        Err(problems) => panic!("{}", problems.render(&text)),
    }
}

/// From /proc, in MB; 0 where there is none.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn main() {
    let asked: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let counts = if asked.is_empty() { BOUNDS.map(|(hosts, _, _)| hosts).to_vec() } else { asked };
    let mut missed = false;
    for hosts in counts {
        let mut simulation = Simulation::new(inventory(hosts), Faults::none()).expect("a supported version");
        simulation.check_leaks = false;
        let look = simulation.plan(Goal::Converge).expect("a look");
        let objects: BTreeMap<ObjectSet, _> = BTreeMap::new();
        let input = PlanInput {
            inventory: &simulation.inventory,
            facts: &look.facts,
            vault: &look.vault,
            bundles: &simulation.bundles,
            passing: &simulation.passing,
            manifests: &simulation.manifests,
            objects: &objects,
            goal: Goal::Converge,
            now: EPOCH,
        };
        let (began, before) = (Instant::now(), memory("VmRSS:"));
        let outline = plan(&input).expect("a plan");
        let took = began.elapsed();
        let grew = memory("VmRSS:").saturating_sub(before);
        println!(
            "{hosts} hosts: {} steps planned in {:.2} s, {grew} MB more; whole process at most {} MB",
            outline.plan.steps.len(),
            took.as_secs_f64(),
            memory("VmHWM:")
        );
        for (_, seconds, megabytes) in BOUNDS.iter().filter(|(bound, _, _)| *bound == hosts) {
            missed |= took > Duration::from_secs_f64(*seconds) || grew > *megabytes;
        }
    }
    if missed {
        eprintln!("a bound is missed");
        std::process::exit(1);
    }
}
