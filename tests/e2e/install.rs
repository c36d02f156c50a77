//! Install for real: the oldest and the newest supported minor, each from an inventory to a cluster
//! that works, twice.

use std::time::Duration;

use keelwright::lab::Role;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::cluster::Cluster;
use crate::lab::skip_reason;
use crate::life::{Listing, replace_the_first_control_plane, reset_leaves_nothing};

fn skipped() -> bool {
    if let Some(reason) = skip_reason() {
        eprintln!("skipped: {reason}");
        return true;
    }
    false
}

#[test]
fn installs_the_newest_minor_highly_available() {
    if skipped() {
        return;
    }
    let mut cluster = Cluster::new("e2e-new", "v1.37.1", &[(Role::ControlPlane, 3), (Role::Worker, 2)]);
    let before = Listing::of(&cluster, &["cp-1", "cp-2", "worker-1"]);
    let time = cluster.apply();
    eprintln!("apply of 3+2 with v1.37.1 took {:.1} s", time.as_secs_f64());
    assert_eq!(cluster.ready_nodes(), ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"]);
    serves(&cluster);
    kubeadm_finds_its_own_layout(&cluster);
    a_second_apply_does_nothing(&cluster, &["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"]);
    replace_the_first_control_plane(&mut cluster, &before);
    reset_leaves_nothing(&cluster, &before);
}

#[test]
fn kubeadm_joins_a_worker_and_a_control_plane() {
    kubeadm_joins("v1.36.4");
}

#[test]
#[ignore = "builds another version: make e2e"]
fn kubeadm_joins_a_worker_and_a_control_plane_to_the_oldest_minor() {
    kubeadm_joins("v1.34.4");
}

fn kubeadm_joins(version: &'static str) {
    if skipped() {
        return;
    }
    let counts = [(Role::ControlPlane, 1), (Role::Worker, 1), (Role::Spare, 2), (Role::Bastion, 1)];
    let mut cluster = Cluster::new("e2e-old", version, &counts);
    cluster.as_deploy();
    // The machines kubeadm joins have no balancer of ours, so the endpoint is one that all can reach.
    let address = cluster.address("cp-1");
    cluster.edit(|text| format!("{text}endpoint:\n  external: {{host: {address}, port: 6443}}\n"));
    killed_again_and_again(&cluster, version);
    assert_eq!(cluster.ready_nodes(), ["cp-1", "worker-1"]);
    kubeadm_finds_its_own_layout(&cluster);
    a_second_apply_does_nothing(&cluster, &["cp-1", "worker-1"]);

    let join = cluster.ask("cp-1", "/root/kubeadm token create --print-join-command 2>/dev/null");
    join_with_kubeadm(&cluster, "spare-1", &join);
    // Without a default route kubeadm cannot tell which address is the machine's own.
    let upload = format!(
        "kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system get configmap kubeadm-config \
           -o 'jsonpath={{.data.ClusterConfiguration}}' >/root/kubeadm.yaml &&
         printf '%s\\n' --- 'apiVersion: kubeadm.k8s.io/v1beta4' 'kind: InitConfiguration' \
           'localAPIEndpoint: {{advertiseAddress: {address}}}' >>/root/kubeadm.yaml &&
         /root/kubeadm init phase upload-certs --upload-certs --config /root/kubeadm.yaml"
    );
    let uploaded = cluster.ask("cp-1", &upload);
    let key = uploaded.lines().last().unwrap();
    // What the API server's flags name beyond kubeadm's own files, its operator copies by hand.
    cluster.ask("spare-2", "mkdir -p /etc/kubernetes");
    cluster.copy("cp-1", "spare-2", "etc/kubernetes/keelwright");
    join_with_kubeadm(
        &cluster,
        "spare-2",
        &format!(
            "{join} --control-plane --certificate-key {key} --apiserver-advertise-address {}",
            cluster.address("spare-2")
        ),
    );
    let nodes = cluster.kubectl(&["get", "nodes", "-o", "name"]);
    assert!(nodes.contains("node/spare-1") && nodes.contains("node/spare-2"), "{nodes}");
    // The kubelet shows its static pods a while after kubeadm has ended.
    for component in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        let pod = format!("pod/{component}-spare-2");
        cluster.kubectl(&["-n", "kube-system", "wait", "--for=create", &pod, "--timeout=120s"]);
        cluster.kubectl(&["-n", "kube-system", "wait", "--for=condition=Ready", &pod, "--timeout=120s"]);
    }
}

/// No step, and at most two commands over SSH on each host.
fn a_second_apply_does_nothing(cluster: &Cluster, machines: &[&str]) {
    assert_eq!(cluster.steps_left(), Vec::<String>::new(), "a second plan is empty");
    let verbose = "echo LogLevel VERBOSE >/etc/ssh/sshd_config.d/verbose.conf && systemctl reload ssh";
    machines.iter().for_each(|machine| drop(cluster.ask(machine, verbose)));
    // The question is a session itself.
    let sessions = |machine: &&str| -> usize {
        let count = "journalctl --sync; journalctl -u ssh -o cat | grep -c 'Starting session: '; true";
        cluster.ask(machine, count).parse().unwrap()
    };
    let before: Vec<usize> = machines.iter().map(sessions).collect();
    let time = cluster.apply();
    let after: Vec<usize> = machines.iter().map(sessions).collect();
    let asked: Vec<usize> = after.iter().zip(before).map(|(after, before)| after - before - 1).collect();
    eprintln!("a second apply took {:.1} s and {asked:?} sessions", time.as_secs_f64());
    assert!(asked.iter().all(|count| (1..=2).contains(count)), "{machines:?}: {asked:?}");
    machines.iter().for_each(|machine| {
        cluster.ask(machine, "rm /etc/ssh/sshd_config.d/verbose.conf && systemctl reload ssh");
    });
}

