use std::io::Read;

use serde_json::json;

use super::*;
use crate::bundle::hash::fingerprint_bytes;
use crate::bundle::testing::{Answer, Scratch, Server, chain};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const REPOSITORY: &str = "v2/k8s/pause";

struct Case {
    scratch: Scratch,
    server: Server,
    source: RegistrySource,
    request: Request,
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", fingerprint_bytes(bytes).sha256)
}

impl Case {
    async fn new() -> Self {
        let scratch = Scratch::new();
        let server = Server::start().await;
        // No /v2/ challenge: an open registry.
        server.put("v2/", Answer::Body(b"{}".to_vec()));
        let authority = server.authority(scratch.path());
        let prefix = format!("{}/k8s", server.address);
        let source = RegistrySource::new(&prefix, Some(&authority), scratch.path().join("blobs")).unwrap();
        Case { scratch, server, source, request: Request::for_test("v1.37.1".parse().unwrap()) }
    }

    fn blob(&self, bytes: &[u8]) -> serde_json::Value {
        self.server.put(&format!("{REPOSITORY}/blobs/{}", digest(bytes)), Answer::Body(bytes.to_vec()));
        json!({ "mediaType": "application/octet-stream", "digest": digest(bytes), "size": bytes.len() })
    }

    fn manifest(&self, reference: &str, kind: &'static str, value: &serde_json::Value) -> String {
        let bytes = value.to_string().into_bytes();
        let digest = digest(&bytes);
        for name in [reference, &digest] {
            self.server.put(&format!("{REPOSITORY}/manifests/{name}"), Answer::Typed(kind, bytes.clone()));
        }
        digest
    }

    /// Publishes pause for two architectures; returns the digest of the amd64 one.
    fn publish(&self) -> String {
        let entries = ["arm64", "amd64"].map(|arch| {
            let config = json!({ "architecture": arch, "os": "linux" }).to_string();
            let value = json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": self.blob(config.as_bytes()),
                "layers": [self.blob(format!("layer of {arch}").as_bytes())],
            });
            let digest = self.manifest(arch, MANIFEST, &value);
            let size = value.to_string().len();
            json!({ "mediaType": MANIFEST, "digest": digest, "size": size,
                    "platform": { "architecture": arch, "os": "linux" } })
        });
        let amd64 = entries[1]["digest"].as_str().unwrap().to_owned();
        self.manifest(
            "3.10.2",
            INDEX,
            &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }),
        );
        amd64
    }

    async fn fetch(&self) -> Result<Fetched, BundleError> {
        self.source.image(Image::Pause, &self.request, &self.target()).await
    }

    fn target(&self) -> Utf8PathBuf {
        self.scratch.path().join("bundle/images/pause.tar")
    }
}

#[tokio::test]
async fn keeps_manifest_and_blobs_byte_for_byte_under_the_name_the_cluster_uses() {
    let case = Case::new().await;
    let amd64 = case.publish();
    let fetched = case.fetch().await.unwrap();
    assert_eq!(fetched.source, format!("{}/k8s/pause:3.10.2@{amd64}", case.server.address));
    assert_eq!(case.source.source(Image::Pause, &case.request).await.unwrap(), fetched.source);

    let file = std::fs::File::open(case.target()).unwrap();
    let mut names = Vec::new();
    let mut index = String::new();
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        if path == "index.json" {
            entry.read_to_string(&mut index).unwrap();
        }
        names.push(path);
    }
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    assert_eq!(index["manifests"][0]["digest"], amd64.as_str());
    assert_eq!(
        index["manifests"][0]["annotations"]["io.containerd.image.name"],
        "registry.k8s.io/pause:3.10.2"
    );
    for blob in [amd64, digest(b"layer of amd64")] {
        let path = format!("blobs/sha256/{}", blob.strip_prefix("sha256:").unwrap());
        assert!(names.contains(&path), "{path} in {names:?}");
    }
    assert!(std::fs::read_dir(case.scratch.path().join("blobs")).unwrap().next().is_none());
}

#[tokio::test]
async fn refuses_a_blob_that_is_not_what_its_digest_says() {
    let case = Case::new().await;
    case.publish();
    let path = format!("{REPOSITORY}/blobs/{}", digest(b"layer of amd64"));
    case.server.put(&path, Answer::Body(b"layer of am?64".to_vec()));
    let error = case.fetch().await.unwrap_err();
    assert!(!case.target().exists());
    assert!(matches!(error, BundleError::Pull { .. } | BundleError::Checksum { .. }), "{}", chain(&error));
}

#[tokio::test]
async fn refuses_a_blob_shorter_or_longer_than_its_manifest_says() {
    let case = Case::new().await;
    case.publish();
    let path = format!("{REPOSITORY}/blobs/{}", digest(b"layer of amd64"));
    for body in [b"layer".to_vec(), b"layer of amd64 and then some".to_vec()] {
        case.server.put(&path, Answer::Unannounced(body));
        let error = case.fetch().await.unwrap_err();
        assert!(!case.target().exists(), "{}", chain(&error));
    }
}

#[tokio::test]
async fn refuses_a_manifest_that_is_not_the_one_the_index_names() {
    let case = Case::new().await;
    let amd64 = case.publish();
    let path = format!("{REPOSITORY}/manifests/{amd64}");
    case.server.put(&path, Answer::Typed(MANIFEST, b"{\"schemaVersion\":2}".to_vec()));
    let error = case.fetch().await.unwrap_err();
    assert!(matches!(error, BundleError::Pull { .. }), "{}", chain(&error));
}

#[tokio::test]
async fn refuses_an_image_that_is_not_for_the_architecture() {
    let case = Case::new().await;
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] });
    case.manifest("3.10.2", INDEX, &index);
    let error = case.fetch().await.unwrap_err();
    assert!(error.to_string().ends_with("it has none for amd64"), "{error}");

    // A tag that is one image, and for another machine.
    let config = json!({ "architecture": "arm64", "os": "linux" }).to_string();
    let value = json!({ "schemaVersion": 2, "mediaType": MANIFEST,
                        "config": case.blob(config.as_bytes()), "layers": [] });
    case.manifest("3.10.2", MANIFEST, &value);
    let error = case.fetch().await.unwrap_err();
    assert!(error.to_string().ends_with("it is for arm64, expected amd64"), "{error}");
}

#[tokio::test]
async fn refuses_a_blob_the_manifest_announces_beyond_the_limit() {
    let case = Case::new().await;
    let config = json!({ "architecture": "amd64", "os": "linux" }).to_string();
    let layer = json!({ "mediaType": "x", "digest": digest(b"x"), "size": BLOB_LIMIT + 1 });
    let value = json!({ "schemaVersion": 2, "mediaType": MANIFEST,
                        "config": case.blob(config.as_bytes()), "layers": [layer] });
    case.manifest("3.10.2", MANIFEST, &value);
    assert!(matches!(case.fetch().await, Err(BundleError::TooLarge { .. })));
}

#[test]
fn refuses_what_is_no_registry() {
    for prefix in ["https://registry.example", "registry.example/", "", "registry example"] {
        let made = RegistrySource::new(prefix, None, "unused".into());
        assert!(matches!(made, Err(BundleError::Reference { .. })), "{prefix:?}");
    }
}
