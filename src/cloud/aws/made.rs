//! What controllers in the cluster have made, by its ids: keelwright looks at it and takes it away, no more.

use super::AwsCloud;
use super::error::{Adjusted as _, Named as _};
use super::volumes::volume_state;
use crate::cloud::name::ResourceName;
use crate::cloud::ports::{CloudError, State, Trouble};
use crate::cloud::resource::{Made, MadeKind};

impl AwsCloud {
    /// Balancers that somebody has protected against deletion stay: AWS says so.
    pub(super) async fn delete_made(&self, id: &str, made: &Made) -> Result<(), CloudError> {
        match made.what {
            MadeKind::Balancer => {
                let gone = self.elb.delete_load_balancer().load_balancer_arn(id).send().await;
                gone.named("elasticloadbalancing:DeleteLoadBalancer").unless(&[Trouble::NotFound])
            }
            MadeKind::ClassicBalancer => {
                let gone = self.classic.delete_load_balancer().load_balancer_name(id).send().await;
                gone.named("elasticloadbalancing:DeleteLoadBalancer").unless(&[Trouble::NotFound])
            }
            MadeKind::TargetGroup => self.delete_target_group(id).await,
            MadeKind::SecurityGroup => self.delete_group(id).await,
            MadeKind::SecurityRules => self.delete_rules(id).await,
            MadeKind::Volume => self.delete_volume(id).await,
        }
    }

    pub(super) async fn made_state(&self, id: &str, made: &Made) -> Result<State, CloudError> {
        let seen = match made.what {
            MadeKind::Balancer => {
                let answer = self.elb.describe_load_balancers().load_balancer_arns(id).send().await;
                let answer = answer.named("elasticloadbalancing:DescribeLoadBalancers");
                answer.map(|answer| ready(!answer.load_balancers().is_empty()))
            }
            MadeKind::ClassicBalancer => {
                let answer = self.classic.describe_load_balancers().load_balancer_names(id).send().await;
                let answer = answer.named("elasticloadbalancing:DescribeLoadBalancers");
                answer.map(|answer| ready(!answer.load_balancer_descriptions().is_empty()))
            }
            MadeKind::TargetGroup => {
                let answer = self.elb.describe_target_groups().target_group_arns(id).send().await;
                let answer = answer.named("elasticloadbalancing:DescribeTargetGroups");
                answer.map(|answer| ready(!answer.target_groups().is_empty()))
            }
            MadeKind::SecurityGroup | MadeKind::SecurityRules => {
                let answer = self.ec2.describe_security_groups().group_ids(id).send().await;
                let answer = answer.named("ec2:DescribeSecurityGroups");
                let whole = made.what == MadeKind::SecurityGroup;
                answer.map(|answer| {
                    let has_rules = |group: &aws_sdk_ec2::types::SecurityGroup| {
                        !(group.ip_permissions().is_empty() && group.ip_permissions_egress().is_empty())
                    };
                    ready(answer.security_groups().iter().any(|group| whole || has_rules(group)))
                })
            }
            MadeKind::Volume => {
                let answer = self.ec2.describe_volumes().volume_ids(id).send().await;
                let answer = answer.named("ec2:DescribeVolumes");
                answer.map(|answer| answer.volumes().first().map_or(State::Gone, volume_state))
            }
        };
        match seen {
            Err(error) if error.trouble == Trouble::NotFound => Ok(State::Gone),
            seen => seen,
        }
    }

    /// Nobody wants anything of the kind, so a plan has no such step.
    pub(super) fn never_made(name: &ResourceName) -> CloudError {
        CloudError {
            trouble: Trouble::Invalid,
            call: "keelwright",
            code: "NotOurs".to_owned(),
            message: format!("{name} is a controller's to make"),
        }
    }
}

fn ready(there: bool) -> State {
    if there { State::Ready } else { State::Gone }
}
