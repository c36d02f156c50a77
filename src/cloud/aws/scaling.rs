//! Auto scaling groups.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types::{
    InstancesDistribution, LaunchTemplate as Template, LaunchTemplateOverrides, LaunchTemplateSpecification,
    LifecycleHookSpecification, MixedInstancesPolicy, Tag,
};

use super::error::{Adjusted as _, Named as _};
use super::observe::{Only, Raw};
use super::rolling::{before_of, size_of};
use super::templates::VERSION;
use super::{AwsCloud, id_of, ids_of, tags, theirs};
use crate::cloud::name::ResourceName;
use crate::cloud::ports::{CloudError, Ids, State, Trouble};
use crate::cloud::resource::{DRAIN_HOOK, Resource, ScalingGroup, Tags};

const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";
/// Tags of the group alone, for whoever looks at groups.
const AUTOSCALER: &str = "k8s.io/cluster-autoscaler/";
pub(super) const RESOURCE: &str = "auto-scaling-group";

impl AwsCloud {
    pub(super) async fn list_scaling_groups(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let filter = |key: &str, value: &str| {
            aws_sdk_autoscaling::types::Filter::builder().name(format!("tag:{key}")).values(value).build()
        };
        let mut request =
            self.autoscaling.describe_auto_scaling_groups().filters(filter(tags::CLUSTER, &self.cluster));
        if let Some(name) = only {
            request = request.filters(filter(tags::NAME, name.as_str()));
        }
        let pages = request.into_paginator().items();
        let groups: Vec<_> = pages
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .named("autoscaling:DescribeAutoScalingGroups")?;
        let mut all = Vec::new();
        for group in &groups {
            let pairs = group
                .tags()
                .iter()
                .map(|tag| (tag.key().unwrap_or_default(), tag.value().unwrap_or_default()));
            let read = tags::read(&self.cluster, pairs);
            let Some(name) = read.name else { continue };
            let id = group.auto_scaling_group_name().unwrap_or_default();
            let (group_tags, tags): (Tags, Tags) =
                read.tags.into_iter().partition(|(key, _)| key.starts_with(AUTOSCALER));
            let drain = self.drain_of(id).await?;
            let resource = Resource::ScalingGroup(Box::new(as_seen(group, group_tags, drain)));
            // Its status is there only while it is deleted.
            let state = match group.status() {
                Some(status) => State::Leaving(status.to_owned()),
                None => State::Ready,
            };
            all.push(Raw::new(name, Some(id), resource, tags, state));
        }
        Ok(all)
    }

    async fn drain_of(&self, id: &str) -> Result<Option<u32>, CloudError> {
        let request = self.autoscaling.describe_lifecycle_hooks().auto_scaling_group_name(id);
        let answer = request.send().await.named("autoscaling:DescribeLifecycleHooks")?;
        let mut hooks = answer.lifecycle_hooks().iter();
        let hook = hooks.find(|hook| hook.lifecycle_hook_name() == Some(DRAIN_HOOK));
        Ok(hook.and_then(|hook| hook.heartbeat_timeout()).and_then(|seconds| u32::try_from(seconds).ok()))
    }

    pub(super) async fn create_scaling_group(
        &self,
        name: &ResourceName,
        group: &ScalingGroup,
        tags: &Tags,
        ids: &Ids,
    ) -> Result<String, CloudError> {
        let id = self.physical_name(name.short());
        let all = self.group_tags(&id, name, tags, &group.group_tags);
        let template = id_of(&group.template, ids)?;
        let mut request = self
            .autoscaling
            .create_auto_scaling_group()
            .auto_scaling_group_name(&id)
            .min_size(signed(group.min))
            .max_size(signed(group.max))
            .desired_capacity(signed(group.desired.unwrap_or(group.min)))
            .vpc_zone_identifier(ids_of(&group.subnets, ids)?.join(","))
            .set_target_group_arns(Some(ids_of(&group.target_groups, ids)?))
            .set_tags(Some(all));
        request = request.mixed_instances_policy(mixed(group, &template));
        if let Some(seconds) = group.drain {
            request = request.lifecycle_hook_specification_list(hook(seconds));
        }
        request.send().await.named("autoscaling:CreateAutoScalingGroup")?;
        Ok(id)
    }

