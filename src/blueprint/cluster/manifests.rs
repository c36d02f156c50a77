//! Which manifests by others a cluster wants, and the objects in them.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Serialize;
use serde_json::Value;

use super::manifest::{ManifestError, adapt_to_cluster, parse_manifest};
use crate::inventory::{Addon, Inventory, NetworkPlugin, PluginRelease};
use crate::release::addons::{CLUSTER_NAME, own_manifest};
use crate::release::{Sha256, plugins};

/// A manifest that a bundle brings or the operator has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedManifest {
    /// `network/calico`, `addon/metrics-server`: unique in a cluster.
    pub name: String,
    pub source: ManifestSource,
    /// What it must hash to, when anybody said.
    pub sha256: Option<Sha256>,
}

/// Where a manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestSource {
    /// An https URL: fetched once, into the bundle.
    Url(String),
    /// A file of the operator's, read anew each time.
    File(Utf8PathBuf),
    /// keelwright's own.
    Own(&'static str),
}

impl std::fmt::Display for ManifestSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ManifestSource::Url(url) => f.write_str(url),
            ManifestSource::File(path) => f.write_str(path.as_str()),
            ManifestSource::Own(_) => f.write_str("keelwright"),
        }
    }
}

/// The objects of a cluster's manifests, each list in the order in which it is applied.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Manifests {
    pub plugin: Vec<Value>,
    pub addons: Vec<Value>,
}

/// Which manifest cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableManifest {
    #[error("manifest {name} is missing")]
    Missing { name: String },
    #[error("manifest {name} cannot be used")]
    Invalid { name: String, source: ManifestError },
}

/// The network plugin's manifest, when it has one, and then the add-ons' in the inventory's order.
pub fn wanted_manifests(inventory: &Inventory) -> Vec<WantedManifest> {
    let plugin = match &inventory.network.plugin {
        NetworkPlugin::Calico(release) => of_release("calico", release),
        NetworkPlugin::Cilium(release) => of_release("cilium", release),
        NetworkPlugin::Flannel(release) => of_release("flannel", release),
        NetworkPlugin::Manifest { source, sha256 } => {
            Some(wanted("network/manifest", source, sha256.as_deref()))
        }
        NetworkPlugin::Routes { .. } | NetworkPlugin::None => None,
    };
    let addon = |addon: &Addon| {
        let name = format!("addon/{}", addon.name);
        match &addon.source {
            Some(source) => Some(wanted(&name, source, addon.sha256.as_deref())),
            // What has no source and is not ours has been refused.
            None => own_manifest(&addon.name).map(|text| WantedManifest {
                name,
                source: ManifestSource::Own(text),
                sha256: None,
            }),
        }
    };
    plugin.into_iter().chain(inventory.addons.iter().filter_map(addon)).collect()
}

/// The manifest a plugin's project publishes for the version of the catalog; None for what is not there.
pub fn release_manifest(plugin: &str) -> Option<WantedManifest> {
    let version = plugins::known(plugin)?.version.to_owned();
    of_release(plugin, &PluginRelease { version, source: None, sha256: None })
}

fn of_release(plugin: &str, release: &PluginRelease) -> Option<WantedManifest> {
    let name = format!("network/{plugin}");
    match &release.source {
        Some(source) => Some(wanted(&name, source, release.sha256.as_deref())),
        None => {
            let location = plugins::manifest_location(plugin, &release.version)?;
            let known = plugins::known_sha256(plugin, &release.version);
            Some(wanted(&name, &format!("https://{location}"), release.sha256.as_deref().or(known)))
        }
    }
}

fn wanted(name: &str, source: &str, sha256: Option<&str>) -> WantedManifest {
    let source = match source.starts_with("https://") {
        true => ManifestSource::Url(source.to_owned()),
        false => ManifestSource::File(source.into()),
    };
    // The inventory's checks and the catalog's tests let nothing else pass.
    WantedManifest { name: name.to_owned(), source, sha256: sha256.and_then(|text| text.parse().ok()) }
}

/// Reads every wanted manifest from its text, by name, and tells the network plugin the pod ranges, and keelwright's
/// own the cluster's name.
pub fn read_manifests(
    inventory: &Inventory,
    texts: &BTreeMap<String, Vec<u8>>,
) -> Result<Manifests, UnusableManifest> {
    let mut manifests = Manifests::default();
    for WantedManifest { name, source, .. } in wanted_manifests(inventory) {
        let text = texts.get(&name).ok_or_else(|| UnusableManifest::Missing { name: name.clone() })?;
        let invalid = |source| UnusableManifest::Invalid { name: name.clone(), source };
        let mut objects = parse_manifest(text).map_err(invalid)?;
        if name.starts_with("network/") {
            adapt_to_cluster(&mut objects, &inventory.network).map_err(invalid)?;
            manifests.plugin = objects;
        } else {
            if matches!(source, ManifestSource::Own(_)) {
                objects.iter_mut().for_each(|object| name_cluster(object, inventory.name.as_str()));
            }
            manifests.addons.extend(objects);
        }
    }
    Ok(manifests)
}

