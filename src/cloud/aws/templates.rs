//! Launch templates: what scaling groups make machines from.

use aws_sdk_ec2::types::{
    LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest,
    LaunchTemplateHttpTokensState, LaunchTemplateIamInstanceProfileSpecificationRequest,
    LaunchTemplateInstanceMetadataOptionsRequest, LaunchTemplateInstanceNetworkInterfaceSpecificationRequest,
    LaunchTemplateTagSpecificationRequest, RequestLaunchTemplateData, ResourceType,
    ResponseLaunchTemplateData,
};

use sha2::{Digest as _, Sha256};

use super::error::{Adjusted as _, Named as _};
use super::instances::image_of;
use super::observe::{Only, Raw};
use super::user_data::{decoded, encoded};
use super::volumes::{gibibytes, kind, number};
use super::{AwsCloud, id_of, ids_of, tags, theirs};
use crate::cloud::name::ResourceName;
use crate::cloud::ports::{CloudError, Ids, State, Trouble};
use crate::cloud::resource::{LaunchTemplate, Machine, Resource, Tags};
use crate::inventory::{Disk, DiskKind};

/// The version that groups use; a change makes a new one and then moves this.
pub(super) const VERSION: &str = "$Default";
/// Digits of a revision.
const REVISION_LENGTH: usize = 16;

impl AwsCloud {
    pub(super) async fn list_templates(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let request = self.ec2.describe_launch_templates().set_filters(Some(self.filters(only)));
        let pages = request.into_paginator().items();
        let templates: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeLaunchTemplates")?;
        let mut all = Vec::new();
        for template in &templates {
            let read = tags::read(&self.cluster, tags::pairs(template.tags()));
            let Some(name) = read.name else { continue };
            let id = template.launch_template_id().unwrap_or_default();
            let request =
                self.ec2.describe_launch_template_versions().launch_template_id(id).versions(VERSION);
            let versions = match request.send().await.named("ec2:DescribeLaunchTemplateVersions") {
                Err(error) if error.trouble == Trouble::NotFound => continue,
                versions => versions?,
            };
            let version = versions.launch_template_versions().first();
            let Some(data) = version.and_then(|version| version.launch_template_data()) else { continue };
            let words = version.and_then(|version| version.version_description());
            let resource = Resource::LaunchTemplate(Box::new(self.as_read(data, words)));
            all.push(Raw::new(name, Some(id), resource, read.tags, State::Ready));
        }
        Ok(all)
    }

    fn as_read(&self, data: &ResponseLaunchTemplateData, words: Option<&str>) -> LaunchTemplate {
        let interface = data.network_interfaces().first();
        let groups = interface.map(|interface| interface.groups()).unwrap_or_default();
        let profile = data.iam_instance_profile().and_then(|profile| profile.name());
        let options = data.metadata_options();
        let required = options.and_then(|options| options.http_tokens())
            == Some(&LaunchTemplateHttpTokensState::Required);
        let hops = options.and_then(|options| options.http_put_response_hop_limit()).filter(|_| required);
        let machine = Machine {
            instance_type: data.instance_type().map(|kind| kind.as_str()).unwrap_or_default().to_owned(),
            image: image_of(words, data.image_id()),
            key: theirs(data.key_name()),
            groups: groups.iter().map(|group| theirs(Some(group))).collect(),
            profile: profile.map(|name| theirs(Some(name))),
            root: root_of(data),
            public_address: interface
                .and_then(|interface| interface.associate_public_ip_address())
                .unwrap_or(false),
            metadata_hops: hops.and_then(|hops| u8::try_from(hops).ok()).unwrap_or(0),
            user_data: data.user_data().and_then(decoded),
        };
        let specifications = data.tag_specifications().iter();
        let of_instances =
            specifications.filter(|tags| tags.resource_type() == Some(&ResourceType::Instance));
        let pairs = of_instances.flat_map(|tags| tags::pairs(tags.tags()));
        let machine_tags = pairs
            .filter(|(key, _)| ![tags::CLUSTER, tags::REVISION].contains(key))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        LaunchTemplate { machine, machine_tags }
    }

    pub(super) async fn create_template(
        &self,
        name: &ResourceName,
        template: &LaunchTemplate,
        tags: &Tags,
        ids: &Ids,
        token: &str,
    ) -> Result<String, CloudError> {
        let request = self
            .ec2
            .create_launch_template()
            .launch_template_name(self.physical_name(name.short()))
            .version_description(template.machine.image.words())
            .launch_template_data(self.template_data(template, ids).await?)
            .client_token(token)
            .tag_specifications(self.specification(ResourceType::LaunchTemplate, name, tags));
        let answer = request.send().await.named("ec2:CreateLaunchTemplate")?;
        let id = answer.launch_template().and_then(|template| template.launch_template_id());
        Ok(id.unwrap_or_default().to_owned())
    }

