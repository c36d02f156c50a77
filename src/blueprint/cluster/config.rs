//! The ConfigMaps that kubeadm and kubelets read: kubeadm-config, kubelet-config, cluster-info.

use std::collections::BTreeMap;

use base64::Engine as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::object::{config_map, string_map};
use super::{ClusterInputs, yaml};
use crate::blueprint::{
    ComponentExtras, HostPathMount, api_server_port, cluster_extra_args, kubelet_configuration,
};
use crate::inventory::{Endpoint, EtcdPlacement, Host, bracketed};

/// kubeadm's mark on a ConfigMap whose content it generated itself, and may generate anew.
const HASH_ANNOTATION: &str = "kubeadm.kubernetes.io/component-config.hash";

/// In the order kubeadm makes them.
pub(super) fn config_objects(inputs: &ClusterInputs) -> Vec<Value> {
    vec![kubeadm_config(inputs), kubelet_config(inputs), cluster_info(inputs)]
}

fn kubeadm_config(inputs: &ClusterInputs) -> Value {
    let document = yaml::write(&yaml::sorted(&cluster_configuration(inputs)));
    let data = BTreeMap::from([("ClusterConfiguration".to_owned(), document)]);
    config_map("kube-system", "kubeadm-config", data, ObjectMeta::default())
}

/// ClusterConfiguration v1beta4. Never `featureGates`: a gate stored here and removed from a later
/// kubeadm fails its `init` and `config validate`.
fn cluster_configuration(inputs: &ClusterInputs) -> Value {
    let inventory = inputs.inventory;
    let settings = cluster_extra_args(inventory, inputs.etcd_token);
    let mut api_server = component(&settings.api_server);
    if !inventory.api_server.cert_sans.is_empty() {
        api_server.insert("certSANs".into(), json!(inventory.api_server.cert_sans));
    }
    let etcd = match inventory.etcd.placement {
        EtcdPlacement::Stacked => {
            let mut local = component(&settings.etcd);
            local.insert("dataDir".into(), json!(inventory.etcd.data_dir));
            json!({ "local": local })
        }
        EtcdPlacement::Dedicated => json!({ "external": {
            "endpoints": inventory
                .etcd_hosts()
                .map(|host| format!("https://{}:2379", bracketed(&host.address.to_string())))
                .collect::<Vec<_>>(),
            "caFile": "/etc/kubernetes/pki/etcd/ca.crt",
            "certFile": "/etc/kubernetes/pki/apiserver-etcd-client.crt",
            "keyFile": "/etc/kubernetes/pki/apiserver-etcd-client.key",
        }}),
    };
    json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "apiServer": api_server,
        "caCertificateValidityPeriod": "87600h0m0s",
        "certificateValidityPeriod": "8760h0m0s",
        "certificatesDir": "/etc/kubernetes/pki",
        "clusterName": inventory.name,
        "controlPlaneEndpoint": inventory.control_plane_endpoint(),
        "controllerManager": component(&settings.controller_manager),
        "dns": {},
        "encryptionAlgorithm": inventory.pki.algorithm.as_str(),
        "etcd": etcd,
        "imageRepository": "registry.k8s.io",
        "kubernetesVersion": inventory.version.to_string(),
        "networking": {
            "dnsDomain": inventory.network.dns_domain,
            "podSubnet": comma_separated(&inventory.network.pod_cidrs),
            "serviceSubnet": comma_separated(&inventory.network.service_cidrs),
        },
        // Without this, `kubeadm upgrade` would install what the operator switched off.
        "proxy": if inventory.kube_proxy.enabled { json!({}) } else { json!({"disabled": true}) },
        "scheduler": component(&settings.scheduler),
    })
}