/// Puts the cluster's name where it belongs.
fn name_cluster(value: &mut Value, cluster: &str) {
    match value {
        Value::String(text) if text.contains(CLUSTER_NAME) => *text = text.replace(CLUSTER_NAME, cluster),
        Value::Array(values) => values.iter_mut().for_each(|value| name_cluster(value, cluster)),
        Value::Object(fields) => fields.values_mut().for_each(|value| name_cluster(value, cluster)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::cluster::{images_of, object_title};
    use crate::inventory::{MINIMAL, Origin, parse};
    use crate::release::addons::{CLOUD_CONTROLLER, EBS_CSI};

    fn inventory(network: &str, rest: &str) -> Inventory {
        let head =
            MINIMAL.replace("address: 192.0.2.11", "address: 192.0.2.11, secondaryAddress: 2001:db8::11");
        let ranges =
            "podCidrs: [10.32.0.0/12, 'fd00:32::/48'], serviceCidrs: [10.96.0.0/16, 'fd00:96::/112']";
        let text = format!("{head}network: {{{ranges}, plugin: {network}}}\n{rest}");
        let origin = Origin { file: "x", base: "/srv".into(), home: None };
        parse(text.as_bytes(), &origin).unwrap_or_else(|problems| panic!("{problems}")).0
    }

    fn read(inventory: &Inventory, name: &str, text: &str) -> Result<Manifests, UnusableManifest> {
        read_manifests(inventory, &BTreeMap::from([(name.to_owned(), text.as_bytes().to_vec())]))
    }

    #[test]
    fn plugins_come_from_where_they_are_published_unless_the_inventory_says_otherwise() {
        let sha = "a".repeat(64);
        for (network, name, source, pinned) in [
            (
                "{name: calico, version: v3.30.3}".to_owned(),
                "network/calico",
                "https://raw.githubusercontent.com/projectcalico/calico/v3.30.3/manifests/calico.yaml",
                false,
            ),
            (
                format!("{{name: flannel, version: v0.26.0, sha256: {sha}}}"),
                "network/flannel",
                "https://github.com/flannel-io/flannel/releases/download/v0.26.0/kube-flannel.yml",
                true,
            ),
            (
                "{name: cilium, version: v1.18.1, source: cilium.yaml}".to_owned(),
                "network/cilium",
                "/srv/cilium.yaml",
                false,
            ),
            (
                format!("{{name: manifest, source: 'https://example.org/cni.yaml', sha256: {sha}}}"),
                "network/manifest",
                "https://example.org/cni.yaml",
                true,
            ),
        ] {
            let found = wanted_manifests(&inventory(&network, ""));
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].name.as_str(), found[0].source.to_string().as_str()), (name, source));
            assert_eq!(found[0].sha256.is_some(), pinned, "{network}");
        }
        assert_eq!(wanted_manifests(&inventory("routes", "")), []);
        assert_eq!(release_manifest("calico").unwrap().name, "network/calico");
        assert_eq!(release_manifest("cilium"), None);
    }

    #[test]
    fn our_own_addons_can_be_read_and_name_the_versions_of_their_images() {
        let mut inventory = inventory("routes", "");
        for name in [CLOUD_CONTROLLER, EBS_CSI] {
            inventory.addons.push(Addon { name: name.to_owned(), source: None, sha256: None });
        }
        let wanted = wanted_manifests(&inventory);
        let texts = wanted.iter().map(|wanted| match &wanted.source {
            ManifestSource::Own(text) => (wanted.name.clone(), text.as_bytes().to_vec()),
            other => panic!("{other}"),
        });
        let objects = read_manifests(&inventory, &texts.collect()).unwrap().addons;
        let kinds = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).count();
        assert_eq!((kinds("DaemonSet"), kinds("CSIDriver"), kinds("StorageClass")), (3, 1, 1));
        // Destroying the cluster goes by what its volumes are tagged with.
        let is_driver = |object: &&Value| {
            object["kind"] == "DaemonSet" && object["metadata"]["name"] == "ebs-csi-controller"
        };
        let driver = objects.iter().find(is_driver).unwrap();
        let args = &driver["spec"]["template"]["spec"]["containers"][0]["args"];
        let named = format!("--k8s-tag-cluster-id={}", inventory.name);
        assert!(args.as_array().unwrap().iter().any(|arg| *arg == named), "{args}");
        let images = images_of(&objects);
        assert_eq!(images.len(), 7, "{images:?}");
        assert!(images.iter().all(|image| image.rsplit_once(":v").is_some()), "{images:?}");
        for set in objects.iter().filter(|object| object["kind"] == "DaemonSet") {
            let pod = &set["spec"]["template"]["spec"];
            // Whose role is asked for is the machine's, one hop away.
            assert_eq!(pod["hostNetwork"], true, "{}", object_title(set));
        }
    }

    const CALICO: &str = "
{apiVersion: v1, kind: ServiceAccount, metadata: {name: calico-node, namespace: kube-system}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: kube-system}
spec:
  template:
    spec:
      containers:
      - {name: calico-node, image: 'docker.io/calico/node:v3', env: [{name: IP, value: autodetect}, {name: CALICO_IPV4POOL_CIDR, value: 192.168.0.0/16}]}
