//! Machines, their disks, and what they may do.

use serde_json::{Value, json};

use super::{Block, Writer, label, literal};
use crate::cloud::name::{ResourceName, iam_name, iam_path, physical_name};
use crate::cloud::resource::{
    Attachment, DRAIN_HOOK, Desired, Instance, InstanceProfile, KeyPair, LaunchTemplate, Machine, Role,
    ScalingGroup, TRUST, Tags, Volume,
};
use crate::cloud::tags;
use crate::inventory::{Disk, MachineImage};

impl Writer<'_> {
    pub(super) fn key(&self, name: &ResourceName, key: &KeyPair, desired: &Desired) -> Vec<Block> {
        let content = json!({
            "key_name": physical_name(self.cluster, name.short()),
            "public_key": key.public_key,
            "tags": self.tags(name, desired),
        });
        vec![("aws_key_pair", label(name.short()), content)]
    }

    pub(super) fn role(&self, name: &ResourceName, role: &Role, desired: &Desired) -> Vec<Block> {
        let content = json!({
            "name": iam_name(self.cluster, name),
            "path": iam_path(self.cluster),
            "assume_role_policy": TRUST,
            "tags": self.tags(name, desired),
        });
        let mut blocks = vec![("aws_iam_role", label(name.short()), content)];
        for (policy, document) in &role.policies {
            let content = json!({
                "name": policy,
                "role": format!("${{aws_iam_role.{}.id}}", label(name.short())),
                "policy": literal(&document.to_string()),
            });
            blocks.push(("aws_iam_role_policy", label(&format!("{}-{policy}", name.short())), content));
        }
        blocks
    }

    pub(super) fn profile(
        &self,
        name: &ResourceName,
        profile: &InstanceProfile,
        desired: &Desired,
    ) -> Vec<Block> {
        let content = json!({
            "name": iam_name(self.cluster, name),
            "path": iam_path(self.cluster),
            "role": self.attribute(&profile.role, "name"),
            "tags": self.tags(name, desired),
        });
        vec![("aws_iam_instance_profile", label(name.short()), content)]
    }

    pub(super) fn volume(&self, name: &ResourceName, volume: &Volume, desired: &Desired) -> Vec<Block> {
        let mut content = disk(&volume.disk, "size", "type");
        content["availability_zone"] = json!(volume.zone);
        content["tags"] = self.tags(name, desired);
        vec![("aws_ebs_volume", label(name.short()), content)]
    }

    pub(super) fn attachment(&self, name: &ResourceName, attachment: &Attachment) -> Vec<Block> {
        let content = json!({
            "device_name": attachment.device,
            "volume_id": self.id(&attachment.volume),
            "instance_id": self.id(&attachment.instance),
        });
        vec![("aws_volume_attachment", label(name.short()), content)]
    }

    pub(super) fn instance(&self, name: &ResourceName, instance: &Instance, desired: &Desired) -> Vec<Block> {
        let machine = &instance.machine;
        let own = label(name.short());
        let (image, mut blocks) = image(&machine.image, &own);
        let mut all = tags::all_tags(self.cluster, name, &desired.tags);
        all.insert(tags::IMAGE.to_owned(), machine.image.words());
        let mut content = json!({
            "ami": image,
            "instance_type": machine.instance_type,
            "key_name": self.attribute(&machine.key, "key_name"),
            "subnet_id": self.id(&instance.subnet),
            "vpc_security_group_ids": self.ids(&machine.groups),
            "associate_public_ip_address": machine.public_address,
            "disable_api_termination": instance.protected,
            "metadata_options": metadata(machine),
            "maintenance_options": {"auto_recovery": "default"},
            "root_block_device": disk(&machine.root, "volume_size", "volume_type"),
            "tags": all,
            "volume_tags": desired.tags,
            // A newer image is no reason to make it again, and user data is run once.
            "lifecycle": {"ignore_changes": ["ami", "user_data_base64"]},
        });
        content["root_block_device"]["delete_on_termination"] = json!(true);
        if let Some(address) = instance.private_address {
            content["private_ip"] = json!(address);
        }
        if let Some(profile) = &machine.profile {
            content["iam_instance_profile"] = self.attribute(profile, "name");
        }
        if let Some(text) = &machine.user_data {
            content["user_data_base64"] = json!(format!("${{base64gzip({})}}", quoted(text)));
        }
        blocks.push(("aws_instance", own, content));
        blocks
    }

    pub(super) fn template(
        &self,
        name: &ResourceName,
        template: &LaunchTemplate,
        desired: &Desired,
    ) -> Vec<Block> {
        let machine = &template.machine;
        let own = label(name.short());
        let lookup = format!("{own}-template");
        let (image, mut blocks) = image(&machine.image, &lookup);
        let mut ebs = disk(&machine.root, "volume_size", "volume_type");
        ebs["delete_on_termination"] = json!(true);
        let mut machine_tags = template.machine_tags.clone();
        machine_tags.insert(tags::CLUSTER.to_owned(), self.cluster.to_owned());
        let tagged = |kind: &str| json!({"resource_type": kind, "tags": machine_tags});
        let mut content = json!({
            "name": physical_name(self.cluster, name.short()),
            "description": machine.image.words(),
            "image_id": image,
            "instance_type": machine.instance_type,
            "key_name": self.attribute(&machine.key, "key_name"),
            "update_default_version": true,
            "metadata_options": metadata(machine),
            "network_interfaces": {
                "device_index": 0,
                "associate_public_ip_address": machine.public_address,
                "delete_on_termination": true,
                "security_groups": self.ids(&machine.groups),
            },
            "block_device_mappings": {"device_name": format!("${{data.aws_ami.{lookup}.root_device_name}}"), "ebs": ebs},
            "tag_specifications": [tagged("instance"), tagged("volume")],
            "tags": self.tags(name, desired),
        });
        if let Some(profile) = &machine.profile {
            content["iam_instance_profile"] = json!({"name": self.attribute(profile, "name")});
        }
        if let Some(text) = &machine.user_data {
            content["user_data"] = json!(format!("${{base64gzip({})}}", quoted(text)));
        }
        blocks.push(("aws_launch_template", own, content));
        blocks
    }

    pub(super) fn scaling_group(
        &self,
        name: &ResourceName,
        group: &ScalingGroup,
        desired: &Desired,
    ) -> Vec<Block> {
        let mut own: Tags = desired.tags.clone();
        own.extend(group.group_tags.clone());
        let all = tags::all_tags(self.cluster, name, &own);
        let tag = |(key, value): (&String, &String)| json!({"key": key, "value": value, "propagate_at_launch": false});
        let mut content = json!({
            "name": physical_name(self.cluster, name.short()),
            "min_size": group.min,
            "max_size": group.max,
            "vpc_zone_identifier": self.ids(&group.subnets),
            "target_group_arns": self.ids(&group.target_groups),
            "mixed_instances_policy": {
                "instances_distribution": {
                    "on_demand_base_capacity": 0,
                    "on_demand_percentage_above_base_capacity": 100 - u32::from(group.spot.min(100)),
                    "spot_allocation_strategy": "price-capacity-optimized",
                },
                "launch_template": {
                    "launch_template_specification": {
                        "launch_template_id": self.id(&group.template),
                        "version": "$Latest",
                    },
                    "override": group.instance_types.iter().map(|name| json!({"instance_type": name})).collect::<Vec<_>>(),
                },
            },
            "tag": all.iter().map(tag).collect::<Vec<_>>(),
        });
        match group.desired {
            Some(desired) => content["desired_capacity"] = json!(desired),
            // The autoscaler's business.
            None => content["lifecycle"] = json!({"ignore_changes": ["desired_capacity"]}),
        }
        if let Some(seconds) = group.drain {
            content["initial_lifecycle_hook"] = json!({
                "name": DRAIN_HOOK,
                "lifecycle_transition": "autoscaling:EC2_INSTANCE_TERMINATING",
                "heartbeat_timeout": seconds,
                "default_result": "CONTINUE",
            });
        }
        vec![("aws_autoscaling_group", label(name.short()), content)]
    }
}

