//! `provider: aws`: what does not go with it, where the cluster is, and what its things are called.

mod disks;
mod machines;
mod network;
pub(super) mod syntax;

pub(in crate::inventory) use syntax::is_region;

use std::collections::BTreeSet;

use super::Rules;
use crate::inventory::parse::aws::DraftAws;
use crate::inventory::parse::path::Path;
use crate::inventory::parse::scalar::quoted;
use crate::inventory::{EtcdPlacement, NetworkPlugin, Zones};

/// The name of a balancer or a target group has 32 characters, 12 of which say what it is for.
const CLUSTER_NAME_LIMIT: usize = 20;
/// Zones that machines are spread over; no region has more.
const ZONE_LIMIT: usize = 6;
/// A resource has at most 50 tags, 10 of which are keelwright's.
const TAG_LIMIT: usize = 40;
const TAG_KEY_LIMIT: usize = 128;
const TAG_VALUE_LIMIT: usize = 256;

/// Fields that say what `aws` says, or what is found out when machines have been made: why, and what to do.
const REFUSED: &[(&[&str], &str, &str)] = &[
    (
        &["hosts"],
        "machines are made in AWS, so none are named here",
        "remove it: aws.controlPlanes and aws.workerGroups describe the machines; or remove `provider` and `aws`",
    ),
    (
        &["endpoint"],
        "the API is found at the balancer that is made in AWS",
        "remove it; aws.api.record gives the balancer a name of your own",
    ),
    (
        &["bastions"],
        "the bastion is made in AWS",
        "remove it: aws.bastion describes the machine; for one of your own write `bastion: false` there, and ssh.bastion",
    ),
    (
        &["ssh", "user"],
        "the user of a machine is its image's",
        "remove it; aws.controlPlanes.user and aws.bastion.user name the user of an image of your own",
    ),
    (
        &["etcd", "allowEvenMembers"],
        "in AWS aws.controlPlanes.count says how many members there are, and it is odd",
        "remove it",
    ),
    (&["ssh", "port"], "machines in AWS are reached at port 22", "remove it"),
    (
        &["ssh", "hostKeys"],
        "machines that are yet to be made have no host keys",
        "remove it; ssh.hostCAs trusts an authority that your images' keys are signed by",
    ),
];

fn aws() -> Path {
    Path::root().key("aws")
}

