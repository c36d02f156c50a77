//! What is asked of a bundle: one Kubernetes version for one architecture. Pure.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;

use super::BundleError;
use super::item::{File, Item};
use crate::release::KubeVersion;
use crate::release::artifact::Arch;
use crate::release::catalog::{Image, MinorRelease, release_of};

/// One bundle to make.
#[derive(Debug, Clone)]
pub struct Request {
    pub version: KubeVersion,
    pub release: &'static MinorRelease,
    pub arch: Arch,
    pub items: BTreeSet<Item>,
    /// An etcd other than the release's own: clusters that are to be upgraded may start with an older one.
    pub etcd: Option<semver::Version>,
}

impl Request {
    pub fn new(
        version: KubeVersion,
        arch: Arch,
        items: BTreeSet<Item>,
        etcd: Option<semver::Version>,
    ) -> Result<Self, BundleError> {
        Ok(Request { version, release: release_of(version)?, arch, items, etcd })
    }

    #[cfg(test)]
    pub(crate) fn for_test(version: KubeVersion) -> Self {
        Request::new(version, Arch::Amd64, BTreeSet::new(), None).unwrap()
    }

    /// The version of etcd, without `v`.
    pub fn etcd_version(&self) -> String {
        self.etcd.as_ref().map_or_else(|| self.release.etcd_version().to_owned(), ToString::to_string)
    }

    /// The image's name in the cluster, whatever registry it is pulled from.
    pub fn reference(&self, image: Image) -> String {
        self.reference_in(crate::release::catalog::IMAGE_REGISTRY, image)
    }

    /// The image's name under another registry or prefix.
    pub fn reference_in(&self, registry: &str, image: Image) -> String {
        match (&self.etcd, image) {
            (Some(version), Image::Etcd) => format!("{registry}/etcd:{version}-0"),
            (_, image) => image.reference(registry, self.release, self.version),
        }
    }

    /// The version of an executable.
    pub fn file_version(&self, file: File) -> String {
        match file {
            File::Etcdctl | File::Etcdutl => self.etcd_version(),
            other => other.version(self.release, self.version),
        }
    }
}

/// keelwright's cache directory, from the values of `KEELWRIGHT_CACHE`, `XDG_CACHE_HOME` and `HOME`.
/// `None` when all three are missing or empty.
pub fn cache_directory(own: Option<&str>, xdg: Option<&str>, home: Option<&str>) -> Option<Utf8PathBuf> {
    let given = |value: Option<&str>| value.filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
    given(own)
        .or_else(|| given(xdg).filter(|path| path.is_absolute()).map(|path| path.join("keelwright")))
        .or_else(|| given(home).map(|path| path.join(".cache/keelwright")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_etcd_changes_its_image_and_its_tools_alone() {
        let mut request = Request::for_test("v1.34.4".parse().unwrap());
        assert_eq!(request.reference(Image::Etcd), "registry.k8s.io/etcd:3.6.5-0");
        assert_eq!(request.file_version(File::Etcdutl), "3.6.5");
        request.etcd = Some(semver::Version::new(3, 5, 35));
        assert_eq!(request.reference(Image::Etcd), "registry.k8s.io/etcd:3.5.35-0");
        assert_eq!(request.file_version(File::Etcdutl), "3.5.35");
        assert_eq!(request.reference(Image::Pause), "registry.k8s.io/pause:3.10.1");
        assert_eq!(request.file_version(File::Kubelet), "v1.34.4");
    }

    #[test]
    fn the_cache_is_where_the_first_variable_that_is_set_says() {
        let case = |own, xdg, home| cache_directory(own, xdg, home).map(Utf8PathBuf::into_string);
        let at = |path: &str| Some(path.to_owned());
        assert_eq!(case(Some("/own"), Some("/xdg"), Some("/home/me")), at("/own"));
        assert_eq!(case(None, Some("/xdg"), Some("/home/me")), at("/xdg/keelwright"));
        assert_eq!(case(Some(""), Some(""), Some("/home/me")), at("/home/me/.cache/keelwright"));
        // A relative XDG_CACHE_HOME is to be ignored (XDG Base Directory Specification).
        assert_eq!(case(None, Some("relative"), Some("/home/me")), at("/home/me/.cache/keelwright"));
        assert_eq!(case(None, None, Some("/home/me")), at("/home/me/.cache/keelwright"));
        assert_eq!(case(None, None, None), None);
    }
}
