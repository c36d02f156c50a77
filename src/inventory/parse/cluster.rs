//! The top of the file: what there is one of per cluster.

use super::aws;
use super::context::{Context, Document};
use super::draft::{Draft, DraftHost, Provider};
use super::host;
use super::path::Path;
use super::reader::{Field, Table, closest};
use super::scalar::{Plain, quoted};
use super::settings;
use super::tree::Node;
use crate::inventory::{ClusterName, Component, Endpoint, NetworkPlugin, PluginRelease};
use crate::release::KubeVersion;
use crate::release::plugins;

/// The `apiVersion` this release reads.
pub(crate) const API_VERSION: &str = "keelwright.dev/v1";
/// Where haproxy listens on every node. Not 6443: the API server has that port on control planes.
pub(crate) const NODE_LOCAL_PORT: u16 = 7443;
/// Where the API servers listen.
pub(crate) const API_PORT: u16 = 6443;

/// What other tools call things, and what they are called here.
const MOVED: &[(&str, &str)] = &[
    ("name", "metadata.name"),
    ("clusterName", "metadata.name"),
    ("version", "kubernetes.version"),
    ("kubernetesVersion", "kubernetes.version"),
    ("nodes", "hosts"),
    ("machines", "hosts"),
    ("servers", "hosts"),
    ("controlPlaneEndpoint", "endpoint.external"),
    ("networking", "network"),
    ("podSubnet", "network.podCidrs"),
    ("serviceSubnet", "network.serviceCidrs"),
    ("dnsDomain", "network.dnsDomain"),
    ("certSANs", "apiServer.certSANs"),
    ("bastion", "ssh.bastion"),
    ("kubeProxyConfig", "kubeProxy.config"),
    ("kubeletConfig", "kubelet.config"),
    ("controlPlane", "hosts[].roles and apiServer, controllerManager, scheduler"),
];

/// Reads the whole tree; None when it is not an inventory at all.
pub(super) fn read(root: &Node, context: &Context<'_>) -> Option<Draft> {
    let top = Field { context, node: root, path: Path::root() }.table()?.moved(MOVED);
    let header = header(&top, Document::Inventory);
    if header == Header::Other {
        return None;
    }
    let draft = body(&top);
    // Of another kind of file, every key would be reported as unknown: noise.
    if header == Header::Unknown {
        return None;
    }
    top.finish();
    Some(draft)
}

/// What the first lines say that a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// What is wanted, as far as can be read.
    Right,
    /// Another file of keelwright's: all that is in it would be wrong here.
    Other,
    Unknown,
}

/// apiVersion and kind.
pub(super) fn header(top: &Table<'_>, document: Document) -> Header {
    let mut header = Header::Right;
    for (key, want) in [("apiVersion", API_VERSION), ("kind", document.kind())] {
        let Some(field) = top.require(key, want) else { continue };
        let Some(text) = field.text() else { continue };
        if text != want {
            let other = [Document::Inventory, Document::Migration]
                .into_iter()
                .find(|other| key == "kind" && other.kind() == text);
            let hint = match text {
                "kubeadm.k8s.io/v1beta3" | "kubeadm.k8s.io/v1beta4" => {
                    "this is kubeadm's configuration; docs/inventory.md says where its fields go".to_owned()
                }
                _ if other.is_some() => format!("name a file with `kind: {want}`"),
                _ => format!("write `{key}: {want}`"),
            };
            let message = match other {
                Some(other) => {
                    let (is, needed) = (other.with_article(), document.with_article());
                    format!("this file is {is}, and {needed} is needed here")
                }
                None => format!("unsupported {key} {}; this release reads {want}", quoted(text)),
            };
            header = if other.is_some() { Header::Other } else { Header::Unknown };
            field.error::<()>(message, hint);
        }
    }
    header
}

