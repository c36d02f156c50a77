//! Taking everything of ours off a machine: `reset`, and a host that left the inventory.

use super::lower::run;
use crate::command::quote;
use crate::script::Op;

/// Units of ours, last started first.
const UNITS: [&str; 6] = [
    "kubelet.service",
    "keelwright-apiserver-lb.service",
    "keelwright-routes.service",
    "keelwright-vip.service",
    "keelwright-publish-join.timer",
    "containerd.service",
];

/// Files and trees of ours. Distribution packages stay: others may use them by now. A manifest goes before
/// what its pod reads, so that a power cut in between leaves no pod that can only fail.
const TREES: [&str; 29] = [
    "/etc/kubernetes/manifests",
    "/etc/kubernetes",
    "/etc/cni/net.d",
    "/etc/containerd",
    "/etc/crictl.yaml",
    "/etc/modules-load.d/keelwright.conf",
    "/etc/sysctl.d/99-keelwright.conf",
    "/etc/systemd/system/kubelet.service",
    "/etc/systemd/system/kubelet.service.d",
    "/etc/systemd/system/containerd.service",
    "/etc/systemd/system/keelwright-apiserver-lb.service",
    "/etc/systemd/system/keelwright-routes.service",
    "/etc/systemd/system/keelwright-vip.service",
    "/etc/systemd/system/keelwright-publish-join.service",
    "/etc/systemd/system/keelwright-publish-join.timer",
    "/etc/default/keelwright-aws",
    "/etc/systemd/networkd.conf.d/10-keelwright.conf",
    "/usr/libexec/kubernetes",
    "/opt/cni",
    "/usr/local/bin/kubelet",
    "/usr/local/bin/kubectl",
    "/usr/local/bin/crictl",
    "/usr/local/bin/ctr",
    "/usr/local/bin/containerd",
    "/usr/local/bin/containerd-shim-runc-v2",
    "/usr/local/sbin/runc",
    "/var/log/containers",
    "/var/log/kubernetes",
    "/var/log/pods",
];

/// Directories that may be mount points of their own: their contents go, they stay.
const CONTENTS: [&str; 4] =
    ["/var/lib/kubelet", "/var/lib/containerd", "/var/lib/cni", "/var/lib/keelwright"];

/// Directories that others may have something in by now: they go when they are empty.
const SHARED: [&str; 2] = ["/etc/cni", "/etc/systemd/networkd.conf.d"];

/// Has the marker, by which a machine is known as ours: it goes last, so that a cleaning that was cut off
/// can go on.
const OWN: &str = "/etc/keelwright";

/// Stops every container and process of the cluster, then unmounts what they left.
const STOP: &str = r#"
if [ -x /usr/local/bin/ctr ] && ctr version >/dev/null 2>&1; then
  for c in $(ctr -n k8s.io tasks ls -q); do ctr -n k8s.io tasks kill -s KILL "$c" >/dev/null 2>&1; done
fi
systemctl stop containerd.service 2>/dev/null
for p in $(pgrep -f '^/usr/local/bin/containerd-shim-runc-v2 '); do kill -9 "$p" 2>/dev/null; done
for t in /run/containerd /run/netns /var/lib/kubelet /var/lib/containerd; do
  awk -v t="$t/" 'index($2, t) == 1 { print $2 }' /proc/mounts | sort -r | while read -r m; do umount -l "$m"; done
done
exit 0
"#;

/// Removes interfaces, rules and routes that the network of the cluster made.
const NETWORK: &str = r#"
for i in cni0 kube-ipvs0 nodelocaldns; do ip link del "$i" 2>/dev/null; done
ip -o link show type veth 2>/dev/null | sed -n 's/^[0-9]*: \(veth[0-9a-f]*\)@.*/\1/p' | while read -r i; do ip link del "$i" 2>/dev/null; done
ip route flush proto 91 2>/dev/null
ip -6 route flush proto 91 2>/dev/null
for t in keelwright kube-proxy; do
  for f in inet ip ip6; do nft delete table "$f" "$t" 2>/dev/null; done
done
for tool in iptables ip6tables; do
  command -v "$tool-save" >/dev/null 2>&1 || continue
  "$tool-save" 2>/dev/null | grep -v -e KUBE- -e CNI- -e cali -e CILIUM | "$tool-restore" 2>/dev/null
done
exit 0
"#;

