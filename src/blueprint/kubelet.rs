//! The kubelet: its unit, flags, configuration, and the client pair it starts with.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::context;
use serde_json::{Map, Value, json};

use super::files::{Files, text_file};
use super::model::{Content, File, FileGroup, FilePolicy, HostTraits, Link};
use super::security::CIPHER_SUITES;
use super::{KUBELET_UNIT, PKI_DIRECTORY, api_server_port, socket_address};
use crate::inventory::{ExtraArg, Host, Inventory, NetworkPlugin, Taint};
use crate::pki::{KeyId, SecretContent};
use crate::release::MinorRelease;
use crate::release::addons::CLOUD_CONTROLLER;
use crate::release::catalog::Image;
use crate::render::{render, to_yaml};

const DIRECTORY: &str = "/var/lib/kubelet";
const CONTAINERD_SOCKET: &str = "unix:///var/run/containerd/containerd.sock";
/// What systemd-resolved keeps for programs that must not ask its stub on the loopback.
const RESOLVED_CONFIG: &str = "/run/systemd/resolve/resolv.conf";
/// The kubelet's own names carry a date and so can never be this one: the pair it rotates to does not
/// overwrite the one it was given.
const CLIENT_PEM: &str = "/var/lib/kubelet/pki/kubelet-client-keelwright.pem";
const CLIENT_LINK: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
/// Enough for any real workload, and a fork bomb in one pod stays in it (CIS 4.2.13).
const POD_PIDS_LIMIT: u32 = 4096;

/// The texts that most hosts share.
pub(super) struct Shared {
    config: Arc<str>,
    config_with_resolved: Arc<str>,
    instance: Arc<str>,
}

impl Shared {
    pub(super) fn new(inventory: &Inventory) -> Self {
        let config = node_configuration(inventory, false);
        let endpoint = config.get("containerRuntimeEndpoint").cloned().unwrap_or_default();
        Shared {
            config: to_yaml(&config).into(),
            config_with_resolved: to_yaml(&node_configuration(inventory, true)).into(),
            instance: to_yaml(&json!({ "containerRuntimeEndpoint": endpoint })).into(),
        }
    }
}

/// The benchmark wants 0600 where kubeadm writes 0644 (CIS 4.1.1, 4.1.9); a later kubeadm keeps the mode.
fn mode(inventory: &Inventory) -> u32 {
    if inventory.security.cis { 0o600 } else { 0o644 }
}

/// The unit, which belongs to a cluster or to nothing but its host.
pub(super) fn add_unit(files: &mut Files, inventory: &Inventory, standalone: bool) {
    let unit = include_str!("../../templates/kubelet/kubelet.service.j2");
    let drop_in = include_str!("../../templates/kubelet/10-kubeadm.conf.j2");
    files.directory("/etc/systemd/system/kubelet.service.d", 0o755);
    for (path, text) in [
        ("/etc/systemd/system/kubelet.service", render("kubelet.service", unit, context! { standalone })),
        (
            "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
            render("10-kubeadm.conf", drop_in, context! { standalone }),
        ),
    ] {
        files.add_for(path, text_file(FileGroup::System, mode(inventory), text), KUBELET_UNIT);
    }
}

/// The files of `host`, and its link to the current client pair.
pub(super) fn add_files(
    files: &mut Files,
    shared: &Shared,
    inventory: &Inventory,
    release: &MinorRelease,
    host: &Host,
    traits: &HostTraits,
) -> Vec<(String, Link)> {
    files.directory(DIRECTORY, 0o700);
    files.directory(&format!("{DIRECTORY}/pki"), 0o755);
    let config = match (host.is_node(), traits.resolved_active) {
        (false, resolved) => to_yaml(&standalone_configuration(inventory, resolved)).into(),
        (true, false) => shared.config.clone(),
        (true, true) => shared.config_with_resolved.clone(),
    };
    let flags = flags_file(&flags(inventory, release, host, traits)).into();
    for (name, text) in [
        ("config.yaml", config),
        ("instance-config.yaml", shared.instance.clone()),
        ("kubeadm-flags.env", flags),
    ] {
        let file = text_file(FileGroup::Config, mode(inventory), text);
        files.add_for(&format!("{DIRECTORY}/{name}"), file, KUBELET_UNIT);
    }
    if host.is_node() { client_files(files, inventory, host) } else { Vec::new() }
}

