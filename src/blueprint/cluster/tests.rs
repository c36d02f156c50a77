//! The objects against what real kubeadm makes (tests/golden/regenerate-objects.sh).

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::release::{KubeVersion, release_of};

/// What we do otherwise, and why.
const INTENDED: [(&str, &str, &str); 2] = [
    (
        "rbac.authorization.k8s.io/v1/ClusterRoleBinding//kubeadm:cluster-admins",
        "all",
        "kubeadm makes it before its dry run begins to print",
    ),
    (
        "rbac.authorization.k8s.io/v1/ClusterRoleBinding//kubeadm:apiserver-kubelet-client",
        "v1.34 v1.35",
        "a certificate renewed by a later kubeadm has no group and needs it",
    ),
];

fn inventory(version: &str) -> Inventory {
    let host = |name: &str, address: &str, role: &str| {
        json!({
            "name": name, "address": address, "roles": [role], "arch": "amd64", "labels": {}, "taints": [],
            "ssh": {
                "host": address, "port": null, "user": null, "keys": [], "bastions": [],
                "sudo": "passwordless", "hostKeys": [], "hostCas": [],
            },
        })
    };
    let args = |args: &[(&str, &str)]| {
        args.iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>()
    };
    serde_json::from_value(json!({
        "name": "demo",
        "version": version,
        "hosts": {
            "cp-1": host("cp-1", "10.0.0.11", "control-plane"),
            "w-1": host("w-1", "10.0.0.21", "worker"),
        },
        "network": {
            "podCidrs": ["10.244.0.0/16"], "serviceCidrs": ["10.96.0.0/12"], "dnsDomain": "cluster.local",
            "plugin": {"name": "none"},
        },
        "endpoint": {"kind": "external", "host": "api.example", "port": 6443},
        "etcd": {
            "placement": "stacked", "dataDir": "/var/lib/etcd",
            "extraArgs": args(&[("quota-backend-bytes", "8589934592")]),
        },
        "apiServer": {
            "extraArgs": args(&[("profiling", "false"), ("feature-gates", "A=true,B=false")]),
            "certSans": ["api.example.org", "192.0.2.1"],
        },
        "controllerManager": {"extraArgs": [], "certSans": []},
        "scheduler": {"extraArgs": args(&[("v", "2")]), "certSans": []},
        "kubelet": {"config": {}, "extraArgs": []},
        "kubeProxy": {"enabled": true, "config": {}},
        "containerd": {"restrictOomScoreAdj": false, "registryMirrors": {}},
        "pki": {"algorithm": "ECDSA-P256", "externalCa": false, "bringYourOwn": null},
        "security": {"encryptionAtRest": false, "audit": false, "cis": false},
        "artifacts": {"bundle": null, "delivery": {"kind": "upload"}},
        "addons": [],
        "policy": {
            "parallelism": 1, "maxUnavailable": {"count": 1},
            "timeouts": {"connect": 1, "stage": 1, "apiReady": 1, "nodeReady": 1, "drain": 1},
        },
    }))
    .unwrap()
}

fn objects(inventory: &Inventory) -> ClusterObjects {
    cluster_objects(&ClusterInputs {
        inventory,
        release: release_of(inventory.version).unwrap(),
        ca_certificate: "golden CA\n",
        etcd_token: "5f0c1c36-5c5e-4b5e-9f0e-0d6e0a0b0c0d",
        manifests: &Manifests::default(),
    })
}

fn by_key<'a>(objects: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, Value> {
    objects.into_iter().map(|object| (object_key(object), without_empty(object))).collect()
}

/// Encoders differ in what they write for nothing.
fn without_empty(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, child)| (key.clone(), without_empty(child)))
                .filter(|(_, child)| !child.is_null() && *child != json!({}))
                .collect(),
        ),
        Value::Array(items) => items.iter().map(without_empty).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[test]
fn objects_are_those_of_kubeadm() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kubeadm");
    let mut versions = 0;
    for entry in std::fs::read_dir(golden).unwrap() {
        let directory = entry.unwrap().path();
        let version = directory.file_name().unwrap().to_str().unwrap().to_owned();
        let Ok(files) = std::fs::read_dir(directory.join("objects")) else { continue };
        versions += 1;
        let theirs: Vec<Value> = files
            .map(|file| serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap())
            .collect();
        let theirs = by_key(&theirs);
        let mut ours = by_key(objects(&inventory(&version)).all());
        for (key, versions, _reason) in INTENDED {
            let applies = versions == "all" || versions.split(' ').any(|minor| version.starts_with(minor));
            if applies {
                assert!(ours.remove(key).is_some(), "{version}: we do not make {key}");
                assert!(!theirs.contains_key(key), "{version}: kubeadm makes {key} after all");
            }
        }
        assert_eq!(
            ours.keys().collect::<Vec<_>>(),
            theirs.keys().collect::<Vec<_>>(),
            "{version}: which objects there are"
        );
        for (key, theirs) in &theirs {
            // Text in ConfigMaps too: kubeadm hashes some of it.
            assert_eq!(&ours[key], theirs, "{version}: {key}");
        }
    }
    assert!(versions > 0, "no golden objects");
}

