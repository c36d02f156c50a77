mod machines;
mod network;

use crate::inventory::check::rows::{fine, one, problems, warns};

const HEAD: &str = "apiVersion: keelwright.dev/v1\nkind: Cluster\nmetadata: {name: prod}\nkubernetes: {version: v1.37.1}\n\
                    artifacts: {delivery: {mirror: {url: 'https://mirror.example.org'}}}\n";
const CALICO: &str = "network: {plugin: {name: calico, version: v3.30.3}}\n";
const PLACE: &str = "region: eu-central-1, zones: 3";
const SSH: &str = "access: {ssh: [203.0.113.0/24]}";

/// A file whose `aws` has these fields and no others.
fn only(fields: &str) -> String {
    format!("{HEAD}provider: aws\n{CALICO}aws: {{{fields}}}\n")
}

/// A good cluster in AWS with more fields.
fn aws(fields: &str) -> String {
    only(&format!("{PLACE}, {SSH}, {fields}"))
}

/// A good cluster in AWS with this at the top of the file.
fn top(text: &str) -> String {
    format!("{}{text}\n", aws(""))
}

fn control_planes(fields: &str) -> String {
    aws(&format!("controlPlanes: {{{fields}}}"))
}

/// One group called `g`.
fn group(fields: &str) -> String {
    aws(&format!("workerGroups: [{{name: g, {fields}}}]"))
}

/// What is written, where it is wrong, and parts of what is said about it.
type Row<'a> = (&'a str, &'a str, [&'a str; 2]);

