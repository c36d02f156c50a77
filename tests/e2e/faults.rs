//! An upgrade that is killed, cut off and whose machines are rebooted, again and again: it goes on from what
//! is there, and nothing that was acknowledged is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use keelwright::lab::{End, MachineName, Role};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::clients::{start_api_client, stop_client};
use crate::cluster::{Apply, Cluster};
use crate::lab::skip_reason;
use crate::upgrade::{PASSED, everything_runs};

const NODES: [&str; 5] = ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"];
/// What must happen to an upgrade before it may end in peace.
const FAULTS: usize = 12;
/// A run that ends by itself, as one does whose machine is booting, is no round.
const ROUNDS: usize = 30;
/// Longer than the connection's keep-alive.
const CUT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// keelwright is killed with SIGKILL.
    Kill,
    /// Nothing gets from keelwright to a machine or back for a while.
    Cut,
    /// A machine's power is cut, and it boots again.
    Reboot,
}

/// The versions that an upgrade goes through, the first and the last among them.
struct Way {
    from: &'static str,
    passed: &'static [&'static str],
    /// Steps that begin from one fault to the next: fewer where there are fewer.
    stride: usize,
}

const TO: &str = "v1.37.1";

impl Way {
    /// Where control planes are after the first hop.
    fn first_hop(&self) -> &'static str {
        self.passed.first().copied().unwrap_or(TO)
    }
}

#[test]
fn an_upgrade_goes_on_after_kills_cuts_and_reboots() {
    upgraded_through_faults(&Way { from: "v1.36.4", passed: &[], stride: 1 });
}

#[test]
#[ignore = "builds three more versions: make e2e"]
fn an_upgrade_over_three_minors_goes_on_after_kills_cuts_and_reboots() {
    upgraded_through_faults(&Way { from: "v1.34.4", passed: &PASSED, stride: 3 });
}

fn upgraded_through_faults(way: &Way) {
    if let Some(reason) = skip_reason() {
        eprintln!("skipped: {reason}");
        return;
    }
    let counts = [(Role::ControlPlane, 3), (Role::Worker, 2)];
    let mut cluster = Cluster::to_upgrade("e2e-faults", way.from, way.passed, TO, &counts);
    cluster.apply();
    start_api_client(&cluster);
    cluster.upgrade_to(TO);
    a_poisoned_image_is_put_back(&cluster, way);
    a_poisoned_flag_is_put_back(&cluster, way);
    let hit = disturbed_again_and_again(&mut cluster, way.stride);
    let time = cluster.apply();
    eprintln!(
        "from {} to {TO} after {} faults; the last apply took {:.1} s",
        way.from,
        hit.len(),
        time.as_secs_f64()
    );
    stop_client(&cluster, "worker-1", "API").none_is_lost(&cluster);
    everything_runs(&cluster, &NODES, TO);
    let steps: BTreeSet<&String> = hit.iter().collect();
    assert!(hit.len() >= 10 && steps.len() >= 5, "the upgrade ended after faults in {hit:?}");
}

/// The API server's image of the first minor on the way is none on cp-2.
fn a_poisoned_image_is_put_back(cluster: &Cluster, way: &Way) {
    let image = format!("registry.k8s.io/kube-apiserver:{}", way.first_hop());
    let pause = cluster.ask("cp-2", "ctr -n k8s.io images ls -q | grep -m1 registry.k8s.io/pause:");
    cluster.ask("cp-2", &format!("ctr -n k8s.io images tag {pause} {image}"));
    only_cp_2_fails(cluster, way);
    cluster.ask("cp-2", &format!("ctr -n k8s.io images rm --sync {image}"));
}

/// A flag names a file that cp-2 has not.
fn a_poisoned_flag_is_put_back(cluster: &Cluster, way: &Way) {
    let path = "/etc/kubernetes/pki/egress.yaml";
    let file =
        "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections: []\n";
    let write = format!("printf '{file}' >{path}");
    cluster.ask("cp-1", &write);
    cluster.ask("cp-3", &write);
    let flag = format!("- {{name: egress-selector-config-file, value: {path}}}");
    cluster.edit(|text| format!("{text}apiServer:\n  extraArgs:\n  {flag}\n"));
    only_cp_2_fails(cluster, way);
    cluster.ask("cp-2", &write);
}

