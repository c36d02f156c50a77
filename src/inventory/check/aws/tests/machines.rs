use super::{aws, control_planes, good, group, rows};
use crate::inventory::check::rows::{one, problems, warns};

#[test]
fn how_many_control_planes() {
    good(control_planes, &["", "count: 1", "count: 3", "count: 5", "count: 7"]);
    rows(
        control_planes,
        "aws.controlPlanes.",
        &[
            ("count: 0", "count", ["want a number of control planes from 1", "without quotes"]),
            (
                "count: 2",
                "count",
                [
                    "2 control planes, each with an etcd member: losing either one stops the cluster",
                    "use 1, 3, 5 or 7",
                ],
            ),
            (
                "count: 4",
                "count",
                [
                    "4 control planes, each with an etcd member: they tolerate 1 failed, no more than 3 would",
                    "use 1, 3, 5 or 7",
                ],
            ),
            ("count: 6", "count", ["they tolerate 2 failed, no more than 5 would", "use 1, 3, 5 or 7"]),
            ("count: 9", "count", ["etcd is made for at most 7", "use 1, 3, 5 or 7"]),
            ("replicas: 3", "replicas", ["unknown field", "use `count`"]),
        ],
    );
}

#[test]
fn instance_types_and_their_architecture() {
    good(
        control_planes,
        &[
            "instanceType: c5.xlarge",
            "instanceType: t4g.large, arch: arm64",
            "arch: arm64",
            "instanceType: g4dn.xlarge",
        ],
    );
    rows(
        control_planes,
        "aws.controlPlanes.",
        &[
            (
                "instanceType: large",
                "instanceType",
                ["\"large\" is not an instance type", "write family.size"],
            ),
            ("instanceType: m6i", "instanceType", ["is not an instance type", "such as m6i.large"]),
            (
                "instanceType: m6g.large",
                "instanceType",
                ["m6g.large is an arm64 machine, and arch is amd64", "write `arch: arm64`"],
            ),
            ("instanceType: a1.large", "instanceType", ["is an arm64 machine", "such as m6i.large"]),
            (
                "instanceType: m6i.large, arch: arm64",
                "instanceType",
                ["is an amd64 machine, and arch is arm64", "such as m6g.large"],
            ),
            ("arch: aarch64", "arch", ["named as in Kubernetes releases", "write arm64"]),
            ("instanceTypes: []", "instanceTypes", ["unknown field", "use `instanceType`"]),
        ],
    );
    good(
        group,
        &["arch: arm64", "arch: arm64, instanceTypes: [c7gn.large, r8g.large]", "instanceTypes: [m6i.large]"],
    );
    let many: Vec<String> = (0..41).map(|n| format!("m6i.{n}xlarge")).collect();
    rows(
        group,
        "aws.workerGroups[0].instanceTypes",
        &[
            ("instanceTypes: []", "", ["is empty", "leave the field out"]),
            ("instanceTypes: [m6i.large, x]", "[1]", ["\"x\" is not an instance type", "family.size"]),
            (
                "instanceTypes: [m6i.large, t4g.large]",
                "[1]",
                ["is an arm64 machine, and arch is amd64", "arch: arm64"],
            ),
            ("instanceTypes: [m6i.large, m6i.large]", "[1]", ["is given twice", "remove one"]),
            (
                &format!("instanceTypes: [{}]", many.join(", ")),
                "",
                ["41 instance types; a group has at most 40", "most alike"],
            ),
        ],
    );
    one(&group("instanceType: m6i.large"), "aws.workerGroups[0].instanceType", &["use `instanceTypes`"]);
    one(&aws("bastion: {instanceType: t3}"), "aws.bastion.instanceType", &["is not an instance type"]);
    one(&aws("bastion: none"), "aws.bastion", &["want a map, or `false` for none", "write false"]);
}