";

    #[test]
    fn calico_learns_the_pod_ranges_and_keeps_its_other_settings() {
        let calico = inventory("{name: calico, version: v3.30.3}", "");
        let manifests = read(&calico, "network/calico", CALICO).unwrap();
        let set = manifests.plugin.iter().find(|object| object["kind"] == "DaemonSet").unwrap();
        assert_eq!(
            set["spec"]["template"]["spec"]["containers"][0]["env"],
            serde_json::json!([
                {"name": "IP", "value": "autodetect"},
                {"name": "CALICO_IPV4POOL_CIDR", "value": "10.32.0.0/12"},
                {"name": "CALICO_IPV6POOL_CIDR", "value": "fd00:32::/48"},
            ])
        );
    }

    #[test]
    fn flannel_and_cilium_learn_them_in_their_configuration() {
        let flannel = inventory("{name: flannel, version: v0.27.4}", "");
        let text = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-flannel-cfg, namespace: kube-flannel}
data:
  cni-conf.json: '{}'
  net-conf.json: '{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}'
"#;
        let manifests = read(&flannel, "network/flannel", text).unwrap();
        let document: Value =
            serde_json::from_str(manifests.plugin[0]["data"]["net-conf.json"].as_str().unwrap()).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "Network": "10.32.0.0/12", "Backend": {"Type": "vxlan"},
                "IPv6Network": "fd00:32::/48", "EnableIPv6": true,
            })
        );

        let cilium = inventory("{name: cilium, version: v1.18.1, source: cilium.yaml}", "");
        let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: cilium-config, namespace: kube-system}, data: {ipam: cluster-pool, debug: 'false'}}";
        let manifests = read(&cilium, "network/cilium", text).unwrap();
        let data = &manifests.plugin[0]["data"];
        assert_eq!((data["ipam"].as_str(), data["debug"].as_str()), (Some("kubernetes"), Some("false")));
    }

    #[test]
    fn a_manifest_without_a_place_for_the_pod_range_is_refused_by_name() {
        let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: other}}";
        for (network, name) in [
            ("{name: calico, version: v3.30.3}", "network/calico"),
            ("{name: flannel, version: v0.27.4}", "network/flannel"),
            ("{name: cilium, version: v1.18.1, source: c.yaml}", "network/cilium"),
        ] {
            let error = read(&inventory(network, ""), name, text).unwrap_err();
            assert!(matches!(&error, UnusableManifest::Invalid { source: ManifestError::NoPodRange(_), .. }));
            assert!(error.to_string().contains(name), "{error}");
        }
        let error =
            read(&inventory("{name: calico, version: v3.30.3}", ""), "network/other", text).unwrap_err();
        assert_eq!(error.to_string(), "manifest network/calico is missing");
    }

    #[test]
    fn addons_keep_the_order_of_the_inventory_and_any_manifest_is_taken_as_it_is() {
        let inventory = inventory(
            "{name: manifest, source: cni.yaml}",
            "addons: [{name: b, source: b.yaml}, {name: a, source: a.yaml}]\n",
        );
        let map = |name: &str| format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}}}");
        let texts = [("network/manifest", map("cni")), ("addon/a", map("of-a")), ("addon/b", map("of-b"))];
        let texts = texts.map(|(name, text)| (name.to_owned(), text.into_bytes())).into();
        let manifests = read_manifests(&inventory, &texts).unwrap();
        let titles = |objects: &[Value]| objects.iter().map(object_title).collect::<Vec<_>>();
        assert_eq!(titles(&manifests.plugin), ["ConfigMap cni"]);
        assert_eq!(titles(&manifests.addons), ["ConfigMap of-b", "ConfigMap of-a"]);
    }
}
