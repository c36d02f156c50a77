//! Tags of EC2's resources.

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};

use super::AwsCloud;
use super::error::Named as _;
use crate::cloud::name::ResourceName;
use crate::cloud::ports::{CloudError, Found};
use crate::cloud::resource::{Desired, Resource, Tags};
use crate::cloud::tags::all_tags;

pub(super) use crate::cloud::tags::{CLUSTER, IMAGE, NAME, REVISION, ROLLING, Read, read};

pub(super) fn pairs(tags: &[Tag]) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().map(|tag| (tag.key().unwrap_or_default(), tag.value().unwrap_or_default()))
}

impl AwsCloud {
    /// All tags of a resource.
    pub(super) fn all_tags(&self, name: &ResourceName, tags: &Tags) -> Tags {
        all_tags(&self.cluster, name, tags)
    }

    pub(super) fn specification(
        &self,
        kind: ResourceType,
        name: &ResourceName,
        tags: &Tags,
    ) -> TagSpecification {
        let tags = ec2_tags(&self.all_tags(name, tags));
        TagSpecification::builder().resource_type(kind).set_tags(Some(tags)).build()
    }

    /// Resources of the cluster, by EC2's filters.
    pub(super) fn of_cluster(&self) -> Filter {
        Filter::builder().name(format!("tag:{CLUSTER}")).values(&self.cluster).build()
    }

    /// A resource's own tags; what others have added stays.
    pub(super) async fn update_tags(
        &self,
        name: &ResourceName,
        there: &Found,
        wanted: &Desired,
    ) -> Result<(), CloudError> {
        let (from, to) = (own_tags(&there.resource, &there.tags), own_tags(&wanted.resource, &wanted.tags));
        if !wanted.resource.has_tags() || from == to {
            return Ok(());
        }
        let gone: Vec<String> = from.keys().filter(|key| !to.contains_key(*key)).cloned().collect();
        let all = self.all_tags(name, &to);
        let id = there.id.as_str();
        match &wanted.resource {
            Resource::Role(_) => self.tag_role(id, &all, &gone).await,
            Resource::InstanceProfile(_) => self.tag_profile(id, &all, &gone).await,
            Resource::Balancer(_) | Resource::TargetGroup(_) => self.tag_balancer(id, &all, &gone).await,
            Resource::ScalingGroup(_) => self.tag_scaling_group(id, &all, &gone).await,
            _ => self.tag_ec2(id, &all, &gone).await,
        }
    }

    async fn tag_ec2(&self, id: &str, all: &Tags, gone: &[String]) -> Result<(), CloudError> {
        let request = self.ec2.create_tags().resources(id).set_tags(Some(ec2_tags(all)));
        request.send().await.named("ec2:CreateTags")?;
        if gone.is_empty() {
            return Ok(());
        }
        let tags = gone.iter().map(|key| Tag::builder().key(key).build()).collect();
        let request = self.ec2.delete_tags().resources(id).set_tags(Some(tags));
        request.send().await.named("ec2:DeleteTags").map(drop)
    }
}

/// Some of a scaling group's tags are fields of its own.
fn own_tags(resource: &Resource, tags: &Tags) -> Tags {
    let mut all = tags.clone();
    if let Resource::ScalingGroup(group) = resource {
        all.extend(group.group_tags.clone());
    }
    all
}

pub(super) fn ec2_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}