fn body(top: &Table<'_>) -> Draft {
    let name = top.require("metadata", "{name: prod}").and_then(|field| metadata(&field));
    let version = top.require("kubernetes", "{version: v1.37.1}").and_then(|field| kubernetes(&field));
    let ssh = host::ssh_defaults(top);
    let provider = aws::provider(top);
    let hosts = hosts(top, provider, &ssh);
    let aws = match provider {
        Provider::Hosts => top.get("aws"),
        Provider::Aws => top.require("aws", "{region: eu-central-1, zones: 3}"),
    };
    // With machines that are made it is refused whatever is in it.
    let endpoint = top.get("endpoint").filter(|_| provider == Provider::Hosts);
    let aws = aws.and_then(|field| aws::aws(&field));
    let state = top.get("state").map(|field| super::state::state(&field, name.as_ref(), aws.as_ref()));
    let artifacts = super::artifacts::artifacts(top.get("artifacts"), aws.as_ref());
    let mut draft = Draft {
        name,
        version,
        provider,
        hosts,
        aws,
        state,
        ssh: host::ssh_of(&ssh),
        pod_cidrs: None,
        service_cidrs: None,
        dns_domain: "cluster.local".into(),
        plugin: default_plugin(provider),
        endpoint: endpoint.and_then(|field| self::endpoint(&field)).unwrap_or(NODE_LOCAL),
        etcd: settings::default_etcd(),
        etcd_placement: None,
        allow_even_members: false,
        api_server: component(top, "apiServer", true),
        controller_manager: component(top, "controllerManager", false),
        scheduler: component(top, "scheduler", false),
        kubelet: top.get("kubelet").map(|field| settings::kubelet(&field)).unwrap_or_default(),
        kube_proxy: settings::kube_proxy(top.get("kubeProxy")),
        containerd: top.get("containerd").map(|field| settings::containerd(&field)).unwrap_or_default(),
        pki: settings::pki(top.get("pki")),
        security: settings::security(top.get("security")),
        artifacts,
        addons: top.get("addons").map(|field| settings::addons(&field)).unwrap_or_default(),
        policy: settings::policy(top.get("policy")),
        hooks: top.get("hooks").map(|field| super::hooks::hooks(&field)).unwrap_or_default(),
    };
    if let Some(field) = top.get("network") {
        network(&field, &mut draft);
    }
    if let Some(field) = top.get("etcd") {
        settings::etcd(&field, &mut draft);
    }
    draft
}

/// Routes are planned between hosts that are known; workers that come by themselves need a plugin that manages alone.
fn default_plugin(provider: Provider) -> NetworkPlugin {
    let calico = plugins::known("calico").filter(|_| provider == Provider::Aws);
    calico.map_or(NetworkPlugin::Routes { mtu: None }, |known| {
        let version = known.version.to_owned();
        NetworkPlugin::Calico(PluginRelease { version, source: None, sha256: None })
    })
}

/// `hosts`, which a file must have unless machines are made.
fn hosts(top: &Table<'_>, provider: Provider, ssh: &host::SshDefaults) -> Vec<DraftHost> {
    let field = match provider {
        // Of a provider that could not be read nobody knows whether it needs hosts.
        Provider::Hosts if top.has("provider") => top.get("hosts"),
        Provider::Hosts => {
            top.require("hosts", "[{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]")
        }
        // A rule refuses them.
        Provider::Aws => {
            top.get("hosts");
            None
        }
    };
    field.map_or_else(Vec::new, |field| host::hosts(&field, ssh))
}

const NODE_LOCAL: Endpoint = Endpoint::NodeLocal { port: NODE_LOCAL_PORT };

fn metadata(field: &Field<'_>) -> Option<ClusterName> {
    let table = field.table()?;
    let name = table.require("name", "prod").and_then(|field| {
        let text = field.text()?;
        match ClusterName::parse(text) {
            Ok(name) => Some(name),
            Err(error) => field.error(error.to_string(), "a cluster's name is one DNS label, such as `prod`"),
        }
    });
    table.finish();
    name
}

fn kubernetes(field: &Field<'_>) -> Option<KubeVersion> {
    let table = field.table()?;
    let version = table.require("version", "v1.37.1").and_then(|field| version(&field));
    table.finish();
    version
}

fn version(field: &Field<'_>) -> Option<KubeVersion> {
    let supported = super::super::check::supported_versions();
    if let Some(Plain::Integer(_) | Plain::Float | Plain::OddNumber) = field.plain() {
        return field.error(
            format!("version must be a quoted string; got {}", field.got()),
            format!("write vMAJOR.MINOR.PATCH, such as \"v1.37.1\"; supported: {supported}"),
        );
    }
    let text = field.text()?;
    if let Ok(version) = KubeVersion::parse(text) {
        return Some(version);
    }
    let help = match KubeVersion::parse(&format!("v{text}")) {
        Ok(version) => format!("write {version}"),
        Err(_) => format!("supported: {supported}"),
    };
    field.error(format!("want vMAJOR.MINOR.PATCH, such as v1.37.1; got {}", quoted(text)), help)
}

