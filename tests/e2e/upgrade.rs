//! Upgrade for real: three minors in one apply, while clients write, read and call a service.

use std::collections::{BTreeMap, BTreeSet};

use keelwright::lab::Role;
use keelwright::timeline::Timeline;

use crate::clients::{start_api_client, start_service_client, stop_client};
use crate::cluster::{Cluster, collect};
use crate::lab::skip_reason;
use crate::timeline::{self, Sampler};

const NODES: [&str; 5] = ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"];

/// Minors on the way from the oldest to the newest.
pub const PASSED: [&str; 2] = ["v1.35.4", "v1.36.4"];

#[test]
#[ignore = "takes its time: make e2e"]
fn upgrades_three_minors_in_one_apply_and_nobody_notices() {
    if let Some(reason) = skip_reason() {
        eprintln!("skipped: {reason}");
        return;
    }
    let counts = [(Role::ControlPlane, 3), (Role::Worker, 2), (Role::Spare, 1)];
    let mut cluster = Cluster::to_upgrade("e2e-up", "v1.34.4", &PASSED, "v1.37.1", &counts);
    cluster.apply();
    start_api_client(&cluster);
    start_service_client(&cluster, &NODES);
    cluster.upgrade_to("v1.37.1");
    a_rehearsal_predicts_it(&cluster);
    let hooks = cluster.directory().join("hooks");
    cluster.edit(|text| text + &waves_and_hooks(&hooks));
    let (time, timeline) = drawn(&cluster, "upgrade-1.34.4-1.37.1", || cluster.apply());
    eprintln!("from 1.34.4 to 1.37.1 in {:.1} s", time.as_secs_f64());
    let api = stop_client(&cluster, "worker-1", "API");
    api.none_has_failed();
    api.none_is_lost(&cluster);
    stop_client(&cluster, "spare-1", "service").none_has_failed();
    for host in &timeline.hosts {
        assert_eq!(host.cordoned.len(), 1, "{} was drained once: {:?}", host.host, host.cordoned);
    }
    hooks_have_run(&cluster, &hooks);
    everything_runs(&cluster, &NODES, "v1.37.1");
    kubeadm_has_nothing_to_change(&cluster, "v1.37.1");
}

/// Played from the real cluster's facts, before anything is changed.
fn a_rehearsal_predicts_it(cluster: &Cluster) {
    let args = ["--upgrade-to", "v1.37.1", "--from", "observed", "--output", "json"];
    let said = cluster.on("rehearse", &args);
    let end: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(end["converged"], true, "{end:#}");
    let differs =
        |note: &serde_json::Value| note.as_str().is_some_and(|note| note.starts_with("Not rehearsed"));
    assert!(
        !end["notes"].as_array().unwrap().iter().any(differs),
        "the replica's plan is the real one: {end:#}"
    );
    let drains = &end["disturbance"]["drains"];
    assert_eq!(
        *drains,
        serde_json::json!(NODES.map(|node| (node, 1)).into_iter().collect::<BTreeMap<_, _>>())
    );
    let calls = &end["disturbance"]["calls"];
    eprintln!("rehearsed from the real cluster: {} s; {calls}", end["seconds"]);
}

/// A canary, a gate, a pause, and hooks on both sides that write down what they were told.
fn waves_and_hooks(log: &std::path::Path) -> String {
    let say = "$KEELWRIGHT_WHEN $KEELWRIGHT_HOST/$KEELWRIGHT_WAVE $KEELWRIGHT_STAGE $KEELWRIGHT_TO";
    let local = format!("[sh, -c, 'echo \"{say}\" >>{}']", log.display());
    let there = format!("[sh, -c, 'echo \"{say}\" >>/root/hooks']");
    format!(
        "policy: {{upgrade: {{canary: [worker-2], pauseBetweenWaves: 10s}}}}
hooks:
- {{name: hop, when: before-hop, command: {local}}}
- {{name: wave, when: after-wave, command: {local}}}
- {{name: out, when: before-host, where: host, roles: [worker], command: {there}}}
- {{name: in, when: after-host, where: host, roles: [worker], command: {there}}}
"
    )
}

