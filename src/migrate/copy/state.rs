//! What has state, which no copy of an object brings along, and what to do about each. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::kinds::is_of_kubernetes;
use super::needs::{makes_claim, pod_spec, used_claims, writers};
use super::object::{ObjectId, items, text};
use super::select::Found;
use super::snapshots::{ClaimWay, WhyEmpty};

/// Something whose state is not in its object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stateful {
    pub what: String,
    pub to_do: String,
}

/// Directories that a machine has by itself: who reads them keeps nothing there.
const OF_EVERY_MACHINE: [&str; 17] = [
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/opt/cni",
    "/proc",
    "/run",
    "/sys",
    "/tmp",
    "/usr",
    "/var/lib/calico",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/docker",
    "/var/lib/kubelet",
    "/var/log",
    "/var/run",
];

/// Everything that is copied and has state. `pods`: those of blue.
pub fn stateful(copied: &[Found], ways: &BTreeMap<ObjectId, ClaimWay>, pods: &[Value]) -> Vec<Stateful> {
    let mut found = Vec::new();
    for one in copied {
        let to_do = match (one.id.group.as_str(), one.id.kind.as_str()) {
            ("", "PersistentVolumeClaim") => claim(one, ways, pods),
            ("apps", "StatefulSet") => set(one, ways),
            _ => one_writer(one, copied),
        };
        found.extend(
            to_do
                .into_iter()
                .chain(directories(&one.object))
                .map(|to_do| Stateful { what: one.id.to_string(), to_do }),
        );
    }
    found.extend(custom_resources(copied));
    found
}

fn claim(one: &Found, ways: &BTreeMap<ObjectId, ClaimWay>, pods: &[Value]) -> Option<String> {
    Some(match ways.get(&one.id)? {
        ClaimWay::There => {
            "is on green already, and no data is brought into it again; where it is to come anew, take it away there first"
                .to_owned()
        }
        ClaimWay::Snapshot(way) => {
            let when = way.taken.as_ref().map_or_else(String::new, |time| format!(", taken {time}"));
            let writers = writers(pods.iter(), &one.id.namespace, &one.id.name);
            let writes = match writers.as_slice() {
                [] => String::new(),
                [pod] => format!(
                    "; pod {pod} writes to it meanwhile, so green gets it as after a power cut: stop it first where that is not enough"
                ),
                pods => format!(
                    "; pods {} write to it meanwhile, so green gets it as after a power cut: stop them first where that is not enough",
                    pods.join(", ")
                ),
            };
            format!("by a snapshot of driver {}{when}{writes}", way.driver)
        }
        // There is nothing in it.
        ClaimWay::Empty(WhyEmpty::NoVolume) => return None,
        ClaimWay::Empty(why) => format!(
            "comes empty: {why}; copy its data with a pod on each side, or restore the application's own backup"
        ),
    })
}

fn set(one: &Found, ways: &BTreeMap<ObjectId, ClaimWay>) -> Option<String> {
    items(&one.object, "/spec/volumeClaimTemplates").next()?;
    let is_of_set = |id: &ObjectId| id.namespace == one.id.namespace && makes_claim(&one.object, &id.name);
    let of_set: Vec<&ClaimWay> = ways.iter().filter(|(id, _)| is_of_set(id)).map(|(_, way)| way).collect();
    let is_empty = of_set.is_empty() || of_set.iter().any(|way| matches!(way, ClaimWay::Empty(_)));
    let comes_now = of_set.iter().any(|way| matches!(way, ClaimWay::Snapshot(_)));
    let to_do = match (is_empty, comes_now) {
        (true, _) => {
            "starts on green with empty volumes: let it replicate from blue, or restore its own backup, before it serves"
        }
        (false, true) => {
            "its claims come with their data of the moment; what it writes on blue afterwards stays there: \
             stop it on blue before the last copy, or let it replicate"
        }
        (false, false) => {
            "its claims are on green already; what it has written on blue since they were made is not in them: \
             let it replicate, or take them away on green to have them come anew"
        }
    };
    Some(to_do.to_owned())
}

/// A workload whose claim only one machine may have: two copies of it must not both be the one that writes.
fn one_writer(one: &Found, copied: &[Found]) -> Option<String> {
    let is_single = |claim: &str| {
        let id = ObjectId::new("", "PersistentVolumeClaim", &one.id.namespace, claim);
        let claim = copied.iter().find(|other| other.id == id)?;
        let mut modes = items(&claim.object, "/spec/accessModes").filter_map(Value::as_str);
        modes.any(|mode| matches!(mode, "ReadWriteOnce" | "ReadWriteOncePod")).then_some(id.name)
    };
    let used = used_claims(&one.object);
    let single: Vec<String> = used.iter().filter_map(|used| is_single(&used.name)).collect();
    (!single.is_empty()).then(|| {
        format!(
            "writes to {}, of which each side now has its own: what both write is not brought together; stop it on blue \
             before green's takes over",
            single.join(", ")
        )
    })
}