fn component(top: &Table<'_>, key: &'static str, has_certificate: bool) -> Component {
    let mut component = Component::default();
    let Some(table) = top.get(key).and_then(|field| field.table()) else { return component };
    if let Some(field) = table.get("extraArgs") {
        component.extra_args = field.extra_args();
    }
    if has_certificate && let Some(field) = table.get("certSANs") {
        let names = field.items().unwrap_or_default();
        component.cert_sans = names.iter().filter_map(|field| Some(field.text()?.to_owned())).collect();
    }
    table.finish();
    component
}

fn endpoint(field: &Field<'_>) -> Option<Endpoint> {
    let table = field.table()?;
    let node_local = table.get("nodeLocal").map(|field| {
        let Some(table) = field.table() else { return NODE_LOCAL };
        let port = table.get("port").and_then(|field| field.port()).unwrap_or(NODE_LOCAL_PORT);
        table.finish();
        Endpoint::NodeLocal { port }
    });
    let external = table.get("external").map(|field| external(&field));
    let vip = table.get("vip").map(|field| vip(&field));
    let given = [node_local.is_some(), external.is_some(), vip.is_some()];
    table.finish();
    match given.iter().filter(|given| **given).count() {
        1 => node_local.or(external.flatten()).or(vip.flatten()),
        count => {
            let message = format!(
                "want one of nodeLocal, external, vip; got {}",
                if count == 0 { "none" } else { "several" }
            );
            field.error(message, "leave `endpoint` out for a balancer on every node")
        }
    }
}

/// `{host, port}`, or kubeadm's `host:port`.
fn external(field: &Field<'_>) -> Option<Endpoint> {
    if !field.is_map() {
        let text = field.text()?;
        let help = "write host:port, such as api.example.org:6443";
        if let Some((_, rest)) = text.split_once("://") {
            let rest = rest.trim_end_matches('/');
            return field.error(format!("{} has a scheme", quoted(text)), format!("write {}", quoted(rest)));
        }
        let (host, port) = match split_port(text) {
            Some((host, None)) => (host, API_PORT),
            Some((host, Some(port))) => match port.parse::<u16>() {
                Ok(port) if port > 0 => (host, port),
                Ok(_) | Err(_) => {
                    return field.error(format!("{} is not a port; want 1 to 65535", quoted(port)), help);
                }
            },
            None => return field.error(format!("{} is not host:port", quoted(text)), help),
        };
        return Some(Endpoint::External { host: host.to_owned(), port });
    }
    let table = field.table()?;
    let host = table.require("host", "api.example.org").and_then(|field| {
        let text = field.text()?;
        match text.contains("://") {
            true => field.error(format!("{} has a scheme", quoted(text)), "write the host only"),
            false => Some(text.to_owned()),
        }
    });
    let port = table.get("port").map_or(Some(API_PORT), |field| field.port());
    table.finish();
    Some(Endpoint::External { host: host?, port: port? })
}

fn vip(field: &Field<'_>) -> Option<Endpoint> {
    let table = field.table()?;
    let address = table.require("address", "192.0.2.10").and_then(|field| field.address());
    let interface = table.get("interface").and_then(|field| interface(&field));
    let port = table.get("port").map_or(Some(API_PORT), |field| field.port());
    table.finish();
    Some(Endpoint::Vip { address: address?, interface, port: port? })
}

/// Linux allows nearly everything in 15 bytes; what nobody names an interface is refused.
fn interface(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if let Some(index) = text.chars().position(|c| !allowed(c)) {
        let message = format!("{}: illegal character at column {}", quoted(text), index + 1);
        return field.error(message, "write the interface's name, such as eth0 or bond0.12");
    }
    if text.starts_with('-') || text.len() > 15 || text == "." || text == ".." {
        let message = format!("{} is not the name of an interface", quoted(text));
        return field.error(message, "at most 15 characters, such as eth0");
    }
    Some(text.to_owned())
}

/// `host`, `host:port`, `[v6]:port`, `v6`.
pub(in crate::inventory) fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after {
            "" => Some((host, None)),
            _ => Some((host, Some(after.strip_prefix(':')?))),
        };
    }
    match text.split_once(':') {
        None => Some((text, None)),
        Some((_, rest)) if rest.contains(':') => Some((text, None)),
        Some(("", _)) => None,
        Some((host, port)) => Some((host, Some(port))),
    }
}

