//! The machines of `aws`: bastion, control planes and groups of workers, what they start from, and their disks.

use super::{text, texts};
use crate::inventory::aws::{DEBIAN, UBUNTU, arch_of_instance};
use crate::inventory::parse::host;
use crate::inventory::parse::reader::{Field, Table, closest};
use crate::inventory::parse::scalar::{Plain, quoted};
use crate::inventory::{
    Arch, BastionMachine, ControlPlaneMachines, CountOrShare, Disk, DiskKind, MachineImage, WorkerGroup,
};

/// Names of images that everybody uses.
const IMAGES: &[(&str, (&str, &str))] = &[
    ("debian-12", (DEBIAN, "debian-12-{arch}-*")),
    ("debian-13", (DEBIAN, "debian-13-{arch}-*")),
    ("ubuntu-24.04", (UBUNTU, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{arch}-server-*")),
];
const DISKS: &[(&str, DiskKind)] =
    &[("gp3", DiskKind::Gp3), ("gp2", DiskKind::Gp2), ("io1", DiskKind::Io1), ("io2", DiskKind::Io2)];

/// GiB. Images and binaries of a control plane take 5; logs of audit the rest.
const CONTROL_PLANE_ROOT: u32 = 20;
/// GiB. etcd keeps at most 8, its snapshots and a defragmentation as much again.
const ETCD_VOLUME: u32 = 20;
/// GiB. Images and writable layers of pods.
const WORKER_ROOT: u32 = 50;
/// Nobody should learn from the bill that an autoscaler went wild.
const WORKERS_MAX: u32 = 20;

pub(super) fn debian(name: &str) -> MachineImage {
    MachineImage::Newest { owner: DEBIAN.into(), name: name.into() }
}

/// A name, `ami-…`, `ssm:/path`, or `{owner, name}`.
pub(super) fn image(field: &Field<'_>) -> Option<MachineImage> {
    if field.is_map() {
        let table = field.table()?;
        let owner = table.require("owner", &quoted(DEBIAN)).and_then(|field| text(&field));
        let name = table.require("name", "\"debian-12-{arch}-*\"").and_then(|field| text(&field));
        table.finish();
        return Some(MachineImage::Newest { owner: owner?, name: name? });
    }
    let text = field.text()?;
    if text.starts_with("ami-") {
        return Some(MachineImage::Pinned { id: text.to_owned() });
    }
    if let Some(path) = text.strip_prefix("ssm:") {
        return Some(MachineImage::Parameter { path: path.to_owned() });
    }
    if let Some((_, (owner, name))) = IMAGES.iter().find(|(name, _)| *name == text) {
        return Some(MachineImage::Newest { owner: (*owner).into(), name: (*name).into() });
    }
    let names = || IMAGES.iter().map(|(name, _)| *name);
    let help = match closest(text, names()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "any other image: ami-…, ssm:/path, or {owner: \"…\", name: \"…\"}".into(),
    };
    let names = names().collect::<Vec<_>>().join(", ");
    field.error(format!("unknown image {}; want one of {names}", quoted(text)), help)
}

/// What like machines start from.
struct Start<'a> {
    /// None: not given; None within: not readable.
    own: Option<Option<MachineImage>>,
    of_all: Option<&'a MachineImage>,
}

impl<'a> Start<'a> {
    fn read(given: Option<Field<'_>>, of_all: Option<&'a MachineImage>) -> Self {
        Start { own: given.map(|field| image(&field)), of_all }
    }

    /// What is given, or the image's first user; empty when neither is known, which is a rule's matter.
    fn user(&self, given: Option<Field<'_>>) -> String {
        let image = match &self.own {
            Some(own) => own.as_ref(),
            None => self.of_all,
        };
        let known = image.and_then(MachineImage::first_user).map(str::to_owned);
        given.and_then(|field| host::user(&field)).or(known).unwrap_or_default()
    }
}

/// The instance type of a machine that nobody gave one.
fn usual_instance(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "m6i.large",
        Arch::Arm64 => "m6g.large",
    }
}

fn arch(field: Option<Field<'_>>) -> Arch {
    field.and_then(|field| host::arch(&field)).unwrap_or(Arch::Amd64)
}

pub(super) fn control_planes(aws: &Table<'_>, of_all: Option<&MachineImage>) -> ControlPlaneMachines {
    let table = aws.get("controlPlanes").and_then(|field| field.table());
    let given = |key: &'static str| table.as_ref().and_then(|table| table.get(key));
    let count = given("count").and_then(|field| field.integer("a number of control planes", 1..=99));
    let instance_type = given("instanceType").and_then(|field| text(&field));
    let arch = arch(given("arch"));
    let start = Start::read(given("image"), of_all);
    let machines = ControlPlaneMachines {
        count: count.and_then(|count| u8::try_from(count).ok()).unwrap_or(3),
        instance_type: instance_type.unwrap_or_else(|| usual_instance(arch).into()),
        arch,
        user: start.user(given("user")),
        image: start.own.flatten(),
        root_volume: disk(given("rootVolume"), CONTROL_PLANE_ROOT),
        etcd_volume: disk(given("etcdVolume"), ETCD_VOLUME),
    };
    if let Some(table) = table {
        table.moved(&[("instanceTypes", "instanceType"), ("replicas", "count"), ("size", "count")]).finish();
    }
    machines
}