/// The operations, in order; each is fine with finding nothing.
pub(super) fn operations(etcd_data_dir: &str) -> Vec<Op> {
    let mut ops = Vec::new();
    let stop = |unit: &str| {
        let stop = format!(
            "systemctl disable --now {unit} 2>/dev/null; systemctl reset-failed {unit} 2>/dev/null; exit 0"
        );
        run(["sh", "-c", &stop], "nothing of the cluster runs any more")
    };
    // The last is the runtime, which ends its containers first.
    let (runtime, others) = UNITS.split_last().expect("there are units");
    ops.extend(others.iter().map(|unit| stop(unit)));
    ops.push(run(["sh", "-c", STOP], "containers end before their files go"));
    ops.push(stop(runtime));
    ops.push(run(["sh", "-c", NETWORK], "no interface, rule or route of the cluster stays"));
    for directory in CONTENTS.iter().chain([&etcd_data_dir]) {
        let empty = format!(
            "[ ! -d {0} ] || find {0} -xdev -mindepth 1 -delete; rmdir {0} 2>/dev/null; exit 0",
            quote(directory)
        );
        ops.push(run(["sh", "-c", &empty], "the directory goes unless it is a mount point of its own"));
    }
    for path in TREES {
        ops.push(Op::Remove { path: path.to_owned(), recursive: true });
    }
    for directory in SHARED {
        let empty = format!("rmdir {directory} 2>/dev/null; exit 0");
        ops.push(run(["sh", "-c", &empty], "unless others have something in it"));
    }
    ops.push(run(["systemctl", "daemon-reload"], "unit files are gone"));
    ops.push(Op::Remove { path: OWN.to_owned(), recursive: true });
    ops
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;
    use crate::blueprint::{ClusterIdentity, HostTraits, UnitState, assign_pod_cidrs, host_blueprint};
    use crate::inventory::{MINIMAL, Origin, Wanted, parse, parse_wanted};
    use crate::release::catalog::release_of;

    fn is_cleaned(path: &str) -> bool {
        let below =
            |tree: &&str| path == *tree || path.strip_prefix(*tree).is_some_and(|rest| rest.starts_with('/'));
        TREES.iter().chain([&OWN]).any(below) || CONTENTS.iter().any(below) || SHARED.contains(&path)
    }

    #[test]
    fn everything_any_blueprint_has_is_taken_away() {
        let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut texts = vec![VIP.to_owned()];
        for directory in ["inventories", "tests/golden/kubeadm/inputs"] {
            for entry in root.join(directory).read_dir_utf8().unwrap() {
                let path = entry.unwrap().into_path();
                if path.as_str().ends_with(".yaml") && !path.as_str().ends_with(".kubeadm.yaml") {
                    texts.push(std::fs::read_to_string(&path).unwrap().replace("VERSION", "v1.37.1"));
                }
            }
        }
        assert!(texts.len() > 10);
        for text in texts {
            let origin = Origin { file: "inventory.yaml", base: root, home: Some(root) };
            let (wanted, _) =
                parse_wanted(text.as_bytes(), &origin).unwrap_or_else(|problems| panic!("{problems}"));
            let inventory = match wanted {
                Wanted::Hosts(inventory) => *inventory,
                // Machines that have been made are hosts like any other.
                Wanted::Aws(wanted) => {
                    let (made, _) = parse(MINIMAL.as_bytes(), &origin).unwrap();
                    wanted.on(made.hosts, &[])
                }
            };
            let release = release_of(inventory.version).unwrap();
            let identity = ClusterIdentity { uid: "uid", etcd_token: "token" };
            let pods = assign_pod_cidrs(&inventory, &Default::default()).unwrap();
            for host in inventory.hosts.values() {
                let blueprint =
                    host_blueprint(&inventory, release, identity, &pods, host, &HostTraits::default());
                let paths = blueprint.files.keys().chain(blueprint.directories.keys());
                for path in paths.chain(blueprint.binaries.keys()).chain(blueprint.links.keys()) {
                    let is_etcd = path.starts_with(inventory.etcd.data_dir.as_str());
                    assert!(is_etcd || is_cleaned(path), "{path} of {} stays\n{text}", host.name);
                }
                for (unit, wish) in &blueprint.units {
                    let runs = wish.state == UnitState::Running;
                    assert!(!runs || UNITS.contains(&unit.as_str()), "{unit} stays\n{text}");
                }
            }
        }
    }

    const VIP: &str = "
apiVersion: keelwright.dev/v1
kind: Cluster
metadata: {name: demo}
kubernetes: {version: v1.37.1}
hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]
endpoint: {vip: {address: 192.0.2.100, port: 8443}}
network: {plugin: {name: none}}
";

    #[test]
    fn stops_everything_before_it_removes_anything() {
        let ops = operations("/var/lib/etcd");
        let first_removal = ops.iter().position(|op| matches!(op, Op::Remove { .. })).unwrap();
        let last_stop = ops.iter().rposition(|op| match op {
            Op::Run { command, .. } => command.argv.iter().any(|word| word.contains("disable --now")),
            _other => false,
        });
        assert!(last_stop.unwrap() < first_removal);
    }
}