/// IMDSv2 and nothing else.
fn metadata(machine: &Machine) -> Value {
    json!({
        "http_endpoint": "enabled",
        "http_tokens": "required",
        "http_put_response_hop_limit": machine.metadata_hops,
    })
}

fn disk(disk: &Disk, size: &str, kind: &str) -> Value {
    let mut content = json!({size: disk.size, kind: disk.kind.as_str(), "encrypted": true});
    for (key, number) in [("iops", disk.iops), ("throughput", disk.throughput)] {
        if let Some(number) = number {
            content[key] = json!(number);
        }
    }
    if let Some(key) = &disk.kms_key {
        content["kms_key_id"] = json!(key);
    }
    content
}

/// The image as an expression, and the lookup that it takes.
fn image(image: &MachineImage, own: &str) -> (Value, Vec<Block>) {
    let own = own.to_owned();
    let id = json!(format!("${{data.aws_ami.{own}.id}}"));
    let by_id = |image_id: &str| json!({"filter": [{"name": "image-id", "values": [image_id]}]});
    let blocks = match image {
        MachineImage::Pinned { id } => vec![("data.aws_ami", own, by_id(id))],
        MachineImage::Parameter { path } => {
            let value = format!("${{data.aws_ssm_parameter.{own}.insecure_value}}");
            vec![
                ("data.aws_ssm_parameter", own.clone(), json!({"name": path})),
                ("data.aws_ami", own, by_id(&value)),
            ]
        }
        MachineImage::Newest { owner, name } => {
            let lookup = json!({
                "most_recent": true,
                "owners": [owner],
                "filter": [{"name": "name", "values": [name]}, {"name": "state", "values": ["available"]}],
            });
            vec![("data.aws_ami", own, lookup)]
        }
    };
    (id, blocks)
}

/// A text as an expression's string.
fn quoted(text: &str) -> String {
    literal(&json!(text).to_string())
}
