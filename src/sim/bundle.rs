//! A bundle that exists only as its manifest: names, sizes and hashes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::world::World;
use crate::blueprint::cluster::{Manifests, images_of};
use crate::digest::Digest;
use crate::inventory::Inventory;
use crate::release::artifact::{API_VERSION, FileArtifact, ImageArtifact, Sha256};
use crate::release::catalog::{Image, SUPPORTED};
use crate::release::{Arch, BundleManifest, KubeVersion, UnsupportedMinor, release_of};

/// Executables and their sizes in MiB, about those of the real ones.
const FILES: [(&str, u64); 14] = [
    ("bandwidth", 3),
    ("bridge", 5),
    ("containerd", 42),
    ("containerd-shim-runc-v2", 8),
    ("crictl", 38),
    ("ctr", 22),
    ("firewall", 5),
    ("host-local", 4),
    ("kubectl", 57),
    ("kubelet", 58),
    ("loopback", 4),
    ("portmap", 4),
    ("runc", 12),
    ("tuning", 4),
];
const IMAGE_MIB: u64 = 30;
const SIMULATED: &str = "simulated";

/// By version: what an upgrade may pass through.
pub type Passing = BTreeMap<KubeVersion, BTreeMap<Arch, BundleManifest>>;

/// The bundles of every older minor.
pub fn passing(inventory: &Inventory) -> Result<Passing, UnsupportedMinor> {
    let mut all = BTreeMap::new();
    for release in SUPPORTED.iter().filter(|release| release.minor < inventory.version.minor()) {
        let older = Inventory { version: release.default_patch, ..inventory.clone() };
        all.insert(release.default_patch, bundles(&older, &Manifests::default())?);
    }
    Ok(all)
}

/// One manifest per architecture of the inventory.
pub fn bundles(
    inventory: &Inventory,
    manifests: &Manifests,
) -> Result<BTreeMap<Arch, BundleManifest>, UnsupportedMinor> {
    let mut all = BTreeMap::new();
    for arch in inventory.hosts.values().map(|host| host.arch) {
        all.entry(arch).or_insert(manifest(inventory.version, arch, manifests)?);
    }
    Ok(all)
}

/// Puts simulated bundles where there are none. Returns the versions that they are of.
pub fn stand_in(
    inventory: &Inventory,
    manifests: &Manifests,
    wanted: &mut BTreeMap<Arch, BundleManifest>,
    older: &mut Passing,
) -> Result<Vec<KubeVersion>, UnsupportedMinor> {
    let mut missing = Vec::new();
    for (version, simulated) in passing(inventory)? {
        if !older.keys().any(|there| there.minor() == version.minor()) {
            older.insert(version, simulated);
            missing.push(version);
        }
    }
    for (arch, simulated) in bundles(inventory, manifests)? {
        if let std::collections::btree_map::Entry::Vacant(place) = wanted.entry(arch) {
            place.insert(simulated);
            missing.push(inventory.version);
        }
    }
    missing.dedup();
    Ok(missing)
}

/// Whether a file of a bundle is played, and is the same for all versions: what a host has then counts.
pub fn is_any(file: &FileArtifact) -> bool {
    file.source == SIMULATED && !is_of_kubernetes(&file.name)
}

impl World {
    /// What is in the archives of these bundles, and which version each executable is.
    pub fn learn<'a>(&mut self, manifests: impl IntoIterator<Item = &'a BundleManifest>) {
        for manifest in manifests {
            for file in &manifest.files {
                if let Ok(digest) = Digest::parse(file.sha256.as_str()) {
                    self.sizes.insert(digest, file.size);
                    self.versions.insert(digest, file.version.clone());
                }
            }
            for image in &manifest.images {
                if let Ok(digest) = Digest::parse(image.sha256.as_str()) {
                    self.sizes.insert(digest, image.size);
                    self.archives.insert(digest, image.reference.clone());
                }
            }
        }
    }
}

/// The runtime and the plugins are the same for all minors.
fn is_of_kubernetes(name: &str) -> bool {
    matches!(name, "kubelet" | "kubectl")
}

fn sha256(text: &str) -> Sha256 {
    use sha2::Digest as _;
    Sha256::from_bytes(&sha2::Sha256::digest(text.as_bytes()).into())
}

fn manifest(
    version: KubeVersion,
    arch: Arch,
    manifests: &Manifests,
) -> Result<BundleManifest, UnsupportedMinor> {
    let release = release_of(version)?;
    let file = |(name, mib): &(&str, u64)| {
        let version = if is_of_kubernetes(name) { version.to_string() } else { "2.3.3".to_owned() };
        FileArtifact {
            name: (*name).to_owned(),
            path: format!("files/{name}").into(),
            sha256: sha256(&format!("{name} {version} {}", arch.as_str())),
            version,
            size: mib << 20,
            source: SIMULATED.to_owned(),
        }
    };
    let of_reference = |file: String, reference: String| ImageArtifact {
        path: format!("images/{file}.tar").into(),
        sha256: sha256(&format!("{reference} {}", arch.as_str())),
        reference,
        size: IMAGE_MIB << 20,
        source: SIMULATED.to_owned(),
    };
    let all: Vec<Value> = manifests.plugin.iter().chain(&manifests.addons).cloned().collect();
    let others = images_of(&all);
    Ok(BundleManifest {
        api_version: API_VERSION.to_owned(),
        kubernetes_version: version,
        arch,
        files: FILES.iter().map(file).collect(),
        images: Image::ALL
            .iter()
            .map(|image| of_reference(image.name().to_owned(), release.image(*image, version)))
            .chain(
                others.into_iter().enumerate().map(|(at, image)| of_reference(format!("other-{at}"), image)),
            )
            .collect(),
        manifests: Vec::new(),
    })
}