fn hash_of(inventory: &Inventory, name: &str) -> Option<String> {
    let objects = objects(inventory);
    let object = objects.all().find(|object| object_title(object) == name).unwrap().clone();
    object["metadata"]["annotations"]
        .get("kubeadm.kubernetes.io/component-config.hash")?
        .as_str()
        .map(str::to_owned)
}

/// The same text in all versions gives the same hash: these were printed by real kubeadm.
#[test]
fn component_config_hashes_are_those_of_kubeadm() {
    const KUBELET: &str = "sha256:26488e9fc7c5cb5fdda9996cda2e6651a9af5febce07ea02de11bd3ef3f49e9c";
    const PROXY: &str = "sha256:50a2080769512b8c92bc135949eed0544b331c009ba89f06a8c87069df5ef274";
    const PROXY_1_37: &str = "sha256:7dfadabb39f1d167a56c6e2d34fb4bc2b4615d23e3392a0343f325773e4cd60a";
    for release in &crate::release::SUPPORTED {
        let inventory = inventory(&release.default_patch.to_string());
        assert_eq!(hash_of(&inventory, "ConfigMap kube-system/kubelet-config").as_deref(), Some(KUBELET));
        let proxy = if release.minor.minor >= 37 { PROXY_1_37 } else { PROXY };
        assert_eq!(hash_of(&inventory, "ConfigMap kube-system/kube-proxy").as_deref(), Some(proxy));
    }
}

#[test]
fn settings_of_our_own_are_not_marked_as_generated_by_kubeadm() {
    let mut inventory = inventory("v1.37.1");
    inventory.security.cis = true;
    inventory.kube_proxy.config.insert("mode".into(), "nftables".into());
    assert_eq!(hash_of(&inventory, "ConfigMap kube-system/kubelet-config"), None);
    assert_eq!(hash_of(&inventory, "ConfigMap kube-system/kube-proxy"), None);
}

#[test]
fn a_machine_outside_is_never_sent_to_its_own_loopback() {
    let mut inventory = inventory("v1.37.1");
    inventory.endpoint = crate::inventory::Endpoint::NodeLocal { port: 6445 };
    let objects = objects(&inventory);
    let info = objects.config.iter().find(|object| object["metadata"]["name"] == "cluster-info").unwrap();
    assert!(info["data"]["kubeconfig"].as_str().unwrap().contains("server: https://10.0.0.11:6443\n"));
}

#[test]
fn switching_kube_proxy_off_is_told_to_kubeadm() {
    let mut inventory = inventory("v1.37.1");
    inventory.kube_proxy.enabled = false;
    let objects = objects(&inventory);
    assert!(objects.all().all(|object| object["metadata"]["name"] != "kube-proxy"));
    let config = objects.config[0]["data"]["ClusterConfiguration"].as_str().unwrap();
    assert!(config.contains("proxy:\n  disabled: true\n"), "{config}");
}

#[test]
fn every_flag_of_a_hardened_cluster_is_in_kubeadm_config() {
    let mut inventory = inventory("v1.37.1");
    inventory.security = crate::inventory::Security { encryption_at_rest: true, audit: true, cis: true };
    let config = objects(&inventory).config[0]["data"]["ClusterConfiguration"].as_str().unwrap().to_owned();
    let document: Value = serde_yaml::from_str(&config).unwrap();
    let extras = crate::blueprint::cluster_extra_args(&inventory, "5f0c1c36-5c5e-4b5e-9f0e-0d6e0a0b0c0d");
    let names: Vec<&str> = document["apiServer"]["extraArgs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|arg| arg["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, extras.api_server.args.iter().map(|arg| arg.name.as_str()).collect::<Vec<_>>());
    assert_eq!(
        document["apiServer"]["extraVolumes"].as_array().unwrap().len(),
        extras.api_server.mounts.len()
    );
}

fn version(text: &str) -> KubeVersion {
    KubeVersion::parse(text).unwrap()
}

