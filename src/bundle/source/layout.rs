//! Where each executable is published, and where its SHA-256 is. Pure.

use super::super::item::File;
use super::super::request::Request;
use crate::release::artifact::{Arch, Sha256};

/// Hosts that upstream's addresses live on or redirect to; anything else is refused.
pub const UPSTREAM_HOSTS: [&str; 6] = [
    "dl.k8s.io",
    "cdn.dl.k8s.io",
    "github.com",
    "objects.githubusercontent.com",
    "raw.githubusercontent.com",
    "release-assets.githubusercontent.com",
];

/// The most an executable or an archive of executables may weigh. The largest today are about 130 MB; a
/// server that sends without end must not fill the disk.
pub const FILE_LIMIT: u64 = 512 * 1024 * 1024;
/// The most a manifest may weigh; those with all definitions of a large plugin are about 3 MB.
pub const MANIFEST_LIMIT: u64 = 16 * 1024 * 1024;
/// The most a list of checksums may weigh.
pub const CHECKSUM_LIMIT: u64 = 1024 * 1024;

/// One download. `location` is host and path, without scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    pub location: String,
    /// Where its SHA-256 is stated, alone or in a list.
    pub checksum: String,
    /// The path of the executable inside, when the download is a `.tar.gz`.
    pub member: Option<String>,
}

impl Download {
    /// The last part of the path, under which a list of checksums names it.
    pub fn file_name(&self) -> &str {
        self.location.rsplit('/').next().unwrap_or(&self.location)
    }
}

/// Where upstream publishes an executable.
pub fn download(file: File, request: &Request) -> Download {
    let (arch, version) = (request.arch, request.file_version(file));
    match file {
        File::Kubelet | File::Kubectl | File::Kubeadm => {
            let location = format!("dl.k8s.io/release/{version}/bin/linux/{arch}/{}", file.name());
            Download { checksum: format!("{location}.sha256"), location, member: None }
        }
        File::Containerd | File::Shim | File::Ctr => {
            let directory = github("containerd/containerd", &version);
            let location = format!("{directory}/containerd-{version}-linux-{arch}.tar.gz");
            let member = Some(format!("bin/{}", file.name()));
            Download { checksum: format!("{location}.sha256sum"), location, member }
        }
        File::Runc => {
            let directory = github("opencontainers/runc", &version);
            let location = format!("{directory}/runc.{arch}");
            Download { checksum: format!("{directory}/runc.sha256sum"), location, member: None }
        }
        File::Cni(plugin) => {
            let directory = github("containernetworking/plugins", &version);
            let location = format!("{directory}/cni-plugins-linux-{arch}-v{version}.tgz");
            Download { checksum: format!("{location}.sha256"), location, member: Some(plugin.to_owned()) }
        }
        File::Crictl => {
            let directory = github("kubernetes-sigs/cri-tools", &version);
            let location = format!("{directory}/crictl-v{version}-linux-{arch}.tar.gz");
            Download { checksum: format!("{location}.sha256"), location, member: Some("crictl".to_owned()) }
        }
        File::Etcdctl | File::Etcdutl => etcd(&version, arch, file.name()),
    }
}

fn etcd(version: &str, arch: Arch, name: &str) -> Download {
    let directory = github("etcd-io/etcd", version);
    let stem = format!("etcd-v{version}-linux-{arch}");
    Download {
        location: format!("{directory}/{stem}.tar.gz"),
        checksum: format!("{directory}/SHA256SUMS"),
        member: Some(format!("{stem}/{name}")),
    }
}

fn github(repository: &str, version: &str) -> String {
    format!("github.com/{repository}/releases/download/v{version}")
}

