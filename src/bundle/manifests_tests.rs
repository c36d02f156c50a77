use std::fs;
use std::sync::Mutex;

use serde_json::json;

use super::*;
use crate::bundle::source::remote::RemoteOptions;
use crate::bundle::testing::{Answer, Scratch, Server};
use crate::bundle::verify;
use crate::release::artifact::{API_VERSION, Arch};

const URL: &str = "https://plugins.example/v1/net.yaml";
const SERVED: &str = "plugins.example/v1/net.yaml";
const IMAGE: &str = "registry.example/net/agent:v1";
const TEXT: &str = "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: kube-system}
spec: {template: {spec: {containers: [{name: agent, image: 'registry.example/net/agent:v1'}]}}}
";

struct Case {
    scratch: Scratch,
    server: Server,
    remote: Remote,
    output: Utf8PathBuf,
    /// What was fetched, kept or trusted, in order.
    told: Mutex<Vec<String>>,
}

impl Case {
    /// A bundle with nothing in it yet, and a mirror and registry that have the manifest and its image.
    async fn new() -> Self {
        let scratch = Scratch::new();
        let server = Server::start().await;
        let authority = server.authority(scratch.path());
        let (mirror, registry) = (format!("https://{}", server.address), format!("{}/k8s", server.address));
        let options =
            RemoteOptions { mirror: Some(&mirror), registry: Some(&registry), authorities: Some(&authority) };
        let remote = Remote::new(options, &scratch.path().join("scratch")).unwrap();
        server.put("v2/", Answer::Body(b"{}".to_vec()));
        server.put(SERVED, Answer::Body(TEXT.as_bytes().to_vec()));
        let output = scratch.path().join("bundle");
        let empty = BundleManifest {
            api_version: API_VERSION.to_owned(),
            kubernetes_version: "v1.37.1".parse().unwrap(),
            arch: Arch::Amd64,
            files: Vec::new(),
            images: Vec::new(),
            manifests: Vec::new(),
        };
        write_file(&output.join(MANIFEST_NAME), empty.to_json().as_bytes()).unwrap();
        let case = Case { scratch, server, remote, output, told: Mutex::default() };
        case.publish_image();
        case
    }

