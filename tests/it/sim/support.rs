//! What the simulator's tests share: inventories, and how a failure is told.

use camino::Utf8Path;
use keelwright::inventory::{HostName, Inventory, Origin, parse};
use keelwright::sim::{Faults, Run, Simulation, Trace};

pub fn inventory(text: &str) -> Inventory {
    inventory_of("v1.37.1", text)
}

pub fn inventory_of(version: &str, text: &str) -> Inventory {
    let origin = Origin { file: "inventory.yaml", base: Utf8Path::new("/srv/cluster"), home: None };
    let text = format!(
        "apiVersion: keelwright.dev/v1\nkind: Cluster\nmetadata: {{name: sim}}\nkubernetes: {{version: {version}}}\n{text}"
    );
    match parse(text.as_bytes(), &origin) {
        Ok((inventory, _)) => inventory,
        Err(problems) => panic!("{}", problems.render(&text)),
    }
}

/// `cp-1`…, `worker-1`…
pub fn stacked(control_planes: usize, workers: usize) -> Inventory {
    let cps: Vec<usize> = (1..=control_planes).collect();
    let workers: Vec<usize> = (1..=workers).collect();
    hosts(&cps, &workers)
}

pub fn hosts(control_planes: &[usize], workers: &[usize]) -> Inventory {
    inventory(&hosts_text(control_planes, workers))
}

/// `cp-1`…, `worker-1`… of another version.
pub fn stacked_at(version: &str, control_planes: usize, workers: usize) -> Inventory {
    let cps: Vec<usize> = (1..=control_planes).collect();
    let workers: Vec<usize> = (1..=workers).collect();
    inventory_of(version, &hosts_text(&cps, &workers))
}

pub fn hosts_at(version: &str, control_planes: &[usize], workers: &[usize]) -> Inventory {
    inventory_of(version, &hosts_text(control_planes, workers))
}

pub fn hosts_text(control_planes: &[usize], workers: &[usize]) -> String {
    let mut text = String::from("hosts:\n");
    for number in control_planes {
        text +=
            &format!("  - {{name: cp-{number}, address: 192.0.2.{}, roles: [control-plane]}}\n", 10 + number);
    }
    for number in workers {
        text += &format!("  - {{name: worker-{number}, address: 192.0.2.{}}}\n", 100 + number);
    }
    if control_planes.len().is_multiple_of(2) {
        text += "etcd: {allowEvenMembers: true}\n";
    }
    text
}

pub fn single_node() -> Inventory {
    inventory("hosts:\n  - {name: node-1, address: 192.0.2.11, roles: [control-plane, worker]}\n")
}

pub fn external_etcd() -> Inventory {
    external_etcd_at("v1.37.1")
}

pub fn external_etcd_at(version: &str) -> Inventory {
    inventory_of(
        version,
        "hosts:
  - {name: etcd-1, address: 192.0.2.31, roles: [etcd]}
  - {name: etcd-2, address: 192.0.2.32, roles: [etcd]}
  - {name: etcd-3, address: 192.0.2.33, roles: [etcd]}
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: worker-1, address: 192.0.2.101}
etcd: {placement: dedicated}
",
    )
}

pub fn name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

pub fn simulation(inventory: Inventory) -> Simulation {
    Simulation::new(inventory, Faults::none()).unwrap()
}

/// What went wrong in a trace, in full.
pub fn told(simulation: &Simulation, trace: &Trace) -> String {
    let mut out = String::new();
    for (number, round) in trace.rounds.iter().enumerate() {
        let steps = round.outline.as_ref().map_or(0, |outline| outline.plan.steps.len());
        out += &format!("round {number}, {steps} steps: ");
        out += &match &round.run {
            Run::Ran(outcome) => {
                let failed: Vec<String> =
                    outcome.failed.iter().map(|(id, failure)| format!("\n    {id}: {failure}")).collect();
                format!("{} done, {} skipped{}", outcome.done.len(), outcome.skipped.len(), failed.join(""))
            }
            other => format!("{other:?}"),
        };
        out.push('\n');
        if number > 0
            && let Some(outline) = &round.outline
        {
            out += &keelwright::plan::show::text(outline, keelwright::plan::show::Detail::Everything);
        }
    }
    let world = simulation.fleet.world();
    for (at, incident) in &world.incidents {
        out += &format!("{:7.1} s  {incident}\n", at.as_secs_f64());
    }
    out
}

/// Converges, or says why not; no promise may be broken on the way.
pub fn settle(simulation: &mut Simulation) -> Trace {
    let trace = simulation.converge(keelwright::plan::Goal::Converge);
    let violations = simulation.fleet.world().violations.clone();
    if !trace.converged || !violations.is_empty() {
        panic!("broken promises: {violations:#?}\n{}", told(simulation, &trace));
    }
    trace
}