/// The pair and the kubeconfig that kubeadm would get by TLS bootstrap, made beforehand. The kubelet takes
/// what it finds, rotates it in time and owns it from then on.
fn client_files(files: &mut Files, inventory: &Inventory, host: &Host) -> Vec<(String, Link)> {
    let pem = SecretContent::ClientPem { key: KeyId::of_host(&host.name, "kubelet") };
    // Where nobody in the cluster signs, the kubelet never rotates it: it stays ours to renew.
    let policy = if inventory.pki.external_ca { FilePolicy::Exact } else { FilePolicy::CreateOnly };
    let content = Content::Secret(pem);
    let restarts = BTreeSet::new();
    let file = File { group: FileGroup::Pki, mode: 0o600, content, policy, restarts };
    files.add_for(CLIENT_PEM, file, KUBELET_UNIT);
    // A control plane's kubelet talks to its own API server: behind the balancer it could meet an older one
    // in the middle of an upgrade.
    let server = if host.is_control_plane() {
        format!("https://{}", socket_address(host.address, api_server_port(inventory)))
    } else {
        format!("https://{}", inventory.control_plane_endpoint())
    };
    let kubeconfig = File {
        group: FileGroup::Kubeconfig,
        mode: 0o600,
        content: Content::Secret(SecretContent::KubeletConfig { server, pem: CLIENT_LINK.to_owned() }),
        policy: FilePolicy::Exact,
        restarts: BTreeSet::new(),
    };
    files.add_for("/etc/kubernetes/kubelet.conf", kubeconfig, KUBELET_UNIT);
    vec![(CLIENT_LINK.to_owned(), Link { target: CLIENT_PEM.to_owned(), policy })]
}

/// The cluster's KubeletConfiguration, as the `kubelet-config` ConfigMap has it: kubeadm's document, with
/// the zeros its marshalling leaves in it, our settings, and the operator's over them. Keys are sorted.
pub fn kubelet_configuration(inventory: &Inventory) -> Map<String, Value> {
    let dns: Vec<String> = inventory.network.service_address(10).iter().map(ToString::to_string).collect();
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "cacheTTL": "0s", "enabled": true },
            "x509": { "clientCAFile": format!("{PKI_DIRECTORY}/ca.crt") },
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": { "cacheAuthorizedTTL": "0s", "cacheUnauthorizedTTL": "0s" },
        },
        "cgroupDriver": "systemd",
        "clusterDNS": dns,
        "clusterDomain": inventory.network.dns_domain,
        "containerRuntimeEndpoint": "",
        "cpuManagerReconcilePeriod": "0s",
        "crashLoopBackOff": {},
        "evictionPressureTransitionPeriod": "0s",
        "fileCheckFrequency": "0s",
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "httpCheckFrequency": "0s",
        "imageMaximumGCAge": "0s",
        "imageMinimumGCAge": "0s",
        "logging": {
            "flushFrequency": 0,
            "options": { "json": { "infoBufferSize": "0" }, "text": { "infoBufferSize": "0" } },
            "verbosity": 0,
        },
        "memorySwap": {},
        "nodeStatusReportFrequency": "0s",
        "nodeStatusUpdateFrequency": "0s",
        "rotateCertificates": true,
        "runtimeRequestTimeout": "0s",
        "shutdownGracePeriod": "0s",
        "shutdownGracePeriodCriticalPods": "0s",
        "staticPodPath": super::static_pods::MANIFESTS_DIRECTORY,
        "streamingConnectionIdleTimeout": "0s",
        "syncFrequency": "0s",
        "volumeStatsAggPeriod": "0s",
    });
    if inventory.security.cis {
        overlay(
            &mut config,
            json!({
                "podPidsLimit": POD_PIDS_LIMIT, // CIS 4.2.13
                "seccompDefault": true, // CIS 4.2.14
                "tlsCipherSuites": CIPHER_SUITES, // CIS 4.2.12
            }),
        );
    }
    overlay(&mut config, inventory.kubelet.config.clone().into_iter().collect());
    into_sorted_map(config)
}

