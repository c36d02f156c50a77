//! Which versions run, from what was observed: manifests on disk say what a host's kubelet runs, Nodes say
//! which kubelet runs them.

use std::collections::BTreeMap;

use semver::Version;

use super::versions::{ClusterVersions, HostVersions};
use crate::blueprint::{Content, HostBlueprint};
use crate::facts::HostFacts;
use crate::inventory::HostName;
use crate::plan::PlanInput;
use crate::release::KubeVersion;

/// The directory the kubelet takes static pods from.
const MANIFESTS: &str = "/etc/kubernetes/manifests";

pub fn manifest_path(pod: &str) -> String {
    format!("{MANIFESTS}/{pod}.yaml")
}

/// What runs now; None: there is no cluster yet.
pub fn observed(
    input: &PlanInput<'_>,
    blueprints: &BTreeMap<HostName, HostBlueprint>,
) -> Option<ClusterVersions> {
    if !input.vault.etcd_established {
        return None;
    }
    let mut all = ClusterVersions { hosts: BTreeMap::new(), kube_proxy: kube_proxy(input) };
    for name in input.inventory.hosts.keys() {
        let mut versions = HostVersions { kubelet: kubelet(input, name), ..HostVersions::default() };
        if let (Some(facts), Some(blueprint)) = (input.facts.host(name), blueprints.get(name)) {
            let of = |pod: &str| image_tag(&manifest_text(facts, blueprint, pod)?);
            let kube = |pod: &str| KubeVersion::parse(&of(pod)?).ok();
            versions.etcd = of("etcd").and_then(|tag| etcd_version(&tag));
            versions.api_server = kube("kube-apiserver");
            versions.controller_manager = kube("kube-controller-manager");
            versions.scheduler = kube("kube-scheduler");
        }
        if versions != HostVersions::default() {
            all.hosts.insert(name.clone(), versions);
        }
    }
    Some(all)
}

fn kubelet(input: &PlanInput<'_>, name: &HostName) -> Option<KubeVersion> {
    let node = input.facts.api.known()?.nodes.get(name)?;
    KubeVersion::parse(&node.kubelet_version).ok()
}

fn kube_proxy(input: &PlanInput<'_>) -> Option<KubeVersion> {
    let objects = &input.facts.api.known()?.objects;
    let live = objects.get("apps/v1/DaemonSet/kube-system/kube-proxy")?;
    let image = live.pointer("/spec/template/spec/containers/0/image")?.as_str()?;
    KubeVersion::parse(image.rsplit_once(':')?.1).ok()
}

/// A probe sends the text only of files that are not as wanted.
pub fn manifest_text(facts: &HostFacts, blueprint: &HostBlueprint, pod: &str) -> Option<String> {
    let path = manifest_path(pod);
    let fact = facts.files.get(&path)?;
    if let Some(text) = &fact.text {
        return Some(text.clone());
    }
    match &blueprint.files.get(&path)?.content {
        Content::Text(text) => Some(text.to_string()),
        Content::Secret(_) => None,
    }
}

/// `v1.34.4` of `image: registry.k8s.io/kube-apiserver:v1.34.4`.
pub fn image_tag(manifest: &str) -> Option<String> {
    let image = manifest.lines().find_map(|line| line.trim().strip_prefix("image: "))?;
    let tag = image.trim().trim_matches(['"', '\'']).rsplit_once(':')?.1;
    Some(tag.to_owned())
}

/// `3.6.5` of `3.6.5-0`: what follows is the image's own count.
pub fn etcd_version(tag: &str) -> Option<Version> {
    let bare = tag.trim_start_matches('v');
    Version::parse(bare.split_once('-').map_or(bare, |(version, _)| version)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_from_manifests() {
        let manifest = "spec:\n  containers:\n  - command: [x]\n    image: registry.k8s.io/etcd:3.6.5-0\n";
        assert_eq!(image_tag(manifest).as_deref(), Some("3.6.5-0"));
        assert_eq!(etcd_version("3.6.5-0"), Some(Version::new(3, 6, 5)));
        assert_eq!(etcd_version("3.7.0"), Some(Version::new(3, 7, 0)));
        assert_eq!(etcd_version("latest"), None);
        assert_eq!(image_tag("image: host:5000/kube-apiserver:v1.37.1").as_deref(), Some("v1.37.1"));
        assert_eq!(image_tag("kind: Pod\n"), None);
    }
}
