//! `blue` and `green`: balancers that can be led to, that are two, and that records of one type can name.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::names::{self, BalancerArn};
use super::top;
use crate::inventory::Balancer;
use crate::inventory::check::hosts::unusable;
use crate::inventory::check::{Rules, aws};
use crate::inventory::parse::migration::draft::DraftMigration;
use crate::inventory::parse::path::Path;

fn balancer(side: &str) -> Path {
    top(side).key("balancer")
}

impl Rules<'_, DraftMigration> {
    pub(super) fn sides(&self) {
        for (side, wanted) in self.both() {
            if let Some(wanted) = wanted.and_then(|wanted| wanted.balancer.as_ref()) {
                self.balancer(side, wanted);
            }
        }
        self.two_sides();
    }

    fn balancer(&self, side: &str, wanted: &Balancer) {
        let path = balancer(side);
        match wanted {
            Balancer::Arn(arn) => self.arn(&path.key("arn"), arn),
            Balancer::Name(name) => {
                if let Err((message, help)) = names::balancer(name) {
                    self.error(&path.key("name"), message, help);
                }
            }
            Balancer::Alias { dns_name, hosted_zone } => {
                let path = path.key("alias");
                self.leads_elsewhere(&path.key("dnsName"), dns_name);
                if let Err((message, help)) = names::hosted_zone(hosted_zone) {
                    self.error(&path.key("hostedZone"), message, help);
                }
            }
            Balancer::DnsName(name) => {
                let path = path.key("dnsName");
                self.leads_elsewhere(&path, name);
                if is_of_aws(name) {
                    let message = "this is the name of a load balancer of AWS, and a CNAME leads to it";
                    let help = "write `arn`, `name` or `alias` for an alias, which costs no second question";
                    self.warning(&path, message, help);
                }
            }
            Balancer::Addresses(addresses) => self.side_addresses(&path.key("addresses"), addresses),
        }
    }

    fn arn(&self, path: &Path, arn: &str) {
        let region = self.draft.aws.as_ref().and_then(|aws| aws.region.as_deref());
        match names::balancer_arn(arn) {
            Err((message, help)) => self.error(path, message, help),
            Ok(BalancerArn { region: of, .. }) => {
                if let Some(region) = region.filter(|region| aws::is_region(region) && *region != of) {
                    let message = format!("this balancer is in {of}, and the migration works in {region}");
                    let help = "write `alias: {dnsName: …, hostedZone: …}` of it: its records are made, its targets left alone";
                    self.error(path, message, help);
                }
            }
        }
    }

    /// A name that is none of those which are to lead there.
    fn leads_elsewhere(&self, path: &Path, name: &str) {
        if let Err((message, help)) = names::dns_name(name, "lb.example.net") {
            self.error(path, message, help);
        } else if self.draft.names.iter().flatten().any(|service| service.name == name) {
            let message = format!("{name} is one of `names`, and would lead to itself");
            self.error(path, message, "write the name that the balancer itself has");
        }
    }

    fn side_addresses(&self, list: &Path, addresses: &[IpAddr]) {
        let mut seen = BTreeSet::new();
        for (index, address) in addresses.iter().enumerate() {
            let path = list.index(index);
            match unusable(*address) {
                Some(_) if address.is_loopback() => {
                    let message = format!("{address} is a loopback address: each client would ask itself");
                    self.warning(&path, message, "name an address that clients reach");
                }
                Some(kind) => {
                    let message = format!("{address} is {kind}");
                    self.error(&path, message, "name an address that clients reach");
                }
                None => {}
            }
            if !seen.insert(address) {
                self.error(&path, format!("{address} is given twice"), "remove one of the two");
            }
        }
    }

    fn two_sides(&self) {
        let (Some(blue), Some(green)) = (&self.draft.blue, &self.draft.green) else { return };
        for (key, one, other) in [
            ("kubeconfig", &blue.kubeconfig, &green.kubeconfig),
            ("inventory", &blue.inventory, &green.inventory),
        ] {
            if one.is_some() && one == other && self.root.has(&top("green").key(key)) {
                let message = format!("blue and green have the same {key}");
                self.error(&top("green").key(key), message, "two clusters are wanted: an old and a new one");
            }
        }
        let (Some(blue), Some(green)) = (&blue.balancer, &green.balancer) else { return };
        if let Some(what) = shared(blue, green) {
            let message = format!("blue and green are the same: both are {what}");
            self.error(&balancer("green"), message, "name the balancer of the new cluster");
        } else {
            self.one_type(blue, green);
        }
    }

    /// A name has addresses, or it has another name: weights cannot choose between the two.
    fn one_type(&self, blue: &Balancer, green: &Balancer) {
        match (blue, green) {
            (Balancer::DnsName(_), Balancer::Addresses(_))
            | (Balancer::Addresses(_), Balancer::DnsName(_)) => {
                let message = "one side is a DNS name and the other a list of addresses: a name has a CNAME, or it has A and AAAA, never both";
                let help = "write both as addresses, or give the addresses a name of their own and write that as `dnsName`";
                self.error(&balancer("green"), message, help);
            }
            (Balancer::Addresses(ours), Balancer::Addresses(theirs)) => {
                let shares = |is: fn(&IpAddr) -> bool| ours.iter().any(is) && theirs.iter().any(is);
                if !shares(IpAddr::is_ipv4) && !shares(IpAddr::is_ipv6) {
                    let message =
                        "one side has IPv4 addresses and the other IPv6: they share no type of record";
                    self.error(&balancer("green"), message, "name addresses of one family on both sides");
                }
            }
            (
                Balancer::Arn(_)
                | Balancer::Name(_)
                | Balancer::Alias { .. }
                | Balancer::DnsName(_)
                | Balancer::Addresses(_),
                _,
            ) => {}
        }
    }

    /// Targets can be seen and changed in this account and region only.
    pub(super) fn take_over(&self) {
        let Some(window) = &self.draft.take_over else { return };
        let path = top("takeOver");
        if window.quiet >= window.deadline && !self.context.is_broken("takeOver") {
            let message = "the window ends before it can have been quiet for long enough";
            self.error(&path.key("deadline"), message, "choose a deadline that is longer than `quiet`");
        } else if window.quiet < QUIET_LEAST {
            let message = "new connections are counted by the minute, and known a minute or two late";
            self.warning(&path.key("quiet"), message, "choose at least 3m");
        }
        for (side, wanted) in self.both() {
            let what = match wanted.and_then(|wanted| wanted.balancer.as_ref()) {
                None | Some(Balancer::Arn(_) | Balancer::Name(_)) => continue,
                Some(Balancer::Alias { .. }) => "an alias",
                Some(Balancer::DnsName(_)) => "a DNS name",
                Some(Balancer::Addresses(_)) => "a list of addresses",
            };
            let message = format!("{side}'s balancer is {what}, whose targets cannot be seen or changed");
            let help = format!("name it by `{side}.balancer.arn` or `name`, or leave `takeOver` out");
            self.error(&path, message, help);
        }
    }
}

