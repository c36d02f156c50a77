//! `blue` and `green`: where each is reached, and what is known of its cluster.

use std::net::IpAddr;

use super::draft::DraftSide;
use super::text;
use crate::inventory::Balancer;
use crate::inventory::parse::reader::Field;
use crate::inventory::parse::scalar::quoted;

/// The ways to name a balancer.
const FORMS: [&str; 5] = ["arn", "name", "alias", "dnsName", "addresses"];

pub(super) fn side(field: &Field<'_>) -> Option<DraftSide> {
    let table = field.table()?;
    let balancer = table.require("balancer", "{name: shop}").and_then(|field| balancer(&field));
    let kubeconfig = table.get("kubeconfig").and_then(|field| field.local_path());
    let inventory = table.get("inventory").and_then(|field| field.local_path());
    table
        .moved(&[
            ("arn", "balancer.arn"),
            ("name", "balancer.name"),
            ("alias", "balancer.alias"),
            ("dnsName", "balancer.dnsName"),
            ("addresses", "balancer.addresses"),
            ("loadBalancer", "balancer"),
        ])
        .finish();
    Some(DraftSide { balancer, kubeconfig, inventory })
}

fn balancer(field: &Field<'_>) -> Option<Balancer> {
    if let Some(raw) = field.raw() {
        let message = format!("want one of {}; got {}", FORMS.join(", "), field.got());
        return field.error(message, format!("write {}", suggestion(raw)));
    }
    let table = field.table()?;
    let arn = table.get("arn").and_then(|field| text(&field));
    let name = table.get("name").and_then(|field| text(&field));
    let alias = table.get("alias").and_then(|field| alias(&field));
    let dns_name = table.get("dnsName").and_then(|field| text(&field));
    let addresses = table.get("addresses").and_then(|field| addresses(&field));
    let given: Vec<&str> = FORMS.into_iter().filter(|form| table.has(form)).collect();
    table
        .moved(&[
            ("hostname", "dnsName"),
            ("host", "dnsName"),
            ("address", "addresses"),
            ("ips", "addresses"),
            ("hostedZone", "alias.hostedZone"),
            ("loadBalancerArn", "arn"),
        ])
        .finish();
    match given.as_slice() {
        ["arn"] => arn.map(Balancer::Arn),
        ["name"] => name.map(Balancer::Name),
        ["alias"] => alias,
        ["dnsName"] => dns_name.map(Balancer::DnsName),
        ["addresses"] => addresses.map(Balancer::Addresses),
        [] => field.error(format!("want one of {}; got none", FORMS.join(", ")), "for example {name: shop}"),
        several => {
            let message = format!("want one of {}; got {}", FORMS.join(", "), several.join(" and "));
            field.error(message, "keep one of them: each says where this side is")
        }
    }
}

/// How a bare word was probably meant.
fn suggestion(raw: &str) -> String {
    if raw.starts_with("arn:") {
        format!("{{arn: {}}}", quoted(raw))
    } else if raw.parse::<IpAddr>().is_ok() {
        format!("{{addresses: [{}]}}", quoted(raw))
    } else if raw.contains('.') {
        format!("{{dnsName: {}}}", quoted(raw))
    } else {
        format!("{{name: {}}}", quoted(raw))
    }
}

fn alias(field: &Field<'_>) -> Option<Balancer> {
    let table = field.table()?;
    let dns_name = table
        .require("dnsName", "shop-0123456789abcdef.elb.eu-west-1.amazonaws.com")
        .and_then(|field| text(&field));
    let hosted_zone = table.require("hostedZone", "Z2IFOLAFXWLO4F").and_then(|field| text(&field));
    table
        .moved(&[("zone", "hostedZone"), ("zoneId", "hostedZone"), ("canonicalHostedZoneId", "hostedZone")])
        .finish();
    Some(Balancer::Alias { dns_name: dns_name?, hosted_zone: hosted_zone? })
}

fn addresses(field: &Field<'_>) -> Option<Vec<IpAddr>> {
    let help = "for example 192.0.2.10 or 2001:db8::10; a name goes to `dnsName`";
    let items = field.items()?;
    if items.is_empty() {
        return field.error("is empty: nobody would be reached", "for example [192.0.2.10]");
    }
    let read: Vec<Option<IpAddr>> = items.iter().map(|item| item.address_or(help)).collect();
    read.into_iter().collect()
}
