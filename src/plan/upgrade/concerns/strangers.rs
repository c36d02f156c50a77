//! Nodes that no inventory names: workers of scaling groups, or of other tools. Their kubelets are not upgraded here,
//! and the API servers move on without them.

use super::{Concern, Prospect};
use crate::inventory::HostName;
use crate::release::{ApiServerSpan, Component, KubeVersion};

pub(super) fn concerns(prospect: &Prospect<'_>) -> Vec<Concern> {
    let Some(api) = prospect.facts.api.known() else { return Vec::new() };
    let of = |host: &HostName| {
        prospect.inventory.hosts.contains_key(host) || prospect.facts.dropped.contains_key(host)
    };
    let strangers = api.nodes.iter().filter(|(host, _)| !of(host));
    let allowed = ApiServerSpan::one(prospect.target).allowed(Component::Kubelet);
    let too_old = strangers.filter_map(|(host, node)| {
        let version = KubeVersion::parse(&node.kubelet_version).ok()?;
        (version.minor() < *allowed.start()).then_some((host, version))
    });
    let concern = |(host, version): (&HostName, KubeVersion)| {
        Concern::blocks(
            host.as_str(),
            format!(
                "runs kubelet {version}, and API servers of {} take none before {}; the node is in no inventory, so \
                 nobody upgrades it here",
                prospect.target,
                allowed.start()
            ),
            "bring it to a newer version first, or take it out of the cluster (kubectl drain, kubectl delete node)",
        )
    };
    too_old.map(concern).collect()
}
