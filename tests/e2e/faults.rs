//! An upgrade that is killed, cut off and whose machines are rebooted, again and again: it goes on from what
//! is there, and nothing that was acknowledged is lost.

use std::time::Duration;

use keelwright::lab::{End, MachineName, Role};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::clients::{start_api_client, stop_client};
use crate::cluster::Cluster;
use crate::lab::skip_reason;
use crate::upgrade::{PASSED, everything_runs};

const NODES: [&str; 4] = ["cp-1", "cp-2", "cp-3", "worker-1"];
/// Steps that each run is let do before something happens to it.
const STRIDE: usize = 1;
const ROUNDS: usize = 16;
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

#[test]
fn an_upgrade_goes_on_after_kills_cuts_and_reboots() {
    if let Some(reason) = skip_reason() {
        eprintln!("skipped: {reason}");
        return;
    }
    let counts = [(Role::ControlPlane, 3), (Role::Worker, 1)];
    let mut cluster = Cluster::to_upgrade("e2e-faults", "v1.34.4", &PASSED, "v1.37.1", &counts);
    cluster.apply();
    start_api_client(&cluster);
    cluster.upgrade_to("v1.37.1");
    a_poisoned_image_is_put_back(&cluster);
    a_poisoned_flag_is_put_back(&cluster);
    let hit = disturbed_again_and_again(&mut cluster);
    let time = cluster.apply();
    eprintln!("from 1.34.4 to 1.37.1 after {hit} faults; the last apply took {:.1} s", time.as_secs_f64());
    stop_client(&cluster, "worker-1", "API").none_is_lost(&cluster);
    everything_runs(&cluster, &NODES, "v1.37.1");
    assert!(hit >= 10, "only {hit} runs were disturbed before they had ended");
}

/// The API server's image of the first minor on the way is none on cp-2.
fn a_poisoned_image_is_put_back(cluster: &Cluster) {
    let image = "registry.k8s.io/kube-apiserver:v1.35.4";
    let pause = cluster.ask("cp-2", "ctr -n k8s.io images ls -q | grep -m1 registry.k8s.io/pause:");
    cluster.ask("cp-2", &format!("ctr -n k8s.io images tag {pause} {image}"));
    only_cp_2_fails(cluster);
    cluster.ask("cp-2", &format!("ctr -n k8s.io images rm --sync {image}"));
}

/// A flag names a file that cp-2 has not.
fn a_poisoned_flag_is_put_back(cluster: &Cluster) {
    let path = "/etc/kubernetes/pki/egress.yaml";
    let file =
        "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections: []\n";
    let write = format!("printf '{file}' >{path}");
    cluster.ask("cp-1", &write);
    cluster.ask("cp-3", &write);
    let flag = format!("- {{name: egress-selector-config-file, value: {path}}}");
    cluster.edit(|text| format!("{text}apiServer:\n  extraArgs:\n  {flag}\n"));
    only_cp_2_fails(cluster);
    cluster.ask("cp-2", &write);
}

/// cp-2 is as it was, cp-1 has gone on to 1.35, cp-3 was left alone, and all of them serve.
fn only_cp_2_fails(cluster: &Cluster) {
    let error = cluster.apply_fails();
    let told: Vec<&str> = error.lines().filter(|line| line.contains("FAILED")).collect();
    eprintln!("{}", told.join("\n"));
    assert!(error.contains("what was there before is back"), "{error}");
    assert!(matches!(told.as_slice(), [one] if one.contains("cp-2/control-plane-1.35")), "{told:#?}");
    for (host, version) in [("cp-1", "v1.35.4"), ("cp-2", "v1.34.4"), ("cp-3", "v1.34.4")] {
        // Its own API server, not the one that the balancer chooses.
        let raw = "kubectl --kubeconfig /etc/kubernetes/admin.conf --server https://127.0.0.1:6443 get --raw";
        assert_eq!(cluster.ask(host, &format!("{raw} /readyz")), "ok", "{host}");
        let answer = cluster.ask(host, &format!("{raw} /version | grep gitVersion"));
        assert!(answer.contains(version), "{host}: want {version}, found {answer}");
    }
}

/// Each run gets a little further than the one before. Returns how many were disturbed.
fn disturbed_again_and_again(cluster: &mut Cluster) -> usize {
    let seed = std::env::var("KEELWRIGHT_E2E_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("KEELWRIGHT_E2E_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut hit = 0;
    for round in 0..ROUNDS {
        let fault = [Fault::Kill, Fault::Cut, Fault::Reboot][round % 3];
        // The client that must be able to tell what was acknowledged is on the worker.
        let hosts = if matches!(fault, Fault::Reboot) { &NODES[..3] } else { &NODES[..] };
        let host = hosts[random.random_range(0..hosts.len())];
        let after = Duration::from_millis(random.random_range(0..8_000));
        let mut apply = cluster.start_apply();
        match apply.get_to(STRIDE, after) {
            None => hit += 1,
            Some(status) if status.success() => return hit,
            // The machine that lost its power just now is not back yet: say so and try again, as anybody would.
            Some(status) => {
                eprintln!("ended by itself, {status}:\n{}", apply.text());
                continue;
            }
        }
        eprintln!("{fault:?} {host} {} ms after {STRIDE} steps, in {}", after.as_millis(), apply.running());
        happen(cluster, fault, host);
        // What was disturbed goes on by itself if it can; one more step, and the next round begins.
        let more = apply.done() + usize::from(!matches!(fault, Fault::Kill));
        let status = apply.kill_at(more);
        eprintln!("    {status} with {} steps done", apply.done());
    }
    hit
}

fn happen(cluster: &mut Cluster, fault: Fault, host: &str) {
    let machine: MachineName = host.parse().unwrap();
    match fault {
        Fault::Kill => {}
        Fault::Cut => {
            let end = End::Machine(machine);
            cluster.lab.cut(End::Operator, end).unwrap();
            std::thread::park_timeout(CUT);
            cluster.lab.mend(End::Operator, end).unwrap();
        }
        Fault::Reboot => cluster.lab.reboot(machine, true).unwrap(),
    }
}
