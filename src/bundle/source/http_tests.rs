use super::*;
use crate::bundle::elf::tests::executable;
use crate::bundle::hash::fingerprint_file;
use crate::bundle::testing::{Answer, Scratch, Server, chain};

const KUBELET: &str = "dl.k8s.io/release/v1.37.1/bin/linux/amd64/kubelet";
const KUBELET_SUM: &str = "dl.k8s.io/release/v1.37.1/bin/linux/amd64/kubelet.sha256";
const CONTAINERD: &str =
    "github.com/containerd/containerd/releases/download/v2.3.3/containerd-2.3.3-linux-amd64.tar.gz";

struct Case {
    scratch: Scratch,
    server: Server,
    source: HttpSource,
    request: Request,
}

impl Case {
    async fn new() -> Self {
        let scratch = Scratch::new();
        let server = Server::start().await;
        let authority = server.authority(scratch.path());
        let mirror = format!("https://{}/", server.address);
        let source =
            HttpSource::new(Some(&mirror), Some(&authority), scratch.path().join("downloads")).unwrap();
        Case { scratch, server, source, request: Request::for_test("v1.37.1".parse().unwrap()) }
    }

    /// Publishes this kubelet, with its right checksum unless another is put later.
    async fn kubelet(bytes: &[u8]) -> Self {
        let case = Case::new().await;
        case.server.publish(KUBELET, KUBELET_SUM, bytes);
        case
    }

    async fn fetch(&self, file: File) -> Result<Fetched, BundleError> {
        self.source.file(file, &self.request, &self.target(file)).await
    }

    fn target(&self, file: File) -> Utf8PathBuf {
        self.scratch.path().join("bundle/bin").join(file.name())
    }

