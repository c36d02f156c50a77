//! The manifest of a bundle, `bundle.json`: every file and image, with its size and SHA-256.
//!
//! It says what there is, never where it goes on a host: the blueprint decides that.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::version::KubeVersion;

/// The manifest's name in the bundle directory.
pub const MANIFEST_NAME: &str = "bundle.json";
/// The only `apiVersion` this release reads and writes.
pub const API_VERSION: &str = "keelwright.dev/v1";

/// The machine architectures Kubernetes is released for that keelwright supports.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    Amd64,
    Arm64,
}

/// The SHA-256 of a file: 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(String);

/// Everything in one bundle, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundleManifest {
    pub api_version: String,
    pub kubernetes_version: KubeVersion,
    pub arch: Arch,
    pub files: Vec<FileArtifact>,
    pub images: Vec<ImageArtifact>,
    /// Of network plugins and add-ons; a bundle without any does not mention them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<ManifestArtifact>,
}

/// One executable: `kubelet`, `runc`, or a CNI plugin such as `bridge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileArtifact {
    pub name: String,
    pub version: String,
    /// Relative to the bundle directory, with `/`.
    pub path: Utf8PathBuf,
    pub sha256: Sha256,
    pub size: u64,
    /// Where it came from, for people: a URL, a module and version, a directory.
    pub source: String,
}

/// One image as an OCI layout in a tar, to be imported under `reference`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageArtifact {
    pub reference: String,
    /// Relative to the bundle directory, with `/`.
    pub path: Utf8PathBuf,
    /// Of the tar. The image's own digest is inside and depends on it.
    pub sha256: Sha256,
    pub size: u64,
    pub source: String,
}

/// One Kubernetes manifest by others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestArtifact {
    /// `network/calico`, `addon/metrics-server`.
    pub name: String,
    /// Relative to the bundle directory, with `/`.
    pub path: Utf8PathBuf,
    pub sha256: Sha256,
    pub size: u64,
    /// The address or path the inventory means, also when a mirror served it.
    pub source: String,
    pub trust: Trust,
}

/// Who said what a manifest hashes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The inventory or the catalog, before it was fetched.
    Pinned,
    /// Nobody: what came first is held on to.
    FirstFetch,
    /// The operator, whose file it is.
    OwnFile,
}

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("not a bundle manifest")]
    Json(#[from] serde_json::Error),
    #[error("apiVersion is {found:?}, expected {API_VERSION:?}")]
    ApiVersion { found: String },
    #[error("path {path:?} leaves the bundle directory: expected a relative path without `..`")]
    Path { path: String },
    #[error("{name:?} is listed twice")]
    Twice { name: String },
}

/// Not a SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a SHA-256: expected 64 lower-case hexadecimal digits")]
pub struct Sha256Error {
    pub text: String,
}

/// A CPU architecture that is not supported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a supported architecture: expected amd64 or arm64")]
pub struct ArchError {
    pub text: String,
}

impl BundleManifest {
    /// Reads and checks a manifest: nothing in it points outside its directory, and no name is there twice.
    pub fn from_json(text: &[u8]) -> Result<Self, ManifestError> {
        let manifest: BundleManifest = serde_json::from_slice(text)?;
        if manifest.api_version != API_VERSION {
            return Err(ManifestError::ApiVersion { found: manifest.api_version });
        }
        let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
        let files = manifest.files.iter().map(|file| (&file.name, &file.path));
        let images = manifest.images.iter().map(|image| (&image.reference, &image.path));
        let manifests = manifest.manifests.iter().map(|manifest| (&manifest.name, &manifest.path));
        for (name, path) in files.chain(images).chain(manifests) {
            if !stays_inside(path) {
                return Err(ManifestError::Path { path: path.to_string() });
            }
            if !names.insert(name) {
                return Err(ManifestError::Twice { name: name.clone() });
            }
            if !paths.insert(path) {
                return Err(ManifestError::Twice { name: path.to_string() });
            }
        }
        Ok(manifest)
    }

    /// The bytes of `bundle.json`; sorted, so the same content is the same bytes.
    pub fn to_json(&self) -> String {
        let mut sorted = self.clone();
        sorted.files.sort_by(|a, b| a.name.cmp(&b.name));
        sorted.images.sort_by(|a, b| a.reference.cmp(&b.reference));
        sorted.manifests.sort_by(|a, b| a.name.cmp(&b.name));
        // invariant: strings, numbers and lists only, so serialising cannot fail
        let mut text = serde_json::to_string_pretty(&sorted).expect("a manifest is plain data");
        text.push('\n');
        text
    }

    /// The executable of this name.
    pub fn file(&self, name: &str) -> Option<&FileArtifact> {
        self.files.iter().find(|file| file.name == name)
    }

    /// The image of this full reference.
    pub fn image(&self, reference: &str) -> Option<&ImageArtifact> {
        self.images.iter().find(|image| image.reference == reference)
    }

    /// The manifest of this name.
    pub fn manifest(&self, name: &str) -> Option<&ManifestArtifact> {
        self.manifests.iter().find(|manifest| manifest.name == name)
    }