/// The configuration on a node: the cluster's, and what belongs to the host.
fn node_configuration(inventory: &Inventory, resolved_active: bool) -> Map<String, Value> {
    let mut config = Value::Object(kubelet_configuration(inventory));
    let mut own = Map::new();
    if config["containerRuntimeEndpoint"] == "" {
        own.insert("containerRuntimeEndpoint".to_owned(), CONTAINERD_SOCKET.into());
    }
    if resolved_active && !inventory.kubelet.config.contains_key("resolvConf") {
        own.insert("resolvConf".to_owned(), RESOLVED_CONFIG.into());
    }
    overlay(&mut config, Value::Object(own));
    into_sorted_map(config)
}

/// The configuration on a host for etcd only. This kubelet belongs to no cluster: there is nobody to ask who
/// may do what, so it serves nothing.
fn standalone_configuration(inventory: &Inventory, resolved_active: bool) -> Map<String, Value> {
    let mut config = Value::Object(node_configuration(inventory, resolved_active));
    overlay(
        &mut config,
        json!({
            "authentication": { "webhook": { "enabled": false }, "x509": { "clientCAFile": "" } },
            "authorization": { "mode": "AlwaysAllow" },
            "enableServer": false,
            "rotateCertificates": false,
        }),
    );
    into_sorted_map(config)
}

