//! What calls create, how it is named, and which error says that it is not there.

use super::call::Call;

/// One kind of thing.
#[derive(Debug)]
pub struct Kind {
    pub created_by: &'static str,
    pub listed_by: &'static str,
    /// The element that names it, in the answers of both.
    pub id: &'static str,
    pub not_found: &'static str,
}

const fn kind(
    created_by: &'static str,
    listed_by: &'static str,
    id: &'static str,
    not_found: &'static str,
) -> Kind {
    Kind { created_by, listed_by, id, not_found }
}

#[rustfmt::skip]
pub const KINDS: [Kind; 19] = [
    kind("EC2.CreateVpc", "EC2.DescribeVpcs", "vpcId", "InvalidVpcID.NotFound"),
    kind("EC2.CreateSubnet", "EC2.DescribeSubnets", "subnetId", "InvalidSubnetID.NotFound"),
    kind("EC2.CreateInternetGateway", "EC2.DescribeInternetGateways", "internetGatewayId", "InvalidInternetGatewayID.NotFound"),
    kind("EC2.AllocateAddress", "EC2.DescribeAddresses", "allocationId", "InvalidAllocationID.NotFound"),
    kind("EC2.CreateNatGateway", "EC2.DescribeNatGateways", "natGatewayId", "NatGatewayNotFound"),
    kind("EC2.CreateRouteTable", "EC2.DescribeRouteTables", "routeTableId", "InvalidRouteTableID.NotFound"),
    kind("EC2.CreateSecurityGroup", "EC2.DescribeSecurityGroups", "groupId", "InvalidGroup.NotFound"),
    kind("EC2.CreateLaunchTemplate", "EC2.DescribeLaunchTemplates", "launchTemplateId", "InvalidLaunchTemplateId.NotFound"),
    kind("EC2.RunInstances", "EC2.DescribeInstances", "instanceId", "InvalidInstanceID.NotFound"),
    kind("EC2.CreateVolume", "EC2.DescribeVolumes", "volumeId", "InvalidVolume.NotFound"),
    kind("EC2.CreateSnapshot", "EC2.DescribeSnapshots", "snapshotId", "InvalidSnapshot.NotFound"),
    kind("EC2.CreateNetworkInterface", "EC2.DescribeNetworkInterfaces", "networkInterfaceId", "InvalidNetworkInterfaceID.NotFound"),
    kind("EC2.ImportKeyPair", "EC2.DescribeKeyPairs", "keyName", "InvalidKeyPair.NotFound"),
    kind("ELBv2.CreateLoadBalancer", "ELBv2.DescribeLoadBalancers", "LoadBalancerArn", "LoadBalancerNotFound"),
    kind("ELBv2.CreateTargetGroup", "ELBv2.DescribeTargetGroups", "TargetGroupArn", "TargetGroupNotFound"),
    kind("ELBv2.CreateListener", "ELBv2.DescribeListeners", "ListenerArn", "ListenerNotFound"),
    kind("IAM.CreateRole", "IAM.ListRoles", "RoleName", "NoSuchEntity"),
    kind("IAM.CreateInstanceProfile", "IAM.ListInstanceProfiles", "InstanceProfileName", "NoSuchEntity"),
    kind("IAM.CreatePolicy", "IAM.ListPolicies", "PolicyName", "NoSuchEntity"),
];

pub fn created_by(call: &Call) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.created_by == call.name())
}
