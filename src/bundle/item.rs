//! What can be in a bundle, under which names, and how `--only` and `--with` choose from it. Pure.

use std::collections::BTreeSet;
use std::fmt;

use crate::release::KubeVersion;
use crate::release::catalog::{Image, MinorRelease};

/// The CNI plugins that ours and the usual network add-ons call.
pub const CNI_PLUGINS: [&str; 7] =
    ["bandwidth", "bridge", "firewall", "host-local", "loopback", "portmap", "tuning"];

/// An executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum File {
    Kubelet,
    Kubectl,
    Kubeadm,
    Containerd,
    Shim,
    Ctr,
    Runc,
    Cni(&'static str),
    Crictl,
    Etcdctl,
    Etcdutl,
}

/// One thing in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    File(File),
    Image(Image),
}

/// A name that is neither an item nor a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is nothing a bundle can hold{}", suggestion.map(|near| format!(": did you mean {near}?")).unwrap_or_default())]
pub struct UnknownName {
    pub name: String,
    pub suggestion: Option<&'static str>,
}

impl File {
    /// The name of the executable.
    pub const fn name(self) -> &'static str {
        match self {
            File::Kubelet => "kubelet",
            File::Kubectl => "kubectl",
            File::Kubeadm => "kubeadm",
            File::Containerd => "containerd",
            File::Shim => "containerd-shim-runc-v2",
            File::Ctr => "ctr",
            File::Runc => "runc",
            File::Cni(plugin) => plugin,
            File::Crictl => "crictl",
            File::Etcdctl => "etcdctl",
            File::Etcdutl => "etcdutl",
        }
    }

    /// The version the catalog pairs with Kubernetes `version`.
    pub fn version(self, release: &MinorRelease, version: KubeVersion) -> String {
        match self {
            File::Kubelet | File::Kubectl | File::Kubeadm => version.to_string(),
            File::Containerd | File::Shim | File::Ctr => release.containerd.to_owned(),
            File::Runc => release.runc.to_owned(),
            File::Cni(_) => release.cni_plugins.to_owned(),
            File::Crictl => release.crictl.to_owned(),
            File::Etcdctl | File::Etcdutl => release.etcd_version().to_owned(),
        }
    }

    /// Part of a bundle without being asked for. kubeadm serves tests only: keelwright never runs it.
    const fn is_default(self) -> bool {
        !matches!(self, File::Kubeadm | File::Etcdctl | File::Etcdutl)
    }
}

impl Item {
    /// Everything there is, in a fixed order.
    pub fn all() -> impl Iterator<Item = Item> {
        let files = [
            File::Kubelet,
            File::Kubectl,
            File::Kubeadm,
            File::Containerd,
            File::Shim,
            File::Ctr,
            File::Runc,
            File::Crictl,
            File::Etcdctl,
            File::Etcdutl,
        ];
        files
            .into_iter()
            .chain(CNI_PLUGINS.into_iter().map(File::Cni))
            .map(Item::File)
            .chain(Image::ALL.into_iter().map(Item::Image))
    }

    pub const fn name(self) -> &'static str {
        match self {
            Item::File(file) => file.name(),
            Item::Image(image) => image.name(),
        }
    }

    fn is_default(self) -> bool {
        match self {
            Item::File(file) => file.is_default(),
            Item::Image(image) => image != Image::Agnhost,
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::File(_) => f.write_str(self.name()),
            Item::Image(_) => write!(f, "image {}", self.name()),
        }
    }
}

/// Names that stand for several items.
pub const GROUPS: [(&str, &str); 7] = [
    ("all", "everything, also what no cluster needs"),
    ("default", "everything a cluster needs"),
    ("files", "the executables of a node"),
    ("images", "the images of a cluster"),
    ("control-plane", "kube-apiserver, kube-controller-manager, kube-scheduler, etcd"),
    ("runtime", "containerd, its shim, ctr, runc, crictl, the CNI plugins, pause"),
    ("cni", "the CNI plugins"),
];

/// The items of a group or of one name.
pub fn named(name: &str) -> Result<BTreeSet<Item>, UnknownName> {
    let matches = |item: &Item| match name {
        "all" => true,
        "default" => item.is_default(),
        "files" => matches!(item, Item::File(_)) && item.is_default(),
        "images" => matches!(item, Item::Image(_)) && item.is_default(),
        "control-plane" => matches!(
            item,
            Item::Image(Image::ApiServer | Image::ControllerManager | Image::Scheduler | Image::Etcd)
        ),
        "runtime" => matches!(
            item,
            Item::File(File::Containerd | File::Shim | File::Ctr | File::Runc | File::Crictl | File::Cni(_))
                | Item::Image(Image::Pause)
        ),
        "cni" => matches!(item, Item::File(File::Cni(_))),
        single => item.name() == single,
    };
    let found: BTreeSet<Item> = Item::all().filter(matches).collect();
    if found.is_empty() {
        return Err(UnknownName { name: name.to_owned(), suggestion: nearest(name) });
    }
    Ok(found)
}

fn nearest(name: &str) -> Option<&'static str> {
    let names = Item::all().map(Item::name).chain(GROUPS.iter().map(|(group, _)| *group));
    names
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min()
        .map(|(_, known)| known)
}

/// What `--only` names, or else the default, and what `--with` adds.
pub fn select(only: &[String], with: &[String]) -> Result<BTreeSet<Item>, UnknownName> {
    let mut items = if only.is_empty() { named("default")? } else { BTreeSet::new() };
    for name in only.iter().chain(with) {
        items.extend(named(name)?);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &[&str], with: &[&str]) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        select(&owned(only), &owned(with)).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_plain_bundle_has_what_a_cluster_needs_and_nothing_for_tests() {
        assert_eq!(
            names(&[], &[]).join(" "),
            "kubelet kubectl containerd containerd-shim-runc-v2 ctr runc bandwidth bridge firewall host-local \
             loopback portmap tuning crictl image kube-apiserver image kube-controller-manager \
             image kube-scheduler image kube-proxy image etcd image coredns image pause"
        );
    }

    #[test]
    fn with_adds_and_only_replaces() {
        let added = names(&[], &["kubeadm", "agnhost"]);
        assert!(added.contains(&"kubeadm".to_owned()) && added.contains(&"image agnhost".to_owned()));
        assert_eq!(added.len(), names(&[], &[]).len() + 2);
        assert_eq!(names(&["kubelet"], &["kubeadm"]), ["kubelet", "kubeadm"]);
    }

    #[test]
    fn a_version_that_is_passed_through_needs_just_its_control_plane() {
        assert_eq!(
            names(&["control-plane"], &[]),
            ["image kube-apiserver", "image kube-controller-manager", "image kube-scheduler", "image etcd"]
        );
    }

    #[test]
    fn every_group_has_items_and_no_item_has_the_name_of_a_group() {
        for (group, _) in GROUPS {
            assert!(!named(group).unwrap().is_empty());
            assert!(Item::all().all(|item| item.name() != group));
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_known_one() {
        let error = select(&["kubelett".to_owned()], &[]).unwrap_err();
        assert_eq!(error.to_string(), "\"kubelett\" is nothing a bundle can hold: did you mean kubelet?");
        let error = named("control-plan").unwrap_err();
        assert_eq!(error.suggestion, Some("control-plane"));
        assert_eq!(named("xyzzy").unwrap_err().suggestion, None);
    }
}