#[test]
fn images_and_their_users() {
    let image = |text: &str| aws(&format!("image: {text}"));
    good(
        image,
        &[
            "debian-12",
            "debian-13",
            "ubuntu-24.04",
            "ssm:/aws/service/debian/release/12/latest/amd64",
            "{owner: \"136693071363\", name: \"debian-12-{arch}-*\"}",
            "ami-0123456789abcdef0, controlPlanes: {user: me}",
            "ami-01234567, controlPlanes: {user: me, image: debian-12}, bastion: {user: me}",
            "{owner: self, name: mine}, controlPlanes: {user: me}, bastion: {user: you}",
        ],
    );
    rows(
        image,
        "aws.",
        &[
            ("debain-12", "image", ["unknown image \"debain-12\"", "did you mean `debian-12`?"]),
            ("windows", "image", ["want one of debian-12, debian-13, ubuntu-24.04", "any other image: ami-"]),
            (
                "ami-xyz, controlPlanes: {user: me}",
                "image",
                ["\"ami-xyz\" is not the id of an image", "ami-0123456789abcdef0"],
            ),
            (
                "ssm:path, controlPlanes: {user: me}",
                "image",
                ["\"path\" is not the path of a parameter", "ssm:/"],
            ),
            ("{name: x}", "image.owner", ["`owner` is missing", "add `owner: \"136693071363\"`"]),
            ("{owner: 136693071363, name: x}", "image.owner", ["want a quoted string", "in quotes"]),
            (
                "{owner: debian, name: x}, controlPlanes: {user: me}",
                "image.owner",
                ["is not a publisher of images", "12 digits"],
            ),
            (
                "{owner: self, name: \"{x}\"}, controlPlanes: {user: me}",
                "image.name",
                ["cannot be the name of an image", "{arch}"],
            ),
            (
                "ami-01234567",
                "controlPlanes.user",
                ["the first user of this image is not known", "add `user: admin`"],
            ),
            (
                "ssm:/mine",
                "controlPlanes.user",
                ["the first user of this image is not known", "add `user: admin`"],
            ),
            (
                "debian-12, bastion: {image: ami-01234567}",
                "bastion.user",
                ["`user` is missing", "add `user: admin`"],
            ),
            (
                "ami-01234567, controlPlanes: {image: debian-12}",
                "bastion.user",
                ["`user` is missing", "add `user: admin`"],
            ),
            (
                "debian-12, bastion: {user: \"a b\"}",
                "bastion.user",
                ["illegal character ' ' at column 2", "login name"],
            ),
            (
                "debian-12, bastion: {image: ami-1, user: me}",
                "bastion.image",
                ["is not the id of an image", "for example"],
            ),
            (
                "debian-12, controlPlanes: {image: ami-1, user: me}",
                "controlPlanes.image",
                ["is not the id of an image", "for example"],
            ),
            (
                "debian-12, workerGroups: [{name: g, image: ami-1}]",
                "workerGroups[0].image",
                ["is not the id of an image", "for example"],
            ),
            (
                "ami-01234567, controlPlanes: {user: me}, workerGroups: [{name: g, arch: arm64}]",
                "image",
                ["one image has one architecture", "an image for each"],
            ),
        ],
    );
    good(
        image,
        &[
            "ami-01234567, controlPlanes: {user: me}, workerGroups: [{name: g, arch: arm64, image: debian-12}]",
        ],
    );
    let both = problems(&image("ami-01234567, controlPlanes: {image: ami-01234568}"));
    assert_eq!(both.len(), 2, "{both:#?}");
}

