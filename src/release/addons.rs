//! Add-ons that keelwright itself has manifests of. Data, like the catalog.

/// Takes nodes away whose machines have gone, and makes load balancers for Services.
pub const CLOUD_CONTROLLER: &str = "aws-cloud-controller-manager";
/// Makes, attaches and mounts EBS volumes.
pub const EBS_CSI: &str = "aws-ebs-csi-driver";

/// What stands for the cluster's name in these manifests.
pub const CLUSTER_NAME: &str = "KEELWRIGHT_CLUSTER";

/// The manifest of the add-on of this name.
pub fn own_manifest(name: &str) -> Option<&'static str> {
    match name {
        CLOUD_CONTROLLER => Some(include_str!("../../templates/addons/aws-cloud-controller-manager.yaml")),
        EBS_CSI => Some(include_str!("../../templates/addons/aws-ebs-csi-driver.yaml")),
        _ => None,
    }
}
