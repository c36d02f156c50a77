//! Machines of scaling groups, as rolling sees them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types::{AutoScalingGroup, Instance, LifecycleState, Tag};

use super::AwsCloud;
use super::error::{Adjusted as _, Named as _};
use super::scaling::{RESOURCE, signed, types_of, unsigned};
use super::tags::{REVISION, ROLLING, pairs};
use super::templates::VERSION;
use crate::cloud::name::{PhysicalId, ResourceName};
use crate::cloud::ports::{Call, CloudError, Trouble};
use crate::cloud::roll::{Group, Groups, Member, Phase, Size};

impl Groups for AwsCloud {
    fn group<'a>(&'a self, name: &'a ResourceName) -> Call<'a, Option<Group>> {
        Box::pin(async move {
            let Some(group) = self.described(name).await? else { return Ok(None) };
            let template = self.template_revision(&group).await?;
            let revisions = self.machine_revisions(&group).await?;
            let types: BTreeSet<String> = types_of(&group).collect();
            let member = |instance: &Instance| {
                let id = instance.instance_id().unwrap_or_default();
                let fits =
                    types.is_empty() || instance.instance_type().is_none_or(|name| types.contains(name));
                // One that EC2 does not show yet has just been made.
                let is_old = revisions.get(id).is_some_and(|revision| *revision != template);
                Some(Member {
                    id: PhysicalId(id.to_owned()),
                    phase: phase_of(instance)?,
                    outdated: is_old || !fits,
                })
            };
            Ok(Some(Group {
                size: size_of(&group),
                before: before_of(&group),
                members: group.instances().iter().filter_map(member).collect(),
            }))
        })
    }

    fn resize<'a>(&'a self, name: &'a ResourceName, to: Size, before: Option<Size>) -> Call<'a, ()> {
        Box::pin(async move {
            let id = self.physical_name(name.short());
            // First the note, so that nobody finds a group enlarged and does not know it.
            if let Some(before) = before {
                let text = format!("{}/{}", before.desired, before.max);
                let request = self.autoscaling.create_or_update_tags().tags(note(&id, Some(text)));
                request.send().await.named("autoscaling:CreateOrUpdateTags")?;
            }
            let request = self.autoscaling.update_auto_scaling_group().auto_scaling_group_name(&id);
            let request = request.max_size(signed(to.max)).desired_capacity(signed(to.desired));
            request.send().await.named("autoscaling:UpdateAutoScalingGroup")?;
            match before {
                Some(_) => Ok(()),
                None => self.forget_rolling(&id).await,
            }
        })
    }

    fn terminate<'a>(&'a self, id: &'a PhysicalId, shrink: bool) -> Call<'a, ()> {
        Box::pin(async move {
            let request = self.autoscaling.terminate_instance_in_auto_scaling_group();
            let request = request.instance_id(id.as_str()).should_decrement_desired_capacity(shrink);
            let gone = request.send().await;
            gone.named("autoscaling:TerminateInstanceInAutoScalingGroup")
                .when("not found", Trouble::NotFound)
                .unless(&[Trouble::NotFound])
        })
    }
}

impl AwsCloud {
    async fn described(&self, name: &ResourceName) -> Result<Option<AutoScalingGroup>, CloudError> {
        let request = self.autoscaling.describe_auto_scaling_groups();
        let request = request.auto_scaling_group_names(self.physical_name(name.short()));
        let answer = request.send().await.named("autoscaling:DescribeAutoScalingGroups")?;
        let groups = answer.auto_scaling_groups.unwrap_or_default();
        // One that has a status is being deleted.
        Ok(groups.into_iter().next().filter(|group| group.status().is_none()))
    }

    /// What the group makes machines from today.
    async fn template_revision(&self, group: &AutoScalingGroup) -> Result<Option<String>, CloudError> {
        let policy = group.mixed_instances_policy().and_then(|policy| policy.launch_template());
        let template = policy.and_then(|template| template.launch_template_specification());
        let id = template.or(group.launch_template()).and_then(|template| template.launch_template_id());
        let request =
            self.ec2.describe_launch_template_versions().set_launch_template_id(id.map(str::to_owned));
        let answer = request.versions(VERSION).send().await.named("ec2:DescribeLaunchTemplateVersions")?;
        let version = answer.launch_template_versions().first();
        let data = version.and_then(|version| version.launch_template_data());
        let specifications = data.map(|data| data.tag_specifications()).unwrap_or_default();
        let mut tags = specifications.iter().flat_map(|tags| pairs(tags.tags()));
        Ok(tags.find(|(key, _)| *key == REVISION).map(|(_, value)| value.to_owned()))
    }

    /// What each machine was made from.
    async fn machine_revisions(
        &self,
        group: &AutoScalingGroup,
    ) -> Result<BTreeMap<String, Option<String>>, CloudError> {
        let ids: Vec<String> =
            group.instances().iter().filter_map(|one| one.instance_id()).map(str::to_owned).collect();
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let request = self.ec2.describe_instances();
        // As a filter: one that has just gone is no error.
        let filter = aws_sdk_ec2::types::Filter::builder().name("instance-id").set_values(Some(ids)).build();
        let pages = request.filters(filter).into_paginator().items();
        let reservations: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeInstances")?;
        let instances = reservations.iter().flat_map(|reservation| reservation.instances());
        let revision = |instance: &aws_sdk_ec2::types::Instance| {
            pairs(instance.tags()).find(|(key, _)| *key == REVISION).map(|(_, value)| value.to_owned())
        };
        Ok(instances
            .map(|instance| (instance.instance_id().unwrap_or_default().to_owned(), revision(instance)))
            .collect())
    }

    /// The group is as large as it is wanted from now on.
    pub(super) async fn forget_rolling(&self, id: &str) -> Result<(), CloudError> {
        let request = self.autoscaling.delete_tags().tags(note(id, None));
        request.send().await.named("autoscaling:DeleteTags").map(drop)
    }
}

fn note(id: &str, value: Option<String>) -> Tag {
    Tag::builder()
        .resource_id(id)
        .resource_type(RESOURCE)
        .key(ROLLING)
        .value(value.unwrap_or_default())
        .propagate_at_launch(false)
        .build()
}

pub(super) fn size_of(group: &AutoScalingGroup) -> Size {
    Size { desired: unsigned(group.desired_capacity()), max: unsigned(group.max_size()) }
}

/// What the group goes back to, where it was enlarged.
pub(super) fn before_of(group: &AutoScalingGroup) -> Option<Size> {
    let note = group.tags().iter().find(|tag| tag.key() == Some(ROLLING))?.value()?;
    let (desired, max) = note.split_once('/')?;
    Some(Size { desired: desired.parse().ok()?, max: max.parse().ok()? })
}

/// None: it has gone, or somebody has put it aside.
fn phase_of(instance: &Instance) -> Option<Phase> {
    use LifecycleState as State;
    match instance.lifecycle_state()? {
        State::InService => Some(Phase::Serving),
        State::Pending | State::PendingWait | State::PendingProceed => Some(Phase::Coming),
        State::Terminating | State::TerminatingWait | State::TerminatingProceed => Some(Phase::Leaving),
        _ => None,
    }
}
