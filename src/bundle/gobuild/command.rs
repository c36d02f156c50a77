//! Which package of which module set makes which executable, and with which flags. Pure.

use super::super::BundleError;
use super::super::request::Request;
use super::sets::{ModuleSet, known_versions, module_set};

/// One executable to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoCommand {
    pub name: String,
    pub set: &'static ModuleSet,
    pub package: String,
    pub tags: &'static str,
    pub linker_flags: String,
}

/// containerd without what needs C libraries or kernel features the lab lacks.
const CONTAINERD_TAGS: &str = "no_btrfs no_zfs no_devmapper";

/// How to build the executable of this name; `None` when it does not come from Go modules.
pub fn go_command(name: &str, request: &Request) -> Result<Option<GoCommand>, BundleError> {
    let kubernetes = |package: &str| {
        let version = request.version;
        let variable = "k8s.io/component-base/version";
        let flags = format!(
            "-X {variable}.gitVersion={version} -X {variable}.gitMajor={} -X {variable}.gitMinor={} -X {variable}.gitTreeState=clean",
            version.major, version.minor
        );
        command(name, "kubernetes", &version.to_string(), &format!("k8s.io/kubernetes/{package}"), "", &flags)
    };
    let containerd = || {
        let version = request.release.containerd;
        let module = "github.com/containerd/containerd/v2";
        let flags = format!("-X {module}/version.Version={version}");
        command(
            name,
            "containerd",
            &format!("v{version}"),
            &format!("{module}/cmd/{name}"),
            CONTAINERD_TAGS,
            &flags,
        )
    };
    let etcd = |module: &str| {
        let version = format!("v{}", request.etcd_version());
        let package = format!("go.etcd.io/etcd/{module}/v3");
        command(name, "etcd", &version, &package, "", "-X go.etcd.io/etcd/api/v3/version.GitSHA=module")
    };
    match name {
        "kube-apiserver"
        | "kube-controller-manager"
        | "kube-scheduler"
        | "kube-proxy"
        | "kubelet"
        | "kubectl"
        | "kubeadm" => kubernetes(&format!("cmd/{name}")),
        "agnhost" => kubernetes("test/images/agnhost"),
        "containerd" | "containerd-shim-runc-v2" | "ctr" => containerd(),
        "etcd" => etcd("server"),
        "etcdctl" | "etcdutl" => etcd(name),
        "crictl" => {
            let version = request.release.crictl;
            let flags = format!("-X sigs.k8s.io/cri-tools/pkg/version.Version={version}");
            command(name, "crictl", &format!("v{version}"), "sigs.k8s.io/cri-tools/cmd/crictl", "", &flags)
        }
        "coredns" => {
            let tag = request.release.coredns_tag;
            // Its own `main` has every plugin, with the clients of three clouds: most of what there is to compile.
            let package = format!("keelwright.dev/bundle/coredns-{tag}/coredns");
            command(
                name,
                "coredns",
                tag,
                &package,
                "",
                "-X github.com/coredns/coredns/coremain.GitCommit=module",
            )
        }
        "pause" => {
            let flags = format!("-X main.version={}", request.release.pause_tag);
            command(name, "pause", "", "keelwright.dev/bundle/pause", "", &flags)
        }
        _ => return Ok(None),
    }
    .map(Some)
}

fn command(
    name: &str,
    project: &str,
    version: &str,
    package: &str,
    tags: &'static str,
    flags: &str,
) -> Result<GoCommand, BundleError> {
    let set = if version.is_empty() { project.to_owned() } else { format!("{project}-{version}") };
    let Some(set) = module_set(&set) else {
        return Err(BundleError::NoModuleSet { set, known: known_versions(project) });
    };
    Ok(GoCommand {
        name: name.to_owned(),
        set,
        package: package.to_owned(),
        tags,
        linker_flags: format!("-s -w {flags}"),
    })
}

impl GoCommand {
    /// What is built, as recorded in the manifest: `k8s.io/kubernetes/cmd/kubelet of kubernetes-v1.37.1`.
    pub fn describe(&self) -> String {
        format!("{} of {}", self.package, self.set.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::gobuild::sets::SETS;
    use crate::bundle::image::recipe;
    use crate::bundle::item::Item;
    use crate::release::catalog::SUPPORTED;

    fn requests() -> Vec<Request> {
        SUPPORTED.iter().map(|release| Request::for_test(release.default_patch)).collect()
    }

    #[test]
    fn every_supported_default_can_be_built() {
        for request in requests() {
            for item in Item::all() {
                let names: &[&str] = match &item {
                    Item::File(file) => &[file.name()],
                    Item::Image(image) => recipe::executables(*image),
                };
                for name in names {
                    let built = go_command(name, &request).unwrap();
                    let from_rootfs = *name == "runc" || crate::bundle::item::CNI_PLUGINS.contains(name);
                    assert_eq!(built.is_none(), from_rootfs, "{name}");
                }
            }
        }
    }

    #[test]
    fn every_package_is_named_by_its_set_so_its_checksums_are_pinned() {
        for request in requests() {
            for name in ["kubelet", "agnhost", "containerd", "ctr", "etcd", "etcdctl", "crictl"] {
                let command = go_command(name, &request).unwrap().unwrap();
                let (_, tools) = command.set.files.iter().find(|(file, _)| *file == "tools.go").unwrap();
                assert!(
                    tools.contains(&format!("_ \"{}\"", command.package)),
                    "{name} in {}",
                    command.set.name
                );
            }
        }
    }

    #[test]
    fn sets_require_the_version_they_are_named_after() {
        for set in SETS.iter().filter(|set| set.name != "pause") {
            let (_, version) = set.name.rsplit_once('-').unwrap();
            let (_, go_mod) = set.files[0];
            assert!(go_mod.contains(&format!(" {version}\n")), "{}", set.name);
            assert!(set.files.iter().all(|(_, content)| !content.is_empty()), "{}", set.name);
        }
    }

    #[test]
    fn kubernetes_reports_its_version() {
        let command = go_command("kubelet", &Request::for_test("v1.37.1".parse().unwrap())).unwrap().unwrap();
        assert_eq!(command.package, "k8s.io/kubernetes/cmd/kubelet");
        assert_eq!(
            command.linker_flags,
            "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.1 \
             -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37 \
             -X k8s.io/component-base/version.gitTreeState=clean"
        );
    }

    #[test]
    fn a_version_without_a_set_is_refused_with_those_there_are() {
        let error = go_command("kubelet", &Request::for_test("v1.37.0".parse().unwrap())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no module set kubernetes-v1.37.0: there are sets for v1.34.4, v1.35.4, v1.36.4, v1.37.1"
        );
    }
}
