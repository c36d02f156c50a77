//! What the operator has to be allowed for a plan, by the names of IAM's actions. Looking takes as much again and is
//! found out by looking, before a plan.

use std::collections::BTreeSet;

use super::plan::{Change, InfraPlan};
use super::resource::{MadeKind, Resource};

/// An action that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    /// Such as `ec2:CreateVpc`.
    pub action: String,
    /// The resource that was asked about; `*` is any.
    pub resource: String,
}

/// The actions that carrying out a plan may take.
pub fn actions(plan: &InfraPlan) -> BTreeSet<&'static str> {
    let mut all = BTreeSet::new();
    for step in &plan.steps {
        match &step.change {
            Change::Create { wanted, .. } => {
                all.extend(to_create(&wanted.resource));
                // What is made may have to be brought to what is wanted.
                all.extend(to_update(&wanted.resource));
            }
            Change::Update { wanted, .. } => all.extend(to_update(&wanted.resource)),
            Change::Delete { there, .. } => all.extend(to_delete(&there.resource)),
        }
    }
    all
}

/// Beside these: the actions of making the machines of a group anew.
pub const ROLLING: [&str; 4] = [
    "autoscaling:CreateOrUpdateTags",
    "autoscaling:DeleteTags",
    "autoscaling:TerminateInstanceInAutoScalingGroup",
    "autoscaling:UpdateAutoScalingGroup",
];

fn to_create(resource: &Resource) -> &'static [&'static str] {
    match resource {
        Resource::Vpc(_) => &["ec2:CreateVpc", "ec2:CreateTags"],
        Resource::InternetGateway(_) => &["ec2:CreateInternetGateway", "ec2:CreateTags"],
        Resource::Subnet(_) => &["ec2:CreateSubnet", "ec2:CreateTags"],
        Resource::ElasticIp(_) => &["ec2:AllocateAddress", "ec2:CreateTags"],
        Resource::NatGateway(_) => &["ec2:CreateNatGateway", "ec2:CreateTags"],
        Resource::RouteTable(_) => &["ec2:CreateRouteTable", "ec2:CreateTags"],
        Resource::SecurityGroup(_) => &["ec2:CreateSecurityGroup", "ec2:CreateTags"],
        // A group has them from the start.
        Resource::SecurityRules(_) => &[],
        Resource::KeyPair(_) => &["ec2:ImportKeyPair", "ec2:CreateTags"],
        Resource::Role(_) => &["iam:CreateRole", "iam:TagRole"],
        Resource::InstanceProfile(_) => &["iam:CreateInstanceProfile", "iam:TagInstanceProfile"],
        Resource::Volume(_) => &["ec2:CreateVolume", "ec2:CreateTags"],
        Resource::Instance(_) => &["ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"],
        Resource::Attachment(_) => &["ec2:AttachVolume"],
        Resource::LaunchTemplate(_) => &["ec2:CreateLaunchTemplate", "ec2:CreateTags"],
        Resource::ScalingGroup(_) => &[
            "autoscaling:CreateAutoScalingGroup",
            "autoscaling:CreateOrUpdateTags",
            "autoscaling:PutLifecycleHook",
            "ec2:RunInstances",
            "iam:CreateServiceLinkedRole",
            "iam:PassRole",
        ],
        Resource::Balancer(_) => &[
            "elasticloadbalancing:AddTags",
            "elasticloadbalancing:CreateLoadBalancer",
            "iam:CreateServiceLinkedRole",
        ],
        Resource::TargetGroup(_) => {
            &["elasticloadbalancing:AddTags", "elasticloadbalancing:CreateTargetGroup"]
        }
        Resource::Targets(_) => &["elasticloadbalancing:RegisterTargets"],
        Resource::Listener(_) => &["elasticloadbalancing:CreateListener"],
        Resource::Record(_) => &["route53:ChangeResourceRecordSets"],
        // Nobody wants it.
        Resource::Made(_) => &[],
    }
}