    pub(super) async fn update_scaling_group(
        &self,
        id: &str,
        from: &ScalingGroup,
        to: &ScalingGroup,
        ids: &Ids,
    ) -> Result<(), CloudError> {
        let template = id_of(&to.template, ids)?;
        let request = self
            .autoscaling
            .update_auto_scaling_group()
            .auto_scaling_group_name(id)
            .min_size(signed(to.min))
            .max_size(signed(to.max))
            .set_desired_capacity(to.desired.map(signed))
            .vpc_zone_identifier(ids_of(&to.subnets, ids)?.join(","))
            .mixed_instances_policy(mixed(to, &template));
        request.send().await.named("autoscaling:UpdateAutoScalingGroup")?;
        // Rolling goes on from the size that is wanted now.
        self.forget_rolling(id).await?;
        self.update_target_groups(id, from, to, ids).await?;
        self.update_drain(id, from.drain, to.drain).await
    }

    async fn update_target_groups(
        &self,
        id: &str,
        from: &ScalingGroup,
        to: &ScalingGroup,
        ids: &Ids,
    ) -> Result<(), CloudError> {
        let more = ids_of(to.target_groups.difference(&from.target_groups), ids)?;
        if !more.is_empty() {
            let request = self.autoscaling.attach_load_balancer_target_groups();
            let request = request.auto_scaling_group_name(id).set_target_group_arns(Some(more));
            request.send().await.named("autoscaling:AttachLoadBalancerTargetGroups")?;
        }
        let fewer: BTreeSet<_> = from.target_groups.difference(&to.target_groups).collect();
        let fewer = ids_of(fewer, ids)?;
        if !fewer.is_empty() {
            let request = self.autoscaling.detach_load_balancer_target_groups();
            let request = request.auto_scaling_group_name(id).set_target_group_arns(Some(fewer));
            request.send().await.named("autoscaling:DetachLoadBalancerTargetGroups")?;
        }
        Ok(())
    }

    async fn update_drain(&self, id: &str, from: Option<u32>, to: Option<u32>) -> Result<(), CloudError> {
        match to {
            _ if from == to => Ok(()),
            Some(seconds) => {
                let request = self
                    .autoscaling
                    .put_lifecycle_hook()
                    .auto_scaling_group_name(id)
                    .lifecycle_hook_name(DRAIN_HOOK)
                    .lifecycle_transition(TERMINATING)
                    .heartbeat_timeout(signed(seconds))
                    .default_result("CONTINUE");
                request.send().await.named("autoscaling:PutLifecycleHook").map(drop)
            }
            None => {
                let request = self.autoscaling.delete_lifecycle_hook().auto_scaling_group_name(id);
                let gone = request.lifecycle_hook_name(DRAIN_HOOK).send().await;
                gone.named("autoscaling:DeleteLifecycleHook").map(drop)
            }
        }
    }

    fn group_tags(&self, id: &str, name: &ResourceName, tags: &Tags, own: &Tags) -> Vec<Tag> {
        let mut all = tags.clone();
        all.extend(own.clone());
        as_tags(id, &self.all_tags(name, &all))
    }

    pub(super) async fn tag_scaling_group(
        &self,
        id: &str,
        all: &Tags,
        gone: &[String],
    ) -> Result<(), CloudError> {
        let request = self.autoscaling.create_or_update_tags().set_tags(Some(as_tags(id, all)));
        request.send().await.named("autoscaling:CreateOrUpdateTags")?;
        if gone.is_empty() {
            return Ok(());
        }
        let gone: BTreeMap<String, String> = gone.iter().map(|key| (key.clone(), String::new())).collect();
        let request = self.autoscaling.delete_tags().set_tags(Some(as_tags(id, &gone)));
        request.send().await.named("autoscaling:DeleteTags").map(drop)
    }