#[test]
fn volumes() {
    let root = |text: &str| control_planes(&format!("rootVolume: {{{text}}}"));
    let etcd = |text: &str| control_planes(&format!("etcdVolume: {{{text}}}"));
    good(
        root,
        &[
            "",
            "size: 8",
            "size: 16384",
            "type: gp2",
            "kmsKey: alias/prod",
            "size: 100, type: io1, iops: 5000",
        ],
    );
    good(
        etcd,
        &[
            "size: 4",
            "size: 6, iops: 3000",
            "iops: 10000, throughput: 2000",
            "size: 100, type: io2, iops: 100000",
        ],
    );
    good(
        etcd,
        &["throughput: 125", "throughput: 750", "size: 160, iops: 80000", "size: 4, type: io1, iops: 200"],
    );
    rows(
        root,
        "aws.controlPlanes.rootVolume.",
        &[
            ("size: 7", "size", ["7 GiB; want 8 to 16384", "in GiB"]),
            ("size: 16385", "size", ["16385 GiB; want 8 to 16384", "in GiB"]),
            ("size: 20GiB", "size", ["want a size in GiB", "without quotes or a unit"]),
            ("type: gp4", "type", ["unknown type of volume \"gp4\"", "use one of `gp3`"]),
            ("volumeSize: 20", "volumeSize", ["unknown field", "use `size`"]),
            ("kmsKey: prod", "kmsKey", ["\"prod\" is not a key of KMS", "alias/NAME"]),
        ],
    );
    rows(
        etcd,
        "aws.controlPlanes.etcdVolume.",
        &[
            ("size: 3", "size", ["3 GiB; want 4 to 16384", "in GiB"]),
            ("iops: 2999", "iops", ["gp3 has 3000 to 80000", "in that range"]),
            ("size: 1000, iops: 80001", "iops", ["gp3 has 3000 to 80000", "in that range"]),
            ("size: 10, iops: 5001", "iops", ["gp3 of 10 GiB has at most 5000", "500 for each GiB"]),
            ("type: gp2, iops: 3000", "iops", ["gp2 has operations by its size", "use type: gp3"]),
            ("type: io1", "iops", ["`iops` is missing: io1 has none of its own", "add `iops: 3000`"]),
            ("type: io2", "iops", ["`iops` is missing: io2 has none of its own", "add `iops: 3000`"]),
            ("type: io1, iops: x", "iops", ["want operations a second", "without quotes"]),
            ("type: io1, iops: 99", "iops", ["io1 has 100 to 64000", "in that range"]),
            ("type: io1, size: 4, iops: 201", "iops", ["io1 of 4 GiB has at most 200", "50 for each GiB"]),
            ("type: io2, size: 1000, iops: 256001", "iops", ["io2 has 100 to 256000", "in that range"]),
            ("throughput: 124", "throughput", ["gp3 has 125 to 2000", "in that range"]),
            ("iops: 9000, throughput: 2001", "throughput", ["gp3 has 125 to 2000", "in that range"]),
            (
                "throughput: 751",
                "throughput",
                ["751 MiB a second need 3004 operations; there are 3000", "set iops to 3004"],
            ),
            (
                "type: io2, iops: 3000, throughput: 200",
                "throughput",
                ["io2 has throughput by its operations", "use type: gp3"],
            ),
        ],
    );
    one(&group("rootVolume: {size: 7}"), "aws.workerGroups[0].rootVolume.size", &["want 8 to 16384"]);
}