fn to_update(resource: &Resource) -> &'static [&'static str] {
    match resource {
        Resource::Vpc(_) => &["ec2:CreateTags", "ec2:DeleteTags", "ec2:ModifyVpcAttribute"],
        Resource::InternetGateway(_) => &["ec2:AttachInternetGateway", "ec2:CreateTags", "ec2:DeleteTags"],
        Resource::Subnet(_) => &["ec2:CreateTags", "ec2:DeleteTags", "ec2:ModifySubnetAttribute"],
        Resource::RouteTable(_) => &[
            "ec2:AssociateRouteTable",
            "ec2:CreateRoute",
            "ec2:CreateTags",
            "ec2:DeleteRoute",
            "ec2:DeleteTags",
            "ec2:DisassociateRouteTable",
            "ec2:ReplaceRoute",
        ],
        Resource::SecurityRules(_) => &[
            "ec2:AuthorizeSecurityGroupEgress",
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:RevokeSecurityGroupEgress",
            "ec2:RevokeSecurityGroupIngress",
        ],
        Resource::ElasticIp(_)
        | Resource::NatGateway(_)
        | Resource::SecurityGroup(_)
        | Resource::KeyPair(_) => &["ec2:CreateTags", "ec2:DeleteTags"],
        Resource::Role(_) => &["iam:DeleteRolePolicy", "iam:PutRolePolicy", "iam:TagRole", "iam:UntagRole"],
        Resource::InstanceProfile(_) => &[
            "iam:AddRoleToInstanceProfile",
            "iam:PassRole",
            "iam:RemoveRoleFromInstanceProfile",
            "iam:TagInstanceProfile",
            "iam:UntagInstanceProfile",
        ],
        Resource::Volume(_) => &["ec2:CreateTags", "ec2:DeleteTags", "ec2:ModifyVolume"],
        Resource::Instance(_) => &[
            "ec2:AssociateIamInstanceProfile",
            "ec2:CreateTags",
            "ec2:DeleteTags",
            "ec2:ModifyInstanceAttribute",
            "ec2:ModifyInstanceMetadataOptions",
            "ec2:ReplaceIamInstanceProfileAssociation",
            "ec2:StartInstances",
            "ec2:StopInstances",
        ],
        Resource::LaunchTemplate(_) => &[
            "ec2:CreateLaunchTemplateVersion",
            "ec2:CreateTags",
            "ec2:DeleteTags",
            "ec2:ModifyLaunchTemplate",
        ],
        Resource::ScalingGroup(_) => &[
            "autoscaling:AttachLoadBalancerTargetGroups",
            "autoscaling:CreateOrUpdateTags",
            "autoscaling:DeleteLifecycleHook",
            "autoscaling:DeleteTags",
            "autoscaling:DetachLoadBalancerTargetGroups",
            "autoscaling:PutLifecycleHook",
            "autoscaling:UpdateAutoScalingGroup",
        ],
        Resource::Balancer(_) => &[
            "elasticloadbalancing:AddTags",
            "elasticloadbalancing:ModifyLoadBalancerAttributes",
            "elasticloadbalancing:RemoveTags",
            "elasticloadbalancing:SetSecurityGroups",
            "elasticloadbalancing:SetSubnets",
        ],
        Resource::TargetGroup(_) => &[
            "elasticloadbalancing:AddTags",
            "elasticloadbalancing:ModifyTargetGroup",
            "elasticloadbalancing:ModifyTargetGroupAttributes",
            "elasticloadbalancing:RemoveTags",
        ],
        Resource::Targets(_) => {
            &["elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets"]
        }
        Resource::Listener(_) => &["elasticloadbalancing:ModifyListener"],
        Resource::Attachment(_) | Resource::Record(_) | Resource::Made(_) => &[],
    }
}

fn to_delete(resource: &Resource) -> &'static [&'static str] {
    match resource {
        Resource::Vpc(_) => &["ec2:DeleteVpc"],
        Resource::InternetGateway(_) => &["ec2:DeleteInternetGateway", "ec2:DetachInternetGateway"],
        Resource::Subnet(_) => &["ec2:DeleteSubnet"],
        Resource::ElasticIp(_) => &["ec2:ReleaseAddress"],
        Resource::NatGateway(_) => &["ec2:DeleteNatGateway"],
        Resource::RouteTable(_) => &["ec2:DeleteRouteTable", "ec2:DisassociateRouteTable"],
        Resource::SecurityGroup(_) => &["ec2:DeleteSecurityGroup"],
        Resource::SecurityRules(_) => &["ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress"],
        Resource::KeyPair(_) => &["ec2:DeleteKeyPair"],
        Resource::Role(_) => &["iam:DeleteRole", "iam:DeleteRolePolicy"],
        Resource::InstanceProfile(_) => &["iam:DeleteInstanceProfile", "iam:RemoveRoleFromInstanceProfile"],
        Resource::Volume(_) => &["ec2:DeleteVolume"],
        Resource::Instance(_) => &["ec2:ModifyInstanceAttribute", "ec2:TerminateInstances"],
        Resource::Attachment(_) => &["ec2:DetachVolume"],
        Resource::LaunchTemplate(_) => &["ec2:DeleteLaunchTemplate"],
        Resource::ScalingGroup(_) => {
            // What its machines joined with goes, too.
            &[
                "autoscaling:DeleteAutoScalingGroup",
                "autoscaling:UpdateAutoScalingGroup",
                "ssm:DeleteParameter",
            ]
        }
        Resource::Balancer(_) => {
            &["elasticloadbalancing:DeleteLoadBalancer", "elasticloadbalancing:ModifyLoadBalancerAttributes"]
        }
        Resource::TargetGroup(_) => &["elasticloadbalancing:DeleteTargetGroup"],
        Resource::Targets(_) => &["elasticloadbalancing:DeregisterTargets"],
        Resource::Listener(_) => &["elasticloadbalancing:DeleteListener"],
        Resource::Record(_) => &["route53:ChangeResourceRecordSets"],
        Resource::Made(made) => match made.what {
            MadeKind::Balancer | MadeKind::ClassicBalancer => &["elasticloadbalancing:DeleteLoadBalancer"],
            MadeKind::TargetGroup => &["elasticloadbalancing:DeleteTargetGroup"],
            MadeKind::SecurityGroup => &["ec2:DeleteSecurityGroup"],
            MadeKind::SecurityRules => &["ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress"],
            MadeKind::Volume => &["ec2:DeleteVolume"],
        },
    }
}