fn hooks_have_run(cluster: &Cluster, log: &std::path::Path) {
    let local = std::fs::read_to_string(log).unwrap();
    let local: Vec<&str> = local.lines().collect();
    assert_eq!(
        local,
        [
            "before-hop / etcd 3.7.0",
            "before-hop / control-plane v1.35.4",
            "before-hop / control-plane v1.36.4",
            "before-hop / control-plane v1.37.1",
            "after-wave /canary node v1.37.1",
            "after-wave /1 node v1.37.1",
        ]
    );
    for (worker, wave) in [("worker-1", "1"), ("worker-2", "canary")] {
        let told = cluster.ask(worker, "cat /root/hooks");
        let line = |when: &str| format!("{when} {worker}/{wave} node v1.37.1");
        assert_eq!(told, format!("{}\n{}", line("before-host"), line("after-host")));
    }
}

/// A member of etcd 3.5, as clusters that others made have it, goes through 3.6 to 3.7 with what it holds.
#[test]
#[ignore = "builds another etcd: make e2e"]
fn etcd_3_5_goes_through_3_6() {
    if let Some(reason) = skip_reason() {
        eprintln!("skipped: {reason}");
        return;
    }
    let counts = [(Role::ControlPlane, 1), (Role::Worker, 1)];
    let mut cluster = Cluster::to_upgrade("e2e-etcd", "v1.34.4", &PASSED, "v1.37.1", &counts);
    cluster.apply();
    begin_anew_with_etcd_3_5(&cluster);
    cluster.kubectl(&["create", "configmap", "kept", "--from-literal=by=3.5"]);
    cluster.upgrade_to("v1.37.1");
    let inventory = cluster.inventory();
    let plan = cluster.ok(&["plan", "-i", inventory.to_str().unwrap()]);
    let steps: Vec<&str> = plan.lines().filter(|line| line.starts_with("cp-1/etcd")).collect();
    assert!(
        matches!(steps.as_slice(), [first, last] if first.starts_with("cp-1/etcd-3.6 ") && last.starts_with("cp-1/etcd ")),
        "{steps:#?}"
    );
    let time = cluster.apply();
    eprintln!("from 1.34.4 with etcd 3.5.35 to 1.37.1 in {:.1} s", time.as_secs_f64());
    assert_eq!(cluster.kubectl(&["get", "configmap", "kept", "-o", "jsonpath={.data.by}"]), "3.5");
    let running = cluster.ask("cp-1", "crictl exec $(crictl ps -q --name '^etcd$') etcd --version | head -1");
    assert_eq!(running, "etcd Version: 3.7.0");
    everything_runs(&cluster, &["cp-1", "worker-1"], "v1.37.1");
}

