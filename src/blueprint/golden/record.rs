//! Records real kubeadm binaries: not a test, but run as one by tests/golden/regenerate.sh.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value, json};
use x509_parser::prelude::*;

use super::*;
use crate::inventory::{EtcdPlacement, ExtraArg};
use crate::render::to_yaml;

/// The kubeadm configuration that says the same as a scenario's inventory, for its host cp-1.
pub(super) fn kubeadm_config(scenario: &str) -> String {
    let version = "v1.37.1"; // only replaced again below
    let inventory = inventory(scenario, version);
    let host = &inventory.hosts["cp-1"];
    let extras = cluster_extra_args(&inventory, CLUSTER_UID);
    let args = |args: &[ExtraArg]| -> Vec<Value> {
        args.iter().map(|arg| json!({ "name": arg.name, "value": arg.value })).collect()
    };
    let component = |extras: &ComponentExtras| {
        let volumes: Vec<Value> = extras
            .mounts
            .iter()
            .map(|mount| {
                json!({
                    "name": mount.name,
                    "hostPath": mount.host_path,
                    "mountPath": mount.mount_path,
                    "readOnly": mount.read_only,
                    "pathType": mount.path_type,
                })
            })
            .collect();
        json!({ "extraArgs": args(&extras.args), "extraVolumes": volumes })
    };
    let mut api_server = component(&extras.api_server);
    api_server["certSANs"] = json!(inventory.api_server.cert_sans);
    let etcd = match inventory.etcd.placement {
        EtcdPlacement::Stacked => {
            json!({ "local": { "dataDir": inventory.etcd.data_dir, "extraArgs": args(&extras.etcd.args) } })
        }
        EtcdPlacement::Dedicated => json!({ "external": {
            "endpoints": inventory.etcd_hosts().map(|h| format!("https://{}:2379", h.address)).collect::<Vec<_>>(),
            "caFile": "/etc/kubernetes/pki/etcd/ca.crt",
            "certFile": "/etc/kubernetes/pki/apiserver-etcd-client.crt",
            "keyFile": "/etc/kubernetes/pki/apiserver-etcd-client.key",
        } }),
    };
    let node_ip: Vec<String> =
        std::iter::once(host.address).chain(host.secondary_address).map(|ip| ip.to_string()).collect();
    let mut kubelet_args = vec![ExtraArg { name: "node-ip".to_owned(), value: node_ip.join(",") }];
    kubelet_args.extend(inventory.kubelet.extra_args.iter().cloned());
    let init = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "nodeRegistration": {
            "name": "cp-1",
            "criSocket": "unix:///var/run/containerd/containerd.sock",
            "kubeletExtraArgs": args(&kubelet_args),
        },
        "localAPIEndpoint": {
            "advertiseAddress": host.address,
            "bindPort": api_server_port(&inventory),
        },
    });
    let cluster = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "kubernetesVersion": "VERSION",
        "clusterName": inventory.name,
        "controlPlaneEndpoint": inventory.control_plane_endpoint(),
        "encryptionAlgorithm": inventory.pki.algorithm.as_str(),
        "networking": {
            "podSubnet": joined(&inventory.network.pod_cidrs),
            "serviceSubnet": joined(&inventory.network.service_cidrs),
            "dnsDomain": inventory.network.dns_domain,
        },
        "etcd": etcd,
        "apiServer": api_server,
        "controllerManager": component(&extras.controller_manager),
        "scheduler": component(&extras.scheduler),
    });
    let mut documents = vec![to_yaml(&init), to_yaml(&cluster)];

    // What our kubelet configuration has beyond a plain cluster's.
    let mut bare = inventory.clone();
    bare.security.cis = false;
    bare.kubelet.config.clear();
    let bare = kubelet_configuration(&bare);
    let mut own = Map::new();
    own.insert("apiVersion".to_owned(), "kubelet.config.k8s.io/v1beta1".into());
    own.insert("kind".to_owned(), "KubeletConfiguration".into());
    own.extend(
        kubelet_configuration(&inventory).into_iter().filter(|(key, value)| bare.get(key) != Some(value)),
    );
    if own.len() > 2 {
        documents.push(to_yaml(&own));
    }
    documents.join("---\n")
}

#[test]
#[ignore = "records real kubeadm binaries; see tests/golden/regenerate.sh"]
fn record() {
    let binaries = std::env::var("KEELWRIGHT_KUBEADM").expect("set by tests/golden/regenerate.sh");
    for scenario in SCENARIOS {
        let path = directory().join(format!("inputs/{scenario}.kubeadm.yaml"));
        fs::write(path, kubeadm_config(scenario)).unwrap();
    }
    for binary in binaries.split(':') {
        let output = Command::new(binary).args(["version", "-o", "short"]).output().unwrap();
        let version = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let _ = fs::remove_dir_all(directory().join(&version));
        for scenario in SCENARIOS {
            record_scenario(binary, &version, scenario);
        }
    }
}