    /// Bytes of everything listed.
    pub fn total_size(&self) -> u64 {
        let files = self.files.iter().map(|file| file.size);
        let images = self.images.iter().map(|image| image.size);
        files.chain(images).chain(self.manifests.iter().map(|manifest| manifest.size)).sum()
    }
}

fn stays_inside(path: &Utf8Path) -> bool {
    !path.as_str().is_empty() && path.components().all(|part| matches!(part, Utf8Component::Normal(_)))
}

impl Arch {
    /// As in release file names and image manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
        }
    }

    /// `e_machine` of an ELF file for this architecture.
    pub const fn elf_machine(self) -> u16 {
        match self {
            Arch::Amd64 => 62,
            Arch::Arm64 => 183,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Arch {
    type Err = ArchError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "amd64" => Ok(Arch::Amd64),
            "arm64" => Ok(Arch::Arm64),
            other => Err(ArchError { text: other.to_owned() }),
        }
    }
}

impl Sha256 {
    /// From the 32 bytes of a finished hash.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Sha256(hex::encode(bytes))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Sha256 {
    type Err = Sha256Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if plain { Ok(Sha256(text.to_owned())) } else { Err(Sha256Error { text: text.to_owned() }) }
    }
}

impl TryFrom<String> for Sha256 {
    type Error = Sha256Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(sha256: Sha256) -> String {
        sha256.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> BundleManifest {
        let sha256 = Sha256::from_bytes(&[0xab; 32]);
        let file = |name: &str| FileArtifact {
            name: name.to_owned(),
            version: "v1.37.1".to_owned(),
            path: format!("bin/{name}").into(),
            sha256: sha256.clone(),
            size: 3,
            source: "https://example.test/kubelet".to_owned(),
        };
        BundleManifest {
            api_version: API_VERSION.to_owned(),
            kubernetes_version: KubeVersion::new(1, 37, 1),
            arch: Arch::Amd64,
            files: vec![file("kubelet"), file("kubectl")],
            images: vec![ImageArtifact {
                reference: "registry.k8s.io/pause:3.10.2".to_owned(),
                path: "images/pause.tar".into(),
                sha256,
                size: 4,
                source: "directory".to_owned(),
            }],
            manifests: Vec::new(),
        }
    }

    #[test]
    fn is_read_back_as_it_was_written_and_sorted() {
        let text = manifest().to_json();
        let read = BundleManifest::from_json(text.as_bytes()).unwrap();
        assert_eq!(read.files[0].name, "kubectl");
        assert_eq!(read.to_json(), text);
        assert_eq!(read.total_size(), 10);
        insta::assert_snapshot!(text, @r#"
        {
          "apiVersion": "keelwright.dev/v1",
          "kubernetesVersion": "v1.37.1",
          "arch": "amd64",
          "files": [
            {
              "name": "kubectl",
              "version": "v1.37.1",
              "path": "bin/kubectl",
              "sha256": "abababababababababababababababababababababababababababababababab",
              "size": 3,
              "source": "https://example.test/kubelet"
            },
            {
              "name": "kubelet",
              "version": "v1.37.1",
              "path": "bin/kubelet",
              "sha256": "abababababababababababababababababababababababababababababababab",
              "size": 3,
              "source": "https://example.test/kubelet"
            }
          ],
          "images": [
            {
              "reference": "registry.k8s.io/pause:3.10.2",
              "path": "images/pause.tar",
              "sha256": "abababababababababababababababababababababababababababababababab",
              "size": 4,
              "source": "directory"
            }
          ]
        }
        "#);
    }

    #[test]
    fn refuses_paths_that_leave_the_directory() {
        for path in ["/etc/passwd", "../x", "bin/../../x", "", "./bin/kubelet"] {
            let mut bad = manifest();
            bad.files[0].path = path.into();
            let read = BundleManifest::from_json(bad.to_json().as_bytes());
            assert!(matches!(read, Err(ManifestError::Path { .. })), "{path:?}: {read:?}");
        }
    }

    #[test]
    fn refuses_names_and_paths_listed_twice() {
        let mut bad = manifest();
        bad.files[1].name = "kubelet".to_owned();
        assert!(matches!(
            BundleManifest::from_json(bad.to_json().as_bytes()),
            Err(ManifestError::Twice { .. })
        ));
        let mut bad = manifest();
        bad.images[0].path = "bin/kubelet".into();
        assert!(matches!(
            BundleManifest::from_json(bad.to_json().as_bytes()),
            Err(ManifestError::Twice { .. })
        ));
    }

    #[test]
    fn refuses_another_version_unknown_fields_and_malformed_hashes() {
        let text = manifest().to_json();
        for (from, to) in [
            ("keelwright.dev/v1", "keelwright.dev/v2"),
            ("\"arch\"", "\"architecture\""),
            ("\"amd64\"", "\"riscv64\""),
            ("abab", "ABAB"),
            ("abab", "ab"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert!(BundleManifest::from_json(changed.as_bytes()).is_err(), "{from} -> {to} was accepted");
        }
    }
}
