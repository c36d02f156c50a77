//! What is taken from a Debian root file system: runc, CNI plugins, and iptables for kube-proxy's image.

use std::collections::BTreeSet;
use std::fs;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use super::image::{Content, Layer};
use super::{BundleError, elf};
use crate::release::artifact::Arch;

/// Links followed before a path counts as a loop; what the kernel allows.
const LINKS: u32 = 40;
const CNI_DIRECTORY: &str = "/usr/lib/cni";
/// The names kube-proxy calls; each is xtables-nft-multi under another name.
const IPTABLES: [&str; 6] =
    ["iptables", "iptables-restore", "iptables-save", "ip6tables", "ip6tables-restore", "ip6tables-save"];

/// A directory that holds a Debian system.
#[derive(Debug, Clone)]
pub struct Rootfs {
    root: Utf8PathBuf,
    arch: Arch,
}

impl Rootfs {
    pub fn new(root: Utf8PathBuf, arch: Arch) -> Self {
        Rootfs { root, arch }
    }

    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Where a program is outside; `name` is runc or a CNI plugin.
    pub fn binary(&self, name: &str) -> Result<Utf8PathBuf, BundleError> {
        let path = match name {
            "runc" => "/usr/sbin/runc".to_owned(),
            plugin => format!("{CNI_DIRECTORY}/{plugin}"),
        };
        let found = self.require(&path)?;
        elf::check_arch(&found, self.arch)?;
        Ok(found)
    }

    /// The version of an installed package, as dpkg has it.
    pub fn package_version(&self, package: &str) -> Result<String, BundleError> {
        let status = self.require("/var/lib/dpkg/status")?;
        let text = fs::read_to_string(&status).map_err(BundleError::io("read", &status))?;
        version_in_status(&text, package).map(str::to_owned).ok_or_else(|| BundleError::Missing {
            name: format!("package {package}"),
            place: self.root.clone(),
        })
    }

    /// Adds iptables (the nft kind) and nft when it is installed, with every library they load.
    pub fn add_iptables(&self, layer: &mut Layer) -> Result<(), BundleError> {
        let multi = self.require("/usr/sbin/xtables-nft-multi")?;
        elf::check_arch(&multi, self.arch)?;
        layer.file("/usr/sbin/xtables-nft-multi", 0o755, Content::File(multi.clone()));
        for name in IPTABLES {
            layer.link(&format!("/usr/sbin/{name}"), "xtables-nft-multi");
        }
        let mut programs = vec![multi];
        if let Some(nft) = self.resolve("/usr/sbin/nft") {
            layer.file("/usr/sbin/nft", 0o755, Content::File(nft.clone()));
            programs.push(nft);
        }
        let extensions = format!("/usr/lib/{}/xtables", self.multiarch());
        for extension in self.list(&extensions)? {
            let found = self.require(&format!("{extensions}/{extension}"))?;
            layer.file(&format!("{extensions}/{extension}"), 0o644, Content::File(found.clone()));
            programs.push(found);
        }
        self.add_libraries(layer, programs)
    }

    /// Adds the loader and, transitively, the libraries of these files.
    fn add_libraries(&self, layer: &mut Layer, mut files: Vec<Utf8PathBuf>) -> Result<(), BundleError> {
        let mut added = BTreeSet::new();
        while let Some(file) = files.pop() {
            let wanted = elf::dynamic(&file)?;
            if let Some(interpreter) = wanted.interpreter
                && added.insert(interpreter.clone())
            {
                layer.file(&interpreter, 0o755, Content::File(self.require(&interpreter)?));
            }
            for name in wanted.needed {
                if !added.insert(name.clone()) {
                    continue;
                }
                let directory = format!("/usr/lib/{}", self.multiarch());
                let found = self.library(&name)?;
                layer.file(&format!("{directory}/{name}"), 0o644, Content::File(found.clone()));
                files.push(found);
            }
        }
        Ok(())
    }

    fn library(&self, name: &str) -> Result<Utf8PathBuf, BundleError> {
        let multiarch = self.multiarch();
        [format!("/usr/lib/{multiarch}"), format!("/lib/{multiarch}"), "/usr/lib".into(), "/lib".into()]
            .iter()
            .find_map(|directory| self.resolve(&format!("{directory}/{name}")))
            .ok_or_else(|| BundleError::Missing { name: name.to_owned(), place: self.root.clone() })
    }

    fn multiarch(&self) -> &'static str {
        match self.arch {
            Arch::Amd64 => "x86_64-linux-gnu",
            Arch::Arm64 => "aarch64-linux-gnu",
        }
    }

    fn list(&self, path: &str) -> Result<BTreeSet<String>, BundleError> {
        let directory = self.require(path)?;
        let entries = directory.read_dir_utf8().map_err(BundleError::io("list", &directory))?;
        entries
            .map(|entry| Ok(entry.map_err(BundleError::io("list", &directory))?.file_name().to_owned()))
            .collect()
    }

    fn require(&self, path: &str) -> Result<Utf8PathBuf, BundleError> {
        self.resolve(path)
            .ok_or_else(|| BundleError::Missing { name: path.to_owned(), place: self.root.clone() })
    }

    /// Follows links as a process inside would: an absolute one starts at this root, `..` stops there.
    /// Anything else would read the files of the machine this runs on.
    fn resolve(&self, path: &str) -> Option<Utf8PathBuf> {
        let mut left: Vec<String> = Vec::new();
        push_reversed(&mut left, path);
        let mut inside: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == ".." {
                inside.pop();
                continue;
            }
            let outside = self.root.join(inside.join("/")).join(&part);
            let metadata = fs::symlink_metadata(&outside).ok()?;
            if !metadata.is_symlink() {
                inside.push(part);
                continue;
            }
            links += 1;
            if links > LINKS {
                return None;
            }
            let target = outside.read_link_utf8().ok()?;
            if target.is_absolute() {
                inside.clear();
            }
            push_reversed(&mut left, target.as_str());
        }
        Some(self.root.join(inside.join("/")))
    }
}

