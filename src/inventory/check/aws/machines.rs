//! Bastion, control planes and groups of workers.

use std::collections::{BTreeMap, BTreeSet};

use super::disks::{ETCD_LEAST, ROOT_LEAST};
use super::{Rules, aws, syntax};
use crate::inventory::aws::arch_of_instance;
use crate::inventory::check::hosts::{MEMBERS_HELP, STACKED, against_members};
use crate::inventory::parse::aws::DraftAws;
use crate::inventory::parse::path::Path;
use crate::inventory::parse::scalar::quoted;
use crate::inventory::{Arch, ClusterName, CountOrShare, Delivery, MachineImage, WorkerGroup, Zones};

/// The name of a group's things has the cluster's in it, and more.
const GROUP_NAME_LIMIT: usize = 30;
/// Workers of one group. Several groups may have more; one that asks for more has a slip in it.
const GROUP_LIMIT: u32 = 1000;
/// AWS has at most this many overrides in a mixed-instances group.
const TYPES_LIMIT: usize = 40;

impl Rules<'_> {
    pub(super) fn machines(&self, wanted: &DraftAws) {
        if let Some(image) = &wanted.image {
            self.image(&aws().key("image"), image);
        }
        self.one_image_one_arch(wanted);
        self.bastion(wanted);
        self.control_planes_in_aws(wanted);
        let mut names = BTreeMap::new();
        for (index, group) in wanted.worker_groups.iter().enumerate() {
            let path = aws().key("workerGroups").index(index);
            self.group_name(&mut names, &path.key("name"), &group.name);
            self.group(wanted, &path, group);
        }
        self.artifacts_of_groups(wanted);
        if wanted.worker_groups.is_empty() && !self.context.is_broken("aws.workerGroups") {
            let path = aws().key("workerGroups");
            // Not wrong where something else makes workers.
            self.warning(
                &path,
                "is empty: pods have nowhere to run",
                "leave it out for one group, or describe one",
            );
        }
    }

    fn bastion(&self, wanted: &DraftAws) {
        let Some(bastion) = &wanted.bastion else { return };
        let path = aws().key("bastion");
        self.instance_type(&path.key("instanceType"), &bastion.instance_type, None);
        if let Some(image) = &bastion.image {
            self.image(&path.key("image"), image);
        }
        // Where both start from one image, it is asked for once.
        let asked = wanted.control_planes.user.is_empty() && wanted.control_planes.image.is_none();
        if bastion.image.is_some() || !asked {
            self.user(&path, &bastion.user);
        }
    }

    fn control_planes_in_aws(&self, wanted: &DraftAws) {
        let path = aws().key("controlPlanes");
        let machines = &wanted.control_planes;
        if let Some(message) = against_members(usize::from(machines.count), STACKED) {
            self.error(&path.key("count"), message, MEMBERS_HELP);
        }
        self.instance_type(&path.key("instanceType"), &machines.instance_type, Some(machines.arch));
        if let Some(image) = &machines.image {
            self.image(&path.key("image"), image);
        }
        self.user(&path, &machines.user);
        self.disk(&path.key("rootVolume"), &machines.root_volume, ROOT_LEAST);
        self.disk(&path.key("etcdVolume"), &machines.etcd_volume, ETCD_LEAST);
    }

    /// Images of one's own have a user of their own.
    fn user(&self, machines: &Path, user: &str) {
        let path = machines.key("user");
        let image = machines.key("image");
        let is_said =
            [&path, &image, &aws().key("image")].iter().any(|at| self.context.is_broken(&at.to_string()));
        if user.is_empty() && !is_said {
            let message = "`user` is missing: the first user of this image is not known";
            self.error(&path, message, "add `user: admin`, or whatever user its cloud-init makes");
        }
    }

    fn image(&self, path: &Path, image: &MachineImage) {
        match image {
            MachineImage::Pinned { id } => {
                if !syntax::is_id(id, "ami-") {
                    let message = format!("{} is not the id of an image", quoted(id));
                    self.error(path, message, "for example ami-0123456789abcdef0");
                }
            }
            MachineImage::Parameter { path: parameter } => {
                if !syntax::is_parameter(parameter) {
                    let message = format!("{} is not the path of a parameter", quoted(parameter));
                    self.error(path, message, "for example ssm:/aws/service/debian/release/12/latest/amd64");
                }
            }
            MachineImage::Newest { owner, name } => {
                if !syntax::is_image_owner(owner) {
                    let message = format!("{} is not a publisher of images", quoted(owner));
                    self.error(
                        &path.key("owner"),
                        message,
                        "write the 12 digits of an account in quotes, or self",
                    );
                }
                if !syntax::is_image_name(name) {
                    let message = format!("{} cannot be the name of an image", quoted(name));
                    self.error(&path.key("name"), message, "for example \"debian-12-{arch}-*\"");
                }
            }
        }
    }

    /// An image that is named outright has one architecture.
    fn one_image_one_arch(&self, wanted: &DraftAws) {
        let is_one = match &wanted.image {
            Some(MachineImage::Pinned { .. } | MachineImage::Parameter { .. }) => true,
            Some(MachineImage::Newest { .. }) | None => false,
        };
        let control_planes = &wanted.control_planes;
        let groups = wanted.worker_groups.iter().map(|group| (group.image.is_none(), group.arch));
        let bastion = wanted.bastion.iter().map(|bastion| (bastion.image.is_none(), bastion.arch));
        let users: BTreeSet<Arch> = groups
            .chain(bastion)
            .chain([(control_planes.image.is_none(), control_planes.arch)])
            .filter_map(|(is_shared, arch)| is_shared.then_some(arch))
            .collect();
        if is_one && users.len() > 1 {
            let message = "one image has one architecture, and machines of both start from this one";
            let help = "name an image for each: in controlPlanes, bastion and workerGroups";
            self.error(&aws().key("image"), message, help);
        }
    }

    /// `arch`: what the machine is said to be.
    fn instance_type(&self, path: &Path, instance_type: &str, arch: Option<Arch>) {
        if !syntax::is_instance_type(instance_type) {
            let message = format!("{} is not an instance type", quoted(instance_type));
            self.error(path, message, "write family.size, such as m6i.large");
            return;
        }
        let really = arch_of_instance(instance_type);
        if let Some(arch) = arch.filter(|arch| *arch != really) {
            let message = format!("{instance_type} is an {really} machine, and arch is {arch}");
            let other = match arch {
                Arch::Amd64 => "m6i.large",
                Arch::Arm64 => "m6g.large",
            };
            self.error(path, message, format!("write `arch: {really}`, or an instance type such as {other}"));
        }
    }

    fn group_name<'n>(&self, seen: &mut BTreeMap<&'n str, Path>, path: &Path, name: &'n str) {
        if name.is_empty() {
            return;
        }
        if let Err(error) = ClusterName::parse(name) {
            self.error(path, error.to_string(), "a group's name is one DNS label, such as `general`");
        } else if name.len() > GROUP_NAME_LIMIT {
            let length = name.len();
            let message =
                format!("{} has {length} characters; at most {GROUP_NAME_LIMIT} are allowed", quoted(name));
            self.error(path, message, "choose a shorter one");
        }
        if let Some(earlier) = seen.insert(name, path.clone()) {
            let message = format!("two groups are called {} ({})", quoted(name), self.lines(&earlier, path));
            self.error(path, message, "each group needs a name of its own");
        }
    }

    fn group(&self, wanted: &DraftAws, path: &Path, group: &WorkerGroup) {
        self.types(&path.key("instanceTypes"), group);
        if let Some(image) = &group.image {
            self.image(&path.key("image"), image);
        }
        self.counts(path, group);
        self.zones_of_group(wanted, &path.key("zones"), group);
        self.disk(&path.key("rootVolume"), &group.root_volume, ROOT_LEAST);
        self.labels_of_workers(&path.key("labels"), &group.labels);
        self.taints(&path.key("taints"), &group.taints);
        let is_none = |of: CountOrShare| match of {
            CountOrShare::Count(count) => count == 0,
            CountOrShare::Percent(percent) => percent == 0,
        };
        if is_none(group.max_surge) && is_none(group.max_unavailable) {
            let message = "maxSurge and maxUnavailable are both 0: no worker could ever be replaced";
            self.error(&path.key("maxSurge"), message, "let one of them be 1 or more");
        }
    }

    /// Nobody sends anything to machines that come by themselves: they fetch it.
    fn artifacts_of_groups(&self, wanted: &DraftAws) {
        match &self.draft.artifacts.delivery {
            Delivery::Mirror { .. } | Delivery::Bucket(_) => return,
            Delivery::Upload => {}
        }
        let path = Path::root().key("artifacts").key("delivery");
        if self.context.is_broken(&path.to_string()) {
            return;
        }
        let image = |group: &WorkerGroup| group.image.clone().or_else(|| wanted.image.clone());
        // The images of Debian and Ubuntu do nothing by themselves; what others do, nobody knows.
        let is_known = |group: &&WorkerGroup| image(group).is_some_and(|image| image.first_user().is_some());
        let help =
            "add artifacts.delivery: {bucket: {name: …}} or {mirror: {url: …}}, or write `workerGroups: []`";
        if let Some(group) = wanted.worker_groups.iter().find(is_known) {
            let name = quoted(&group.name);
            let message =
                format!("machines of group {name} would never be nodes: they have nowhere to fetch from");
            self.error(&path, message, help);
        } else if let Some(group) = wanted.worker_groups.first() {
            let name = quoted(&group.name);
            let message = format!(
                "machines of group {name} have nowhere to fetch from: they become nodes only if their image sees to it"
            );
            self.warning(&path, message, help);
        }
    }

    fn types(&self, path: &Path, group: &WorkerGroup) {
        if self.context.is_broken(&path.to_string()) {
            return;
        }
        let types = &group.instance_types;
        if types.is_empty() {
            self.error(path, "is empty", "name one, such as [m6i.large], or leave the field out");
        } else if types.len() > TYPES_LIMIT {
            let message = format!("{} instance types; a group has at most {TYPES_LIMIT}", types.len());
            self.error(path, message, "keep those that are most alike");
        }
        let mut seen = BTreeSet::new();
        for (index, instance_type) in types.iter().enumerate() {
            let path = path.index(index);
            self.instance_type(&path, instance_type, Some(group.arch));
            if !seen.insert(instance_type) {
                self.error(
                    &path,
                    format!("{} is given twice", quoted(instance_type)),
                    "remove one of the two",
                );
            }
        }
    }

    fn counts(&self, path: &Path, group: &WorkerGroup) {
        let WorkerGroup { min, max, desired, .. } = group;
        if ["min", "max", "desired"].iter().any(|key| self.context.is_broken(&path.key(key).to_string())) {
            return;
        }
        if *max > GROUP_LIMIT {
            let message = format!("{max} workers; a group has at most {GROUP_LIMIT}");
            self.error(&path.key("max"), message, "use several groups");
        }
        if min > max {
            let message = format!("min is {min}, and max is {max}");
            self.error(&path.key("min"), message, "min can be at most max");
        } else if let Some(desired) = desired.filter(|desired| !(min..=max).contains(&desired)) {
            let message = format!("desired is {desired}, and the group has {min} to {max}");
            self.error(&path.key("desired"), message, "desired is between min and max");
        }
    }

    fn zones_of_group(&self, wanted: &DraftAws, path: &Path, group: &WorkerGroup) {
        if group.zones.is_empty() || self.context.is_broken(&path.to_string()) {
            return;
        }
        self.zone_names(path, wanted.region.as_deref(), &group.zones);
        let names = match &wanted.zones {
            Some(Zones::Names(names)) => names.iter().collect::<BTreeSet<_>>(),
            Some(Zones::Count(_)) | None => return,
        };
        if self.context.is_broken(&path.to_string()) {
            return;
        }
        for (index, zone) in group.zones.iter().enumerate().filter(|(_, zone)| !names.contains(zone)) {
            let message = format!("{} is not among the cluster's zones", quoted(zone));
            self.error(&path.index(index), message, "add it to aws.zones, or remove it");
        }
    }
}