    /// Empties the group first, unless everything goes: each machine is drained by its hook.
    pub(super) async fn delete_scaling_group(&self, id: &str, force: bool) -> Result<(), CloudError> {
        if !force {
            let request = self.autoscaling.update_auto_scaling_group().auto_scaling_group_name(id);
            let request = request.min_size(0).desired_capacity(0);
            let emptied = request.send().await.named("autoscaling:UpdateAutoScalingGroup");
            emptied.when("not found", Trouble::NotFound).unless(&[Trouble::NotFound])?;
        }
        let request = self.autoscaling.delete_auto_scaling_group().auto_scaling_group_name(id);
        let gone = request.force_delete(force).send().await;
        gone.named("autoscaling:DeleteAutoScalingGroup")
            .when("not found", Trouble::NotFound)
            .unless(&[Trouble::NotFound])
    }
}

fn as_seen(
    group: &aws_sdk_autoscaling::types::AutoScalingGroup,
    group_tags: Tags,
    drain: Option<u32>,
) -> ScalingGroup {
    let policy = group.mixed_instances_policy();
    let mixed = policy.and_then(|policy| policy.launch_template());
    let specification =
        mixed.and_then(|template| template.launch_template_specification()).or(group.launch_template());
    let on_demand = policy
        .and_then(|policy| policy.instances_distribution())
        .and_then(|distribution| distribution.on_demand_percentage_above_base_capacity());
    let subnets = group.vpc_zone_identifier().unwrap_or_default();
    // One whose machines are made anew is larger for a while.
    let size = before_of(group).unwrap_or_else(|| size_of(group));
    ScalingGroup {
        template: theirs(specification.and_then(|template| template.launch_template_id())),
        subnets: subnets.split(',').filter(|id| !id.is_empty()).map(|id| theirs(Some(id))).collect(),
        min: unsigned(group.min_size()),
        max: size.max,
        desired: Some(size.desired),
        instance_types: types_of(group).collect(),
        spot: 100 - on_demand.and_then(|percent| u8::try_from(percent).ok()).unwrap_or(100).min(100),
        target_groups: group.target_group_arns().iter().map(|arn| theirs(Some(arn))).collect(),
        drain,
        group_tags,
    }
}

/// The types of machines that a group takes.
pub(super) fn types_of(
    group: &aws_sdk_autoscaling::types::AutoScalingGroup,
) -> impl Iterator<Item = String> + '_ {
    let mixed = group.mixed_instances_policy().and_then(|policy| policy.launch_template());
    let overrides = mixed.map(|template| template.overrides()).unwrap_or_default();
    overrides.iter().filter_map(|one| one.instance_type()).map(str::to_owned)
}

fn mixed(group: &ScalingGroup, template: &str) -> MixedInstancesPolicy {
    let distribution = InstancesDistribution::builder()
        .on_demand_base_capacity(0)
        .on_demand_percentage_above_base_capacity(i32::from(100 - group.spot.min(100)))
        // What AWS recommends: of the pools that are least likely to be taken away, the cheapest.
        .spot_allocation_strategy("price-capacity-optimized")
        .build();
    let overrides = group.instance_types.iter();
    let overrides = overrides.map(|name| LaunchTemplateOverrides::builder().instance_type(name).build());
    let template = Template::builder()
        .launch_template_specification(specification(template))
        .set_overrides(Some(overrides.collect()))
        .build();
    MixedInstancesPolicy::builder().launch_template(template).instances_distribution(distribution).build()
}

fn specification(template: &str) -> LaunchTemplateSpecification {
    LaunchTemplateSpecification::builder().launch_template_id(template).version(VERSION).build()
}

fn hook(seconds: u32) -> LifecycleHookSpecification {
    LifecycleHookSpecification::builder()
        .lifecycle_hook_name(DRAIN_HOOK)
        .lifecycle_transition(TERMINATING)
        .heartbeat_timeout(signed(seconds))
        .default_result("CONTINUE")
        .build()
}

/// Machines have their template's tags; those of the group are its own.
fn as_tags(id: &str, tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| {
        Tag::builder()
            .resource_id(id)
            .resource_type(RESOURCE)
            .key(key)
            .value(value)
            .propagate_at_launch(false)
            .build()
    };
    tags.iter().map(tag).collect()
}

pub(super) fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) fn unsigned(number: Option<i32>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}