    /// Fetches a kubelet that must be refused, and must leave nothing behind.
    async fn refused(&self) -> BundleError {
        let error = self.fetch(File::Kubelet).await.unwrap_err();
        let left = fs::read_dir(self.scratch.path().join("bundle/bin")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "a refused download left a file");
        error
    }
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(encoder);
    for (path, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, path, *bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[tokio::test]
async fn takes_an_executable_with_its_stated_checksum() {
    let bytes = executable(Arch::Amd64, "kubelet v1.37.1");
    let case = Case::kubelet(&bytes).await;
    let fetched = case.fetch(File::Kubelet).await.unwrap();
    assert_eq!(fs::read(case.target(File::Kubelet)).unwrap(), bytes);
    assert_eq!(fetched.print, fingerprint_file(&case.target(File::Kubelet)).unwrap());
    assert_eq!(fetched.source, format!("https://{}/{KUBELET}", case.server.address));
    assert_eq!(fetched.version, "v1.37.1");
}

#[tokio::test]
async fn takes_three_executables_out_of_one_archive_that_is_fetched_once() {
    let case = Case::new().await;
    let [containerd, shim, ctr] = ["containerd", "shim", "ctr"].map(|name| executable(Arch::Amd64, name));
    let bytes = archive(&[
        ("bin/containerd", &containerd),
        ("./bin/containerd-shim-runc-v2", &shim),
        ("bin/ctr", &ctr),
    ]);
    case.server.publish(CONTAINERD, &format!("{CONTAINERD}.sha256sum"), &bytes);
    for (file, expected) in [(File::Containerd, containerd), (File::Shim, shim), (File::Ctr, ctr)] {
        case.fetch(file).await.unwrap();
        assert_eq!(fs::read(case.target(file)).unwrap(), expected);
    }
    let archives = case.server.requests().into_iter().filter(|path| path.ends_with(".tar.gz")).count();
    assert_eq!(archives, 1);
}

#[tokio::test]
async fn refuses_an_archive_without_the_executable() {
    let case = Case::new().await;
    let bytes = archive(&[("bin/other", b"x"), ("elsewhere/bin/ctr", b"x")]);
    case.server.publish(CONTAINERD, &format!("{CONTAINERD}.sha256sum"), &bytes);
    let error = case.fetch(File::Ctr).await.unwrap_err();
    assert!(matches!(error, BundleError::NotInArchive { .. }), "{error}");
}

#[tokio::test]
async fn refuses_an_executable_in_an_archive_that_unpacks_beyond_the_limit() {
    let mut case = Case::new().await;
    let big = executable(Arch::Amd64, &"0".repeat(100_000));
    case.server.publish(CONTAINERD, &format!("{CONTAINERD}.sha256sum"), &archive(&[("bin/ctr", &big)]));
    case.source = case.source.with_limit(10_000);
    assert!(matches!(case.fetch(File::Ctr).await, Err(BundleError::TooLarge { limit: 10_000, .. })));
}

#[tokio::test]
async fn row_37_truncated_download_is_refused() {
    let bytes = executable(Arch::Amd64, &"k".repeat(5000));
    let case = Case::kubelet(&bytes).await;
    case.server.put(KUBELET, Answer::CutOff(bytes, 1000));
    let error = case.refused().await;
    assert!(matches!(error, BundleError::Truncated { got: 1000, expected: 5064, .. }), "{}", chain(&error));
}

#[tokio::test]
async fn refuses_a_truncated_download_of_unannounced_length_by_its_checksum() {
    let bytes = executable(Arch::Amd64, &"k".repeat(5000));
    let case = Case::kubelet(&bytes).await;
    case.server.put(KUBELET, Answer::Unannounced(bytes[..1000].to_vec()));
    assert!(matches!(case.refused().await, BundleError::Checksum { .. }));
}

#[tokio::test]
async fn row_37_another_checksum_is_refused_and_both_are_said() {
    let case = Case::kubelet(&executable(Arch::Amd64, "kubelet")).await;
    case.server.put(KUBELET, Answer::Body(executable(Arch::Amd64, "tampered with")));
    let error = case.refused().await;
    let text = error.to_string();
    assert!(matches!(error, BundleError::Checksum { .. }), "{text}");
    assert!(text.contains(KUBELET) && text.contains("expected"), "{text}");
}

#[tokio::test]
async fn refuses_a_download_whose_checksum_is_not_published() {
    let case = Case::kubelet(&executable(Arch::Amd64, "kubelet")).await;
    case.server.put(KUBELET_SUM, Answer::Body(b"<html>sorry</html>".to_vec()));
    assert!(matches!(case.refused().await, BundleError::NoChecksum { .. }));
}

#[tokio::test]
async fn row_37_another_architecture_is_refused_though_its_checksum_is_right() {
    let case = Case::kubelet(&executable(Arch::Arm64, "kubelet")).await;
    let error = case.refused().await;
    assert!(error.to_string().contains("it is for arm64"), "{error}");
}

#[tokio::test]
async fn refuses_more_bytes_than_the_limit_announced_or_not() {
    let bytes = executable(Arch::Amd64, &"k".repeat(5000));
    let mut case = Case::kubelet(&bytes).await;
    case.source = case.source.with_limit(1000);
    assert!(matches!(case.refused().await, BundleError::TooLarge { limit: 1000, .. }));
    case.server.put(KUBELET, Answer::Unannounced(bytes));
    assert!(matches!(case.refused().await, BundleError::TooLarge { limit: 1000, .. }));
}

#[tokio::test]
async fn refuses_redirects_to_other_hosts_and_to_plain_http() {
    let case = Case::kubelet(&executable(Arch::Amd64, "kubelet")).await;
    for to in ["https://127.0.0.1/kubelet".to_owned(), format!("http://{}/other", case.server.address)] {
        case.server.put(KUBELET, Answer::Redirect(to.clone()));
        let text = chain(&case.refused().await);
        assert!(text.contains("it redirects to") && text.contains("expected https on localhost"), "{text}");
    }
}

#[tokio::test]
async fn follows_redirects_within_the_mirror_but_not_in_circles() {
    let bytes = executable(Arch::Amd64, "kubelet");
    let case = Case::kubelet(&bytes).await;
    case.server.put("elsewhere", Answer::Body(bytes.clone()));
    case.server.put(KUBELET, Answer::Redirect(format!("https://{}/elsewhere", case.server.address)));
    case.fetch(File::Kubelet).await.unwrap();
    assert_eq!(fs::read(case.target(File::Kubelet)).unwrap(), bytes);

    case.server.put("elsewhere", Answer::Redirect(format!("https://{}/elsewhere", case.server.address)));
    let error = case.fetch(File::Kubelet).await.unwrap_err();
    assert!(chain(&error).contains("redirects too often"), "{}", chain(&error));
}

#[tokio::test]
async fn says_what_the_server_answered() {
    let case = Case::new().await;
    let error = case.refused().await;
    assert!(matches!(error, BundleError::Status { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn refuses_a_server_whose_certificate_is_not_trusted() {
    let case = Case::kubelet(&executable(Arch::Amd64, "kubelet")).await;
    let mirror = format!("https://{}", case.server.address);
    let source = HttpSource::new(Some(&mirror), None, case.scratch.path().join("other")).unwrap();
    let fetched = source.file(File::Kubelet, &case.request, &case.target(File::Kubelet)).await;
    assert!(matches!(fetched, Err(BundleError::Fetch { .. })));
}

#[test]
fn refuses_a_mirror_without_tls() {
    for mirror in ["http://mirror.example", "mirror.example", "ftp://mirror.example", "https://"] {
        let made = HttpSource::new(Some(mirror), None, "unused".into());
        assert!(matches!(made, Err(BundleError::NotTls { .. })), "{mirror}");
    }
}
