//! A cluster that the real kubeadm makes, as somebody would by hand: a network by static routes, and two commands.

use crate::cluster::Cluster;

/// Pods of the machine with this number.
fn pods(number: usize) -> String {
    format!("198.19.{number}.0/24")
}

/// On machines that have nothing; with an administrator's kubeconfig where the lab keeps one.
pub fn make(cluster: &Cluster) {
    // Executables, containerd and images, which kubeadm expects to find.
    cluster.on("apply", &["--prefetch", "--yes"]);
    let machines = ["cp-1", "worker-1"];
    for (number, machine) in machines.into_iter().enumerate() {
        cluster.put(machine, &cluster.bundle().join("bin/kubeadm"), "/root/kubeadm");
        let other = 1 - number;
        let prepare = format!(
            "systemctl disable -q --now keelwright-apiserver-lb keelwright-routes 2>/dev/null
             rm -rf /etc/kubernetes /var/lib/kubelet && mkdir -p /etc/cni/net.d && systemctl enable -q kubelet
             cat >/etc/cni/net.d/10-shop.conflist <<'CNI'
{{\"cniVersion\": \"1.0.0\", \"name\": \"shop\", \"plugins\": [{{\"type\": \"bridge\", \"bridge\": \"cni0\",
\"isDefaultGateway\": true, \"ipMasq\": true, \"ipam\": {{\"type\": \"host-local\", \"ranges\": [[{{\"subnet\": \"{}\"}}]]}}}}]}}
CNI
             ip route replace {} via {}",
            pods(number),
            pods(other),
            cluster.address(machines[other])
        );
        cluster.ask(machine, &prepare);
    }
    let config = include_str!("kubeadm.yaml")
        .replace("ADDRESS", &cluster.address("cp-1"))
        .replace("VERSION", cluster.version);
    let file = cluster.directory().join("kubeadm.yaml");
    std::fs::write(&file, config).unwrap();
    cluster.put("cp-1", &file, "/root/kubeadm.yaml");
    cluster.ask("cp-1", "/root/kubeadm init --config /root/kubeadm.yaml --ignore-preflight-errors=all 2>&1");
    let join = cluster.ask("cp-1", "/root/kubeadm token create --print-join-command 2>/dev/null");
    let join = join.replacen("kubeadm", "/root/kubeadm", 1);
    cluster.ask("worker-1", &format!("{join} --ignore-preflight-errors=all 2>&1"));
    let kubeconfig = cluster.ask("cp-1", "cat /etc/kubernetes/admin.conf");
    std::fs::write(cluster.directory().join("kubeconfig"), kubeconfig).unwrap();
    cluster.kubectl(&["wait", "--for=condition=Ready", "nodes", "--all", "--timeout=180s"]);
}