/// Directories of machines in which pods keep files.
fn directories(object: &Value) -> Option<String> {
    let spec = pod_spec(object)?;
    let is_own = |path: &&str| {
        let is_below = |known: &&str| {
            path.strip_prefix(*known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        *path != "/" && !path.is_empty() && !OF_EVERY_MACHINE.iter().any(is_below)
    };
    let paths: BTreeSet<&str> =
        items(spec, "/volumes").map(|volume| text(volume, "/hostPath/path")).filter(is_own).collect();
    (!paths.is_empty()).then(|| {
        let paths = paths.into_iter().collect::<Vec<_>>().join(", ");
        format!("keeps files in {paths} of blue's machines: bring them to green's, or move them into a claim")
    })
}

/// One line a kind: what their operators keep is theirs to bring.
fn custom_resources(copied: &[Found]) -> Vec<Stateful> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for one in copied.iter().filter(|one| !is_of_kubernetes(&one.id.group)) {
        *counts.entry(one.kind().title()).or_default() += 1;
    }
    let line = |(title, count): (String, usize)| {
        Stateful {
        what: format!("{count} {} of kind {title}", if count == 1 { "object" } else { "objects" }),
        to_do: "what their controller keeps for them (data, certificates, things outside) is not in them: see that it \
                runs on green, and bring that with its own means"
            .to_owned(),
    }
    };
    counts.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::copy::kinds::Pairing;
    use crate::migrate::copy::snapshots::SnapshotWay;
    use crate::migrate::copy::testing::{kind_of, yaml};

    fn found(text: &str) -> Found {
        let object = yaml(text);
        Found::new(Pairing::Common(kind_of(&object)), object)
    }

    fn claim(name: &str) -> Found {
        found(&format!(
            "{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: {name}, namespace: shop}}, \
             spec: {{accessModes: [ReadWriteOnce]}}}}"
        ))
    }

    fn by_snapshot() -> ClaimWay {
        ClaimWay::Snapshot(SnapshotWay {
            driver: "d".to_owned(),
            blue_class: "b".to_owned(),
            green_class: "g".to_owned(),
            taken: None,
        })
    }

    fn lines(copied: &[Found], ways: &[(&Found, ClaimWay)], pods: &[Value]) -> Vec<String> {
        let ways = ways.iter().map(|(claim, way)| (claim.id.clone(), way.clone())).collect();
        stateful(copied, &ways, pods).into_iter().map(|one| format!("{}: {}", one.what, one.to_do)).collect()
    }

    #[test]
    fn claims_say_how_they_come() {
        let data = claim("data");
        let pod = yaml(
            "{apiVersion: v1, kind: Pod, metadata: {name: db-0, namespace: shop}, status: {phase: Running}, \
            spec: {volumes: [{name: a, persistentVolumeClaim: {claimName: data}}]}}",
        );
        let of = |way: ClaimWay, pods: &[Value]| lines(std::slice::from_ref(&data), &[(&data, way)], pods);
        assert_eq!(of(by_snapshot(), &[]), ["PersistentVolumeClaim shop/data: by a snapshot of driver d"]);
        let warned = of(by_snapshot(), &[pod]);
        assert!(warned[0].contains("pod db-0 writes to it meanwhile"), "{warned:?}");
        assert!(
            of(ClaimWay::There, &[])[0].contains("is on green already, and no data is brought into it again")
        );
        assert!(of(ClaimWay::Empty(WhyEmpty::NoVolume), &[]).is_empty());
        let empty = of(ClaimWay::Empty(WhyEmpty::NotAsked), &[]);
        assert!(empty[0].contains("comes empty: snapshots are not asked for; copy its data"), "{empty:?}");
    }

    #[test]
    fn sets_with_volumes_of_their_own() {
        let set = found(
            "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: shop}, \
            spec: {volumeClaimTemplates: [{metadata: {name: data}}]}}",
        );
        let claim = claim("data-db-0");
        let copied = [set.clone(), claim.clone()];
        let of = |way: ClaimWay| lines(&copied, &[(&claim, way)], &[])[0].clone();
        assert!(of(by_snapshot()).contains("come with their data"));
        assert!(of(ClaimWay::Empty(WhyEmpty::NotAsked)).contains("starts on green with empty volumes"));
        assert!(of(ClaimWay::There).contains("its claims are on green already"));
        assert!(lines(&[set], &[], &[])[0].contains("empty volumes"));
        let plain = found(
            "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: shop}, spec: {}}",
        );
        assert!(lines(&[plain], &[], &[]).is_empty());
    }

    #[test]
    fn workloads_that_write_to_what_only_one_may_have_or_to_their_machine() {
        let deployment = |volume: &str| {
            found(&format!(
                "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web, namespace: shop}}, \
                 spec: {{template: {{spec: {{volumes: [{{name: a, {volume}}}]}}}}}}}}"
            ))
        };
        let writes = [deployment("persistentVolumeClaim: {claimName: data}"), claim("data")];
        let said = lines(&writes, &[], &[]);
        assert!(said[0].contains("writes to data, of which each side now has its own"), "{said:?}");
        let said = lines(&[deployment("hostPath: {path: /data/web}")], &[], &[]);
        assert!(said[0].contains("keeps files in /data/web of blue's machines"), "{said:?}");
        for harmless in [
            "hostPath: {path: /var/log/pods}",
            "hostPath: {path: /}",
            "emptyDir: {}",
            "hostPath: {path: /sys}",
        ] {
            assert!(lines(&[deployment(harmless)], &[], &[]).is_empty(), "{harmless}");
        }
        assert!(!lines(&[deployment("hostPath: {path: /variable}")], &[], &[]).is_empty());
    }

    #[test]
    fn custom_resources_are_counted_by_kind() {
        let resource = |name: &str| {
            found(&format!(
                "{{apiVersion: example.org/v1, kind: Widget, metadata: {{name: {name}, namespace: shop}}}}"
            ))
        };
        let said = lines(&[resource("a"), resource("b")], &[], &[]);
        assert!(said.len() == 1 && said[0].starts_with("2 objects of kind Widget.example.org: "), "{said:?}");
    }
}
