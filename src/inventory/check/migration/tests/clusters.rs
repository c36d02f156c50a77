//! What is made, copied and taken down.

use super::{fine, one, with};

const EKS: &str = r#"cluster: shop, version: "1.34", role: "arn:aws:iam::123456789012:role/c", nodeRole: "arn:aws:iam::123456789012:role/n", subnets: [subnet-01234567, subnet-89abcdef]"#;

/// With this for one of the fields.
fn eks(field: &str, value: &str) -> String {
    let mut fields: Vec<(String, String)> = [
        ("cluster", "shop"),
        ("version", "\"1.34\""),
        ("role", "\"arn:aws:iam::123456789012:role/c\""),
        ("nodeRole", "\"arn:aws:iam::123456789012:role/n\""),
        ("subnets", "[subnet-01234567, subnet-89abcdef]"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    fields.retain(|(key, _)| key != field);
    fields.push((field.to_owned(), value.to_owned()));
    let fields: Vec<String> = fields.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
    with(&[("make", &format!("{{eks: {{{}}}}}", fields.join(", ")))])
}

#[test]
fn green_is_made_in_one_way() {
    fine(&with(&[("make", "{inventory: new.yaml}")]));
    fine(&with(&[("make", &format!("{{eks: {{{EKS}}}}}"))]));
    for (make, parts) in [
        ("{}", ["want one of inventory, eks; got none", "leave `make` out"]),
        (&*format!("{{inventory: a, eks: {{{EKS}}}}}"), ["got inventory and eks", "keep one"]),
    ] {
        one(&with(&[("make", make)]), "make", &parts);
    }
    let green = with(&[
        ("green", "{balancer: {name: b}, inventory: green.yaml}"),
        ("make", "{inventory: other.yaml}"),
    ]);
    one(&green, "make.inventory", &["other.yaml is not green's inventory", "leave `green.inventory` out"]);
    let blue = with(&[
        ("blue", "{balancer: {name: a}, inventory: old.yaml}"),
        ("green", "{balancer: {name: b}, kubeconfig: k}"),
        ("make", "{inventory: ./old.yaml}"),
    ]);
    one(&blue, "make.inventory", &["old.yaml is the inventory of blue", "the new cluster's"]);
}

#[test]
fn a_cluster_of_eks_is_what_eks_takes() {
    fine(&eks("min", "0"));
    fine(&eks("min", "30"));
    for (field, value, path, parts) in [
        ("cluster", "a b", "cluster", ["is not the name of a cluster of EKS", "at most 100"]),
        ("cluster", "-a", "cluster", ["is not the name of a cluster of EKS", "the first is a letter"]),
        ("version", "1.34", "version", ["want a quoted string", "\"1.34\" in quotes"]),
        ("version", "v1.34.0", "version", ["is not a version of EKS", "the minor in quotes"]),
        ("role", "eks", "role", ["is not the ARN of an IAM role", "arn:aws:iam"]),
        ("nodeRole", "eks", "nodeRole", ["is not the ARN of an IAM role", "arn:aws:iam"]),
        ("subnets", "[subnet-01234567]", "subnets", ["1 subnets; EKS needs two or more", "subnet-"]),
        ("subnets", "[subnet-01234567, a]", "subnets[1]", ["\"a\" is not the id of a subnet", "subnet-"]),
        ("subnets", "[subnet-01234567, subnet-01234567]", "subnets[1]", ["is given twice", "remove"]),
        ("instanceTypes", "[]", "instanceTypes", ["is empty", "leave it out for m6i.large"]),
        ("instanceTypes", "[large]", "instanceTypes[0]", ["is not an instance type", "m6i.large"]),
        ("max", "0", "max", ["serves nobody", "1 or more"]),
        ("min", "451", "min", ["a number of nodes from 0 to 450", "without quotes"]),
        ("desired", "21", "desired", ["21 is not between min (1) and max (20)", "leave it out"]),
        ("min", "5, max: 4", "max", ["min is 5 and max 4", "not less than min"]),
        ("roleArn", "x", "roleArn", ["use `role`", "fields here"]),
    ] {
        one(&eks(field, value), &format!("make.eks.{path}"), &parts);
    }
}

#[test]
fn a_copy_needs_two_clusters_and_plain_words() {
    let copy = |text: &str| {
        with(&[
            ("blue", "{balancer: {name: a}, kubeconfig: k}"),
            ("green", "{balancer: {name: b}, inventory: new.yaml}"),
            ("copy", text),
        ])
    };
    for good in [
        "{}",
        "{namespaces: [\"*\", team-*], except: [], withoutKinds: [Job, a-b.example.org]}",
        "{selector: \"a=b\"}",
        "{selector: \"example.org/a == b , !c,d in (e,f),g notin (h), i!=j,k\"}",
        "{selector: \"a=\"}",
    ] {
        fine(&copy(good));
    }
    for (text, key, parts) in [
        ("{namespaces: [Shop]}", "namespaces[0]", ["is not the name of a namespace", "team-*"]),
        ("{namespaces: [a, a]}", "namespaces[1]", ["\"a\" is given twice", "remove"]),
        ("{except: [\"a;b\"]}", "except[0]", ["is not the name of a namespace", "kube-*"]),
        ("{withoutKinds: [\"a b\"]}", "withoutKinds[0]", ["is not a kind of object", "Job"]),
        ("{selector: \"a b\"}", "selector", ["is not a label selector: illegal character ' '", "app=shop"]),
        ("{selector: \"a in b\"}", "selector", ["is not a label selector", "app=shop"]),
        ("{selector: \"a of (b)\"}", "selector", ["\"a of\" is neither `in` nor `notin`", "app=shop"]),
        ("{selector: \"a in (b\"}", "selector", ["a `(` has no `)`", "app=shop"]),
        ("{selector: \"a)\"}", "selector", ["a `)` has no `(`", "app=shop"]),
        ("{selector: \"a=b,\"}", "selector", ["the name is empty", "app=shop"]),
        ("{selector: \"a=$(x)\"}", "selector", ["is not a label selector", "app=shop"]),
        (
            "{storageClasses: {gp2: GP3}}",
            "storageClasses.gp2",
            ["is not the name of a StorageClass", "gp2: gp3"],
        ),
        ("{exclude: [a]}", "exclude", ["use `except`", "fields here"]),
    ] {
        one(&copy(text), &format!("copy.{key}"), &parts);
    }
    let half = with(&[("blue", "{balancer: {name: a}, kubeconfig: k}"), ("copy", "{}")]);
    one(&half, "copy", &["green has neither a kubeconfig nor an inventory", "add `green.kubeconfig`"]);
    // What is made will have one.
    let made = format!("{half}make: {{inventory: new.yaml}}\n");
    fine(&made);
}

#[test]
fn the_old_cluster_is_taken_down_by_what_made_it() {
    let teardown = |text: &str| {
        with(&[
            ("blue", "{balancer: {name: a}, inventory: old.yaml}"),
            ("green", "{balancer: {name: b}, inventory: new.yaml}"),
            ("teardown", text),
        ])
    };
    for good in [
        "{}",
        "{simpleRecord: true}",
        "{terraform: {directory: ~/old}}",
        "{kops: {cluster: old.example.org, state: \"s3://a/b\"}}",
        "{reset: {}}",
        "{reset: {inventory: ./old.yaml}}",
    ] {
        fine(&teardown(good));
    }
    for (text, path, parts) in [
        (
            "{terraform: {directory: a}, reset: {}}",
            "teardown",
            ["got terraform and reset", "keep the one that made"],
        ),
        ("{terraform: {}}", "teardown.terraform.directory", ["`directory` is missing", "../old"]),
        ("{terraform: {directory: -x}}", "teardown.terraform.directory", ["starts with `-`", "write ./-x"]),
        (
            "{terraform: {directory: ~root/x}}",
            "teardown.terraform.directory",
            ["`~NAME` is not supported", "relative to the migration"],
        ),
        (
            "{kops: {cluster: OLD, state: \"s3://a\"}}",
            "teardown.kops.cluster",
            ["is not the name of a cluster of kops", "old"],
        ),
        (
            "{kops: {cluster: a, state: bucket}}",
            "teardown.kops.state",
            ["is not a state store of kops", "s3://"],
        ),
        (
            "{kops: {cluster: a, state: \"s3://a b\"}}",
            "teardown.kops.state",
            ["is not a state store of kops", "s3://"],
        ),
        (
            "{kops: {cluster: a, state: \"s3://--x\"}}",
            "teardown.kops.state",
            ["is not a state store of kops", "s3://"],
        ),
        (
            "{reset: {inventory: new.yaml}}",
            "teardown.reset",
            ["new.yaml is the inventory of green", "the old cluster's"],
        ),
        (
            "{reset: {inventory: third.yaml}}",
            "teardown.reset.inventory",
            ["third.yaml is not blue's inventory", "leave it out"],
        ),
        ("{simpleRecord: 1}", "teardown.simpleRecord", ["want true or false", "without quotes"]),
        ("{directory: x}", "teardown.directory", ["use `terraform.directory`", "fields here"]),
    ] {
        one(&teardown(text), path, &parts);
    }
    let unknown = with(&[("teardown", "{reset: {}}")]);
    one(&unknown, "teardown.reset.inventory", &["`inventory` is missing", "old.yaml"]);
}
