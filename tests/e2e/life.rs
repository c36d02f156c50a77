//! What happens to a cluster later in its life: hosts come and go under load, and in the end it goes.

use std::collections::{BTreeMap, BTreeSet};

use keelwright::lab::Role;

use crate::cluster::Cluster;

/// What is on machines before anything of ours is.
pub struct Listing(BTreeMap<String, BTreeSet<String>>);

/// Every file and link that could be ours, units, mounts, links and rules.
const LIST: &str = "
find /etc /opt /usr/local /usr/libexec /var/lib /var/log -xdev \\( -type f -o -type l -o -type d \\) -printf 'path %p\\n' \
  | grep -v -e /var/lib/dpkg -e /var/lib/systemd -e /var/log/journal -e /var/log/haproxy -e /etc/ld.so.cache
systemctl list-units --all --no-legend --plain --type=service,mount | awk '{ print \"unit \" $1 }' | grep -e kube -e keel -e containerd
awk '{ print \"mount \" $2 }' /proc/mounts | grep -e kubelet -e containerd -e netns
ip -o link | awk '{ print \"link \" $2 }' | grep -v host0
ip route | grep 198.19 | sed 's/^/route /'
iptables-save 2>/dev/null | grep -e KUBE -e CNI | sed 's/^/rule /'
nft list tables | grep -e keelwright -e kube | sed 's/^/table /'
true";

impl Listing {
    pub fn of(cluster: &Cluster, machines: &[&str]) -> Self {
        let of = |machine: &&str| (machine.to_string(), list(cluster, machine));
        Listing(machines.iter().map(of).collect())
    }

    /// What a machine has now beyond what it had then.
    fn added(&self, cluster: &Cluster, machine: &str) -> Vec<String> {
        list(cluster, machine).difference(&self.0[machine]).cloned().collect()
    }
}

fn list(cluster: &Cluster, machine: &str) -> BTreeSet<String> {
    cluster.ask(machine, LIST).lines().map(str::to_owned).collect()
}

/// A client on a worker that writes through the endpoint of its node and notes what was acknowledged.
const WRITER: &str = "
install -d /root/writer && rm -f /root/writer/* && touch /root/writer/go
nohup sh -c 'i=0
while [ -e /root/writer/go ]; do
  if /root/kubectl --kubeconfig /root/admin.conf --request-timeout=5s create configmap w-$i -n writes >/dev/null 2>>/root/writer/errors
  then echo w-$i >>/root/writer/acknowledged
  else echo w-$i >>/root/writer/failed; fi
  i=$((i+1))
done; touch /root/writer/ended' >/dev/null 2>&1 &";

/// A control plane and a worker join, and the first control plane goes, in one apply under load.
pub fn replace_the_first_control_plane(cluster: &mut Cluster, before: &Listing) {
    cluster.kubectl(&["create", "namespace", "writes"]);
    let kubeconfig = cluster.on("kubeconfig", &["--server", "https://127.0.0.1:7443"]);
    let local = cluster.directory().join("local.conf");
    std::fs::write(&local, kubeconfig).unwrap();
    cluster.put("worker-1", &local, "/root/admin.conf");
    cluster.put("worker-1", &cluster.bundle().join("bin/kubectl"), "/root/kubectl");
    cluster.ask("worker-1", WRITER);

    cluster.grow(&[(Role::ControlPlane, 4), (Role::Worker, 3)]);
    cluster.drop_host("cp-1");
    let time = cluster.on_timed("apply", &["--yes", "--remove", "cp-1"]);
    eprintln!("a control plane and a worker joined and cp-1 left in {:.1} s", time.as_secs_f64());

    cluster.ask("worker-1", "rm /root/writer/go; until [ -e /root/writer/ended ]; do :; done");
    let read = |name: &str| -> BTreeSet<String> {
        let text = cluster.ask("worker-1", &format!("cat /root/writer/{name} 2>/dev/null; true"));
        text.lines().map(str::to_owned).collect()
    };
    let (acknowledged, failed) = (read("acknowledged"), read("failed"));
    cluster.forget_kubeconfig();
    let there = cluster.kubectl(&["get", "configmaps", "-n", "writes", "-o", "name"]);
    let there: BTreeSet<String> =
        there.lines().map(|line| line.trim_start_matches("configmap/").to_owned()).collect();
    let lost: Vec<_> = acknowledged.difference(&there).collect();
    assert!(lost.is_empty(), "acknowledged writes are lost: {lost:?}");
    let errors = read("errors");
    assert!(acknowledged.len() > 20, "only {} writes: {errors:#?}", acknowledged.len());
    eprintln!("{} writes acknowledged, none lost, {} failed", acknowledged.len(), failed.len());

    assert_eq!(cluster.ready_nodes(), ["cp-2", "cp-3", "cp-4", "worker-1", "worker-2", "worker-3"]);
    assert_eq!(before.added(cluster, "cp-1"), Vec::<String>::new(), "left on the machine that went");
    assert_eq!(cluster.steps_left(), Vec::<String>::new(), "a second plan is empty");
}

/// `reset` leaves machines as they were.
pub fn reset_leaves_nothing(cluster: &Cluster, before: &Listing) {
    cluster.ask("worker-1", "rm -rf /root/writer /root/admin.conf /root/kubectl");
    let name = cluster.lab.name().to_string();
    cluster.on("reset", &["--confirm", &name]);
    for machine in ["cp-2", "worker-1"] {
        assert_eq!(before.added(cluster, machine), Vec::<String>::new(), "left on {machine}");
    }
    assert!(!cluster.steps_left().is_empty(), "it can be installed again");
}