#[track_caller]
fn rows(make: impl Fn(&str) -> String, prefix: &str, rows: &[Row<'_>]) {
    for (text, path, parts) in rows {
        one(&make(text), &format!("{prefix}{path}"), parts);
    }
}

#[track_caller]
fn good(make: impl Fn(&str) -> String, texts: &[&str]) {
    for text in texts {
        fine(&make(text));
    }
}

#[test]
fn the_provider() {
    good(aws, &["", "profile: prod", "assumeRole: arn:aws:iam::123456789012:role/keelwright"]);
    let provider = |name: &str| format!("{HEAD}provider: {name}\n{CALICO}aws: {{{PLACE}, {SSH}}}\n");
    one(&provider("asw"), "provider", &["unknown provider \"asw\"", "did you mean `aws`?"]);
    one(&provider("AWS"), "provider", &["unknown provider \"AWS\"", "did you mean `aws`?"]);
    one(&provider("ec2"), "provider", &["unknown provider \"ec2\"", "did you mean `aws`?"]);
    one(&provider("[aws]"), "provider", &["want a text; got a list"]);
    let nothing = format!("{HEAD}provider: hetzner\n{CALICO}");
    one(&nothing, "provider", &["unknown provider \"hetzner\"", "leave it out for machines that you have"]);
    let without = format!("{HEAD}{CALICO}aws: {{{PLACE}, {SSH}}}\n");
    one(&without, "aws", &["`provider: aws` is missing", "add the line `provider: aws`"]);
    let both = format!("{without}hosts: [{{name: a, address: 192.0.2.1, roles: [control-plane]}}]\n");
    one(&both, "aws", &["`provider: aws` is missing", "or remove `aws`"]);
    one(&format!("{HEAD}{CALICO}provider: aws\n"), "aws", &["`aws` is missing", "region: eu-central-1"]);
    one(&format!("{HEAD}{CALICO}provider: aws\naws: []\n"), "aws", &["want a map; got a list"]);
    one(
        &aws("assumeRole: keelwright"),
        "aws.assumeRole",
        &["is not the ARN of an IAM role", "arn:aws:iam::"],
    );
    one(&aws("workers: []"), "aws.workers", &["unknown field `workers`; use `workerGroups`"]);
    one(&aws("deletionProtection: yes"), "aws.deletionProtection", &["want true or false", "write true"]);
}

#[test]
fn what_does_not_go_with_machines_that_are_made() {
    rows(
        top,
        "",
        &[
            (
                "hosts: [{name: a, address: 192.0.2.1, roles: [control-plane]}]",
                "hosts",
                ["machines are made in AWS", "aws.workerGroups"],
            ),
            ("hosts: [{zzz: 1}]", "hosts", ["none are named here", "remove it"]),
            (
                "endpoint: {external: api.example.org}",
                "endpoint",
                ["the balancer that is made", "aws.api.record"],
            ),
            ("endpoint: {nodeLocal: {}}", "endpoint", ["the balancer that is made", "remove it"]),
            ("bastions: [{name: jump}]", "bastions", ["the bastion is made", "`bastion: false`"]),
            (
                "etcd: {placement: dedicated}",
                "etcd.placement",
                ["no machines of its own in AWS", "etcdVolume"],
            ),
            (
                "etcd: {allowEvenMembers: true}",
                "etcd.allowEvenMembers",
                ["aws.controlPlanes.count says", "remove it"],
            ),
            (
                "ssh: {user: admin}",
                "ssh.user",
                ["the user of a machine is its image's", "aws.controlPlanes.user"],
            ),
            ("ssh: {port: 2222}", "ssh.port", ["reached at port 22", "remove it"]),
            ("ssh: {hostKeys: []}", "ssh.hostKeys", ["yet to be made", "ssh.hostCAs"]),
            ("ssh: {bastion: jump}", "ssh.bastion", ["the bastion is made", "`bastion: false` below `aws`"]),
            (
                "policy: {upgrade: {canary: [worker-1]}}",
                "policy.upgrade.canary[0]",
                ["names a host", "a number of workers"],
            ),
            (
                "hooks: [{name: h, when: after-host, command: [h], hosts: [cp-1]}]",
                "hooks[0].hosts",
                ["names a host", "or roles"],
            ),
        ],
    );
    good(
        top,
        &[
            "etcd: {placement: stacked, dataDir: /mnt/etcd}",
            "ssh: {keys: [id], sudo: password}",
            "policy: {upgrade: {canary: 1}}",
            "hooks: [{name: h, when: after-host, command: [h], roles: [worker, control-plane]}]",
            "apiServer: {certSANs: [api.example.org]}",
            "addons: [{name: aws-cloud-controller-manager}, {name: aws-ebs-csi-driver}]",
            "addons: [{name: aws-ebs-csi-driver, source: ebs.yaml}]",
        ],
    );
    let hash = "a".repeat(64);
    one(
        &top(&format!("addons: [{{name: aws-ebs-csi-driver, sha256: {hash}}}]")),
        "addons[0].sha256",
        &["keelwright's own", "name a source"],
    );
    one(&top("addons: [{name: aws-efs-csi-driver}]"), "addons[0].source", &["`source` is missing"]);
    warns(
        &top("hooks: [{name: h, when: after-host, command: [h], roles: [etcd]}]"),
        "hooks[0].roles",
        "no host has a role",
    );
    fine(&only(&format!("{PLACE}, bastion: false")).replace("provider", "ssh: {bastion: jump}\nprovider"));
}

#[test]
fn names_and_networks_of_the_cluster() {
    let named = |name: &str| aws("").replace("prod", name);
    good(named, &["a", &"a".repeat(20)]);
    one(&named(&"a".repeat(21)), "metadata.name", &["has 21 characters; in AWS at most 20", "balancers"]);
    let network = |text: &str| aws("").replace("plugin: {name: calico, version: v3.30.3}", text);
    let calico = "plugin: {name: calico, version: v3.30.3}";
    rows(
        network,
        "network.",
        &[
            (
                "plugin: routes",
                "plugin",
                ["needs a range planned for each host", "leave `plugin` out for Calico"],
            ),
            ("plugin: {name: routes, mtu: 1400}", "plugin", ["come by themselves", "or choose another one"]),
        ],
    );
    fine(&aws("").replace(CALICO, ""));
    one(
        &network(&format!("{calico}, podCidrs: [\"fd00::/48\"]")),
        "network.podCidrs[0]",
        &["is IPv6", "keep the IPv4"],
    );
    one(
        &network(&format!("{calico}, podCidrs: [10.244.0.0/16, \"fd00::/48\"]")),
        "network.podCidrs[1]",
        &["machines in AWS have IPv4 addresses"],
    );
    one(
        &network(&format!("{calico}, serviceCidrs: [\"fd00::/112\"]")),
        "network.serviceCidrs[0]",
        &["is IPv6"],
    );
    // Neither too few nodes nor too many: nobody knows how many there will be.
    good(
        network,
        &[
            "plugin: {name: flannel, version: v0.27.4}",
            "plugin: none",
            &format!("{calico}, podCidrs: [10.244.0.0/24]"),
        ],
    );
}

#[test]
fn regions_and_zones() {
    let place = |text: &str| only(&format!("{text}, {SSH}"));
    good(
        place,
        &[
            "region: us-gov-west-1, zones: 6",
            "region: eu-central-1, zones: [eu-central-1a, eu-central-1b]",
            "region: us-west-2, zones: [us-west-2-lax-1a, us-west-2a]",
            "region: eu-central-1, zones: 1, controlPlanes: {count: 1}",
        ],
    );
    rows(
        place,
        "aws.",
        &[
            ("zones: 3", "region", ["`region` is missing", "add `region: eu-central-1`"]),
            ("region: eu-central-1", "zones", ["`zones` is missing", "add `zones: 3`"]),
            (
                "region: frankfurt, zones: 3",
                "region",
                ["\"frankfurt\" is not the name of a region", "eu-central-1"],
            ),
            (
                "region: eu-central-1a, zones: 3",
                "region",
                ["is not the name of a region", "write eu-central-1; zones go"],
            ),
            (
                "region: eu-central-1, zones: 0",
                "zones",
                ["want a number of zones from 1 to 6", "got the number 0"],
            ),
            ("region: eu-central-1, zones: 7", "zones", ["from 1 to 6", "got the number 7"]),
            ("region: eu-central-1, zones: all", "zones", ["or a list of their names", "write 3"]),
            ("region: eu-central-1, zones: []", "zones", ["is empty", "write 3"]),
            ("region: eu-central-1, zones: {}", "zones", ["want a list; got a map", "[a, b]"]),
            (
                "region: eu-central-1, zones: [a, eu-central-1b]",
                "zones[0]",
                ["\"a\" is not the name of a zone", "eu-central-1a"],
            ),
            (
                "region: eu-central-1, zones: [eu-west-1a]",
                "zones[0]",
                ["is not a zone of eu-central-1", "eu-central-1a"],
            ),
            (
                "region: eu-central-1, zones: [eu-central-1a, eu-central-1a]",
                "zones[1]",
                ["is given twice", "remove one"],
            ),
        ],
    );
    let many = "region: eu-central-1, zones: [eu-central-1a, eu-central-1b, eu-central-1c, eu-central-1d, eu-central-1e, eu-central-1f, eu-central-1g]";
    one(&place(many), "aws.zones", &["7 zones; at most 6", "3 are enough"]);
    warns(&place("region: eu-central-1, zones: 1"), "aws.zones", "3 control planes in one zone");
    warns(&place("region: eu-central-1, zones: [eu-central-1b]"), "aws.zones", "all are gone when it fails");
}

#[test]
fn keys_and_tags() {
    let key = |path: &str| aws(&format!("sshKey: {path}"));
    good(key, &["~/.ssh/ops.pub", "/keys/ops", "keys/id_rsa.pub"]);
    rows(
        key,
        "aws.sshKey",
        &[
            ("~/.ssh/id_rsa", "", ["this is the private key", "write ~/.ssh/id_rsa.pub"]),
            ("ssh-ed25519 AAAA", "", ["this is a key, not the path of its file", "id_ed25519.pub"]),
            (
                "\"-----BEGIN OPENSSH PRIVATE KEY-----\"",
                "",
                ["this is a private key", "treat this key as leaked"],
            ),
            ("~root/key.pub", "", ["`~NAME` is not supported", "paths are absolute"]),
        ],
    );
    let tags = |text: &str| aws(&format!("tags: {{{text}}}"));
    let many = |count: u32| (0..count).map(|n| format!("k{n}: v")).collect::<Vec<_>>().join(", ");
    let long = |key: usize, value: usize| format!("{}: {}", "k".repeat(key), "v".repeat(value));
    good(tags, &["", "team: platform", "\"a b+-=._:/@\": \"\"", "größe: klein", &many(40), &long(128, 256)]);
    rows(
        tags,
        "aws.tags",
        &[
            (&many(41), "", ["41 tags; at most 40", "at most 50"]),
            (
                &long(129, 1),
                &format!(".{}", "k".repeat(129)),
                ["has 129 characters; at most 128", "for example"],
            ),
            ("k: 1", ".k", ["want a quoted string", "write \"1\" in quotes"]),
            (&long(1, 257), ".k", ["has 257 characters; at most 256", "for example"]),
            ("\"\": x", "[\"\"]", ["is not the key of a tag: is empty", "for example"]),
            ("\"a;b\": x", "[\"a;b\"]", ["illegal character ';' at column 2", "for example"]),
            ("k: \"a*\"", ".k", ["is not the value of a tag: illegal character '*'", "for example"]),
            ("\"aws:x\": x", "[\"aws:x\"]", ["is of AWS itself", "another key"]),
            ("\"AWS:x\": x", "[\"AWS:x\"]", ["is of AWS itself", "another key"]),
            ("keelwright.dev/x: x", "[\"keelwright.dev/x\"]", ["is keelwright's own", "another key"]),
            ("Name: x", ".Name", ["is keelwright's own", "another key"]),
            (
                "kubernetes.io/cluster/x: owned",
                "[\"kubernetes.io/cluster/x\"]",
                ["which cluster a thing belongs to", "another key"],
            ),
        ],
    );
}

/// With this below `artifacts`.
fn delivery(text: &str) -> String {
    aws("").replace("{mirror: {url: 'https://mirror.example.org'}}", text)
}

#[test]
fn workers_have_somewhere_to_fetch_from() {
    good(
        delivery,
        &[
            "{bucket: {name: acme}}",
            "{bucket: {name: acme.artifacts, region: us-west-2, prefix: kubernetes/files}}",
        ],
    );
    rows(
        delivery,
        "artifacts.delivery",
        &[
            ("upload", "", ["group \"workers\" would never be nodes", "{bucket: {name: …}}"]),
            ("{upload: {}}", "", ["nowhere to fetch from", "or write `workerGroups: []`"]),
            ("bucket", "", ["a bucket needs a name", "{bucket: {name: acme-artifacts}}"]),
            ("{bucket: {}}", ".bucket.name", ["`name` is missing", "acme-artifacts"]),
            ("{bucket: {name: s3://acme}}", ".bucket.name", ["is not the name of a bucket", "without s3://"]),
            ("{bucket: {name: acme, prefix: /a}}", ".bucket.prefix", ["is not a prefix", "single `/`"]),
            ("{bucket: {name: acme, region: moon}}", ".bucket.region", ["is not a region", "eu-central-1"]),
            ("{bucket: {name: acme, path: a}}", ".bucket.path", ["unknown field `path`", "use `prefix`"]),
            (
                "{bucket: {name: acme}, mirror: {url: 'https://a'}}",
                "",
                ["want one of upload, mirror, bucket", "leave `delivery` out"],
            ),
        ],
    );
    let without = |fields: &str| aws(fields).replace("artifacts:", "artifacts: {} #");
    let found = problems(&without("workerGroups: []"));
    assert!(found.iter().all(|problem| problem.path == "aws.workerGroups"), "{found:#?}");
    let mine = without("image: ami-01234567, bastion: {user: a}, controlPlanes: {user: a}");
    warns(&mine, "artifacts.delivery", "only if their image sees to it");
    one(
        &without("workerGroups: [{name: own, image: ami-01234567}, {name: plain}]"),
        "artifacts.delivery",
        &["group \"plain\" would never be nodes"],
    );
}

#[test]
fn machines_cannot_read_the_clusters_state() {
    let both = |state: &str, prefix: &str| {
        let text = delivery(&format!("{{bucket: {{name: acme, prefix: {prefix}}}}}"));
        format!("{text}state: {{{state}}}\n")
    };
    for (state, prefix) in [
        ("bucket: acme", "prod"),
        ("bucket: acme, prefix: clusters/prod", "clusters"),
        ("bucket: acme, prefix: clusters/prod", "clusters/prod"),
    ] {
        let path = "artifacts.delivery.bucket.prefix";
        one(&both(state, prefix), path, &["machines may read what is below", "choose another prefix"]);
    }
    for (state, prefix) in [
        ("bucket: acme", "artifacts"),
        ("bucket: acme, prefix: clusters/prod", "clusters/production"),
        ("bucket: acme, prefix: a", "a/artifacts"),
        ("bucket: other, prefix: clusters/prod", "clusters"),
    ] {
        fine(&both(state, prefix));
    }
}