/// Seconds.
const QUIET_LEAST: u32 = 180;

fn is_of_aws(name: &str) -> bool {
    name.contains(".elb.") && (name.ends_with(".amazonaws.com") || name.ends_with(".amazonaws.com.cn"))
}

/// What two sides have in common that must not.
fn shared(blue: &Balancer, green: &Balancer) -> Option<String> {
    let own_name = |wanted: &Balancer| match wanted {
        Balancer::Arn(arn) => names::balancer_arn(arn).ok().map(|arn| arn.name.to_owned()),
        Balancer::Name(name) => Some(name.clone()),
        Balancer::Alias { .. } | Balancer::DnsName(_) | Balancer::Addresses(_) => None,
    };
    let dns_name = |wanted: &Balancer| match wanted {
        Balancer::Alias { dns_name, .. } | Balancer::DnsName(dns_name) => {
            Some(dns_name.strip_prefix("dualstack.").unwrap_or(dns_name).to_owned())
        }
        Balancer::Arn(_) | Balancer::Name(_) | Balancer::Addresses(_) => None,
    };
    if let (Balancer::Arn(one), Balancer::Arn(other)) = (blue, green) {
        return (one == other).then(|| one.clone());
    }
    if let (Balancer::Addresses(ours), Balancer::Addresses(theirs)) = (blue, green) {
        let theirs: BTreeSet<&IpAddr> = theirs.iter().collect();
        return ours.iter().find(|address| theirs.contains(address)).map(ToString::to_string);
    }
    // The name of a balancer is unique in an account and region.
    own_name(blue)
        .filter(|name| own_name(green).as_ref() == Some(name))
        .or_else(|| dns_name(blue).filter(|name| dns_name(green).as_ref() == Some(name)))
}
