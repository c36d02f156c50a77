//! Whose something is that keelwright has not made, by its tags.

use crate::cloud::resource::Tags;
use crate::cloud::tags::CLUSTER;

/// Whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// keelwright has made it for this cluster.
    Keelwright,
    /// A controller in this cluster has made it: whom for, as far as its tags say.
    Cluster(String),
    /// Somebody else, or nobody knows.
    Other,
}

/// With the cluster's name behind it, on what the cloud controller makes (`TagNameKubernetesClusterPrefix` in
/// cloud-provider-aws, pkg/providers/v1/tags.go), and on volumes and snapshots of a driver that was told the name
/// (`--k8s-tag-cluster-id`; aws-ebs-csi-driver, docs/tagging.md).
const OWNED_BY: &str = "kubernetes.io/cluster/";
/// "The lifecycle is tied to the lifecycle of the cluster"; the other value is `shared` (same place).
const OWNED: &str = "owned";
/// The cluster's name is its value, on everything that the AWS Load Balancer Controller makes (`clusterNameTagKey` in
/// aws-load-balancer-controller, pkg/deploy/tracking/provider.go).
const CONTROLLED_BY: &str = "elbv2.k8s.aws/cluster";
/// Says whom for, and how that is called. The first is the cloud controller's (`TagNameKubernetesService`), the others
/// the AWS Load Balancer Controller's.
const PURPOSES: [(&str, &str); 3] = [
    ("kubernetes.io/service-name", "Service"),
    ("service.k8s.aws/stack", "Service"),
    ("ingress.k8s.aws/stack", "Ingress"),
];
/// A claim's namespace and name, and the name of its volume in the cluster (aws-ebs-csi-driver, pkg/driver/constants.go;
/// `--extra-create-metadata` of the provisioner).
const CLAIM_NAMESPACE: &str = "kubernetes.io/created-for/pvc/namespace";
const CLAIM_NAME: &str = "kubernetes.io/created-for/pvc/name";
const VOLUME_NAME: &str = "CSIVolumeName";
/// On every volume of the driver, whichever cluster it is in (same place).
pub(in crate::cloud) const OF_DRIVER: &str = "ebs.csi.aws.com/cluster";

/// The key of the tag that says that something is this cluster's.
pub(in crate::cloud) fn ownership(cluster: &str) -> String {
    format!("{OWNED_BY}{cluster}")
}

pub(super) fn owner(cluster: &str, tags: &Tags) -> Owner {
    if let Some(of) = tags.get(CLUSTER) {
        return if of == cluster { Owner::Keelwright } else { Owner::Other };
    }
    // What two clusters are said to own is taken for neither's.
    let mut owners = tags.iter().filter_map(|(key, value)| match key.strip_prefix(OWNED_BY) {
        Some(name) => (value == OWNED).then_some(name),
        None => (key == CONTROLLED_BY).then_some(value.as_str()),
    });
    let first = owners.next();
    if first != Some(cluster) || owners.any(|name| name != cluster) {
        return Owner::Other;
    }
    Owner::Cluster(purpose(tags))
}

/// Whether a volume was made for a claim, of whichever cluster; machines' own disks are not.
pub(super) fn is_of_claim(tags: &Tags) -> bool {
    [OF_DRIVER, VOLUME_NAME, CLAIM_NAME].iter().any(|key| tags.contains_key(*key))
}

pub(super) fn purpose(tags: &Tags) -> String {
    let named = PURPOSES.iter().find_map(|(key, kind)| Some(format!("{kind} {}", tags.get(*key)?)));
    let claim = || Some(format!("claim {}/{}", tags.get(CLAIM_NAMESPACE)?, tags.get(CLAIM_NAME)?));
    let volume = || Some(format!("volume {}", tags.get(VOLUME_NAME)?));
    named.or_else(claim).or_else(volume).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn tags_say_whose_it_is() {
        let cluster = |purpose: &str| Owner::Cluster(purpose.to_owned());
        for (pairs, expected) in [
            (&[][..], Owner::Other),
            (&[("Name", "prod"), ("team", "platform")], Owner::Other),
            (&[("kubernetes.io/cluster/prod", "owned")], cluster("")),
            (&[("kubernetes.io/cluster/prod", "shared")], Owner::Other),
            (&[("kubernetes.io/cluster/production", "owned")], Owner::Other),
            (&[("kubernetes.io/cluster/prod", "owned"), ("kubernetes.io/cluster/b", "owned")], Owner::Other),
            (&[("kubernetes.io/cluster/prod", "owned"), ("kubernetes.io/cluster/b", "shared")], cluster("")),
            (
                &[("kubernetes.io/cluster/prod", "owned"), ("kubernetes.io/service-name", "default/web")],
                cluster("Service default/web"),
            ),
            (
                &[("elbv2.k8s.aws/cluster", "prod"), ("service.k8s.aws/stack", "default/web")],
                cluster("Service default/web"),
            ),
            (
                &[("elbv2.k8s.aws/cluster", "prod"), ("ingress.k8s.aws/stack", "shop/front")],
                cluster("Ingress shop/front"),
            ),
            (&[("elbv2.k8s.aws/cluster", "other"), ("service.k8s.aws/stack", "a/b")], Owner::Other),
            (&[("elbv2.k8s.aws/cluster", "other"), ("kubernetes.io/cluster/prod", "owned")], Owner::Other),
            (
                &[
                    ("kubernetes.io/cluster/prod", "owned"),
                    ("ebs.csi.aws.com/cluster", "true"),
                    ("CSIVolumeName", "pvc-1"),
                    ("kubernetes.io/created-for/pvc/namespace", "shop"),
                    ("kubernetes.io/created-for/pvc/name", "data-0"),
                ],
                cluster("claim shop/data-0"),
            ),
            (&[("kubernetes.io/cluster/prod", "owned"), ("CSIVolumeName", "pvc-1")], cluster("volume pvc-1")),
            // The driver says that it made it, and not for whom.
            (&[("ebs.csi.aws.com/cluster", "true"), ("CSIVolumeName", "pvc-1")], Owner::Other),
            (
                &[("keelwright.dev/cluster", "prod"), ("kubernetes.io/cluster/prod", "owned")],
                Owner::Keelwright,
            ),
            (&[("keelwright.dev/cluster", "other"), ("kubernetes.io/cluster/prod", "owned")], Owner::Other),
        ] {
            assert_eq!(owner("prod", &tags(pairs)), expected, "{pairs:?}");
        }
    }
}