fn network(field: &Field<'_>, draft: &mut Draft) {
    let Some(table) = field.table() else { return };
    let networks = |key| -> Option<Vec<_>> {
        let items = table.get(key)?.items()?;
        Some(items.iter().filter_map(Field::network).collect())
    };
    draft.pod_cidrs = networks("podCidrs");
    draft.service_cidrs = networks("serviceCidrs");
    if let Some(text) = table.get("dnsDomain").and_then(|field| Some(field.text()?.to_owned())) {
        draft.dns_domain = text;
    }
    if let Some(plugin) = table.get("plugin").and_then(|field| plugin(&field)) {
        draft.plugin = plugin;
    }
    table.moved(&[("podSubnet", "podCidrs"), ("serviceSubnet", "serviceCidrs"), ("cni", "plugin")]).finish();
}

const PLUGINS: &[&str] = &["routes", "calico", "cilium", "flannel", "manifest", "none"];

/// `{name: …}` with what the plugin takes, or just the name.
fn plugin(field: &Field<'_>) -> Option<NetworkPlugin> {
    if !field.is_map() {
        return match field.raw()? {
            "routes" => Some(NetworkPlugin::Routes { mtu: None }),
            "none" => Some(NetworkPlugin::None),
            name if PLUGINS.contains(&name) => {
                let needs = if name == "manifest" { "source" } else { "version" };
                let example = if name == "manifest" { "cni.yaml" } else { newest(name) };
                field.error(
                    format!("{name} needs a {needs}"),
                    format!("write {{name: {name}, {needs}: {example}}}"),
                )
            }
            _ => unknown_plugin(field),
        };
    }
    let table = field.table()?;
    let name = table.require("name", "routes")?;
    let version = |name: &str| {
        table.require("version", newest(&name.to_lowercase())).and_then(|field| {
            let text = field.text()?;
            if settings::is_release_tag(text) {
                return Some(text.to_owned());
            }
            let message = format!("{} is not a release of {name}", quoted(text));
            field.error(message, "write its tag, such as v3.30.3; `latest` changes under your feet")
        })
    };
    let sha256 = || table.get("sha256").and_then(|field| settings::sha256(&field));
    let release = |name: &str| {
        let source = table.get("source").and_then(|field| settings::source(&field));
        let (version, sha256) = (version(name), sha256());
        Some(PluginRelease { version: version?, source, sha256 })
    };
    let plugin = match name.text()? {
        "routes" => {
            // 1280 is the least IPv6 allows, 68 IPv4; below 576 nothing real works.
            let mtu = table.get("mtu").map(|field| field.integer("an MTU", 576..=65_535));
            let mtu = mtu.flatten().and_then(|mtu| u32::try_from(mtu).ok());
            Some(NetworkPlugin::Routes { mtu })
        }
        "calico" => release("Calico").map(NetworkPlugin::Calico),
        "cilium" => {
            let release = release("Cilium");
            if table.has("source") {
                release.map(NetworkPlugin::Cilium)
            } else {
                // cilium/cilium#16498: 1.9 was the last one with a manifest, far too old for any minor here.
                let help = "render its chart, `helm template cilium cilium --repo https://helm.cilium.io \
                            --version X.Y.Z --namespace kube-system > cilium.yaml`, and add source: cilium.yaml";
                name.error("Cilium publishes no manifest: it needs a source", help)
            }
        }
        "flannel" => release("flannel").map(NetworkPlugin::Flannel),
        "manifest" => {
            let source = table.require("source", "cni.yaml").and_then(|field| settings::source(&field));
            source.map(|source| NetworkPlugin::Manifest { source, sha256: sha256() })
        }
        "none" => Some(NetworkPlugin::None),
        _ => return unknown_plugin(&name),
    };
    table.finish();
    plugin
}

/// The release to suggest.
fn newest(plugin: &str) -> &'static str {
    plugins::known(plugin).map_or("vX.Y.Z", |known| known.version)
}

fn unknown_plugin(field: &Field<'_>) -> Option<NetworkPlugin> {
    let text = field.raw()?;
    let help = match closest(text, PLUGINS.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "any other plugin: {name: manifest, source: FILE or URL}".into(),
    };
    field.error(format!("unknown plugin {}; want one of {}", quoted(text), PLUGINS.join(", ")), help)
}