#[test]
fn images_follow_the_version() {
    let mut inventory = inventory("v1.34.4");
    inventory.version = version("v1.34.9");
    let objects: Vec<Value> = objects(&inventory).all().cloned().collect();
    assert_eq!(
        manifest::images_of(&objects),
        ["registry.k8s.io/coredns/coredns:v1.12.1", "registry.k8s.io/kube-proxy:v1.34.9"]
    );
}

mod nodes {
    use super::*;
    use crate::inventory::{Role, Taint, TaintEffect};

    fn wish(change: impl FnOnce(&mut crate::inventory::Host)) -> NodeWish {
        let inventory = inventory("v1.37.1");
        let mut host = inventory.control_planes().next().unwrap().clone();
        change(&mut host);
        node_wish(&host, &["10.244.1.0/24".parse().unwrap()])
    }

    /// What the API server does with a merge patch.
    fn patched(live: &Value, patch: &Value) -> Value {
        match (live, patch) {
            (Value::Object(live), Value::Object(patch)) => {
                let mut merged = live.clone();
                for (key, value) in patch {
                    if value.is_null() {
                        merged.remove(key);
                    } else {
                        let below = live.get(key).cloned().unwrap_or(json!({}));
                        merged.insert(key.clone(), patched(&below, value));
                    }
                }
                Value::Object(merged)
            }
            (_, patch) => patch.clone(),
        }
    }

    fn fresh() -> Value {
        json!({
            "metadata": {"name": "cp-1", "resourceVersion": "7", "labels": {"kubernetes.io/hostname": "cp-1"}},
            "spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]},
        })
    }

    #[test]
    fn a_new_control_plane_is_marked_once_and_others_taints_stay() {
        let wish = wish(|_| {});
        let patch = node_patch(&wish, &fresh()).unwrap();
        insta::assert_json_snapshot!(patch, @r#"
        {
          "spec": {
            "taints": [
              {
                "key": "node.kubernetes.io/not-ready",
                "effect": "NoSchedule"
              },
              {
                "key": "node-role.kubernetes.io/control-plane",
                "effect": "NoSchedule"
              }
            ],
            "podCIDR": "10.244.1.0/24",
            "podCIDRs": [
              "10.244.1.0/24"
            ]
          },
          "metadata": {
            "annotations": {
              "keelwright.dev/managed": "{\"labels\":[\"node-role.kubernetes.io/control-plane\",\"node.kubernetes.io/exclude-from-external-load-balancers\"],\"taints\":[\"node-role.kubernetes.io/control-plane:NoSchedule\"]}"
            },
            "labels": {
              "node-role.kubernetes.io/control-plane": "",
              "node.kubernetes.io/exclude-from-external-load-balancers": ""
            },
            "resourceVersion": "7"
          }
        }
        "#);
        assert_eq!(node_patch(&wish, &patched(&fresh(), &patch)), None);
    }

    #[test]
    fn what_leaves_the_inventory_leaves_the_node_and_nothing_else_does() {
        let taint =
            Taint { key: "dedicated".into(), value: Some("gpu".into()), effect: TaintEffect::NoExecute };
        let before = wish(|host| {
            host.labels.insert("tier".into(), "front".into());
            host.taints.push(taint);
        });
        let mut live = patched(&fresh(), &node_patch(&before, &fresh()).unwrap());
        live["metadata"]["labels"]["theirs"] = "1".into();
        let after = wish(|_| {});
        let live = patched(&live, &node_patch(&after, &live).unwrap());
        assert_eq!(live["metadata"]["labels"].get("tier"), None);
        assert_eq!(live["metadata"]["labels"]["theirs"], "1");
        let taints: Vec<&str> = live["spec"]["taints"]
            .as_array()
            .unwrap()
            .iter()
            .map(|taint| taint["key"].as_str().unwrap())
            .collect();
        assert_eq!(taints, ["node.kubernetes.io/not-ready", "node-role.kubernetes.io/control-plane"]);
        assert_eq!(node_patch(&after, &live), None);
    }

    #[test]
    fn a_control_plane_that_is_a_worker_too_has_no_taint() {
        let wish = wish(|host| {
            host.roles.insert(Role::Worker);
        });
        assert_eq!(wish.taints, []);
        assert_eq!(wish.labels.len(), 2);
    }

    #[test]
    fn a_pod_range_that_is_set_is_never_touched() {
        let mut live = fresh();
        live["spec"]["podCIDR"] = "10.244.9.0/24".into();
        assert_eq!(node_patch(&wish(|_| {}), &live).unwrap()["spec"].get("podCIDR"), None);
    }
}
