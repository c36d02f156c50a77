//! Instances that stop and start: machines of the lab whose power goes and comes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use keelwright::lab::Status;

use super::stage::{Apply, CONTROL_PLANES, Stage};

/// One after another: never are two of them off.
pub async fn control_planes_get_another_type(stage: &Stage, kind: &str) {
    stage.inventory("first", kind);
    let began = Instant::now();
    let mut apply = Apply::start(stage);
    let mut been_off = BTreeSet::new();
    let status = loop {
        if let Some(status) = apply.child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(900), "it stands still: {}", apply.said());
        for instance in stage.instances().await {
            tokio::task::block_in_place(|| follow(stage, &instance.name, &instance.state));
        }
        let off: Vec<&str> = CONTROL_PLANES.into_iter().filter(|name| is_off(stage, name)).collect();
        assert!(off.len() < 2, "{off:?} are off at the same time: {}", apply.said());
        been_off.extend(off);
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(status.success(), "{status}: {}", apply.said());
    eprintln!("control planes of another type after {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!(been_off, CONTROL_PLANES.into());
    let instances = stage.instances().await;
    let planes = instances.iter().filter(|instance| CONTROL_PLANES.contains(&instance.name.as_str()));
    assert!(planes.clone().count() == 3 && planes.clone().all(|it| it.kind == kind), "{instances:?}");
    let again = stage.command(&["plan", "--check"]).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
}

fn is_off(stage: &Stage, machine: &str) -> bool {
    stage.cluster.lab.status(machine.parse().unwrap()).unwrap() == Status::Off
}

/// A machine does what the account says of its instance.
fn follow(stage: &Stage, machine: &str, state: &str) {
    if !CONTROL_PLANES.contains(&machine) {
        return;
    }
    let name = machine.parse().unwrap();
    match (state, is_off(stage, machine)) {
        ("stopped", false) => stage.cluster.lab.kill(name).unwrap(),
        ("pending" | "running", true) => stage.cluster.lab.reboot(name, false).unwrap(),
        _ => {}
    }
}