#[test]
fn groups_of_workers() {
    let groups = |text: &str| aws(&format!("workerGroups: [{text}]"));
    let name = |length: usize| format!("{{name: {}}}", "a".repeat(length));
    good(groups, &["{name: a}, {name: b}", &name(30)]);
    rows(
        groups,
        "aws.workerGroups",
        &[
            ("{}", "[0].name", ["`name` is missing", "add `name: general`"]),
            ("{name: A}", "[0].name", ["is not allowed; did you mean `a`?", "one DNS label"]),
            (&name(31), "[0].name", ["has 31 characters; at most 30", "shorter"]),
            (
                "{name: a}, {name: a}",
                "[1].name",
                ["two groups are called \"a\" (lines 8, 8)", "a name of its own"],
            ),
            ("x", "[0]", ["want a map", "key: value"]),
        ],
    );
    good(
        group,
        &[
            "min: 0, max: 0",
            "min: 2, max: 2, desired: 2",
            "max: 1000",
            "spot: 0%",
            "spot: 100%",
            "maxSurge: 0, maxUnavailable: 1",
            "maxSurge: 0%, maxUnavailable: 10%",
            "maxSurge: 1, maxUnavailable: 0",
            "labels: {node.kubernetes.io/pool: a, mykubernetes.io/pool: b}",
            "labels: {disk: ssd}, taints: [{key: dedicated, value: db, effect: NoSchedule}]",
            "zones: [eu-central-1a]",
        ],
    );
    rows(
        group,
        "aws.workerGroups[0].",
        &[
            ("min: 21", "min", ["min is 21, and max is 20", "at most max"]),
            ("min: -1", "min", ["want a number of workers from 0", "got the number -1"]),
            ("desired: 21", "desired", ["desired is 21, and the group has 1 to 20", "between min and max"]),
            ("desired: 0", "desired", ["desired is 0, and the group has 1 to 20", "between min and max"]),
            ("max: 1001", "max", ["1001 workers; a group has at most 1000", "several groups"]),
            ("spot: 101%", "spot", ["is not a share from 0% to 100%", "50%"]),
            ("spot: 50", "spot", ["the number 50 without `%`", "write 50%"]),
            ("spot: half", "spot", ["is not a share", "50%"]),
            ("maxSurge: 0", "maxSurge", ["both 0: no worker could ever be replaced", "1 or more"]),
            ("maxSurge: 0%, maxUnavailable: 0%", "maxSurge", ["both 0", "1 or more"]),
            ("maxSurge: -1", "maxSurge", ["want a number of workers from 0 to 100000", "without quotes"]),
            ("maxSurge: 101%", "maxSurge", ["is not a share from 0% to 100%", "such as 1"]),
            ("maxUnavailable: 00%", "maxUnavailable", ["is not a share from 0% to 100%", "such as 1"]),
            ("zones: [eu-west-1a]", "zones[0]", ["is not a zone of eu-central-1", "eu-central-1a"]),
            ("zones: [eu-central-1a, eu-central-1a]", "zones[1]", ["is given twice", "remove one"]),
            (
                "labels: {\"a b\": x}",
                "labels[\"a b\"]",
                ["is not a label: illegal character ' '", "example.org/disk"],
            ),
            ("labels: {a: \"x;y\"}", "labels.a", ["is not a label's value", "example.org/disk"]),
            (
                "labels: {kubernetes.io/arch: x}",
                "labels[\"kubernetes.io/arch\"]",
                ["set by the kubelet", "remove it"],
            ),
            (
                "labels: {keelwright.dev/x: x}",
                "labels[\"keelwright.dev/x\"]",
                ["are keelwright's own", "another prefix"],
            ),
            (
                "labels: {topology.kubernetes.io/zone: x}",
                "labels[\"topology.kubernetes.io/zone\"]",
                ["every machine of the group gets this label", "remove it"],
            ),
            (
                "labels: {node-restriction.kubernetes.io/disk: x}",
                "labels[\"node-restriction.kubernetes.io/disk\"]",
                ["a node may not give itself this label", "a prefix of your own"],
            ),
            (
                "labels: {scheduling.k8s.io/disk: x}",
                "labels[\"scheduling.k8s.io/disk\"]",
                ["a node may not give itself this label", "a prefix of your own"],
            ),
            (
                "labels: {node-role.kubernetes.io/control-plane: \"\"}",
                "labels[\"node-role.kubernetes.io/control-plane\"]",
                ["belongs to control planes", "remove it"],
            ),
            (
                "taints: [\"a=b c:NoSchedule\"]",
                "taints[0]",
                ["illegal character ' '", "for example {key: dedicated"],
            ),
            ("taints: [\"a:NoSchedule\", \"a:NoSchedule\"]", "taints[1]", ["given twice", "keep one"]),
            ("taints: [\"a:Never\"]", "taints[0]", ["unknown effect \"Never\"", "key=value:NoSchedule"]),
            ("ami: x", "ami", ["unknown field `ami`; use `image`", "fields here: name"]),
        ],
    );
    let zones = |text: &str| group(text).replace("zones: 3", "zones: [eu-central-1a, eu-central-1b]");
    good(zones, &["zones: [eu-central-1b]"]);
    one(
        &zones("zones: [eu-central-1c]"),
        "aws.workerGroups[0].zones[0]",
        &["is not among the cluster's zones", "add it to aws.zones"],
    );
    warns(&groups(""), "aws.workerGroups", "pods have nowhere to run");
    let many = problems(&groups("{name: a, min: 9, max: 1, spot: 5}, {name: A, maxSurge: x}, {}"));
    assert_eq!(many.len(), 5, "{many:#?}");
}
