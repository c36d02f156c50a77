use std::fs;
use std::sync::Mutex;

use super::*;
use crate::bundle::elf::tests::executable;
use crate::bundle::source::local::{Binaries, Local};
use crate::bundle::source::remote::{Remote, RemoteOptions};
use crate::bundle::testing::{Answer, Scratch, Server};
use crate::bundle::{Finding, item, verify};
use crate::release::artifact::Arch;

fn request(names: &[&str]) -> Request {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let items = item::select(&names, &[]).unwrap();
    Request::new("v1.37.1".parse().unwrap(), Arch::Amd64, items, None).unwrap()
}

/// A directory of executables that pass for Kubernetes v1.37.1 on amd64.
fn directory(scratch: &Scratch, names: &[&str]) -> Sources {
    let directory = scratch.path().join("given");
    fs::create_dir_all(&directory).unwrap();
    for name in names {
        fs::write(directory.join(name), executable(Arch::Amd64, &format!("{name} v1.37.1"))).unwrap();
    }
    Sources::Local(Local { binaries: Binaries::Directory(directory), rootfs: None })
}

/// Collects and returns the manifest with the names of what was kept.
async fn run(
    request: &Request,
    sources: &Sources,
    output: &Utf8Path,
) -> Result<(BundleManifest, Vec<String>), BundleError> {
    let kept = Mutex::new(Vec::new());
    let report = |event: Event| {
        if let Event::Kept { item, .. } = event {
            kept.lock().unwrap().push(item.to_string());
        }
    };
    let manifest = collect(request, sources, output, &report).await?;
    Ok((manifest, kept.into_inner().unwrap()))
}

const NODE: [&str; 4] = ["kubelet", "kubectl", "etcd", "pause"];
const GIVEN: [&str; 6] = ["kubelet", "kubectl", "etcd", "etcdctl", "etcdutl", "pause"];

#[tokio::test]
async fn a_bundle_from_a_directory_verifies_and_is_the_same_bytes_each_time() {
    let scratch = Scratch::new();
    let sources = directory(&scratch, &GIVEN);
    let (one, two) = (scratch.path().join("one"), scratch.path().join("two"));
    let (manifest, _) = run(&request(&NODE), &sources, &one).await.unwrap();
    run(&request(&NODE), &sources, &two).await.unwrap();
    assert_eq!(
        manifest.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
        ["bin/kubelet", "bin/kubectl"]
    );
    assert_eq!(
        manifest.images.iter().map(|image| image.path.as_str()).collect::<Vec<_>>(),
        ["images/etcd-3.7.0-0.tar", "images/pause-3.10.2.tar"]
    );
    assert_eq!(verify(&one).unwrap().findings, []);
    for path in ["bundle.json", "images/etcd-3.7.0-0.tar"] {
        assert_eq!(fs::read(one.join(path)).unwrap(), fs::read(two.join(path)).unwrap(), "{path}");
    }
}

#[tokio::test]
async fn what_an_earlier_run_brought_stays() {
    let scratch = Scratch::new();
    let sources = directory(&scratch, &GIVEN);
    let output = scratch.path().join("bundle");
    run(&request(&["kubelet"]), &sources, &output).await.unwrap();
    let (manifest, _) = run(&request(&["pause"]), &sources, &output).await.unwrap();
    assert!(manifest.file("kubelet").is_some() && manifest.images.len() == 1);
    assert_eq!(verify(&output).unwrap().findings, []);
}

#[tokio::test]
async fn a_run_that_fails_midway_leaves_a_bundle_that_verifies() {
    let scratch = Scratch::new();
    let sources = directory(&scratch, &["kubelet"]);
    let output = scratch.path().join("bundle");
    let error = run(&request(&NODE), &sources, &output).await.unwrap_err();
    assert!(error.to_string().starts_with("kubectl is not in "), "{error}");
    let verified = verify(&output).unwrap();
    assert_eq!((verified.manifest.files.len(), verified.findings), (1, Vec::new()));
}

#[tokio::test]
async fn a_bundle_of_another_version_is_not_overwritten() {
    let scratch = Scratch::new();
    let sources = directory(&scratch, &GIVEN);
    let output = scratch.path().join("bundle");
    run(&request(&["pause"]), &sources, &output).await.unwrap();
    let before = fs::read(output.join("bundle.json")).unwrap();
    let items = item::select(&["pause".to_owned()], &[]).unwrap();
    let other = Request::new("v1.36.4".parse().unwrap(), Arch::Amd64, items, None).unwrap();
    let error = run(&other, &sources, &output).await.unwrap_err();
    assert!(matches!(error, BundleError::OtherBundle { .. }), "{error}");
    assert_eq!(fs::read(output.join("bundle.json")).unwrap(), before);
}

