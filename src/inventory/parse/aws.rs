//! `provider` and `aws`: the network, machines and balancers that keelwright is to make in AWS.

mod draft;
mod machines;

use camino::Utf8PathBuf;
use ipnet::{IpNet, Ipv4Net};

pub(crate) use draft::DraftAws;

use super::draft::Provider;
use super::reader::{Field, Table};
use super::scalar::{Plain, quoted};
use crate::inventory::{Access, ApiBalancer, ApiRecord, AwsNetwork, IngressListener, Nat, Zones};

/// The range of a VPC of keelwright's, unless the inventory has another.
const CIDR: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 0, 0, 0), 16);
const NATS: &[(&str, Nat)] = &[("per-zone", Nat::PerZone), ("single", Nat::Single), ("none", Nat::None)];
/// The key pair of most people who have one.
const SSH_KEY: &str = "~/.ssh/id_ed25519.pub";

/// Who makes the machines.
pub(super) fn provider(top: &Table<'_>) -> Provider {
    // Where nobody says so, or says it wrong, the rest of the file tells what is meant: one problem, not many.
    let meant = if top.has("aws") && !top.has("hosts") { Provider::Aws } else { Provider::Hosts };
    top.get("provider").and_then(|field| known_provider(&field)).unwrap_or(meant)
}

fn known_provider(field: &Field<'_>) -> Option<Provider> {
    let text = field.text()?;
    if text == "aws" {
        return Some(Provider::Aws);
    }
    // Of three letters, one wrong is too many for `closest`.
    let lower = text.to_lowercase();
    let help = match matches!(&*lower, "amazon" | "ec2") || strsim::osa_distance(&lower, "aws") <= 1 {
        true => "did you mean `aws`?",
        false => "leave it out for machines that you have, and name them in `hosts`",
    };
    field.error(format!("unknown provider {}; this release makes machines in `aws`", quoted(text)), help)
}

/// Reads `aws`; None when it is not a map.
pub(super) fn aws(field: &Field<'_>) -> Option<DraftAws> {
    let table = field.table()?;
    let region = table.require("region", "eu-central-1").and_then(|field| text(&field));
    let zones = table.require("zones", "3").and_then(|field| zones(&field));
    let profile = table.get("profile").and_then(|field| text(&field));
    let assume_role = table.get("assumeRole").and_then(|field| text(&field));
    let network = match table.get("network") {
        Some(field) => network(&field),
        None => Some(AwsNetwork::New { cidr: CIDR, nat: Nat::PerZone }),
    };
    let access = table.get("access").map(|field| access(&field)).unwrap_or_default();
    let ssh_key = ssh_key(&table);
    let image = match table.get("image") {
        Some(field) => machines::image(&field),
        None => Some(machines::debian("debian-12-{arch}-*")),
    };
    let bastion = table.get("bastion");
    let control_planes = machines::control_planes(&table, image.as_ref());
    let bastion = machines::bastion(bastion, image.as_ref(), &control_planes);
    let worker_groups = machines::worker_groups(table.get("workerGroups"));
    let (internal, record) = api(&table);
    let ingress = table.get("ingress").map(|field| ingress(&field)).unwrap_or_default();
    let tags = table.get("tags").map(|field| super::host::labels(&field)).unwrap_or_default();
    let protection = table.get("deletionProtection").and_then(|field| field.boolean());
    table
        .moved(&[
            ("availabilityZones", "zones"),
            ("azs", "zones"),
            ("vpc", "network.vpc"),
            ("cidr", "network.cidr"),
            ("ami", "image"),
            ("nodeGroups", "workerGroups"),
            ("nodePools", "workerGroups"),
            ("workers", "workerGroups"),
            ("controlPlane", "controlPlanes"),
            ("roleArn", "assumeRole"),
            ("keyName", "sshKey"),
        ])
        .finish();
    Some(DraftAws {
        region,
        zones,
        profile,
        assume_role,
        network,
        access,
        ssh_key,
        image,
        bastion,
        control_planes,
        worker_groups,
        api: ApiBalancer { internal, record },
        ingress,
        tags,
        deletion_protection: protection.unwrap_or(false),
    })
}

fn text(field: &Field<'_>) -> Option<String> {
    field.text().map(str::to_owned)
}

/// The texts of a list; what is wrong with one has been reported.
fn texts(field: &Field<'_>) -> Vec<String> {
    field.items().unwrap_or_default().iter().filter_map(text).collect()
}

/// A count, or a list of names.
fn zones(field: &Field<'_>) -> Option<Zones> {
    let help = "write 3, or [eu-central-1a, eu-central-1b, eu-central-1c]";
    if let Some(Plain::Integer(_) | Plain::OddNumber) = field.plain() {
        let count = field.integer("a number of zones", 1..=6)?;
        return u8::try_from(count).ok().map(Zones::Count);
    }
    if field.raw().is_some() {
        let message = format!("want a number of zones, or a list of their names; got {}", field.got());
        return field.error(message, help);
    }
    let items = field.items()?;
    if items.is_empty() {
        return field.error("is empty: machines have to be somewhere", help);
    }
    Some(Zones::Names(items.iter().filter_map(text).collect()))
}

