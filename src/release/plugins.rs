//! Releases of network plugins that come as a manifest. Data, like the catalog.

/// A plugin whose project publishes a manifest that can be applied as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownPlugin {
    pub name: &'static str,
    /// What `keelwright bundle --with NAME` takes.
    pub version: &'static str,
    /// Of that version's manifest. None: neither project publishes one, and it was not at hand when this
    /// table was written; the bundle then trusts the first fetch and holds on to it.
    pub sha256: Option<&'static str>,
}

/// Cilium is not among them: since 1.10 it publishes a chart only.
pub const KNOWN_PLUGINS: [KnownPlugin; 2] = [
    KnownPlugin { name: "calico", version: "v3.30.3", sha256: None },
    KnownPlugin { name: "flannel", version: "v0.27.4", sha256: None },
];

/// The plugin of this name.
pub fn known(name: &str) -> Option<&'static KnownPlugin> {
    static ALL: [KnownPlugin; 2] = KNOWN_PLUGINS;
    ALL.iter().find(|known| known.name == name)
}

/// The SHA-256 of a version's manifest, where it is known.
pub fn known_sha256(name: &str, version: &str) -> Option<&'static str> {
    known(name).filter(|known| known.version == version)?.sha256
}

/// Where a version's manifest is published, without scheme.
pub fn manifest_location(name: &str, version: &str) -> Option<String> {
    match name {
        "calico" => {
            Some(format!("raw.githubusercontent.com/projectcalico/calico/{version}/manifests/calico.yaml"))
        }
        "flannel" => {
            Some(format!("github.com/flannel-io/flannel/releases/download/{version}/kube-flannel.yml"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_plugin_says_where_its_manifest_is() {
        for plugin in KNOWN_PLUGINS {
            let location = manifest_location(plugin.name, plugin.version).unwrap();
            assert!(location.contains(plugin.version), "{location}");
            assert!(plugin.sha256.is_none_or(|sha256| sha256.parse::<crate::release::Sha256>().is_ok()));
        }
        assert_eq!(manifest_location("cilium", "v1.18.0"), None);
        assert_eq!(known_sha256("calico", "v0.0.1"), None);
    }
}
