//! What Route 53 and balancers of AWS take for a name, a zone and an ARN.

use crate::inventory::check::aws::syntax;
use crate::inventory::check::syntax::dns_subdomain;
use crate::inventory::parse::scalar::quoted;

/// What is wrong, and how to mend it.
type Wrong = (String, String);

/// A name of the Internet that has a zone above it.
pub(super) fn dns_name(text: &str, example: &str) -> Result<(), Wrong> {
    if let Some(name) = text.strip_suffix('.') {
        return Err((format!("{} ends with a dot", quoted(text)), format!("write {}", quoted(name))));
    }
    let lower = text.to_lowercase();
    if let Err(reason) = dns_subdomain(text) {
        let help = match lower != text && dns_subdomain(&lower).is_ok() {
            true => format!("write {lower}"),
            false => format!("for example {example}"),
        };
        return Err((format!("{} is not a DNS name: {reason}", quoted(text)), help));
    }
    if text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err((
            format!("{} is an address, not a name", quoted(text)),
            format!("for example {example}"),
        ));
    }
    if !text.contains('.') {
        let message = format!("{} has no dot: it is in no zone", quoted(text));
        return Err((message, format!("write the whole name, such as {example}")));
    }
    Ok(())
}

/// A name that both sides serve.
pub(super) fn service(text: &str) -> Result<(), Wrong> {
    if is_zone_id(text) {
        let message = format!("{} looks like the id of a hosted zone, not like a name", quoted(text));
        return Err((message, "the zone goes to `hostedZone`".to_owned()));
    }
    if text.starts_with("*.") {
        let message = format!("{} stands for many names, and a migration has to ask for each", quoted(text));
        return Err((message, "name those that clients use, such as shop.example.org".to_owned()));
    }
    dns_name(text, "shop.example.org")
}

pub(super) fn hosted_zone(text: &str) -> Result<(), Wrong> {
    if syntax::is_hosted_zone(text) {
        return Ok(());
    }
    let message = format!("{} is not the id of a hosted zone", quoted(text));
    let help = match text.trim_start_matches('/').strip_prefix("hostedzone/") {
        Some(id) if syntax::is_hosted_zone(id) => format!("write {id}"),
        Some(_) | None if text.contains('.') => {
            "write its id, not its name: `aws route53 list-hosted-zones` shows both".to_owned()
        }
        Some(_) | None => "capital letters and digits, such as Z0123456789ABC".to_owned(),
    };
    Err((message, help))
}

/// Those that Route 53 makes now begin so.
fn is_zone_id(text: &str) -> bool {
    text.starts_with('Z') && syntax::is_hosted_zone(text)
}

/// The name of a network or an application load balancer.
pub(super) fn balancer(text: &str) -> Result<(), Wrong> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let has_edges = text.starts_with('-') || text.ends_with('-');
    if (1..=32).contains(&text.len()) && text.chars().all(is_fine) && !has_edges {
        return Ok(());
    }
    let message = format!("{} is not the name of a load balancer", quoted(text));
    Err((message, "1 to 32 letters, digits and `-`, which is neither first nor last".to_owned()))
}

/// Where the balancer of an ARN is, and what it is called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BalancerArn<'a> {
    pub region: &'a str,
    pub name: &'a str,
}

/// `arn:PARTITION:elasticloadbalancing:REGION:ACCOUNT:loadbalancer/KIND/NAME/ID`
pub(super) fn balancer_arn(text: &str) -> Result<BalancerArn<'_>, Wrong> {
    let example =
        "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/shop/0123456789abcdef";
    let wrong = |what: &str, help: &str| Err((format!("{} {what}", quoted(text)), help.to_owned()));
    let other = || wrong("is not the ARN of a load balancer", &format!("for example {example}"));
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, service, region, account, resource] = parts.as_slice() else { return other() };
    if !syntax::is_partition(partition) || !syntax::is_region(region) || !syntax::is_account(account) {
        return other();
    }
    if *service != "elasticloadbalancing" {
        return wrong(
            &format!("is an ARN of {}, not of a load balancer", quoted(service)),
            &format!("for example {example}"),
        );
    }
    let parts: Vec<&str> = resource.split('/').collect();
    match parts.as_slice() {
        ["targetgroup", ..] => {
            wrong("is the ARN of a target group", "name the load balancer that it is behind")
        }
        ["listener" | "listener-rule", ..] => {
            wrong("is the ARN of a listener", "name the load balancer that it belongs to")
        }
        ["loadbalancer", "gwy", ..] => {
            wrong("is the ARN of a gateway load balancer, which serves no clients", "name what is behind it")
        }
        ["loadbalancer", _] => wrong(
            "is the ARN of a classic load balancer, whose targets keelwright does not change",
            "write `alias: {dnsName: …, hostedZone: …}` of it",
        ),
        ["loadbalancer", "net" | "app", name, id] if balancer(name).is_ok() && is_balancer_id(id) => {
            Ok(BalancerArn { region, name })
        }
        _ => other(),
    }
}

fn is_balancer_id(text: &str) -> bool {
    syntax::is_made_of(text, |c| c.is_ascii_digit() || c.is_ascii_lowercase())
}
