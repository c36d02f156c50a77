//! Volumes that outlive machines, and where they are attached.

use aws_sdk_ec2::types::{ResourceType, VolumeState, VolumeType};

use super::error::{Adjusted as _, Named as _};
use super::observe::{Only, Raw};
use super::{AwsCloud, id_of, tags, theirs};
use crate::cloud::name::ResourceName;
use crate::cloud::ports::{CloudError, Ids, State, Trouble};
use crate::cloud::resource::{Attachment, Resource, Tags, Volume};
use crate::inventory::{Disk, DiskKind};

const KIND: &str = "volume";
const ATTACHMENT: &str = "attachment";

impl AwsCloud {
    /// Volumes, and what each is attached to.
    pub(super) async fn list_volumes(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let volume = only.map(|name| ResourceName::new(KIND, name.short()));
        let request = self.ec2.describe_volumes().set_filters(Some(self.filters(volume.as_ref())));
        let pages = request.into_paginator().items();
        let volumes: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeVolumes")?;
        let mut all = Vec::new();
        for volume in &volumes {
            let read = tags::read(&self.cluster, tags::pairs(volume.tags()));
            let Some(name) = read.name else { continue };
            let attachment_name = ResourceName::new(ATTACHMENT, name.short());
            all.extend(
                volume.attachments().iter().map(|attached| attachment(&attachment_name, volume, attached)),
            );
            let zone = volume.availability_zone().unwrap_or_default().to_owned();
            let resource = Resource::Volume(Volume { zone, disk: disk_of(volume) });
            all.push(Raw::new(name, volume.volume_id(), resource, read.tags, volume_state(volume)));
        }
        Ok(all)
    }

    pub(super) async fn create_volume(
        &self,
        name: &ResourceName,
        volume: &Volume,
        tags: &Tags,
        token: &str,
    ) -> Result<String, CloudError> {
        let disk = &volume.disk;
        let request = self
            .ec2
            .create_volume()
            .availability_zone(&volume.zone)
            .size(gibibytes(disk))
            .volume_type(kind(disk.kind))
            .encrypted(true)
            .set_iops(number(disk.iops))
            .set_throughput(number(disk.throughput))
            .set_kms_key_id(disk.kms_key.clone())
            .client_token(token)
            .tag_specifications(self.specification(ResourceType::Volume, name, tags));
        let answer = request.send().await.named("ec2:CreateVolume")?;
        Ok(answer.volume_id().unwrap_or_default().to_owned())
    }

    /// Volumes change while they are used; the file system grows when the host is next looked at.
    pub(super) async fn update_volume(&self, id: &str, from: &Volume, to: &Volume) -> Result<(), CloudError> {
        if from.disk == to.disk {
            return Ok(());
        }
        let disk = &to.disk;
        let request = self
            .ec2
            .modify_volume()
            .volume_id(id)
            .size(gibibytes(disk))
            .volume_type(kind(disk.kind))
            .set_iops(number(disk.iops))
            .set_throughput(number(disk.throughput).filter(|_| disk.kind == DiskKind::Gp3));
        request.send().await.named("ec2:ModifyVolume").map(drop)
    }

    pub(super) async fn delete_volume(&self, id: &str) -> Result<(), CloudError> {
        let gone = self.ec2.delete_volume().volume_id(id).send().await;
        gone.named("ec2:DeleteVolume").unless(&[Trouble::NotFound])
    }

    pub(super) async fn attach(&self, attachment: &Attachment, ids: &Ids) -> Result<String, CloudError> {
        let volume = id_of(&attachment.volume, ids)?;
        let request = self
            .ec2
            .attach_volume()
            .volume_id(&volume)
            .instance_id(id_of(&attachment.instance, ids)?)
            .device(&attachment.device);
        request.send().await.named("ec2:AttachVolume")?;
        Ok(volume)
    }

    pub(super) async fn detach(&self, volume: &str) -> Result<(), CloudError> {
        let answer = self.ec2.describe_volumes().volume_ids(volume).send().await;
        let answer = match answer.named("ec2:DescribeVolumes") {
            Err(error) if error.trouble == Trouble::NotFound => return Ok(()),
            answer => answer?,
        };
        for attached in answer.volumes().iter().flat_map(|volume| volume.attachments()) {
            let request = self.ec2.detach_volume().volume_id(volume);
            let request = request.set_instance_id(attached.instance_id().map(str::to_owned));
            let harmless = [Trouble::NotFound];
            request.send().await.named("ec2:DetachVolume").unless(&harmless)?;
        }
        Ok(())
    }
}

fn attachment(
    name: &ResourceName,
    volume: &aws_sdk_ec2::types::Volume,
    attached: &aws_sdk_ec2::types::VolumeAttachment,
) -> Raw {
    use aws_sdk_ec2::types::VolumeAttachmentState as There;
    let state = match attached.state() {
        Some(There::Attaching) => State::Pending("attaching".to_owned()),
        Some(There::Detaching | There::Busy) => State::Leaving("detaching".to_owned()),
        Some(There::Detached) => State::Gone,
        _ => State::Ready,
    };
    let resource = Resource::Attachment(Attachment {
        volume: theirs(volume.volume_id()),
        instance: theirs(attached.instance_id()),
        device: attached.device().unwrap_or_default().to_owned(),
    });
    Raw::new(name.clone(), volume.volume_id(), resource, Tags::new(), state)
}

pub(super) fn volume_state(volume: &aws_sdk_ec2::types::Volume) -> State {
    match volume.state() {
        Some(VolumeState::Creating) => State::Pending("creating".to_owned()),
        Some(VolumeState::Deleting) => State::Leaving("deleting".to_owned()),
        Some(VolumeState::Deleted) => State::Gone,
        Some(VolumeState::Error) => State::Failed("in error".to_owned()),
        _ => State::Ready,
    }
}

/// A volume as the inventory would say it.
pub(super) fn disk_of(volume: &aws_sdk_ec2::types::Volume) -> Disk {
    let number = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
    Disk {
        size: number(volume.size()).unwrap_or_default(),
        kind: match volume.volume_type() {
            Some(VolumeType::Gp2) => DiskKind::Gp2,
            Some(VolumeType::Io1) => DiskKind::Io1,
            Some(VolumeType::Io2) => DiskKind::Io2,
            _ => DiskKind::Gp3,
        },
        iops: number(volume.iops()),
        throughput: number(volume.throughput()),
        kms_key: volume.kms_key_id().map(str::to_owned),
    }
}

pub(super) fn kind(kind: DiskKind) -> VolumeType {
    match kind {
        DiskKind::Gp3 => VolumeType::Gp3,
        DiskKind::Gp2 => VolumeType::Gp2,
        DiskKind::Io1 => VolumeType::Io1,
        DiskKind::Io2 => VolumeType::Io2,
    }
}

pub(super) fn gibibytes(disk: &Disk) -> i32 {
    i32::try_from(disk.size).unwrap_or(i32::MAX)
}

pub(super) fn number(number: Option<u32>) -> Option<i32> {
    number.and_then(|number| i32::try_from(number).ok())
}