/// No etcd goes back a minor, so the data goes with the 3.6 that wrote it.
fn begin_anew_with_etcd_3_5(cluster: &Cluster) {
    let bundle = cluster.directory().join("etcd-3.5");
    let output = bundle.to_str().unwrap();
    collect(cluster.version, &["--only", "etcd", "--etcd-version", "3.5.35", "--output", output]);
    cluster.put("cp-1", &bundle.join("images/etcd-3.5.35-0.tar"), "/root/etcd.tar");
    cluster.ask(
        "cp-1",
        r#"set -e
         ctr -n k8s.io images import /root/etcd.tar >/dev/null
         mkdir /root/stopped && cd /etc/kubernetes/manifests && mv *.yaml /root/stopped/
         left() { crictl ps -q --name '^(etcd|kube-apiserver|kube-controller-manager|kube-scheduler)$'; }
         end=$(($(date +%s) + 180))
         while [ -n "$(left)" ]; do [ "$(date +%s)" -lt $end ]; done
         rm -rf /var/lib/etcd/member
         sed -i -e 's/etcd:3.6.5-0/etcd:3.5.35-0/' -e 's/--watch-progress/--experimental-watch-progress/' \
           -e 's/--feature-gates=InitialCorruptCheck=true/--experimental-initial-corrupt-check=true/' /root/stopped/etcd.yaml
         mv /root/stopped/*.yaml . && systemctl restart kubelet"#,
    );
    cluster.ask("worker-1", "systemctl restart kubelet");
    let ready = "until curl -fsk https://127.0.0.1:6443/readyz; do :; done";
    cluster.ask("cp-1", &format!("timeout 180 sh -c '{ready}'"));
    let running = cluster.ask("cp-1", "crictl exec $(crictl ps -q --name '^etcd$') etcd --version | head -1");
    assert_eq!(running, "etcd Version: 3.5.35");
    // The empty store does not know who the administrators are, and takes only a system:masters' word.
    cluster.ask(
        "cp-1",
        "cd /root && openssl req -new -newkey rsa:2048 -nodes -keyout m.key -subj /O=system:masters/CN=test -out m.csr 2>/dev/null
         openssl x509 -req -in m.csr -CA /etc/kubernetes/pki/ca.crt -CAkey /etc/kubernetes/pki/ca.key -CAcreateserial -out m.crt 2>/dev/null
         kubectl --server https://127.0.0.1:6443 --certificate-authority /etc/kubernetes/pki/ca.crt \
           --client-certificate m.crt --client-key m.key create clusterrolebinding kubeadm:cluster-admins \
           --clusterrole=cluster-admin --group=kubeadm:cluster-admins",
    );
    cluster.kubectl(&["wait", "--for=create", "node/cp-1", "node/worker-1", "--timeout=60s"]);
}

/// Ready, of this version, and nothing left to do.
pub fn everything_runs(cluster: &Cluster, nodes: &[&str], version: &str) {
    assert_eq!(cluster.ready_nodes(), nodes);
    let versions =
        cluster.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}"]);
    assert_eq!(versions.split_whitespace().collect::<BTreeSet<_>>(), BTreeSet::from([version]));
    assert_eq!(cluster.steps_left(), Vec::<String>::new(), "a second plan is empty");
}

/// The manifests are what the real kubeadm of that version would write, and no certificate runs out.
fn kubeadm_has_nothing_to_change(cluster: &Cluster, version: &str) {
    cluster.put("cp-1", &cluster.bundle().join("bin/kubeadm"), "/root/kubeadm");
    let kubeconfig = "--kubeconfig /etc/kubernetes/admin.conf";
    let diff = cluster.ask("cp-1", &format!("/root/kubeadm upgrade diff {version} {kubeconfig} 2>&1"));
    let changed: Vec<&str> = diff.lines().filter(|line| line.starts_with(['+', '-', '@'])).collect();
    assert!(changed.is_empty(), "kubeadm upgrade diff:\n{diff}");
    let table = cluster.ask("cp-1", "/root/kubeadm certs check-expiration 2>/dev/null");
    // super-admin.conf stays in the vault.
    let bad = |line: &&str| {
        line.contains("MISSING") && !line.contains("super-admin.conf") || line.contains("invalid")
    };
    assert_eq!(table.lines().filter(bad).collect::<Vec<_>>(), Vec::<&str>::new());
}

/// Does something while its timeline is drawn; one that fails is drawn as well.
fn drawn<T>(cluster: &Cluster, name: &str, change: impl FnOnce() -> T) -> (T, Timeline) {
    let sampler = Sampler::start(cluster, &["cp-1", "cp-2", "cp-3"]);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(change));
    let recorded = sampler.stop();
    let calls = ["worker-1", "spare-1"].map(|machine| cluster.run(machine, "cat /root/client/calls").stdout);
    let log = calls.map(|calls| String::from_utf8_lossy(&calls).into_owned()).join("\n");
    let timeline = recorded.timeline("Kubernetes 1.34.4 to 1.37.1 in one apply", &log);
    timeline::write(name, &timeline);
    (result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), timeline)
}