fn record_scenario(binary: &str, version: &str, scenario: &str) {
    let root = Utf8PathBuf::try_from(std::env::temp_dir())
        .unwrap()
        .join(format!("keelwright-golden-{}-{version}-{scenario}", std::process::id()));
    for directory in PRESENT_CA_DIRECTORIES.iter().chain(&["/etc/ssl/certs", "/tmp"]) {
        fs::create_dir_all(format!("{root}{directory}")).unwrap();
    }
    let config = kubeadm_config(scenario).replace("VERSION", version);
    fs::write(root.join("kubeadm.yaml"), config).unwrap();
    let phase = |words: &str| {
        let output = Command::new(binary)
            .args(["init", "phase"])
            .args(words.split(' '))
            .args(["--rootfs", root.as_str(), "--config", "/kubeadm.yaml"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let inventory = inventory(scenario, version);
    phase("certs all");
    phase("kubeconfig all");
    if inventory.pki.external_ca {
        fs::remove_file(root.join("etc/kubernetes/pki/ca.key")).unwrap();
    }
    phase("control-plane all");
    if inventory.etcd.placement == EtcdPlacement::Stacked {
        phase("etcd local");
    }
    phase("kubelet-start");
    write_recording(&root, &directory().join(version).join(scenario));
    fs::remove_dir_all(&root).unwrap();
}

fn write_recording(root: &Utf8Path, target: &Utf8Path) {
    fs::create_dir_all(target).unwrap();
    let write = |name: &str, value: &Value| {
        fs::write(target.join(name), format!("{value:#}\n")).unwrap();
    };
    let yaml =
        |path: &Utf8Path| -> Value { serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap() };
    let (mut modes, mut certificates, mut kubeconfigs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let files = [files_below(&root.join("etc/kubernetes")), files_below(&root.join("var/lib/kubelet"))];
    for path in files.concat() {
        let on_host = path.as_str().strip_prefix(root.as_str()).unwrap().to_owned();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        modes.insert(on_host.clone(), format!("{mode:04o}"));
        let name = path.file_stem().unwrap();
        match path.extension() {
            Some("yaml") if on_host.contains("/manifests/") => write(&format!("{name}.json"), &yaml(&path)),
            Some("yaml") => write(&format!("kubelet-{name}.json"), &yaml(&path)),
            Some("crt") => {
                let pem = fs::read(&path).unwrap();
                certificates.insert(on_host, certificate(&pem));
            }
            Some("conf") => {
                kubeconfigs.insert(on_host, kubeconfig(&yaml(&path)));
            }
            Some("env") => write("kubeadm-flags.json", &fs::read_to_string(&path).unwrap().into()),
            Some(_) | None => {}
        }
    }
    write("modes.json", &json!(modes));
    write("certificates.json", &json!(certificates));
    write("kubeconfigs.json", &json!(kubeconfigs));
}

fn files_below(directory: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    for entry in directory.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// What a certificate says, without what differs at every run. Lifetimes are in whole minutes.
fn certificate(pem: &[u8]) -> Value {
    let (_, pem) = parse_x509_pem(pem).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let attribute = |name: &X509Name<'_>, organization: bool| {
        let mut values = if organization {
            name.iter_organization().collect::<Vec<_>>()
        } else {
            name.iter_common_name().collect()
        };
        values.pop().map(|value| value.as_str().unwrap().to_owned())
    };
    let (mut dns, mut addresses) = (Vec::new(), Vec::new());
    if let Some(names) = certificate.subject_alternative_name().unwrap() {
        for name in &names.value.general_names {
            match name {
                GeneralName::DNSName(name) => dns.push((*name).to_owned()),
                GeneralName::IPAddress([a, b, c, d]) => {
                    addresses.push(IpAddr::from([*a, *b, *c, *d]).to_string())
                }
                GeneralName::IPAddress(bytes) => {
                    addresses.push(IpAddr::from(<[u8; 16]>::try_from(*bytes).unwrap()).to_string());
                }
                other => panic!("{other}"),
            }
        }
    }
    let usage = certificate.key_usage().unwrap().unwrap();
    let extended = certificate.extended_key_usage().unwrap().map(|usage| usage.value);
    let constraints = certificate.basic_constraints().unwrap();
    let validity = certificate.validity();
    let seconds = validity.not_after.timestamp() - validity.not_before.timestamp();
    let key = match certificate.public_key().parsed().unwrap() {
        x509_parser::public_key::PublicKey::RSA(key) => format!("RSA-{}", key.key_size()),
        x509_parser::public_key::PublicKey::EC(point) => format!("ECDSA-P{}", point.key_size()),
        _ => "other".to_owned(),
    };
    json!({
        "commonName": attribute(certificate.subject(), false),
        "organization": attribute(certificate.subject(), true),
        "issuer": attribute(certificate.issuer(), false),
        "dnsNames": dns,
        "addresses": addresses,
        "keyUsage": usage.value.to_string(),
        "keyUsageCritical": usage.critical,
        "serverAuth": extended.is_some_and(|usage| usage.server_auth),
        "clientAuth": extended.is_some_and(|usage| usage.client_auth),
        "isCa": constraints.as_ref().is_some_and(|constraints| constraints.value.ca),
        "basicConstraintsCritical": constraints.as_ref().map(|constraints| constraints.critical),
        "validMinutes": (seconds + 30) / 60,
        "key": key,
    })
}

fn kubeconfig(value: &Value) -> Value {
    use base64::Engine as _;
    let user = &value["users"][0];
    let data = user["user"]["client-certificate-data"].as_str().unwrap();
    let pem = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
    json!({
        "cluster": value["clusters"][0]["name"],
        "server": value["clusters"][0]["cluster"]["server"],
        "user": user["name"],
        "context": value["contexts"][0]["name"],
        "contextOf": value["contexts"][0]["context"],
        "currentContext": value["current-context"],
        "certificate": certificate(&pem),
    })
}