fn component(settings: &ComponentExtras) -> Map<String, Value> {
    let mut map = Map::new();
    if !settings.args.is_empty() {
        let args: Vec<Value> =
            settings.args.iter().map(|arg| json!({"name": arg.name, "value": arg.value})).collect();
        map.insert("extraArgs".into(), args.into());
    }
    if !settings.mounts.is_empty() {
        let volumes: Vec<Value> = settings.mounts.iter().map(extra_volume).collect();
        map.insert("extraVolumes".into(), volumes.into());
    }
    map
}

fn extra_volume(mount: &HostPathMount) -> Value {
    let mut volume = json!({
        "name": mount.name,
        "hostPath": mount.host_path,
        "mountPath": mount.mount_path,
        "pathType": mount.path_type,
    });
    if mount.read_only {
        volume["readOnly"] = true.into();
    }
    volume
}

pub(super) fn comma_separated<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// The hosts' own `config.yaml` may differ (resolvConf, socket); this is what they share, and what a
/// node that joins by token starts from.
fn kubelet_config(inputs: &ClusterInputs) -> Value {
    let inventory = inputs.inventory;
    let document = yaml::write(&yaml::sorted(&kubelet_configuration(inventory).into()));
    let generated = !inventory.security.cis && inventory.kubelet.config.is_empty();
    component_config_map(
        "kubelet-config",
        BTreeMap::from([("kubelet".to_owned(), document)]),
        generated,
        ObjectMeta::default(),
    )
}

/// A component's configuration. Only what kubeadm itself would have generated carries the hash: kubeadm
/// may replace such content, and must not replace what an operator laid over it.
pub(super) fn component_config_map(
    name: &str,
    data: BTreeMap<String, String>,
    generated: bool,
    mut metadata: ObjectMeta,
) -> Value {
    if generated {
        let mut hasher = Sha256::new();
        for text in data.values() {
            hasher.update(text.as_bytes());
        }
        let hash = format!("sha256:{}", hex::encode(hasher.finalize()));
        metadata.annotations = Some(string_map(&[(HASH_ANNOTATION, &hash)]));
    }
    config_map("kube-system", name, data, metadata)
}

/// What a machine that knows nothing but a token learns first. The bootstrap signer adds signatures
/// under keys of its own.
fn cluster_info(inputs: &ClusterInputs) -> Value {
    let ca = base64::engine::general_purpose::STANDARD.encode(inputs.ca_certificate);
    let document = json!({
        "apiVersion": "v1",
        "clusters": [{
            "cluster": {
                "certificate-authority-data": ca,
                "server": format!("https://{}", discovery_endpoint(inputs)),
            },
            "name": "",
        }],
        "contexts": null,
        "current-context": "",
        "kind": "Config",
        "users": null,
    });
    let data = BTreeMap::from([("kubeconfig".to_owned(), yaml::write(&document))]);
    config_map("kube-public", "cluster-info", data, ObjectMeta::default())
}

/// Where a machine outside of the cluster finds the API. With a load balancer on every node's loopback
/// the control-plane endpoint means nothing to it, so it is sent to the first control plane.
fn discovery_endpoint(inputs: &ClusterInputs) -> String {
    match &inputs.inventory.endpoint {
        Endpoint::NodeLocal { .. } => inputs
            .inventory
            .control_planes()
            .next()
            .map(|host| advertised(host, inputs))
            .unwrap_or_else(|| inputs.inventory.control_plane_endpoint()),
        Endpoint::External { .. } | Endpoint::Vip { .. } => inputs.inventory.control_plane_endpoint(),
    }
}

fn advertised(host: &Host, inputs: &ClusterInputs) -> String {
    let port = api_server_port(inputs.inventory);
    format!("{}:{port}", bracketed(&host.address.to_string()))
}

/// Lays `overlay` over `base`: objects key by key, everything else replaced.
pub(super) fn merge(base: &mut Value, overlay: &Value) {
    match (base, overlay) {
        (Value::Object(base), Value::Object(overlay)) => {
            for (key, value) in overlay {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, overlay) => *base = overlay.clone(),
    }
}