#[tokio::test]
async fn a_directory_of_another_version_is_refused() {
    let scratch = Scratch::new();
    let sources = directory(&scratch, &[]);
    fs::write(scratch.path().join("given/kubelet"), executable(Arch::Amd64, "kubelet v1.36.4")).unwrap();
    let error = run(&request(&["kubelet"]), &sources, &scratch.path().join("bundle")).await.unwrap_err();
    assert!(matches!(error, BundleError::OtherVersion { .. }), "{error}");
}

#[tokio::test]
async fn what_needs_a_root_file_system_is_refused_before_anything_is_made() {
    let scratch = Scratch::new();
    let sources = directory(&scratch, &["kubelet"]);
    let output = scratch.path().join("bundle");
    let error = run(&request(&["kubelet", "kube-proxy"]), &sources, &output).await.unwrap_err();
    assert_eq!(error.to_string(), "image kube-proxy come from a Debian root file system, and none was given");
    assert!(!output.exists());
}

#[tokio::test]
async fn a_second_run_over_https_fetches_only_what_is_gone_or_damaged() {
    let scratch = Scratch::new();
    let server = Server::start().await;
    for name in ["kubelet", "kubectl"] {
        let path = format!("dl.k8s.io/release/v1.37.1/bin/linux/amd64/{name}");
        server.publish(&path, &format!("{path}.sha256"), &executable(Arch::Amd64, name));
    }
    let (mirror, authority) = (format!("https://{}", server.address), server.authority(scratch.path()));
    let options = RemoteOptions { mirror: Some(&mirror), registry: None, authorities: Some(&authority) };
    let sources = Sources::Remote(Remote::new(options, &scratch.path().join("scratch")).unwrap());
    let (request, output) = (request(&["kubelet", "kubectl"]), scratch.path().join("bundle"));
    assert_eq!(run(&request, &sources, &output).await.unwrap().1, [""; 0]);
    let first = server.requests().len();
    assert_eq!(run(&request, &sources, &output).await.unwrap().1, ["kubelet", "kubectl"]);
    assert_eq!(server.requests().len(), first);

    fs::write(output.join("bin/kubelet"), executable(Arch::Amd64, "kubelex")).unwrap();
    assert_eq!(run(&request, &sources, &output).await.unwrap().1, ["kubectl"]);
    fs::remove_file(output.join("bin/kubectl")).unwrap();
    assert_eq!(run(&request, &sources, &output).await.unwrap().1, ["kubelet"]);
    assert_eq!(verify(&output).unwrap().findings, []);
    drop(sources);
    assert!(!scratch.path().join("scratch").exists());
}

#[tokio::test]
async fn a_download_that_fails_keeps_the_old_file() {
    let scratch = Scratch::new();
    let server = Server::start().await;
    let path = "dl.k8s.io/release/v1.37.1/bin/linux/amd64/kubelet";
    server.publish(path, &format!("{path}.sha256"), &executable(Arch::Amd64, "kubelet"));
    let (mirror, authority) = (format!("https://{}", server.address), server.authority(scratch.path()));
    let options = RemoteOptions { mirror: Some(&mirror), registry: None, authorities: Some(&authority) };
    let sources = Sources::Remote(Remote::new(options, &scratch.path().join("scratch")).unwrap());
    let given = directory(&scratch, &["kubelet"]);
    let (request, output) = (request(&["kubelet"]), scratch.path().join("bundle"));
    run(&request, &given, &output).await.unwrap();
    server.put(path, Answer::Body(executable(Arch::Amd64, "tampered with")));
    run(&request, &sources, &output).await.unwrap_err();
    assert_eq!(verify(&output).unwrap().findings, []);
}

#[tokio::test]
async fn verify_names_everything_that_is_wrong() {
    let scratch = Scratch::new();
    let sources = directory(&scratch, &GIVEN);
    let output = scratch.path().join("bundle");
    run(&request(&NODE), &sources, &output).await.unwrap();
    fs::write(output.join("bin/kubelet"), executable(Arch::Amd64, "kubelet v1.37.2")).unwrap();
    fs::write(output.join("bin/kubectl"), b"short").unwrap();
    fs::remove_file(output.join("images/etcd-3.7.0-0.tar")).unwrap();
    fs::remove_file(output.join("images/pause-3.10.2.tar")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", output.join("images/pause-3.10.2.tar")).unwrap();
    fs::write(output.join("bin/extra"), b"x").unwrap();
    let findings = verify(&output).unwrap().findings;
    let kinds: Vec<String> = findings
        .iter()
        .map(|finding| match finding {
            Finding::Missing { path } => format!("missing {path}"),
            Finding::NotAFile { path } => format!("not a file {path}"),
            Finding::Size { path, .. } => format!("size {path}"),
            Finding::Hash { path, .. } => format!("hash {path}"),
            Finding::Binary { path, .. } => format!("binary {path}"),
            Finding::Unlisted { path } => format!("unlisted {path}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "size bin/kubectl",
            "hash bin/kubelet",
            "missing images/etcd-3.7.0-0.tar",
            "not a file images/pause-3.10.2.tar",
            "unlisted bin/extra",
        ]
    );
}
