//! Versions that run at the same time: what a kubelet of another minor does, and the version-skew policy,
//! which must hold whatever happens.

use super::world::World;
use crate::inventory::HostName;
use crate::release::{ApiServerSpan, Component, KubeVersion};

const PAUSE_FLAG: &str = "--pod-infra-container-image";
/// kubelets of this minor and later exit when they are given the flag.
const PAUSE_FLAG_GONE: u32 = 35;

impl World {
    /// The version of the kubelet that runs on a host.
    pub fn kubelet_version(&self, name: &HostName) -> Option<KubeVersion> {
        let host = self.hosts.get(name).filter(|host| host.is_active("kubelet.service"))?;
        KubeVersion::parse(self.versions.get(&host.kubelet?)?).ok()
    }

    /// The version of a static pod that runs on a host.
    pub fn pod_version(&self, name: &HostName, pod: &str) -> Option<KubeVersion> {
        let image = &self.hosts.get(name).filter(|host| host.up)?.pods.get(pod)?.manifest.image;
        KubeVersion::parse(image.rsplit_once(':')?.1).ok()
    }

    /// Static pods that the kubelet makes anew because it is of another minor than the one that made them.
    pub fn outdated_pods(&self, name: &HostName) -> Vec<String> {
        let (Some(host), Some(now)) = (self.hosts.get(name), self.kubelet_version(name)) else {
            return Vec::new();
        };
        let of_another = |made_by: &crate::digest::Digest| {
            let version = self.versions.get(made_by).and_then(|text| KubeVersion::parse(text).ok());
            version.is_some_and(|version| version.minor() != now.minor())
        };
        let pods = host.pods.iter().filter(|(_, pod)| pod.made_by.as_ref().is_some_and(of_another));
        pods.map(|(pod, _)| pod.clone()).collect()
    }

    /// Looks at everything that runs now.
    pub fn check_skew(&mut self) {
        let names: Vec<HostName> = self.hosts.keys().cloned().collect();
        let mut broken = Vec::new();
        for name in &names {
            broken.extend(self.controllers_beside(name));
            broken.extend(self.removed_flags(name));
        }
        match ApiServerSpan::of(names.iter().filter_map(|name| self.pod_version(name, "kube-apiserver"))) {
            Err(error) => broken.push(error.to_string()),
            Ok(None) => {}
            Ok(Some(span)) => {
                for name in &names {
                    let checked =
                        self.kubelet_version(name).map(|version| span.check(Component::Kubelet, version));
                    let is_node = self.hosts.get(name).is_some_and(|host| host.host.is_node());
                    if let (Some(Err(error)), true) = (checked, is_node) {
                        broken.push(format!("{name}: {error}"));
                    }
                }
            }
        }
        for what in broken {
            if !self.violations.iter().any(|known| known.ends_with(&what)) {
                self.violation(self.now, what);
            }
        }
    }

    /// Controller manager and scheduler talk to the API server on their own host.
    fn controllers_beside(&self, name: &HostName) -> Vec<String> {
        let Some(api) = self.pod_version(name, "kube-apiserver") else { return Vec::new() };
        let Ok(Some(span)) = ApiServerSpan::of([api]) else { return Vec::new() };
        [("kube-controller-manager", Component::ControllerManager), ("kube-scheduler", Component::Scheduler)]
            .into_iter()
            .filter_map(|(pod, component)| span.check(component, self.pod_version(name, pod)?).err())
            .map(|error| format!("{name}: {error}"))
            .collect()
    }

    fn removed_flags(&self, name: &HostName) -> Option<String> {
        let version = self.kubelet_version(name).filter(|version| version.minor >= PAUSE_FLAG_GONE)?;
        let flags = self.hosts.get(name)?.disk.content("/var/lib/kubelet/kubeadm-flags.env")?;
        flags
            .contains(PAUSE_FLAG)
            .then(|| format!("{name}: kubelet {version} exits: unknown flag {PAUSE_FLAG}"))
    }

    /// What a component's own endpoint on a host says.
    pub fn endpoint_is_ready(&mut self, name: &HostName, url: &str) -> bool {
        let port = url.split(['/', ':']).nth(4).unwrap_or_default();
        let pod = match port {
            "2381" => {
                let member = self.member_on(name);
                return member.is_some_and(|(cluster, member)| {
                    self.answers(cluster, member) && self.has_quorum(cluster)
                });
            }
            "10257" => "kube-controller-manager",
            "10259" => "kube-scheduler",
            _ => return self.api_on(name).is_some(),
        };
        self.hosts.get(name).is_some_and(|host| host.up && host.pods.contains_key(pod))
    }

    /// Whether a static pod runs that is as its manifest says and was started by the kubelet that runs now.
    pub fn pod_is_current(&mut self, name: &HostName, pod: &str) -> bool {
        self.settle(name);
        let Some(host) = self.hosts.get(name).filter(|host| host.runs_pods()) else { return false };
        let since = host.units.get("kubelet.service").map(|unit| unit.since).unwrap_or_default();
        let path = format!("/etc/kubernetes/manifests/{pod}.yaml");
        let wanted = host.disk.get(&path).and_then(|entry| match &entry.node {
            super::disk::Node::File { digest, .. } => Some(*digest),
            super::disk::Node::Directory | super::disk::Node::Link(_) => None,
        });
        host.pods.get(pod).is_some_and(|pod| Some(pod.digest) == wanted && pod.since >= since)
    }
}
