//! Static pods: whether a manifest that is there means the one that is wanted.

use serde_json::Value;

/// What etcd reads only while its data directory is empty.
const FIRST_START_FLAGS: [&str; 3] =
    ["--initial-cluster=", "--initial-cluster-state=", "--initial-cluster-token="];

/// Whether the kubelet would run the same pod from both texts: it compares what it decodes, and so does
/// kubeadm, which writes other YAML than we do.
///
/// `founded`: the pod is an etcd member that has its data. What it was told of its first peers is dead
/// text then, and `kubeadm upgrade` leaves only the member itself in it: no reason to restart a voter.
pub(super) fn same_pod(wanted: &str, found: &str, founded: bool) -> bool {
    match (decode(wanted, founded), decode(found, founded)) {
        (Some(wanted), Some(found)) => wanted == found,
        (Some(_) | None, None) | (None, Some(_)) => false,
    }
}

fn decode(text: &str, founded: bool) -> Option<Value> {
    let mut pod: Value = serde_yaml::from_str(text).ok()?;
    let command = pod.pointer_mut("/spec/containers/0/command").and_then(Value::as_array_mut);
    if let (true, Some(command)) = (founded, command) {
        let is_dead = |word: &Value| {
            word.as_str().is_some_and(|word| FIRST_START_FLAGS.iter().any(|flag| word.starts_with(flag)))
        };
        command.retain(|word| !is_dead(word));
    }
    drop_empty(&mut pod);
    Some(pod)
}

/// Go's encoder writes `status: {}` and `creationTimestamp: null`; neither means anything. Something
/// inside a list does, though: `emptyDir: {}`'s volume would be another without it.
fn drop_empty(value: &mut Value) {
    let Value::Object(map) = value else { return };
    for name in ["status", "creationTimestamp"] {
        if map
            .get(name)
            .is_some_and(|value| value.is_null() || value.as_object().is_some_and(|m| m.is_empty()))
        {
            map.remove(name);
        }
    }
    map.values_mut().for_each(drop_empty);
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: etcd, namespace: kube-system}
spec:
  containers:
  - name: etcd
    command: [etcd, --name=cp-1, '--initial-cluster=cp-1=https://192.0.2.11:2380,cp-2=https://192.0.2.12:2380', --snapshot-count=10000, --initial-cluster-token=t]
";
    const KUBEADMS: &str = "
apiVersion: v1
kind: Pod
metadata:
  creationTimestamp: null
  name: etcd
  namespace: kube-system
spec:
  containers:
  - command:
    - etcd
    - --name=cp-1
    - --initial-cluster=cp-1=https://192.0.2.11:2380
    - --snapshot-count=10000
    name: etcd
status: {}
";

    #[test]
    fn a_member_with_data_is_the_same_whatever_it_was_told_of_its_peers() {
        assert!(same_pod(OURS, KUBEADMS, true));
        assert!(!same_pod(OURS, KUBEADMS, false), "an empty member would found a cluster of its own");
    }

    #[test]
    fn any_other_difference_counts() {
        for (from, to) in [("10000", "5000"), ("--name=cp-1", "--name=cp-2"), ("kube-system", "default")] {
            assert!(!same_pod(OURS, &KUBEADMS.replace(from, to), true), "{to}");
        }
        assert!(!same_pod(OURS, "no: [yaml", true));
    }

    #[test]
    fn another_style_is_the_same_pod() {
        let theirs = OURS.replace(
            "metadata: {name: etcd, namespace: kube-system}",
            "metadata: {namespace: kube-system, name: etcd}",
        );
        assert!(same_pod(OURS, &theirs, false));
    }
}