impl Rules<'_> {
    /// `aws` without the line that says to use it.
    pub(super) fn provider(&self) {
        if self.root.has(&aws()) && !self.root.has(&Path::root().key("provider")) {
            let message = "`aws` is given, and `provider: aws` is missing";
            self.error(&aws(), message, "add the line `provider: aws`, or remove `aws`");
        }
    }

    pub(super) fn aws(&self) {
        self.refused();
        self.stacked_etcd();
        self.cluster_name();
        self.plugin_of_groups();
        self.one_family();
        let Some(wanted) = &self.draft.aws else { return };
        self.region(wanted);
        self.zones(wanted);
        self.role(wanted);
        self.vpc(wanted);
        self.access(wanted);
        self.balancers(wanted);
        self.machines(wanted);
        self.tags(wanted);
    }

    fn refused(&self) {
        for (keys, message, help) in REFUSED {
            let path = keys.iter().fold(Path::root(), |path, key| path.key(key));
            if self.root.has(&path) {
                self.error(&path, *message, *help);
            }
        }
        let own = Path::root().key("ssh").key("bastion");
        let made = self.draft.aws.as_ref().is_some_and(|wanted| wanted.bastion.is_some());
        if made && self.root.has(&own) {
            let message = "the bastion is made in AWS";
            self.error(&own, message, "remove it, or write `bastion: false` below `aws` to go over your own");
        }
    }

    fn stacked_etcd(&self) {
        let path = Path::root().key("etcd").key("placement");
        if self.draft.etcd.placement == EtcdPlacement::Dedicated {
            let message =
                "etcd has no machines of its own in AWS: each control plane has a member and a volume for it";
            self.error(&path, message, "remove it; aws.controlPlanes.etcdVolume describes the volume");
        }
    }

    fn cluster_name(&self) {
        let Some(name) = &self.draft.name else { return };
        let length = name.as_str().len();
        if length > CLUSTER_NAME_LIMIT {
            let message = format!(
                "{} has {length} characters; in AWS at most {CLUSTER_NAME_LIMIT} are allowed",
                quoted(name.as_str())
            );
            let help = "names of balancers have at most 32 characters, the cluster's among them: choose a shorter one";
            self.error(&Path::root().key("metadata").key("name"), message, help);
        }
    }

    /// Routes between hosts are planned before the hosts are there.
    fn plugin_of_groups(&self) {
        let path = Path::root().key("network").key("plugin");
        if !matches!(self.draft.plugin, NetworkPlugin::Routes { .. }) || self.context.is_broken("network") {
            return;
        }
        let message = "plugin routes needs a range planned for each host, and workers of auto scaling groups come by themselves";
        self.error(&path, message, "leave `plugin` out for Calico, or choose another one");
    }

    /// A machine has the addresses that its subnet gives it.
    fn one_family(&self) {
        let network = Path::root().key("network");
        for (key, ranges) in [("podCidrs", self.draft.pods()), ("serviceCidrs", self.draft.services())] {
            let path = network.key(key);
            if self.context.is_broken(&path.to_string()) {
                continue;
            }
            if let Some((index, range)) = ranges.iter().enumerate().find(|(_, range)| range.addr().is_ipv6())
            {
                let message = format!("{range} is IPv6, and machines in AWS have IPv4 addresses");
                self.error(&path.index(index), message, "keep the IPv4 range alone");
            }
        }
    }

    fn region(&self, wanted: &DraftAws) {
        let Some(region) = &wanted.region else { return };
        if syntax::is_region(region) {
            return;
        }
        let help = match region.strip_suffix(|c: char| c.is_ascii_lowercase()) {
            Some(region) if syntax::is_region(region) => format!("write {region}; zones go to `zones`"),
            Some(_) | None => "for example eu-central-1".to_owned(),
        };
        self.error(&aws().key("region"), format!("{} is not the name of a region", quoted(region)), help);
    }

    fn zones(&self, wanted: &DraftAws) {
        let Some(zones) = &wanted.zones else { return };
        let path = aws().key("zones");
        let count = match zones {
            Zones::Count(count) => usize::from(*count),
            Zones::Names(names) => {
                if self.context.is_broken("aws.zones") {
                    return;
                }
                if names.len() > ZONE_LIMIT {
                    let message = format!("{} zones; at most {ZONE_LIMIT} are allowed", names.len());
                    self.error(&path, message, "3 are enough for any one of them to fail");
                }
                self.zone_names(&path, wanted.region.as_deref(), names);
                names.len()
            }
        };
        let control_planes = wanted.control_planes.count;
        if count == 1 && control_planes >= 3 {
            let message = format!("{control_planes} control planes in one zone: all are gone when it fails");
            self.warning(&path, message, "use 3 zones, or one control plane");
        }
    }

    /// Names that are zones of the region, each once.
    fn zone_names(&self, list: &Path, region: Option<&str>, names: &[String]) {
        let region = region.filter(|region| syntax::is_region(region));
        let mut seen = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            let path = list.index(index);
            let example = format!("for example {}a", region.unwrap_or("eu-central-1"));
            if !syntax::is_zone(name) {
                self.error(&path, format!("{} is not the name of a zone", quoted(name)), example);
            } else if let Some(region) = region.filter(|region| !syntax::is_zone_of(name, region)) {
                self.error(&path, format!("{} is not a zone of {region}", quoted(name)), example);
            } else if !seen.insert(name) {
                self.error(&path, format!("{} is given twice", quoted(name)), "remove one of the two");
            }
        }
    }

    fn role(&self, wanted: &DraftAws) {
        let Some(role) = &wanted.assume_role else { return };
        if !syntax::is_role(role) {
            let message = format!("{} is not the ARN of an IAM role", quoted(role));
            self.error(
                &aws().key("assumeRole"),
                message,
                "for example arn:aws:iam::123456789012:role/keelwright",
            );
        }
    }

    fn tags(&self, wanted: &DraftAws) {
        let list = aws().key("tags");
        if wanted.tags.len() > TAG_LIMIT {
            let message = format!(
                "{} tags; at most {TAG_LIMIT} are allowed beside keelwright's own",
                wanted.tags.len()
            );
            self.error(&list, message, "a resource in AWS has at most 50 tags");
        }
        for (key, value) in &wanted.tags {
            let path = list.key(key);
            if let Err(reason) = syntax::tag(key, 1, TAG_KEY_LIMIT) {
                self.error(
                    &path,
                    format!("{} is not the key of a tag: {reason}", quoted(key)),
                    "for example team",
                );
            } else if let Some(owner) = owner_of_tag(key) {
                self.error(&path, format!("tag {} is {owner}", quoted(key)), "choose another key");
            }
            if let Err(reason) = syntax::tag(value, 0, TAG_VALUE_LIMIT) {
                let message = format!("{} is not the value of a tag: {reason}", quoted(value));
                self.error(&path, message, "for example platform");
            }
        }
    }
}

/// Whose a tag is that an inventory cannot set; None: anybody's.
fn owner_of_tag(key: &str) -> Option<&'static str> {
    if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
        Some("of AWS itself")
    } else if key == "Name" || key.starts_with(super::hosts::OWN_PREFIX) {
        Some("keelwright's own")
    } else if key.starts_with("kubernetes.io/cluster/") {
        Some("keelwright's: it says which cluster a thing belongs to")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