fn push_reversed(stack: &mut Vec<String>, path: &str) {
    let parts: Vec<String> = Utf8Path::new(path)
        .components()
        .filter(|part| matches!(part, Utf8Component::Normal(_) | Utf8Component::ParentDir))
        .map(|part| part.as_str().to_owned())
        .collect();
    stack.extend(parts.into_iter().rev());
}

fn version_in_status<'a>(status: &'a str, package: &str) -> Option<&'a str> {
    status.split("\n\n").find_map(|paragraph| {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let installed = field("Status:").is_some_and(|status| status.ends_with(" installed"));
        (installed && field("Package:") == Some(package)).then(|| field("Version:")).flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::bundle::elf::tests::{dynamic_executable, executable};
    use crate::bundle::testing::Scratch;

    fn rootfs(scratch: &Scratch) -> Rootfs {
        let root = scratch.path();
        let put = |path: &str, bytes: Vec<u8>| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let loader = "/lib64/ld-linux-x86-64.so.2";
        put("usr/lib64/ld-linux-x86-64.so.2", dynamic_executable(Arch::Amd64, "", &[]));
        symlink("usr/lib64", root.join("lib64")).unwrap();
        put(
            "usr/sbin/xtables-nft-multi",
            dynamic_executable(Arch::Amd64, loader, &["libmnl.so.0", "libc.so.6"]),
        );
        put(
            "usr/lib/x86_64-linux-gnu/libmnl.so.0.2.0",
            dynamic_executable(Arch::Amd64, loader, &["libc.so.6"]),
        );
        symlink("libmnl.so.0.2.0", root.join("usr/lib/x86_64-linux-gnu/libmnl.so.0")).unwrap();
        put("usr/lib/x86_64-linux-gnu/libc.so.6", executable(Arch::Amd64, "libc"));
        put("usr/lib/x86_64-linux-gnu/xtables/libxt_comment.so", executable(Arch::Amd64, ""));
        put("usr/sbin/runc", executable(Arch::Amd64, ""));
        put(
            "var/lib/dpkg/status",
            b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: runc\nStatus: install ok installed\nVersion: 1.1.5+ds1-1\n"
                .to_vec(),
        );
        Rootfs::new(root.to_owned(), Arch::Amd64)
    }

    #[test]
    fn takes_iptables_with_its_loader_libraries_and_extensions() {
        let scratch = Scratch::new();
        let mut layer = Layer::default();
        rootfs(&scratch).add_iptables(&mut layer).unwrap();
        let mut bytes = Vec::new();
        layer.write(&mut bytes).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .filter(|path| !path.ends_with('/'))
            .collect();
        assert_eq!(
            names,
            [
                "lib64/ld-linux-x86-64.so.2",
                "usr/lib/x86_64-linux-gnu/libc.so.6",
                "usr/lib/x86_64-linux-gnu/libmnl.so.0",
                "usr/lib/x86_64-linux-gnu/xtables/libxt_comment.so",
                "usr/sbin/ip6tables",
                "usr/sbin/ip6tables-restore",
                "usr/sbin/ip6tables-save",
                "usr/sbin/iptables",
                "usr/sbin/iptables-restore",
                "usr/sbin/iptables-save",
                "usr/sbin/xtables-nft-multi",
            ]
        );
    }

    #[test]
    fn names_the_library_that_is_missing() {
        let scratch = Scratch::new();
        let rootfs = rootfs(&scratch);
        fs::remove_file(scratch.path().join("usr/lib/x86_64-linux-gnu/libc.so.6")).unwrap();
        let error = rootfs.add_iptables(&mut Layer::default()).unwrap_err();
        assert!(error.to_string().starts_with("libc.so.6 is not in "), "{error}");
    }

    #[test]
    fn links_never_lead_out_of_the_root() {
        let scratch = Scratch::new();
        let rootfs = rootfs(&scratch);
        let root = scratch.path();
        symlink("/usr/sbin/runc", root.join("absolute")).unwrap();
        symlink("../../../../../../usr/sbin/runc", root.join("climbing")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(rootfs.resolve("/absolute").unwrap(), root.join("usr/sbin/runc"));
        assert_eq!(rootfs.resolve("/climbing").unwrap(), root.join("usr/sbin/runc"));
        assert_eq!(rootfs.resolve("/loop"), None);
        assert_eq!(rootfs.resolve("/../../etc/passwd"), None);
    }

    #[test]
    fn reads_versions_of_installed_packages_only() {
        let scratch = Scratch::new();
        let rootfs = rootfs(&scratch);
        assert_eq!(rootfs.package_version("runc").unwrap(), "1.1.5+ds1-1");
        assert!(rootfs.package_version("gone").is_err());
    }

    #[test]
    fn refuses_a_program_for_another_architecture() {
        let scratch = Scratch::new();
        let rootfs = Rootfs::new(rootfs(&scratch).root, Arch::Arm64);
        assert!(matches!(rootfs.binary("runc"), Err(BundleError::WrongBinary { .. })));
    }
}