/// cp-2 is as it was, cp-1 has gone on, cp-3 was left alone, and all of them serve.
fn only_cp_2_fails(cluster: &Cluster, way: &Way) {
    let error = cluster.apply_fails();
    let told: Vec<&str> = error.lines().filter(|line| line.contains("FAILED")).collect();
    eprintln!("{}", told.join("\n"));
    assert!(error.contains("what was there before is back"), "{error}");
    // A minor that is only passed through is part of the step's name.
    let hop = way.passed.first().and_then(|version| version.trim_start_matches('v').rsplit_once('.'));
    let step =
        hop.map_or("cp-2/control-plane ".to_owned(), |(minor, _)| format!("cp-2/control-plane-{minor}"));
    assert!(matches!(told.as_slice(), [one] if one.contains(&step)), "{told:#?}");
    for (host, version) in [("cp-1", way.first_hop()), ("cp-2", way.from), ("cp-3", way.from)] {
        // Its own API server, not the one that the balancer chooses.
        let raw = "kubectl --kubeconfig /etc/kubernetes/admin.conf --server https://127.0.0.1:6443 get --raw";
        assert_eq!(cluster.ask(host, &format!("{raw} /readyz")), "ok", "{host}");
        let answer = cluster.ask(host, &format!("{raw} /version | grep gitVersion"));
        assert!(answer.contains(version), "{host}: want {version}, found {answer}");
    }
}

/// One fault after another, each while a step runs. Returns the steps.
fn disturbed_again_and_again(cluster: &mut Cluster, stride: usize) -> Vec<String> {
    let seed = std::env::var("KEELWRIGHT_E2E_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("KEELWRIGHT_E2E_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut hit = Vec::new();
    let mut running: Option<Apply> = None;
    for _ in 0..ROUNDS {
        if hit.len() == FAULTS {
            break;
        }
        let after = Duration::from_millis(random.random_range(0..5_000));
        let mut apply = running.take().unwrap_or_else(|| cluster.start_apply());
        match apply.begin_more(stride, after) {
            None => {}
            Some(status) if status.success() => return hit,
            // The machine that lost its power just now is not back yet: say so and try again, as anybody would.
            Some(status) => {
                eprintln!("ended by itself, {status}:\n{}", apply.text());
                continue;
            }
        }
        // A killed run is soon begun again; while a machine is away, the others go on.
        let fault = [Fault::Kill, Fault::Cut, Fault::Kill, Fault::Reboot][hit.len() % 4];
        // The client that must be able to tell what was acknowledged is on the worker.
        let hosts = if matches!(fault, Fault::Reboot) { &NODES[..3] } else { &NODES[..] };
        let host = hosts[random.random_range(0..hosts.len())];
        let step = apply.running();
        let what = if matches!(fault, Fault::Kill) { "keelwright" } else { host };
        eprintln!("{fault:?} {what} in {step}, with {} steps done", apply.done());
        hit.push(step);
        running = happen(cluster, fault, host, apply);
    }
    // What is left is done by a run of its own.
    if let Some(mut apply) = running {
        apply.kill();
    }
    hit
}

/// What was disturbed goes on by itself if it can; a run that was killed does not.
fn happen(cluster: &mut Cluster, fault: Fault, host: &str, mut apply: Apply) -> Option<Apply> {
    let machine: MachineName = host.parse().unwrap();
    match fault {
        Fault::Kill => {
            apply.kill();
            return None;
        }
        Fault::Cut => {
            let end = End::Machine(machine);
            cluster.lab.cut(End::Operator, end).unwrap();
            std::thread::park_timeout(CUT);
            cluster.lab.mend(End::Operator, end).unwrap();
        }
        Fault::Reboot => cluster.lab.reboot(machine, true).unwrap(),
    }
    Some(apply)
}
