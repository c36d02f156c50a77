//! Machines that have names: the bastion and the control planes.

use aws_sdk_ec2::types::{
    AttributeBooleanValue, AttributeValue, BlockDeviceMapping, EbsBlockDevice, Filter, HttpTokensState,
    IamInstanceProfileSpecification, InstanceAttributeName, InstanceAutoRecoveryState,
    InstanceMaintenanceOptionsRequest, InstanceMetadataEndpointState, InstanceMetadataOptionsRequest,
    InstanceNetworkInterfaceSpecification, InstanceStateName, InstanceType, ResourceType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::{Adjusted as _, Named as _};
use super::observe::{Only, Raw};
use super::user_data::{decoded, encoded};
use super::volumes::{disk_of, gibibytes, kind, number};
use super::{AwsCloud, id_of, ids_of, tags, theirs};
use crate::cloud::name::{PhysicalId, Ref, ResourceName};
use crate::cloud::ports::{Addresses, CloudError, Ids, State, Trouble};
use crate::cloud::resource::{Instance, Machine, Resource, Tags};
use crate::inventory::{Disk, DiskKind, MachineImage};

/// The image a tag names; one that nobody noted is the one that runs.
pub(super) fn image_of(words: Option<&str>, id: Option<&str>) -> MachineImage {
    let words = words.unwrap_or_default();
    match words.split_once(' ') {
        Some(("newest", rest)) => {
            let (owner, name) = rest.split_once(' ').unwrap_or_default();
            MachineImage::Newest { owner: owner.to_owned(), name: name.to_owned() }
        }
        Some(("parameter", path)) => MachineImage::Parameter { path: path.to_owned() },
        Some(("pinned", id)) => MachineImage::Pinned { id: id.to_owned() },
        _ => MachineImage::Pinned { id: id.unwrap_or_default().to_owned() },
    }
}

impl AwsCloud {
    pub(super) async fn list_instances(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let request = self.ec2.describe_instances().set_filters(Some(self.filters(only)));
        let pages = request.into_paginator().items();
        let reservations: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeInstances")?;
        let mut all = Vec::new();
        for instance in reservations.iter().flat_map(|reservation| reservation.instances()) {
            let read = tags::read(&self.cluster, tags::pairs(instance.tags()));
            // Those of a scaling group have its template's tags, and no name of their own.
            let Some(name) = read.name.clone().filter(|name| name.as_str().starts_with("instance/")) else {
                continue;
            };
            let id = instance.instance_id().unwrap_or_default();
            let state = state_of(instance);
            if state == State::Gone {
                let resource = Resource::Instance(Box::new(as_seen(instance, &read, None, false, None)));
                all.push(Raw::new(name, Some(id), resource, Tags::new(), state));
                continue;
            }
            let root = self.root_of(instance).await?;
            let (protected, user_data) = futures::try_join!(self.is_protected(id), self.user_data(id))?;
            let seen = as_seen(instance, &read, user_data, protected, root);
            let mut raw = Raw::new(name, Some(id), Resource::Instance(Box::new(seen)), read.tags, state);
            raw.addresses = addresses(instance);
            all.push(raw);
        }
        Ok(all)
    }

    async fn root_of(&self, instance: &aws_sdk_ec2::types::Instance) -> Result<Option<Disk>, CloudError> {
        let root = instance.root_device_name();
        let mut mappings = instance.block_device_mappings().iter();
        let mapping = mappings.find(|mapping| mapping.device_name() == root);
        let Some(id) = mapping.and_then(|mapping| mapping.ebs()).and_then(|ebs| ebs.volume_id()) else {
            return Ok(None);
        };
        let filter = Filter::builder().name("volume-id").values(id).build();
        let answer = self.ec2.describe_volumes().filters(filter).send().await.named("ec2:DescribeVolumes")?;
        Ok(answer.volumes().first().map(disk_of))
    }

    /// What a machine has said on its console since it booted.
    pub async fn console(&self, id: &PhysicalId) -> Result<String, CloudError> {
        let request = self.ec2.get_console_output().instance_id(id.as_str());
        let answer = match request.clone().latest(true).send().await.named("ec2:GetConsoleOutput") {
            // Only machines on Nitro tell it at once.
            Err(error) if error.trouble == Trouble::Invalid => {
                request.send().await.named("ec2:GetConsoleOutput")?
            }
            answer => answer?,
        };
        let bytes = STANDARD.decode(answer.output().unwrap_or_default()).unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn is_protected(&self, id: &str) -> Result<bool, CloudError> {
        let request = self.ec2.describe_instance_attribute().instance_id(id);
        let request = request.attribute(InstanceAttributeName::DisableApiTermination);
        let answer = request.send().await.named("ec2:DescribeInstanceAttribute")?;
        Ok(answer.disable_api_termination().and_then(AttributeBooleanValue::value).unwrap_or(false))
    }

    async fn user_data(&self, id: &str) -> Result<Option<String>, CloudError> {
        let request = self.ec2.describe_instance_attribute().instance_id(id);
        let request = request.attribute(InstanceAttributeName::UserData);
        let answer = request.send().await.named("ec2:DescribeInstanceAttribute")?;
        let text = answer.user_data().and_then(AttributeValue::value).filter(|text| !text.is_empty());
        Ok(text.and_then(decoded))
    }

    pub(super) async fn create_instance(
        &self,
        name: &ResourceName,
        wanted: &Instance,
        tags: &Tags,
        ids: &Ids,
        token: &str,
    ) -> Result<String, CloudError> {
        let machine = &wanted.machine;
        let image = self.image(&machine.image).await?;
        let interface = InstanceNetworkInterfaceSpecification::builder()
            .device_index(0)
            .subnet_id(id_of(&wanted.subnet, ids)?)
            .associate_public_ip_address(machine.public_address)
            .set_groups(Some(ids_of(&machine.groups, ids)?))
            .set_private_ip_address(wanted.private_address.map(|address| address.to_string()))
            .delete_on_termination(true)
            .build();
        let mut tags = tags.clone();
        let mut own = self.all_tags(name, &tags);
        own.insert(tags::IMAGE.to_owned(), machine.image.words());
        tags.insert("Name".to_owned(), tags.get("Name").cloned().unwrap_or_default());
        let instance_tags = aws_sdk_ec2::types::TagSpecification::builder()
            .resource_type(ResourceType::Instance)
            .set_tags(Some(tags::ec2_tags(&own)))
            .build();
        let request = self
            .ec2
            .run_instances()
            .min_count(1)
            .max_count(1)
            .image_id(&image.id)
            .instance_type(InstanceType::from(machine.instance_type.as_str()))
            .key_name(id_of(&machine.key, ids)?)
            .network_interfaces(interface)
            .block_device_mappings(root_mapping(&image.root_device, &machine.root))
            .metadata_options(metadata(machine))
            .maintenance_options(
                InstanceMaintenanceOptionsRequest::builder()
                    .auto_recovery(InstanceAutoRecoveryState::Default)
                    .build(),
            )
            .disable_api_termination(wanted.protected)
            .set_iam_instance_profile(profile(machine, ids)?)
            .set_user_data(machine.user_data.as_deref().map(encoded))
            .client_token(token)
            .tag_specifications(instance_tags)
            .tag_specifications(volume_tags(&tags));
        let answer = request
            .send()
            .await
            .named("ec2:RunInstances")
            // A profile that was just made is unknown to EC2 for some seconds.
            .when("Invalid IAM Instance Profile", Trouble::NotFound)?;
        let id = answer.instances().first().and_then(|instance| instance.instance_id());
        Ok(id.unwrap_or_default().to_owned())
    }

    /// What can be done next on the way to the wanted machine: a change of its type takes a stop and a start, and
    /// the next look tells how far it is.
    pub(super) async fn update_instance(
        &self,
        id: &str,
        from: &Instance,
        to: &Instance,
        ids: &Ids,
    ) -> Result<(), CloudError> {
        let (machine, wanted) = (&from.machine, &to.machine);
        if machine.groups != wanted.groups {
            let request = self.ec2.modify_instance_attribute().instance_id(id);
            let request = request.set_groups(Some(ids_of(&wanted.groups, ids)?));
            request.send().await.named("ec2:ModifyInstanceAttribute")?;
        }
        if from.protected != to.protected {
            self.protect(id, to.protected).await?;
        }
        if machine.metadata_hops != wanted.metadata_hops {
            let request = self.ec2.modify_instance_metadata_options().instance_id(id);
            let request = request.http_tokens(HttpTokensState::Required);
            let request = request.http_put_response_hop_limit(wanted.metadata_hops.into());
            request.send().await.named("ec2:ModifyInstanceMetadataOptions")?;
        }
        if machine.profile != wanted.profile {
            self.replace_profile(id, wanted, ids).await?;
        }
        if machine.instance_type != wanted.instance_type {
            return self.change_type(id, from.running, &wanted.instance_type).await;
        }
        if to.running && !from.running {
            let started = self.ec2.start_instances().instance_ids(id).send().await;
            started.named("ec2:StartInstances")?;
        }
        Ok(())
    }

    async fn change_type(&self, id: &str, runs: bool, wanted: &str) -> Result<(), CloudError> {
        if runs {
            return self
                .ec2
                .stop_instances()
                .instance_ids(id)
                .send()
                .await
                .named("ec2:StopInstances")
                .map(drop);
        }
        let value = AttributeValue::builder().value(wanted).build();
        let request = self.ec2.modify_instance_attribute().instance_id(id).instance_type(value);
        request.send().await.named("ec2:ModifyInstanceAttribute").map(drop)
    }

    async fn replace_profile(&self, id: &str, wanted: &Machine, ids: &Ids) -> Result<(), CloudError> {
        let filter = Filter::builder().name("instance-id").values(id).build();
        let request = self.ec2.describe_iam_instance_profile_associations().filters(filter);
        let there = request.send().await.named("ec2:DescribeIamInstanceProfileAssociations")?;
        let association =
            there.iam_instance_profile_associations().iter().find_map(|there| there.association_id());
        let Some(profile) = profile(wanted, ids)? else { return Ok(()) };
        match association {
            Some(association) => {
                let request = self.ec2.replace_iam_instance_profile_association();
                let request = request.association_id(association).iam_instance_profile(profile);
                request.send().await.named("ec2:ReplaceIamInstanceProfileAssociation").map(drop)
            }
            None => {
                let request = self.ec2.associate_iam_instance_profile().instance_id(id);
                let request = request.iam_instance_profile(profile);
                request.send().await.named("ec2:AssociateIamInstanceProfile").map(drop)
            }
        }
    }

    async fn protect(&self, id: &str, protected: bool) -> Result<(), CloudError> {
        let value = AttributeBooleanValue::builder().value(protected).build();
        let request = self.ec2.modify_instance_attribute().instance_id(id).disable_api_termination(value);
        request.send().await.named("ec2:ModifyInstanceAttribute").map(drop)
    }

    pub(super) async fn delete_instance(&self, id: &str, instance: &Instance) -> Result<(), CloudError> {
        if instance.protected {
            self.protect(id, false).await.unless(&[Trouble::NotFound])?;
        }
        let gone = self.ec2.terminate_instances().instance_ids(id).send().await;
        gone.named("ec2:TerminateInstances").unless(&[Trouble::NotFound])
    }
}

/// The root disk, encrypted, and gone with its machine.
pub(super) fn root_mapping(device: &str, root: &Disk) -> BlockDeviceMapping {
    let ebs = EbsBlockDevice::builder()
        .volume_size(gibibytes(root))
        .volume_type(kind(root.kind))
        .set_iops(number(root.iops))
        .set_throughput(number(root.throughput))
        .set_kms_key_id(root.kms_key.clone())
        .encrypted(true)
        .delete_on_termination(true)
        .build();
    BlockDeviceMapping::builder().device_name(device).ebs(ebs).build()
}

/// IMDSv2 and nothing else.
fn metadata(machine: &Machine) -> InstanceMetadataOptionsRequest {
    InstanceMetadataOptionsRequest::builder()
        .http_tokens(HttpTokensState::Required)
        .http_endpoint(InstanceMetadataEndpointState::Enabled)
        .http_put_response_hop_limit(machine.metadata_hops.into())
        .build()
}

fn volume_tags(tags: &Tags) -> aws_sdk_ec2::types::TagSpecification {
    aws_sdk_ec2::types::TagSpecification::builder()
        .resource_type(ResourceType::Volume)
        .set_tags(Some(tags::ec2_tags(tags)))
        .build()
}

fn profile(machine: &Machine, ids: &Ids) -> Result<Option<IamInstanceProfileSpecification>, CloudError> {
    let named =
        |reference: &Ref| Ok(IamInstanceProfileSpecification::builder().name(id_of(reference, ids)?).build());
    machine.profile.as_ref().map(named).transpose()
}

fn state_of(instance: &aws_sdk_ec2::types::Instance) -> State {
    match instance.state().and_then(|state| state.name()) {
        Some(InstanceStateName::Running | InstanceStateName::Stopped) => State::Ready,
        Some(InstanceStateName::Stopping) => State::Pending("stopping".to_owned()),
        Some(InstanceStateName::ShuttingDown) => State::Leaving("shutting down".to_owned()),
        Some(InstanceStateName::Terminated) => State::Gone,
        _ => State::Pending("pending".to_owned()),
    }
}

fn addresses(instance: &aws_sdk_ec2::types::Instance) -> Option<Addresses> {
    let private = instance.private_ip_address()?.parse().ok()?;
    Some(Addresses { private, public: instance.public_ip_address().and_then(|address| address.parse().ok()) })
}

fn as_seen(
    instance: &aws_sdk_ec2::types::Instance,
    read: &tags::Read,
    user_data: Option<String>,
    protected: bool,
    root: Option<Disk>,
) -> Instance {
    let unknown = Disk { size: 0, kind: DiskKind::Gp3, iops: None, throughput: None, kms_key: None };
    let profile = instance.iam_instance_profile().and_then(|profile| profile.arn());
    let profile = profile.and_then(|arn| arn.rsplit_once('/')).map(|(_, name)| theirs(Some(name)));
    let groups = instance.security_groups().iter().map(|group| theirs(group.group_id()));
    let machine = Machine {
        instance_type: instance.instance_type().map(InstanceType::as_str).unwrap_or_default().to_owned(),
        image: image_of(read.image.as_deref(), instance.image_id()),
        key: theirs(instance.key_name()),
        groups: groups.collect(),
        profile,
        root: root.unwrap_or(unknown),
        public_address: instance.public_ip_address().is_some(),
        metadata_hops: hops(instance),
        user_data,
    };
    let stopped = [Some(&InstanceStateName::Stopped), Some(&InstanceStateName::Stopping)];
    Instance {
        machine,
        subnet: theirs(instance.subnet_id()),
        private_address: instance.private_ip_address().and_then(|address| address.parse().ok()),
        protected,
        running: !stopped.contains(&instance.state().and_then(|state| state.name())),
    }
}

/// None at all where the metadata service answers without a token.
fn hops(instance: &aws_sdk_ec2::types::Instance) -> u8 {
    let options = instance.metadata_options();
    let tokens = options.and_then(|options| options.http_tokens()).map(|tokens| tokens.as_str());
    let limit = options.and_then(|options| options.http_put_response_hop_limit());
    match tokens {
        Some("required") => limit.and_then(|limit| u8::try_from(limit).ok()).unwrap_or(0),
        _ => 0,
    }
}