/// `{cidr, nat}` of a VPC to be made, or `{vpc, publicSubnets, privateSubnets}` of one that is there.
fn network(field: &Field<'_>) -> Option<AwsNetwork> {
    let table = field.table()?;
    let cidr = table.get("cidr").map(|field| ipv4_range(&field));
    let nat = table.get("nat").map(|field| field.word("way out", NATS));
    let vpc = table.get("vpc").and_then(|field| text(&field));
    let subnets = |key| table.get(key).map(|field| texts(&field));
    let (public_subnets, private_subnets) = (subnets("publicSubnets"), subnets("privateSubnets"));
    let made = ["cidr", "nat"].into_iter().find(|key| table.has(key));
    let there = ["vpc", "publicSubnets", "privateSubnets"].into_iter().find(|key| table.has(key));
    let names_vpc = table.has("vpc");
    table.moved(&[("subnets", "publicSubnets and privateSubnets"), ("vpcId", "vpc")]).finish();
    match (made, there) {
        (Some(made), Some(there)) => {
            let message = format!("`{made}` is for a VPC that is made, `{there}` for one that is there");
            field.error(message, "write cidr and nat, or vpc, publicSubnets and privateSubnets")
        }
        (_, Some(_)) if !names_vpc => {
            field.error("`vpc` is missing", "add `vpc: vpc-…` that the subnets are in")
        }
        (None, Some(_)) => Some(AwsNetwork::Existing {
            vpc: vpc?,
            public_subnets: public_subnets.unwrap_or_default(),
            private_subnets: private_subnets.unwrap_or_default(),
        }),
        (_, None) => Some(AwsNetwork::New {
            cidr: cidr.unwrap_or(Some(CIDR))?,
            nat: nat.unwrap_or(Some(Nat::PerZone))?,
        }),
    }
}

fn ipv4_range(field: &Field<'_>) -> Option<Ipv4Net> {
    match field.network()? {
        IpNet::V4(range) => Some(range),
        IpNet::V6(range) => {
            field.error(format!("{range} is IPv6; a VPC has an IPv4 range"), "for example 10.0.0.0/16")
        }
    }
}

fn access(field: &Field<'_>) -> Access {
    let Some(table) = field.table() else { return Access::default() };
    let from = |key| -> Vec<IpNet> {
        let items = table.get(key).and_then(|field| field.items()).unwrap_or_default();
        items.iter().filter_map(Field::network).collect()
    };
    let access = Access { ssh: from("ssh"), api: from("api"), ingress: from("ingress") };
    table.finish();
    access
}

/// The path of a public key; whether there is one, and what is in it, is found when it is needed.
fn ssh_key(table: &Table<'_>) -> Option<Utf8PathBuf> {
    let Some(field) = table.get("sshKey") else {
        return match table.at.context.local_path(SSH_KEY) {
            Ok(path) => Some(path),
            Err(message) => {
                let (position, path) = (Some(table.at.node.position), table.at.path.key("sshKey"));
                let help = Some("add `sshKey: PATH` of a public key".to_owned());
                table.at.context.add_error(
                    position,
                    &path,
                    format!("the default is {SSH_KEY}: {message}"),
                    help,
                );
                None
            }
        };
    };
    let text = field.text()?;
    if text.contains("PRIVATE KEY") {
        let help =
            "keep the key in a file of mode 0600 and name its public half here; treat this key as leaked";
        return field.error("this is a private key, not the path of a public one", help);
    }
    if text.starts_with("ssh-") || text.starts_with("ecdsa-") {
        return field.error("this is a key, not the path of its file", format!("for example {SSH_KEY}"));
    }
    let name = text.rsplit('/').next().unwrap_or_default();
    if name.starts_with("id_") && !name.contains('.') {
        return field.error("this is the private key", format!("write {text}.pub"));
    }
    field.local_path()
}

fn api(aws: &Table<'_>) -> (bool, Option<ApiRecord>) {
    let Some(table) = aws.get("api").and_then(|field| field.table()) else { return (false, None) };
    let internal = table.get("internal").and_then(|field| field.boolean()).unwrap_or(false);
    let record = table.get("record").and_then(|field| record(&field));
    table.moved(&[("name", "record.name"), ("hostedZone", "record.hostedZone")]).finish();
    (internal, record)
}

fn record(field: &Field<'_>) -> Option<ApiRecord> {
    let table = field.table()?;
    let name = table.require("name", "api.prod.example.org").and_then(|field| text(&field));
    let hosted_zone = table.require("hostedZone", "Z0123456789ABC").and_then(|field| text(&field));
    table.moved(&[("zone", "hostedZone"), ("zoneId", "hostedZone")]).finish();
    Some(ApiRecord { name: name?, hosted_zone: hosted_zone? })
}

/// One for each item, so that places are kept; None: what is wrong with it has been reported.
fn ingress(field: &Field<'_>) -> Vec<Option<IngressListener>> {
    field.items().unwrap_or_default().iter().map(listener).collect()
}

fn listener(field: &Field<'_>) -> Option<IngressListener> {
    let table = field.table()?;
    let port = table.require("port", "443").and_then(|field| field.port());
    let node_port = table.require("nodePort", "30443").and_then(|field| field.port());
    table.moved(&[("targetPort", "nodePort")]).finish();
    Some(IngressListener { port: port?, node_port: node_port? })
}

#[cfg(test)]
pub(crate) mod tests;
