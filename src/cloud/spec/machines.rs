//! The bastion, the control planes with their volumes, and the groups of workers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::balancers::ingress_group;
use super::rules::{CONTROL_PLANE, WORKER, group};
use super::{Spec, Zone, address_in, first_boot, ours};
use crate::cloud::name::Ref;
use crate::cloud::resource::{
    Attachment, Instance, LaunchTemplate, Machine, Resource, ScalingGroup, Tags, Volume,
};
use crate::inventory::{Arch, Disk, DiskKind, MachineImage, WorkerGroup};

/// The one of a cluster.
pub const BASTION: &str = "bastion";
/// Where a control plane finds etcd's volume.
const ETCD_DEVICE: &str = "/dev/sdf";
/// AWS keeps the first four addresses of a subnet; a few more are left to whoever needs fixed ones.
const FIRST_ADDRESS: u32 = 10;
/// Kubelets give pods no way past their node's network, so that they cannot pass for the machine.
const METADATA_HOPS: u8 = 1;
/// Seconds that a worker that goes may drain; the longest of what a pod usually asks for.
const DRAIN: u32 = 900;

/// The host name of a control plane, counted from 1.
pub fn control_plane_name(number: u8) -> String {
    format!("cp-{number}")
}

impl Spec<'_> {
    pub(super) fn bastion(&mut self) {
        let Some(bastion) = self.aws.bastion.clone() else { return };
        let Some(subnet) = self.zones.iter().find_map(|zone| zone.public.clone()) else { return };
        let machine = Machine {
            instance_type: bastion.instance_type,
            image: self.image(bastion.image, bastion.arch),
            key: ours("key-pair", "operator"),
            groups: BTreeSet::from([group(BASTION)]),
            profile: None,
            root: Disk { size: 8, kind: DiskKind::Gp3, iops: None, throughput: None, kms_key: None },
            public_address: true,
            metadata_hops: METADATA_HOPS,
            user_data: None,
        };
        let instance = Instance { machine, subnet, private_address: None, protected: false, running: true };
        self.put(BASTION, Resource::Instance(Box::new(instance)));
    }

    pub(super) fn control_planes(&mut self) {
        for number in 1..=self.aws.control_planes.count {
            let zones = self.zones.len().max(1);
            let index = usize::from(number - 1);
            let Some(zone) = self.zones.get(index % zones).cloned() else { continue };
            // The second and third machine of a zone come behind its first one.
            let row = u32::try_from(index / zones).unwrap_or_default();
            self.control_plane(&control_plane_name(number), &zone, row);
        }
    }

    fn control_plane(&mut self, name: &str, zone: &Zone, row: u32) {
        let wanted = self.aws.control_planes.clone();
        let machine = Machine {
            instance_type: wanted.instance_type,
            image: self.image(wanted.image, wanted.arch),
            key: ours("key-pair", "operator"),
            groups: BTreeSet::from([group(CONTROL_PLANE)]),
            profile: Some(ours("instance-profile", CONTROL_PLANE)),
            root: wanted.root_volume,
            public_address: false,
            metadata_hops: METADATA_HOPS,
            user_data: Some(first_boot::control_plane(self.etcd_data_dir)),
        };
        let instance = Instance {
            machine,
            subnet: zone.private.clone(),
            private_address: self.fixed_address(zone, row),
            protected: self.aws.deletion_protection,
            running: true,
        };
        let instance = self.put(name, Resource::Instance(Box::new(instance)));
        let volume = Volume { zone: zone.name.clone(), disk: wanted.etcd_volume };
        let volume = self.put(&format!("{name}-etcd"), Resource::Volume(volume));
        let attachment = Attachment { volume, instance, device: ETCD_DEVICE.to_owned() };
        self.put(&format!("{name}-etcd"), Resource::Attachment(attachment));
    }

    /// A machine's own image, or that of all, for its architecture.
    fn image(&self, own: Option<MachineImage>, arch: Arch) -> MachineImage {
        match own.unwrap_or_else(|| self.aws.image.clone()) {
            MachineImage::Newest { owner, name } => {
                MachineImage::Newest { owner, name: name.replace("{arch}", arch.as_str()) }
            }
            other => other,
        }
    }

    /// In somebody else's network nobody knows which addresses are free.
    fn fixed_address(&self, zone: &Zone, row: u32) -> Option<Ipv4Addr> {
        let cidr = zone.cidr.filter(|_| self.is_ours())?;
        address_in(cidr, FIRST_ADDRESS + row)
    }

    pub(super) fn worker_groups(&mut self) {
        for wanted in self.aws.worker_groups.clone() {
            let template = self.worker_template(&wanted);
            let zones = |zone: &&Zone| wanted.zones.is_empty() || wanted.zones.contains(&zone.name);
            let group_tags = self.autoscaler_tags(&wanted);
            let targets = self.aws.ingress.iter();
            let scaling_group = ScalingGroup {
                template,
                subnets: self.zones.iter().filter(zones).map(|zone| zone.private.clone()).collect(),
                min: wanted.min,
                max: wanted.max,
                desired: wanted.desired,
                instance_types: wanted.instance_types,
                spot: wanted.spot,
                target_groups: targets
                    .map(|listener| ours("target-group", &ingress_group(listener.node_port)))
                    .collect(),
                drain: Some(DRAIN),
                group_tags,
            };
            self.put(&wanted.name, Resource::ScalingGroup(Box::new(scaling_group)));
        }
    }

    fn worker_template(&mut self, wanted: &WorkerGroup) -> Ref {
        let machine = Machine {
            instance_type: wanted.instance_types.first().cloned().unwrap_or_default(),
            image: self.image(wanted.image.clone(), wanted.arch),
            key: ours("key-pair", "operator"),
            groups: BTreeSet::from([group(WORKER)]),
            profile: Some(ours("instance-profile", WORKER)),
            root: wanted.root_volume.clone(),
            public_address: false,
            metadata_hops: METADATA_HOPS,
            user_data: self.lookups.first_boots.get(&wanted.name).cloned(),
        };
        let machine_tags = self.tags(&wanted.name, &[]);
        let template = LaunchTemplate { machine, machine_tags };
        self.put(&wanted.name, Resource::LaunchTemplate(Box::new(template)))
    }

    /// By these the cluster autoscaler finds the group, and knows what a node of an empty one would be like.
    fn autoscaler_tags(&self, group: &WorkerGroup) -> Tags {
        let prefix = "k8s.io/cluster-autoscaler";
        let mut tags = BTreeMap::from([
            (format!("{prefix}/enabled"), "true".to_owned()),
            (format!("{prefix}/{}", self.cluster), "owned".to_owned()),
        ]);
        for (key, value) in &group.labels {
            tags.insert(format!("{prefix}/node-template/label/{key}"), value.clone());
        }
        for taint in &group.taints {
            let value = taint.value.as_deref().unwrap_or_default();
            let key = format!("{prefix}/node-template/taint/{}", taint.key);
            tags.insert(key, format!("{value}:{}", taint.effect.as_str()));
        }
        tags
    }
}