    /// Another version, which groups use from then on; machines that run are not changed by it.
    pub(super) async fn update_template(
        &self,
        id: &str,
        to: &LaunchTemplate,
        ids: &Ids,
    ) -> Result<(), CloudError> {
        let request = self
            .ec2
            .create_launch_template_version()
            .launch_template_id(id)
            .version_description(to.machine.image.words())
            .launch_template_data(self.template_data(to, ids).await?);
        let answer = request.send().await.named("ec2:CreateLaunchTemplateVersion")?;
        let version = answer.launch_template_version().and_then(|version| version.version_number());
        let request = self.ec2.modify_launch_template().launch_template_id(id);
        let request = request.default_version(version.unwrap_or_default().to_string());
        request.send().await.named("ec2:ModifyLaunchTemplate").map(drop)
    }

    async fn template_data(
        &self,
        template: &LaunchTemplate,
        ids: &Ids,
    ) -> Result<RequestLaunchTemplateData, CloudError> {
        let machine = &template.machine;
        let image = self.image(&machine.image).await?;
        let interface = LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::builder()
            .device_index(0)
            .associate_public_ip_address(machine.public_address)
            .set_groups(Some(ids_of(&machine.groups, ids)?))
            .delete_on_termination(true)
            .build();
        let options = LaunchTemplateInstanceMetadataOptionsRequest::builder()
            .http_tokens(LaunchTemplateHttpTokensState::Required)
            .http_put_response_hop_limit(machine.metadata_hops.into())
            .build();
        let mut machine_tags = template.machine_tags.clone();
        machine_tags.insert(tags::CLUSTER.to_owned(), self.cluster.clone());
        machine_tags.insert(tags::REVISION.to_owned(), revision(machine, ids));
        let profile = match &machine.profile {
            Some(profile) => Some(
                LaunchTemplateIamInstanceProfileSpecificationRequest::builder()
                    .name(id_of(profile, ids)?)
                    .build(),
            ),
            None => None,
        };
        Ok(RequestLaunchTemplateData::builder()
            .image_id(&image.id)
            .instance_type(machine.instance_type.as_str().into())
            .key_name(id_of(&machine.key, ids)?)
            .network_interfaces(interface)
            .block_device_mappings(mapping(&image.root_device, &machine.root))
            .metadata_options(options)
            .set_iam_instance_profile(profile)
            .set_user_data(machine.user_data.as_deref().map(encoded))
            .tag_specifications(tagged(ResourceType::Instance, &machine_tags))
            .tag_specifications(tagged(ResourceType::Volume, &machine_tags))
            .build())
    }

    pub(super) async fn delete_template(&self, id: &str) -> Result<(), CloudError> {
        let gone = self.ec2.delete_launch_template().launch_template_id(id).send().await;
        gone.named("ec2:DeleteLaunchTemplate").unless(&[Trouble::NotFound])
    }
}

/// Which machine a template makes: the same for as long as nothing of it changes, whatever its tags are.
fn revision(machine: &Machine, ids: &Ids) -> String {
    // invariant: machines have text keys only, so they always serialise.
    let text = serde_json::to_string(machine).unwrap_or_default();
    let names = machine.needs().into_iter().map(|name| id_of(name, ids).unwrap_or_default());
    let parts: Vec<String> = names.chain([text]).collect();
    hex::encode(Sha256::digest(parts.join("\n")))[..REVISION_LENGTH].to_owned()
}

fn tagged(kind: ResourceType, tags: &Tags) -> LaunchTemplateTagSpecificationRequest {
    LaunchTemplateTagSpecificationRequest::builder()
        .resource_type(kind)
        .set_tags(Some(tags::ec2_tags(tags)))
        .build()
}

fn mapping(device: &str, root: &Disk) -> LaunchTemplateBlockDeviceMappingRequest {
    let ebs = LaunchTemplateEbsBlockDeviceRequest::builder()
        .volume_size(gibibytes(root))
        .volume_type(kind(root.kind))
        .set_iops(number(root.iops))
        .set_throughput(number(root.throughput))
        .set_kms_key_id(root.kms_key.clone())
        .encrypted(true)
        .delete_on_termination(true)
        .build();
    LaunchTemplateBlockDeviceMappingRequest::builder().device_name(device).ebs(ebs).build()
}

fn root_of(data: &ResponseLaunchTemplateData) -> Disk {
    let ebs = data.block_device_mappings().first().and_then(|mapping| mapping.ebs());
    let read = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
    Disk {
        size: read(ebs.and_then(|ebs| ebs.volume_size())).unwrap_or_default(),
        kind: match ebs.and_then(|ebs| ebs.volume_type()).map(|kind| kind.as_str()) {
            Some("gp2") => DiskKind::Gp2,
            Some("io1") => DiskKind::Io1,
            Some("io2") => DiskKind::Io2,
            _ => DiskKind::Gp3,
        },
        iops: read(ebs.and_then(|ebs| ebs.iops())),
        throughput: read(ebs.and_then(|ebs| ebs.throughput())),
        kms_key: ebs.and_then(|ebs| ebs.kms_key_id()).map(str::to_owned),
    }
}