    fn publish_image(&self) {
        let repository = "v2/k8s/registry.example/net/agent";
        let blob = |bytes: &[u8]| {
            let digest = format!("sha256:{}", fingerprint_bytes(bytes).sha256);
            self.server.put(&format!("{repository}/blobs/{digest}"), Answer::Body(bytes.to_vec()));
            json!({"mediaType": "application/octet-stream", "digest": digest, "size": bytes.len()})
        };
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind,
            "config": blob(br#"{"architecture":"amd64","os":"linux"}"#), "layers": [blob(b"a layer")],
        });
        let answer = Answer::Typed(kind, manifest.to_string().into_bytes());
        self.server.put(&format!("{repository}/manifests/v1"), answer);
    }

    async fn collect(&self, wanted: &WantedManifest) -> Result<BundleManifest, BundleError> {
        let report = |event: Event| {
            let line = match event {
                Event::Extra { what, kept, .. } => format!("{what}{}", if kept { " kept" } else { "" }),
                Event::FirstFetch { name, .. } => format!("trusted {name}"),
                other => panic!("{other:?}"),
            };
            self.told.lock().unwrap().push(line);
        };
        collect_manifests(std::slice::from_ref(wanted), &self.remote, &self.output, &report).await
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

fn sha256(text: &str) -> Sha256 {
    fingerprint_bytes(text.as_bytes()).sha256
}

fn wanted(sha256: Option<Sha256>) -> WantedManifest {
    WantedManifest { name: "network/agent".to_owned(), source: ManifestSource::Url(URL.to_owned()), sha256 }
}

#[tokio::test]
async fn a_manifest_and_its_images_are_in_the_bundle_and_found_there() {
    let case = Case::new().await;
    let bundle = case.collect(&wanted(None)).await.unwrap();
    let manifest = bundle.manifest("network/agent").unwrap();
    assert_eq!((manifest.source.as_str(), manifest.trust), (URL, Trust::FirstFetch));
    assert_eq!(manifest.sha256, sha256(TEXT));
    assert!(bundle.image(IMAGE).unwrap().source.contains("/k8s/registry.example/net/agent:v1@sha256:"));
    assert_eq!(
        case.told(),
        [format!("image {IMAGE}"), "trusted network/agent".into(), "manifest network/agent".into()]
    );
    assert_eq!(verify(&case.output).unwrap().findings, []);

    let texts = manifest_texts(&[wanted(None)], &open(&case.output).unwrap(), &case.output).unwrap();
    assert_eq!(texts["network/agent"], TEXT.as_bytes());
}

#[tokio::test]
async fn a_second_run_asks_nobody_and_a_damaged_manifest_is_fetched_again() {
    let case = Case::new().await;
    case.collect(&wanted(None)).await.unwrap();
    case.told();
    let asked = case.server.requests().len();
    case.collect(&wanted(None)).await.unwrap();
    assert_eq!(case.told(), [format!("image {IMAGE} kept"), "manifest network/agent kept".into()]);
    assert_eq!(case.server.requests().len(), asked);

    fs::write(case.output.join("manifests/network/agent.yaml"), "damaged").unwrap();
    case.collect(&wanted(None)).await.unwrap();
    assert_eq!(verify(&case.output).unwrap().findings, []);
}

#[tokio::test]
async fn what_was_trusted_first_is_held_on_to() {
    let case = Case::new().await;
    case.collect(&wanted(None)).await.unwrap();
    fs::remove_file(case.output.join("manifests/network/agent.yaml")).unwrap();
    case.server
        .put(SERVED, Answer::Body(b"{apiVersion: v1, kind: Secret, metadata: {name: other}}".to_vec()));
    let error = case.collect(&wanted(None)).await.unwrap_err();
    assert!(matches!(&error, BundleError::Checksum { expected, .. } if *expected == sha256(TEXT)), "{error}");
}

#[tokio::test]
async fn the_inventorys_checksum_wins_over_what_is_served_and_over_what_was_trusted() {
    let case = Case::new().await;
    case.collect(&wanted(None)).await.unwrap();
    let other = "{apiVersion: v1, kind: ConfigMap, metadata: {name: other}}";
    let error = case.collect(&wanted(Some(sha256(other)))).await.unwrap_err();
    assert!(matches!(error, BundleError::Checksum { .. }), "{error}");
    case.server.put(SERVED, Answer::Body(other.as_bytes().to_vec()));
    let bundle = case.collect(&wanted(Some(sha256(other)))).await.unwrap();
    let manifest = bundle.manifest("network/agent").unwrap();
    assert_eq!((manifest.trust, &manifest.sha256), (Trust::Pinned, &sha256(other)));
}

#[tokio::test]
async fn a_manifest_whose_image_is_not_to_be_had_is_not_listed() {
    let case = Case::new().await;
    case.server.put(SERVED, Answer::Body(TEXT.replace(":v1'", ":v2'").into_bytes()));
    let error = case.collect(&wanted(None)).await.unwrap_err();
    assert!(matches!(error, BundleError::Pull { .. }), "{error}");
    assert_eq!(open(&case.output).unwrap().manifest("network/agent"), None);
    assert_eq!(verify(&case.output).unwrap().findings, []);
}

#[tokio::test]
async fn what_is_no_manifest_is_refused_by_name() {
    let case = Case::new().await;
    for text in ["<html>: [", "{kind: Pod}"] {
        case.server.put(SERVED, Answer::Body(text.as_bytes().to_vec()));
        let error = case.collect(&wanted(None)).await.unwrap_err();
        assert_eq!(error.to_string(), "manifest network/agent cannot be used", "{text}");
    }
}

#[tokio::test]
async fn a_file_of_the_operators_is_read_where_it_is_each_time() {
    let case = Case::new().await;
    let path = case.scratch.path().join("addon.yaml");
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}";
    fs::write(&path, text).unwrap();
    let mut wanted = WantedManifest {
        name: "addon/a".to_owned(),
        source: ManifestSource::File(path.clone()),
        sha256: Some(sha256(text)),
    };
    let bundle = case.collect(&wanted).await.unwrap();
    assert_eq!(bundle.manifest("addon/a").unwrap().trust, Trust::OwnFile);

    fs::write(&path, format!("{text}\n# edited")).unwrap();
    let read = |wanted: &WantedManifest| manifest_texts(std::slice::from_ref(wanted), &bundle, &case.output);
    assert!(matches!(read(&wanted), Err(BundleError::Checksum { .. })));
    wanted.sha256 = None;
    assert!(read(&wanted).unwrap()["addon/a"].ends_with(b"# edited"));
    fs::remove_file(&path).unwrap();
    assert!(matches!(read(&wanted), Err(BundleError::Io { .. })));
}

#[tokio::test]
async fn a_bundle_without_the_manifest_or_with_another_one_says_so() {
    let case = Case::new().await;
    let missing = |wanted: &WantedManifest| {
        let error = manifest_texts(std::slice::from_ref(wanted), &open(&case.output).unwrap(), &case.output)
            .unwrap_err();
        assert!(matches!(error, BundleError::NoManifest { .. }), "{error}");
        assert!(error.to_string().contains("network/agent"), "{error}");
    };
    missing(&wanted(None));
    case.collect(&wanted(None)).await.unwrap();
    let other = URL.replace("v1", "v2");
    missing(&WantedManifest { source: ManifestSource::Url(other), ..wanted(None) });
}