/// Lays `over` on `base`: objects merge, everything else replaces.
fn overlay(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

fn into_sorted_map(mut value: Value) -> Map<String, Value> {
    value.sort_all_objects();
    match value {
        Value::Object(map) => map,
        // invariant: only ever called with the object literals above
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// Flags that kubeadm would leave in kubeadm-flags.env: its own sorted, then the operator's. Labels are not
/// among them (a kubelet may not set most of its own), nor a control plane's taint.
fn flags(inventory: &Inventory, release: &MinorRelease, host: &Host, traits: &HostTraits) -> Vec<ExtraArg> {
    let arg = |name: &str, value: String| ExtraArg { name: name.to_owned(), value };
    let mut flags = Vec::new();
    if traits.hostname.as_ref().is_some_and(|hostname| hostname != host.name.as_str()) {
        flags.push(arg("hostname-override", host.name.to_string()));
    }
    if release.pod_infra_flag {
        let pause = release.image(Image::Pause, inventory.version);
        flags.push(arg("pod-infra-container-image", pause));
    }
    if host.is_node() && !host.is_control_plane() && !host.taints.is_empty() {
        let taints: Vec<String> = host.taints.iter().map(taint_text).collect();
        flags.push(arg("register-with-taints", taints.join(",")));
    }
    flags.extend(host.provider_id.iter().map(|id| arg("provider-id", id.clone())));
    // The node waits for the controller then, which knows its zone, its type and its addresses.
    if host.is_node() && inventory.has_addon(CLOUD_CONTROLLER) {
        flags.push(arg("cloud-provider", "external".to_owned()));
    }
    // Left to itself the kubelet takes the address of the default route, which a host with several
    // interfaces may not share with its peers, and which does not exist without a default route.
    let addresses: Vec<String> = std::iter::once(host.address)
        .chain(host.secondary_address)
        .map(|address| address.to_string())
        .collect();
    let own = if host.is_node() { vec![arg("node-ip", addresses.join(","))] } else { Vec::new() };
    let operators = &inventory.kubelet.extra_args;
    let given = |name: &str| operators.iter().any(|extra| extra.name == name);
    flags.into_iter().chain(own).filter(|flag| !given(&flag.name)).chain(operators.iter().cloned()).collect()
}

fn taint_text(taint: &Taint) -> String {
    let effect = taint.effect.as_str();
    match taint.value.as_deref() {
        Some(value) if !value.is_empty() => format!("{}={value}:{effect}", taint.key),
        Some(_) | None => format!("{}:{effect}", taint.key),
    }
}

fn flags_file(flags: &[ExtraArg]) -> String {
    let words: Vec<String> =
        flags.iter().map(|flag| word(&format!("--{}={}", flag.name, flag.value))).collect();
    format!("KUBELET_KUBEADM_ARGS={}\n", environment_value(&words.join(" ")))
}

/// One word of a variable that systemd splits (`$KUBELET_KUBEADM_ARGS`): quoted only where it must be, as
/// kubeadm itself reads the file too and knows no quotes.
fn word(text: &str) -> String {
    if !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "\"'\\".contains(c)) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A value in an EnvironmentFile=: double quotes, with a backslash before the four characters that systemd
/// and the shell treat specially inside them.
fn environment_value(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if "\"\\$`".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// What the kubelet and the runtime must agree on: `systemd` unless the operator says otherwise.
pub(super) fn uses_systemd_cgroups(inventory: &Inventory) -> bool {
    inventory.kubelet.config.get("cgroupDriver").is_none_or(|driver| driver == "systemd")
}

/// Whether the kubelet is told to live with swap.
pub(super) fn keeps_swap(inventory: &Inventory) -> bool {
    inventory.kubelet.config.get("failSwapOn") == Some(&Value::Bool(false))
}

/// Whether the host's pods get their addresses from files of ours.
pub(super) fn routes_pods(inventory: &Inventory) -> bool {
    matches!(inventory.network.plugin, NetworkPlugin::Routes { .. })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::inventory::TaintEffect;

    /// systemd's rules for `$VARIABLE` as a word of ExecStart=: split at whitespace, with quotes respected and
    /// removed, and a backslash that takes the next character as it is.
    fn systemd_words(text: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            match (quote, c) {
                (_, '\\') => word.get_or_insert_default().extend(characters.next()),
                (Some(open), _) if c == open => quote = None,
                (None, '"' | '\'') => {
                    word.get_or_insert_default();
                    quote = Some(c);
                }
                (None, ' ' | '\t' | '\n' | '\r') => words.extend(word.take()),
                (_, _) => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        words
    }

    proptest! {
        #[test]
        fn flags_reach_the_kubelet_as_they_were_given(values in proptest::collection::vec("[ -~äß]{0,12}", 0..4)) {
            let flags: Vec<ExtraArg> =
                values.iter().map(|value| ExtraArg { name: "flag".to_owned(), value: value.clone() }).collect();
            let file = flags_file(&flags);
            // An EnvironmentFile= in double quotes is read as a shell reads it.
            let script = format!("{file}printf %s \"$KUBELET_KUBEADM_ARGS\"");
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            let read = systemd_words(&String::from_utf8(output.stdout).unwrap());
            let given: Vec<String> = values.iter().map(|value| format!("--flag={value}")).collect();
            prop_assert_eq!(read, given);
        }
    }

    #[test]
    fn flags_are_written_as_kubeadm_writes_them() {
        assert_eq!(flags_file(&[]), "KUBELET_KUBEADM_ARGS=\"\"\n");
        let flag = |name: &str, value: &str| ExtraArg { name: name.to_owned(), value: value.to_owned() };
        assert_eq!(
            flags_file(&[
                flag("node-ip", "10.0.0.1"),
                flag("register-with-taints", "a=b:NoSchedule,c:NoExecute")
            ]),
            "KUBELET_KUBEADM_ARGS=\"--node-ip=10.0.0.1 --register-with-taints=a=b:NoSchedule,c:NoExecute\"\n"
        );
    }

    #[test]
    fn taints_are_written_with_a_value_only_when_they_have_one() {
        for (value, expected) in
            [(None, "k:NoSchedule"), (Some(""), "k:NoSchedule"), (Some("v"), "k=v:NoSchedule")]
        {
            let taint = Taint {
                key: "k".to_owned(),
                value: value.map(str::to_owned),
                effect: TaintEffect::NoSchedule,
            };
            assert_eq!(taint_text(&taint), expected);
        }
    }

    #[test]
    fn objects_merge_and_lists_replace() {
        let mut base = json!({ "a": { "b": 1, "c": 2 }, "list": [1, 2], "scalar": 1 });
        overlay(&mut base, json!({ "a": { "c": 3, "d": 4 }, "list": [3], "scalar": { "x": 1 } }));
        assert_eq!(base, json!({ "a": { "b": 1, "c": 3, "d": 4 }, "list": [3], "scalar": { "x": 1 } }));
    }
}
