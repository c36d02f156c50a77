//! Components: flags and settings that keelwright owns, paths on hosts, mirrors, addons.

use std::collections::{BTreeMap, HashSet};

use super::flags::{self, Owned};
use super::{Rules, kubelet_fields, syntax};
use crate::inventory::parse::closest;
use crate::inventory::parse::draft::Provider;
use crate::inventory::parse::path::Path;
use crate::inventory::parse::scalar::quoted;
use crate::inventory::{Addon, ClusterName, ExtraArg, NetworkPlugin};

/// Directories that are emptied at boot, hold no files, or belong to something else.
const NO_PLACE_FOR_DATA: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/tmp",
    "/usr",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/run",
    "/var/tmp",
];
/// Every file in it is a static pod to the kubelet.
const MANIFESTS: &str = "/etc/kubernetes/manifests";

impl Rules<'_> {
    pub(super) fn components(&self) {
        let draft = self.draft;
        let mut api_server: Vec<Owned> = flags::API_SERVER.to_vec();
        if draft.security.encryption_at_rest {
            api_server.extend(flags::ENCRYPTION);
        }
        if draft.security.audit {
            api_server.extend(flags::AUDIT);
        }
        self.flags("apiServer", &draft.api_server.extra_args, &api_server);
        self.flags("controllerManager", &draft.controller_manager.extra_args, flags::CONTROLLER_MANAGER);
        self.flags("scheduler", &draft.scheduler.extra_args, flags::SCHEDULER);
        self.flags("etcd", &draft.etcd.extra_args, flags::ETCD);
        self.flags("kubelet", &draft.kubelet.extra_args, flags::KUBELET);
        self.kubelet_values();
        self.config("kubelet", &draft.kubelet.config, flags::KUBELET_CONFIG, kubelet_fields::KUBELET);
        self.config(
            "kubeProxy",
            &draft.kube_proxy.config,
            flags::KUBE_PROXY_CONFIG,
            kubelet_fields::KUBE_PROXY,
        );
        self.proxy();
        self.data_directory();
        self.mirrors();
        self.addons();
    }

    fn flags(&self, component: &str, args: &[ExtraArg], owned: &[Owned]) {
        let list = Path::root().key(component).key("extraArgs");
        for (index, arg) in args.iter().enumerate() {
            // Of a list by place, of a map by name: the one that exists is found.
            let path = self.either(&list, index, &arg.name);
            if let Err(reason) = syntax::flag_name(&arg.name) {
                let message = format!("{} is not a flag: {reason}", quoted(&arg.name));
                let bare = arg.name.trim_start_matches('-').split('=').next().unwrap_or_default();
                self.error(
                    &path,
                    message,
                    format!(
                        "for example {{name: {}, value: \"…\"}}",
                        if bare.is_empty() { "v" } else { bare }
                    ),
                );
            } else if let Some((name, instead)) = owned.iter().find(|(name, _)| *name == arg.name) {
                self.error(&path, format!("--{name} is set by keelwright"), *instead);
            }
        }
    }

    fn either(&self, list: &Path, index: usize, name: &str) -> Path {
        let by_name = list.key(name);
        if self.root.has(&by_name) { by_name } else { list.index(index) }
    }

    /// The kubelet's flags travel in an environment file in double quotes, which systemd splits at spaces.
    fn kubelet_values(&self) {
        let list = Path::root().key("kubelet").key("extraArgs");
        for (index, arg) in self.draft.kubelet.extra_args.iter().enumerate() {
            let bad = arg
                .value
                .chars()
                .enumerate()
                .find(|(_, c)| c.is_whitespace() || "\"'\\$`;|&<>(){}#!*?".contains(*c));
            if let Some((column, character)) = bad {
                let message = format!(
                    "{}: illegal character {character:?} at column {}",
                    quoted(&arg.value),
                    column + 1
                );
                let help = "the kubelet's flags pass through systemd; settings with such characters go to kubelet.config";
                self.error(&self.either(&list, index, &arg.name), message, help);
            }
        }
    }

    fn config(
        &self,
        component: &str,
        config: &BTreeMap<String, serde_json::Value>,
        owned: &[Owned],
        known: &[&'static str],
    ) {
        let path = Path::root().key(component).key("config");
        for key in config.keys() {
            if let Some((name, instead)) = owned.iter().find(|(name, _)| name == key) {
                self.error(&path.key(key), format!("{name} is set by keelwright"), *instead);
            } else if !known.contains(&key.as_str()) {
                let message = format!(
                    "{} is not a field this release knows; {component} passes over unknown ones",
                    quoted(key)
                );
                let help = match closest(key, known.iter().copied()) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => "check the name in the Kubernetes reference".into(),
                };
                self.warning(&path.key(key), message, help);
            }
        }
    }

    fn proxy(&self) {
        if !self.draft.kube_proxy.enabled && matches!(self.draft.plugin, NetworkPlugin::Routes { .. }) {
            let message = "without kube-proxy nothing serves Services: plugin routes does not";
            let path = Path::root().key("kubeProxy").key("enabled");
            self.error(&path, message, "leave it on, or use a plugin that takes its place, such as cilium");
        }
    }

    fn data_directory(&self) {
        let path = Path::root().key("etcd").key("dataDir");
        let text = self.draft.etcd.data_dir.as_str();
        if let Err(reason) = syntax::host_path(text) {
            self.error(&path, format!("{}: {reason}", quoted(text)), "for example /var/lib/etcd");
        } else if text.starts_with(MANIFESTS) {
            let message =
                format!("{text} is inside {MANIFESTS}, where the kubelet takes every file for a pod");
            self.error(&path, message, "for example /var/lib/etcd");
        } else if NO_PLACE_FOR_DATA.iter().any(|place| {
            text.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }) {
            self.error(
                &path,
                format!("{text} is no place for data that must last"),
                "for example /var/lib/etcd",
            );
        }
    }

    fn mirrors(&self) {
        let path = Path::root().key("containerd").key("registryMirrors");
        for (registry, urls) in &self.draft.containerd.registry_mirrors {
            let (host, port) = registry.split_once(':').unwrap_or((registry, "443"));
            let named = host.parse::<std::net::IpAddr>().is_ok() || syntax::dns_subdomain(host).is_ok();
            if !named || !port.parse::<u16>().is_ok_and(|port| port > 0) {
                let message = format!("{} is not the host of a registry", quoted(registry));
                self.error(&path.key(registry), message, "write host or host:port, such as docker.io");
            } else if urls.is_empty() && !self.context.is_broken(&path.key(registry).to_string()) {
                self.error(
                    &path.key(registry),
                    "has no mirrors",
                    "write [https://mirror.example.org], or remove it",
                );
            }
        }
    }

    fn addons(&self) {
        let mut seen = HashSet::new();
        for (index, addon) in self.draft.addons.iter().enumerate() {
            let path = Path::root().key("addons").index(index);
            if let Err(error) = ClusterName::parse(&addon.name) {
                self.error(&path.key("name"), error.to_string(), "for example metrics-server");
            } else if !seen.insert(&addon.name) {
                self.error(
                    &path.key("name"),
                    format!("duplicate addon {}", quoted(&addon.name)),
                    "rename one of them",
                );
            }
            match &addon.source {
                Some(source) => self.pinned(&path, source, addon.sha256.as_deref()),
                None => self.own_addon(&path, addon),
            }
        }
        let (source, sha256) = match &self.draft.plugin {
            NetworkPlugin::Calico(release)
            | NetworkPlugin::Cilium(release)
            | NetworkPlugin::Flannel(release) => (release.source.as_ref(), &release.sha256),
            NetworkPlugin::Manifest { source, sha256 } => (Some(source), sha256),
            NetworkPlugin::Routes { .. } | NetworkPlugin::None => return,
        };
        if let Some(source) = source {
            self.pinned(&Path::root().key("network").key("plugin"), source, sha256.as_deref());
        }
    }

    /// What it may do and which machine is which is settled when machines are made.
    fn own_addon(&self, path: &Path, addon: &Addon) {
        if addon.sha256.is_some() {
            let message = "this add-on is keelwright's own, which has no other content";
            self.error(&path.key("sha256"), message, "remove it, or name a source");
        }
        if self.draft.provider != Provider::Aws {
            let message = format!("{} works with machines that keelwright makes in AWS", quoted(&addon.name));
            self.error(
                &path.key("name"),
                message,
                "name a source, and give its pods and nodes what it needs of AWS",
            );
        }
    }

    fn pinned(&self, path: &Path, source: &str, sha256: Option<&str>) {
        if source.starts_with("https://") && sha256.is_none() {
            let message = "what is behind this URL may change: it has no sha256";
            self.warning(
                &path.key("source"),
                message,
                "add sha256, as `curl -fsSL URL | sha256sum` shows it",
            );
        }
    }
}
