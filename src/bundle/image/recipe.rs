//! What goes into each image we write ourselves, and how it starts.

use camino::Utf8PathBuf;

use super::super::BundleError;
use super::super::rootfs::Rootfs;
use super::layer::{Content, Layer};
use super::layout::ImageSpec;
use crate::release::artifact::Arch;
use crate::release::catalog::Image;

/// Part of every image's recorded source: raise it when a recipe changes, and images are written anew.
pub const RECIPE: u32 = 1;

/// The user upstream's pause runs as; it needs no rights at all.
const PAUSE_USER: &str = "65535:65535";

/// The executables an image holds, its main one first.
pub const fn executables(image: Image) -> &'static [&'static str] {
    match image {
        Image::ApiServer => &["kube-apiserver"],
        Image::ControllerManager => &["kube-controller-manager"],
        Image::Scheduler => &["kube-scheduler"],
        Image::KubeProxy => &["kube-proxy"],
        // As upstream's: `kubectl exec` into etcd expects etcdctl, and restores use etcdutl.
        Image::Etcd => &["etcd", "etcdctl", "etcdutl"],
        Image::CoreDns => &["coredns"],
        Image::Pause => &["pause"],
        Image::Agnhost => &["agnhost"],
    }
}

/// Whether the image needs programs that no static binary brings along.
pub const fn needs_rootfs(image: Image) -> bool {
    matches!(image, Image::KubeProxy)
}

/// An image around these executables (in the order of [`executables`]).
pub fn image(
    image: Image,
    reference: String,
    arch: Arch,
    executables: &[(String, Utf8PathBuf)],
    rootfs: Option<&Rootfs>,
) -> Result<ImageSpec, BundleError> {
    let mut layer = Layer::default();
    let directory = directory(image);
    for (name, path) in executables {
        layer.file(&format!("{directory}{name}"), 0o755, Content::File(path.clone()));
    }
    let main = format!("{directory}{}", image.name());
    let (mut user, mut arguments) = (String::new(), Vec::new());
    match image {
        Image::ApiServer | Image::ControllerManager | Image::Scheduler | Image::Etcd => base(&mut layer),
        Image::KubeProxy => {
            base(&mut layer);
            let rootfs = rootfs.ok_or_else(|| BundleError::NoRootfs { names: image.name().to_owned() })?;
            rootfs.add_iptables(&mut layer)?;
        }
        Image::CoreDns => base(&mut layer),
        Image::Pause => user = PAUSE_USER.to_owned(),
        Image::Agnhost => {
            base(&mut layer);
            arguments.push("pause".to_owned());
        }
    }
    Ok(ImageSpec { reference, arch, entrypoint: vec![main], arguments, user, layer })
}

/// Where upstream's image has the executable: manifests name `/usr/local/bin/kube-proxy` and `/coredns`.
const fn directory(image: Image) -> &'static str {
    match image {
        Image::CoreDns | Image::Pause | Image::Agnhost => "/",
        Image::ApiServer | Image::ControllerManager | Image::Scheduler | Image::KubeProxy | Image::Etcd => {
            "/usr/local/bin/"
        }
    }
}

/// What programs expect of any system: a root user, look-ups in /etc/hosts before DNS, a /tmp.
fn base(layer: &mut Layer) {
    let text = |text: &str| Content::Bytes(text.as_bytes().to_vec());
    layer
        .file("/etc/passwd", 0o644, text("root:x:0:0:root:/root:/sbin/nologin\n"))
        .file("/etc/group", 0o644, text("root:x:0:\n"))
        .file("/etc/nsswitch.conf", 0o644, text("hosts: files dns\n"))
        .directory("/etc/ssl/certs", 0o755)
        .directory("/root", 0o700)
        .directory("/run", 0o755)
        .directory("/tmp", 0o1777);
}
