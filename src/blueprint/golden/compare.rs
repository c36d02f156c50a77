//! The comparison, file by file.

use k8s_openapi::api::core::v1::Pod;

use super::*;
use crate::pki::SecretContent;

fn text<'a>(blueprint: &'a HostBlueprint, path: &str) -> &'a str {
    match &blueprint.files.get(path).unwrap_or_else(|| panic!("{path} is missing")).content {
        Content::Text(text) => text,
        Content::Secret(secret) => panic!("{path} is {secret}"),
    }
}

fn pod(value: Value) -> Pod {
    let mut pod: Pod = serde_json::from_value(value).unwrap();
    pod.status = None;
    pod
}

fn each(check: impl Fn(&str, &str, &HostBlueprint)) {
    let versions = versions();
    assert!(!versions.is_empty());
    for version in &versions {
        for scenario in SCENARIOS {
            check(version, scenario, &blueprint(scenario, version, "cp-1"));
        }
    }
}

#[test]
fn static_pods_are_those_of_kubeadm() {
    each(|version, scenario, blueprint| {
        let mut compared = 0;
        for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            let path = format!("/etc/kubernetes/manifests/{name}.yaml");
            let Some(recorded) = recorded(version, scenario, &format!("{name}.json")) else {
                assert!(!blueprint.files.contains_key(&path), "{version} {scenario}: {name} is too many");
                continue;
            };
            let mut theirs = pod(recorded);
            let ours = pod(serde_yaml::from_str(text(blueprint, &path)).unwrap());
            if name == "etcd" {
                // full-initial-cluster
                let flags = theirs.spec.as_mut().unwrap().containers[0].command.as_mut().unwrap();
                let flag = flags.iter_mut().find(|flag| flag.starts_with("--initial-cluster=")).unwrap();
                let members = inventory(scenario, version)
                    .etcd_hosts()
                    .map(|host| format!("{}=https://{}", host.name, socket_address(host.address, 2380)))
                    .collect::<Vec<_>>();
                *flag = format!("--initial-cluster={}", members.join(","));
            }
            assert_eq!(
                serde_json::to_string_pretty(&ours).unwrap(),
                serde_json::to_string_pretty(&theirs).unwrap(),
                "{version} {scenario}: {name}"
            );
            compared += 1;
        }
        assert!(compared >= 3, "{version} {scenario}: {compared} pods compared");
    });
}

#[test]
fn kubelet_files_are_those_of_kubeadm() {
    each(|version, scenario, blueprint| {
        for (name, path) in
            [("kubelet-config", "config.yaml"), ("kubelet-instance-config", "instance-config.yaml")]
        {
            let theirs = recorded(version, scenario, &format!("{name}.json")).unwrap();
            let ours: Value =
                serde_yaml::from_str(text(blueprint, &format!("/var/lib/kubelet/{path}"))).unwrap();
            assert_eq!(sorted(ours), sorted(theirs), "{version} {scenario}: {path}");
        }
        let theirs = recorded(version, scenario, "kubeadm-flags.json").unwrap();
        let ours = text(blueprint, "/var/lib/kubelet/kubeadm-flags.env");
        assert_eq!(ours, theirs.as_str().unwrap(), "{version} {scenario}");
    });
}

fn sorted(mut value: Value) -> String {
    value.sort_all_objects();
    format!("{value:#}")
}

#[test]
fn paths_and_modes_are_those_of_kubeadm() {
    each(|version, scenario, blueprint| {
        let inventory = inventory(scenario, version);
        let mut theirs: BTreeMap<String, String> =
            serde_json::from_value(recorded(version, scenario, "modes.json").unwrap()).unwrap();
        // no-super-admin
        theirs.remove("/etc/kubernetes/super-admin.conf").unwrap();
        if inventory.security.cis {
            // kubelet-modes
            for name in ["config.yaml", "instance-config.yaml", "kubeadm-flags.env"] {
                theirs.insert(format!("/var/lib/kubelet/{name}"), "0600".to_owned());
            }
        }
        if inventory.pki.external_ca {
            // external-ca-keys
            theirs.remove("/etc/kubernetes/pki/front-proxy-ca.key").unwrap();
            theirs.remove("/etc/kubernetes/pki/etcd/ca.key").unwrap();
        }
        if inventory.etcd.placement == crate::inventory::EtcdPlacement::Dedicated {
            // dedicated-etcd-client
            for (name, mode) in [
                ("apiserver-etcd-client.crt", "0644"),
                ("apiserver-etcd-client.key", "0600"),
                ("etcd/ca.crt", "0644"),
            ] {
                assert_eq!(theirs.insert(format!("/etc/kubernetes/pki/{name}"), mode.to_owned()), None);
            }
        }
        let ours: BTreeMap<String, String> = blueprint
            .files
            .iter()
            .filter(|(path, _)| path.starts_with("/etc/kubernetes/") || path.starts_with("/var/lib/kubelet/"))
            .filter(|(path, _)| !path.starts_with(security::API_SERVER_DIRECTORY)) // extra-flags
            .filter(|(path, _)| !path.starts_with("/var/lib/kubelet/pki/")) // the kubelet's own, made beforehand
            .map(|(path, file)| (path.clone(), format!("{:04o}", file.mode)))
            .collect();
        assert_eq!(format!("{ours:#?}"), format!("{theirs:#?}"), "{version} {scenario}");
    });
}

#[test]
fn kubeconfigs_name_the_users_and_servers_that_kubeadm_names() {
    each(|version, scenario, blueprint| {
        let theirs = recorded(version, scenario, "kubeconfigs.json").unwrap();
        for (path, theirs) in theirs.as_object().unwrap() {
            let Some(file) = blueprint.files.get(path) else {
                assert!(path.ends_with("/super-admin.conf"), "{version} {scenario}: {path}");
                continue;
            };
            match &file.content {
                Content::Secret(SecretContent::Kubeconfig { user, cluster, server, .. }) => {
                    let ours = (user.as_str(), cluster.as_str(), server.as_str());
                    let field = |name: &str| theirs[name].as_str().unwrap();
                    assert_eq!(
                        ours,
                        (field("user"), field("cluster"), field("server")),
                        "{version} {scenario}: {path}"
                    );
                }
                // kubelet-conf-style
                Content::Secret(SecretContent::KubeletConfig { server, .. }) => {
                    assert_eq!(server, theirs["server"].as_str().unwrap(), "{version} {scenario}: {path}");
                }
                other => panic!("{version} {scenario}: {path} is {other:?}"),
            }
        }
    });
}

#[test]
fn the_recorded_inputs_are_what_the_inventories_say() {
    for scenario in SCENARIOS {
        let path = directory().join(format!("inputs/{scenario}.kubeadm.yaml"));
        let recorded = std::fs::read_to_string(path).unwrap();
        assert_eq!(record::kubeadm_config(scenario), recorded, "{scenario}: run tests/golden/regenerate.sh");
    }
}

#[test]
fn every_difference_is_documented() {
    let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kubeadm-differences.md");
    let text = std::fs::read_to_string(path).unwrap();
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let names: Vec<&str> = DIFFERENCES.iter().map(|(name, _, _)| *name).collect();
    assert_eq!(headings, names);
    let joined: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (name, place, why) in DIFFERENCES {
        assert!(joined.contains(place), "{name}: {place}");
        assert!(joined.contains(why), "{name}: {why}");
    }
}
