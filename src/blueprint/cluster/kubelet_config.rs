//! The KubeletConfiguration that all nodes share, and how settings are laid over such documents.

use serde_json::{Map, Value, json};

use crate::inventory::Inventory;

/// KubeletConfiguration v1beta1 as kubeadm stores it: what it sets, and the zeros that its encoder
/// writes for durations and structs. The operator's fields lie over it.
pub fn kubelet_configuration(inventory: &Inventory) -> Value {
    let dns = inventory.network.service_address(10).map(|address| address.to_string());
    let mut value = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"cacheTTL": "0s", "enabled": true},
            "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": {"cacheAuthorizedTTL": "0s", "cacheUnauthorizedTTL": "0s"},
        },
        "cgroupDriver": "systemd",
        "clusterDNS": dns.into_iter().collect::<Vec<_>>(),
        "clusterDomain": inventory.network.dns_domain,
        // The socket is a fact of each host, given there by instance-config.yaml.
        "containerRuntimeEndpoint": "",
        "crashLoopBackOff": {},
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "logging": {
            "flushFrequency": 0,
            "options": {"json": {"infoBufferSize": "0"}, "text": {"infoBufferSize": "0"}},
            "verbosity": 0,
        },
        "memorySwap": {},
        "rotateCertificates": true,
        "staticPodPath": "/etc/kubernetes/manifests",
    });
    for duration in ZERO_DURATIONS {
        value[duration] = "0s".into();
    }
    merge(&mut value, &json!(inventory.kubelet.config));
    value
}

/// A zero duration means the kubelet's default.
const ZERO_DURATIONS: [&str; 14] = [
    "cpuManagerReconcilePeriod",
    "evictionPressureTransitionPeriod",
    "fileCheckFrequency",
    "httpCheckFrequency",
    "imageMaximumGCAge",
    "imageMinimumGCAge",
    "nodeStatusReportFrequency",
    "nodeStatusUpdateFrequency",
    "runtimeRequestTimeout",
    "shutdownGracePeriod",
    "shutdownGracePeriodCriticalPods",
    "streamingConnectionIdleTimeout",
    "syncFrequency",
    "volumeStatsAggPeriod",
];

/// Lays `overlay` over `base`: objects key by key, everything else replaced.
pub(super) fn merge(base: &mut Value, overlay: &Value) {
    match (base, overlay) {
        (Value::Object(base), Value::Object(overlay)) => {
            for (key, value) in overlay {
                merge(base.entry(key.clone()).or_insert(Value::Object(Map::new())), value);
            }
        }
        (base, overlay) => *base = overlay.clone(),
    }
}

/// Whether the configuration is what kubeadm would generate.
pub(super) fn is_plain(inventory: &Inventory) -> bool {
    inventory.kubelet.config.is_empty()
}