/// Six runs are killed with SIGKILL at points spread over what is left each time, the seventh is let end.
fn killed_again_and_again(cluster: &Cluster, version: &str) {
    let seed = std::env::var("KEELWRIGHT_E2E_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("KEELWRIGHT_E2E_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (rounds, mut killed, mut done) = (6, 0, 0);
    for round in 0..rounds {
        // However fast the machine is, what is left suffices for the rounds that are left.
        let steps = cluster.steps_left().len() / (rounds - round + 1);
        let after = Duration::from_millis(random.random_range(0..400));
        if let Some(more) = cluster.apply_and_kill(steps, after) {
            (killed, done) = (killed + 1, done + more);
            eprintln!("killed {} ms after {steps} more steps, {done} done", after.as_millis());
        }
    }
    let time = cluster.apply();
    eprintln!("apply of 1+1 with {version}, killed {killed} times before, took {:.1} s", time.as_secs_f64());
    assert!(killed >= 5, "only {killed} runs were killed before they had ended");
}

/// Gives a bare machine what every installer expects (runtime, kubelet, images), then runs kubeadm.
fn join_with_kubeadm(cluster: &Cluster, machine: &str, join: &str) {
    let paths = "usr/local/bin usr/local/sbin opt/cni/bin etc/containerd etc/crictl.yaml etc/sysctl.d \
        etc/systemd/system/containerd.service etc/systemd/system/kubelet.service \
        etc/systemd/system/kubelet.service.d";
    cluster.copy("cp-1", machine, paths);
    cluster.copy("cp-1", machine, "var/lib/keelwright/artifacts");
    cluster.put(machine, &cluster.bundle().join("bin/kubeadm"), "/root/kubeadm");
    cluster.ask(
        machine,
        "sysctl -q --system; systemctl daemon-reload; systemctl restart containerd; systemctl enable -q kubelet
         for a in /var/lib/keelwright/artifacts/*; do
           if tar tf \"$a\" oci-layout >/dev/null 2>&1; then ctr -n k8s.io images import --no-unpack \"$a\" >/dev/null; fi
         done
         rm -rf /var/lib/keelwright/*",
    );
    cluster.ask(
        machine,
        &format!("{} --ignore-preflight-errors=all 2>&1", join.replacen("kubeadm", "/root/kubeadm", 1)),
    );
}

/// DNS from a pod, and a NodePort on every node.
fn serves(cluster: &Cluster) {
    let workload = cluster.directory().join("workload.yaml");
    let text = include_str!("../../scripts/demo-workload.yaml");
    std::fs::write(&workload, text.replace("AGNHOST", &cluster.image("agnhost"))).unwrap();
    cluster.kubectl(&["apply", "-f", workload.to_str().unwrap()]);
    cluster.kubectl(&["-n", "demo", "rollout", "status", "deployment/web", "--timeout=180s"]);
    cluster.kubectl(&["-n", "demo", "wait", "--for=condition=Ready", "pod/client", "--timeout=120s"]);
    let connect = ["agnhost", "connect", "web.demo.svc.cluster.local:80", "--timeout=5s"];
    let mut exec = vec!["-n", "demo", "exec", "client", "--"];
    exec.extend(connect);
    cluster.kubectl(&exec);
    let port =
        cluster.kubectl(&["-n", "demo", "get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}"]);
    for machine in ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"] {
        let address = cluster.ask(machine, "hostname -I | tr ' ' '\\n' | grep '^198.18.' | head -1");
        let page = cluster.ask("cp-1", &format!("curl -fsS --max-time 5 http://{address}:{port}/hostname"));
        assert!(page.starts_with("web-"), "{machine}: {page}");
    }
}

/// The real kubeadm of the same version reads what is there.
fn kubeadm_finds_its_own_layout(cluster: &Cluster) {
    cluster.put("cp-1", &cluster.bundle().join("bin/kubeadm"), "/root/kubeadm");
    let table = cluster.ask("cp-1", "/root/kubeadm certs check-expiration 2>/dev/null");
    for name in [
        "admin.conf",
        "apiserver",
        "apiserver-etcd-client",
        "apiserver-kubelet-client",
        "controller-manager.conf",
        "etcd-healthcheck-client",
        "etcd-peer",
        "etcd-server",
        "front-proxy-client",
        "scheduler.conf",
        "ca",
        "etcd-ca",
        "front-proxy-ca",
    ] {
        let row = table.lines().find(|line| line.split_whitespace().next() == Some(name));
        let row = row.unwrap_or_else(|| panic!("kubeadm does not list {name}:\n{table}"));
        assert!(!row.contains("MISSING"), "{row}");
    }
}