/// The SHA-256 that `text` states for `file`: a hash alone, or the line of a list as `sha256sum` writes it.
pub fn stated_checksum(text: &str, file: &str) -> Option<Sha256> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    if let (Some(only), None) = (lines.next(), lines.next())
        && let Ok(sha256) = only.parse()
    {
        return Some(sha256);
    }
    text.lines().find_map(|line| {
        let (hash, name) = line.trim().split_once(char::is_whitespace)?;
        let name = name.trim_start().trim_start_matches('*');
        // Some projects list names with the directory they were built in.
        let name = name.rsplit('/').next().unwrap_or(name);
        if name == file { hash.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::item::Item;

    #[test]
    fn addresses_are_those_of_upstream() {
        let request = Request::for_test("v1.37.1".parse().unwrap());
        let lines: Vec<String> = Item::all()
            .filter_map(|item| match item {
                Item::File(file) => Some(download(file, &request)),
                Item::Image(_) => None,
            })
            .map(|it| format!("{} {} {}", it.location, it.member.as_deref().unwrap_or("-"), it.checksum))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        dl.k8s.io/release/v1.37.1/bin/linux/amd64/kubelet - dl.k8s.io/release/v1.37.1/bin/linux/amd64/kubelet.sha256
        dl.k8s.io/release/v1.37.1/bin/linux/amd64/kubectl - dl.k8s.io/release/v1.37.1/bin/linux/amd64/kubectl.sha256
        dl.k8s.io/release/v1.37.1/bin/linux/amd64/kubeadm - dl.k8s.io/release/v1.37.1/bin/linux/amd64/kubeadm.sha256
        github.com/containerd/containerd/releases/download/v2.3.3/containerd-2.3.3-linux-amd64.tar.gz bin/containerd github.com/containerd/containerd/releases/download/v2.3.3/containerd-2.3.3-linux-amd64.tar.gz.sha256sum
        github.com/containerd/containerd/releases/download/v2.3.3/containerd-2.3.3-linux-amd64.tar.gz bin/containerd-shim-runc-v2 github.com/containerd/containerd/releases/download/v2.3.3/containerd-2.3.3-linux-amd64.tar.gz.sha256sum
        github.com/containerd/containerd/releases/download/v2.3.3/containerd-2.3.3-linux-amd64.tar.gz bin/ctr github.com/containerd/containerd/releases/download/v2.3.3/containerd-2.3.3-linux-amd64.tar.gz.sha256sum
        github.com/opencontainers/runc/releases/download/v1.4.3/runc.amd64 - github.com/opencontainers/runc/releases/download/v1.4.3/runc.sha256sum
        github.com/kubernetes-sigs/cri-tools/releases/download/v1.36.0/crictl-v1.36.0-linux-amd64.tar.gz crictl github.com/kubernetes-sigs/cri-tools/releases/download/v1.36.0/crictl-v1.36.0-linux-amd64.tar.gz.sha256
        github.com/etcd-io/etcd/releases/download/v3.7.0/etcd-v3.7.0-linux-amd64.tar.gz etcd-v3.7.0-linux-amd64/etcdctl github.com/etcd-io/etcd/releases/download/v3.7.0/SHA256SUMS
        github.com/etcd-io/etcd/releases/download/v3.7.0/etcd-v3.7.0-linux-amd64.tar.gz etcd-v3.7.0-linux-amd64/etcdutl github.com/etcd-io/etcd/releases/download/v3.7.0/SHA256SUMS
        github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz bandwidth github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz.sha256
        github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz bridge github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz.sha256
        github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz firewall github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz.sha256
        github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz host-local github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz.sha256
        github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz loopback github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz.sha256
        github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz portmap github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz.sha256
        github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz tuning github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz.sha256
        ");
    }

    #[test]
    fn every_address_is_on_an_allowed_host() {
        let request = Request::for_test("v1.34.4".parse().unwrap());
        for item in Item::all() {
            if let Item::File(file) = item {
                let download = download(file, &request);
                for location in [&download.location, &download.checksum] {
                    let (host, _) = location.split_once('/').unwrap();
                    assert!(UPSTREAM_HOSTS.contains(&host), "{location}");
                }
            }
        }
    }

    #[test]
    fn reads_a_checksum_alone_or_from_a_list() {
        let (one, two) = ("a".repeat(64), "b".repeat(64));
        assert_eq!(stated_checksum(&one, "kubelet").unwrap().as_str(), one);
        assert_eq!(stated_checksum(&format!("{one}\n"), "kubelet").unwrap().as_str(), one);
        let list = format!("{one}  runc.arm64\n{two} *./release/runc.amd64\n");
        assert_eq!(stated_checksum(&list, "runc.amd64").unwrap().as_str(), two);
        assert_eq!(stated_checksum(&list, "runc"), None);
        // A single line for another file is not ours, and an error page is no checksum.
        assert_eq!(stated_checksum(&format!("{one}  other"), "runc.amd64"), None);
        assert_eq!(stated_checksum("<html>not found</html>", "runc.amd64"), None);
        assert_eq!(stated_checksum("", "runc.amd64"), None);
    }
}
