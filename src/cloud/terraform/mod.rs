//! The same resources as a configuration of Terraform, for those who keep their infrastructure there. It carries the
//! same names and tags, so what Terraform has made is found by keelwright like its own.

mod machines;
mod network;
mod serving;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use super::name::{Ref, ResourceName};
use super::resource::{Desired, DesiredState, Resource};
use super::tags;

/// A block of type and name, with its content.
type Block = (&'static str, String, Value);

/// The configuration in Terraform's JSON syntax, for one file `main.tf.json`.
pub fn configuration(cluster: &str, region: &str, wanted: &DesiredState) -> Value {
    let writer = Writer { cluster, wanted };
    let (mut resources, mut data) = (Map::new(), Map::new());
    for (name, desired) in wanted {
        for (kind, label, content) in writer.blocks(name, desired) {
            let (list, kind) = match kind.strip_prefix("data.") {
                Some(kind) => (&mut data, kind),
                None => (&mut resources, kind),
            };
            let blocks = list.entry(kind).or_insert_with(|| json!({}));
            blocks[label] = content;
        }
    }
    let mut all = json!({
        "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws", "version": ">= 5.0"}}},
        "provider": {"aws": {"region": region}},
        "resource": resources,
    });
    if !data.is_empty() {
        all["data"] = Value::Object(data);
    }
    all
}

struct Writer<'a> {
    cluster: &'a str,
    wanted: &'a DesiredState,
}

impl Writer<'_> {
    fn blocks(&self, name: &ResourceName, desired: &Desired) -> Vec<Block> {
        match &desired.resource {
            Resource::Vpc(vpc) => self.vpc(name, vpc, desired),
            Resource::InternetGateway(gateway) => self.internet_gateway(name, gateway, desired),
            Resource::Subnet(subnet) => self.subnet(name, subnet, desired),
            Resource::ElasticIp(_) => self.address(name, desired),
            Resource::NatGateway(nat) => self.nat(name, nat, desired),
            Resource::RouteTable(table) => self.route_table(name, table, desired),
            Resource::SecurityGroup(group) => self.security_group(name, group, desired),
            Resource::SecurityRules(rules) => self.rules(name, rules),
            Resource::KeyPair(key) => self.key(name, key, desired),
            Resource::Role(role) => self.role(name, role, desired),
            Resource::InstanceProfile(profile) => self.profile(name, profile, desired),
            Resource::Volume(volume) => self.volume(name, volume, desired),
            Resource::Instance(instance) => self.instance(name, instance, desired),
            Resource::Attachment(attachment) => self.attachment(name, attachment),
            Resource::LaunchTemplate(template) => self.template(name, template, desired),
            Resource::ScalingGroup(group) => self.scaling_group(name, group, desired),
            Resource::Balancer(balancer) => self.balancer(name, balancer, desired),
            Resource::TargetGroup(group) => self.target_group(name, group, desired),
            Resource::Targets(targets) => self.targets(name, targets),
            Resource::Listener(listener) => self.listener(name, listener),
            Resource::Record(record) => self.record(name, record),
            // The cluster's controllers make it, and nobody else wants it.
            Resource::Made(_) => Vec::new(),
        }
    }

    fn tags(&self, name: &ResourceName, desired: &Desired) -> Value {
        json!(tags::all_tags(self.cluster, name, &desired.tags))
    }

    /// What a reference is in Terraform: an expression for ours, the id for somebody else's.
    fn id(&self, reference: &Ref) -> Value {
        self.attribute(reference, "id")
    }

    fn attribute(&self, reference: &Ref, attribute: &str) -> Value {
        match reference {
            Ref::Theirs(id) => json!(id.as_str()),
            Ref::Ours(name) => json!(format!("${{{}.{attribute}}}", self.address_of(name))),
        }
    }

    fn ids<'r>(&self, references: impl IntoIterator<Item = &'r Ref>) -> Vec<Value> {
        references.into_iter().map(|reference| self.id(reference)).collect()
    }

    /// The block that a name of ours stands for.
    fn address_of(&self, name: &ResourceName) -> String {
        let kind = self.wanted.get(name).map(|desired| kind_of(&desired.resource)).unwrap_or_default();
        format!("{kind}.{}", label(name.short()))
    }
}

fn kind_of(resource: &Resource) -> &'static str {
    match resource {
        Resource::Vpc(_) => "aws_vpc",
        Resource::InternetGateway(_) => "aws_internet_gateway",
        Resource::Subnet(_) => "aws_subnet",
        Resource::ElasticIp(_) => "aws_eip",
        Resource::NatGateway(_) => "aws_nat_gateway",
        Resource::RouteTable(_) => "aws_route_table",
        Resource::SecurityGroup(_) => "aws_security_group",
        Resource::SecurityRules(_) => "aws_vpc_security_group_ingress_rule",
        Resource::KeyPair(_) => "aws_key_pair",
        Resource::Role(_) => "aws_iam_role",
        Resource::InstanceProfile(_) => "aws_iam_instance_profile",
        Resource::Volume(_) => "aws_ebs_volume",
        Resource::Instance(_) => "aws_instance",
        Resource::Attachment(_) => "aws_volume_attachment",
        Resource::LaunchTemplate(_) => "aws_launch_template",
        Resource::ScalingGroup(_) => "aws_autoscaling_group",
        Resource::Balancer(_) => "aws_lb",
        Resource::TargetGroup(_) => "aws_lb_target_group",
        Resource::Targets(_) => "aws_lb_target_group_attachment",
        Resource::Listener(_) => "aws_lb_listener",
        Resource::Record(_) => "aws_route53_record",
        Resource::Made(_) => "",
    }
}

/// A name as Terraform takes it: it begins with a letter or `_`, and has letters, digits, `_` and `-`.
fn label(short: &str) -> String {
    let label: String =
        short.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    if label.starts_with(|c: char| c.is_ascii_alphabetic()) { label } else { format!("_{label}") }
}

/// Text in which Terraform sees no expression of its own.
fn literal(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}