/// `false`: there is none.
pub(super) fn bastion(
    field: Option<Field<'_>>,
    of_all: Option<&MachineImage>,
    control_planes: &ControlPlaneMachines,
) -> Option<BastionMachine> {
    let plain = field.as_ref().and_then(Field::plain);
    if plain == Some(Plain::Bool(false)) {
        return None;
    }
    let table = field.filter(|_| plain != Some(Plain::Bool(true))).and_then(|field| match field.raw() {
        Some(_) => {
            let message = format!("want a map, or `false` for none; got {}", field.got());
            field.error(message, "write false, or {instanceType: t3.micro}")
        }
        None => field.table(),
    });
    let given = |key: &'static str| table.as_ref().and_then(|table| table.get(key));
    let usual = match control_planes.arch {
        Arch::Amd64 => "t3.micro",
        Arch::Arm64 => "t4g.micro",
    };
    let instance_type = given("instanceType").and_then(|field| text(&field)).unwrap_or_else(|| usual.into());
    let start = Start::read(given("image"), of_all);
    let mut user = start.user(given("user"));
    // Who says who the image's user is need not say it twice.
    if user.is_empty() && start.own.is_none() && control_planes.image.is_none() {
        user.clone_from(&control_planes.user);
    }
    let arch = arch_of_instance(&instance_type);
    let machine = BastionMachine { instance_type, arch, image: start.own.flatten(), user };
    if let Some(table) = table {
        table.finish();
    }
    Some(machine)
}

/// The groups; without the field there is one.
pub(super) fn worker_groups(field: Option<Field<'_>>) -> Vec<WorkerGroup> {
    match field {
        Some(field) => field.items().unwrap_or_default().iter().map(worker_group).collect(),
        None => vec![usual_group("workers".into())],
    }
}

fn usual_group(name: String) -> WorkerGroup {
    WorkerGroup {
        name,
        instance_types: vec![usual_instance(Arch::Amd64).into()],
        arch: Arch::Amd64,
        image: None,
        min: 1,
        max: WORKERS_MAX,
        desired: None,
        spot: 0,
        zones: Vec::new(),
        root_volume: usual_disk(WORKER_ROOT),
        labels: Default::default(),
        taints: Vec::new(),
        max_surge: CountOrShare::Count(1),
        max_unavailable: CountOrShare::Count(0),
    }
}

fn worker_group(field: &Field<'_>) -> WorkerGroup {
    let mut group = usual_group(String::new());
    let Some(table) = field.table() else { return group };
    let count = |key| -> Option<u32> {
        let count = table.get(key)?.integer("a number of workers", 0..=i64::from(u32::MAX))?;
        u32::try_from(count).ok()
    };
    group.name = table.require("name", "general").and_then(|field| text(&field)).unwrap_or_default();
    let types = table.get("instanceTypes");
    group.arch = arch(table.get("arch"));
    group.instance_types = match types {
        Some(field) => texts(&field),
        None => vec![usual_instance(group.arch).into()],
    };
    group.image = table.get("image").and_then(|field| image(&field));
    group.min = count("min").unwrap_or(group.min);
    group.max = count("max").unwrap_or(group.max);
    group.desired = count("desired");
    group.spot = table.get("spot").and_then(|field| field.percent("spot instances")).unwrap_or(0);
    group.zones = table.get("zones").map(|field| texts(&field)).unwrap_or_default();
    group.root_volume = disk(table.get("rootVolume"), WORKER_ROOT);
    group.labels = table.get("labels").map(|field| host::labels(&field)).unwrap_or_default();
    group.taints = table.get("taints").map(|field| host::taints(&field)).unwrap_or_default();
    let share = |key| table.get(key).and_then(|field| field.count_or_share_or_zero());
    group.max_surge = share("maxSurge").unwrap_or(group.max_surge);
    group.max_unavailable = share("maxUnavailable").unwrap_or(group.max_unavailable);
    table
        .moved(&[
            ("instanceType", "instanceTypes"),
            ("ami", "image"),
            ("count", "min, max and desired"),
            ("minSize", "min"),
            ("maxSize", "max"),
            ("desiredCapacity", "desired"),
            ("availabilityZones", "zones"),
        ])
        .finish();
    group
}

fn usual_disk(size: u32) -> Disk {
    Disk { size, kind: DiskKind::Gp3, iops: None, throughput: None, kms_key: None }
}

fn disk(field: Option<Field<'_>>, size: u32) -> Disk {
    let mut disk = usual_disk(size);
    let Some(table) = field.and_then(|field| field.table()) else { return disk };
    let number = |key, what| -> Option<u32> {
        let number = table.get(key)?.integer(what, 1..=i64::from(u32::MAX))?;
        u32::try_from(number).ok()
    };
    disk.size = number("size", "a size in GiB").unwrap_or(disk.size);
    disk.kind = table.get("type").and_then(|field| field.word("type of volume", DISKS)).unwrap_or(disk.kind);
    disk.iops = number("iops", "operations a second");
    disk.throughput = number("throughput", "MiB a second");
    disk.kms_key = table.get("kmsKey").and_then(|field| text(&field));
    table.moved(&[("kind", "type"), ("volumeType", "type"), ("volumeSize", "size")]).finish();
    disk
}
