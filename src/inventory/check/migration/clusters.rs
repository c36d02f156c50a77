//! `make`, `copy` and `teardown`: that each is about the cluster it is meant for, and what EKS, kops and Kubernetes take.

use std::collections::BTreeSet;

use super::top;
use crate::inventory::check::aws::syntax;
use crate::inventory::check::syntax::{dns_subdomain, qualified_name};
use crate::inventory::check::{Rules, syntax::Reason};
use crate::inventory::parse::migration::draft::DraftMigration;
use crate::inventory::parse::path::Path;
use crate::inventory::parse::scalar::quoted;
use crate::inventory::{Eks, MakeGreen, TeardownBy};

const SELECTOR_LIMIT: usize = 1024;
const EKS_NAME_LIMIT: usize = 100;

impl Rules<'_, DraftMigration> {
    pub(super) fn teardown(&self) {
        let path = top("teardown");
        match &self.draft.teardown.by {
            None | Some(TeardownBy::Terraform { .. }) => {}
            Some(TeardownBy::Kops { cluster, state }) => {
                if let Err(reason) = dns_subdomain(cluster) {
                    let message =
                        format!("{} is not the name of a cluster of kops: {reason}", quoted(cluster));
                    self.error(&path.key("kops").key("cluster"), message, "for example old.example.org");
                }
                if !is_state_store(state) {
                    let message = format!("{} is not a state store of kops", quoted(state));
                    self.error(&path.key("kops").key("state"), message, "for example s3://acme-kops");
                }
            }
            Some(TeardownBy::Reset { inventory }) => {
                let path = path.key("reset");
                let blue = self.draft.blue.as_ref().and_then(|blue| blue.inventory.as_ref());
                let green = self.draft.green.as_ref().and_then(|green| green.inventory.as_ref());
                let made = match &self.draft.make {
                    Some(MakeGreen::Inventory { inventory }) => Some(inventory),
                    Some(MakeGreen::Eks(_)) | None => None,
                };
                if green == Some(inventory) || made == Some(inventory) {
                    let message = format!("{inventory} is the inventory of green, the new cluster");
                    self.error(&path, message, "name the old cluster's inventory");
                } else if blue.is_some_and(|blue| blue != inventory) {
                    let message = format!("{inventory} is not blue's inventory");
                    self.error(&path.key("inventory"), message, "leave it out for blue's own");
                }
            }
        }
    }

    pub(super) fn make(&self) {
        let path = top("make");
        match &self.draft.make {
            None => {}
            Some(MakeGreen::Inventory { inventory }) => {
                let green = self.draft.green.as_ref().and_then(|green| green.inventory.as_ref());
                let blue = self.draft.blue.as_ref().and_then(|blue| blue.inventory.as_ref());
                if green.is_some_and(|green| green != inventory) {
                    let message = format!("{inventory} is not green's inventory");
                    let help =
                        "what is made is green: write the same in both, or leave `green.inventory` out";
                    self.error(&path.key("inventory"), message, help);
                } else if blue == Some(inventory) {
                    let message = format!("{inventory} is the inventory of blue, the old cluster");
                    self.error(&path.key("inventory"), message, "name the new cluster's inventory");
                }
            }
            Some(MakeGreen::Eks(eks)) => self.eks(&path.key("eks"), eks),
        }
    }

    fn eks(&self, path: &Path, eks: &Eks) {
        let is_fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let begins = eks.cluster.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || eks.cluster.len() > EKS_NAME_LIMIT || !eks.cluster.chars().all(is_fine) {
            let message = format!("{} is not the name of a cluster of EKS", quoted(&eks.cluster));
            let help = "at most 100 letters, digits, `-` and `_`; the first is a letter or a digit";
            self.error(&path.key("cluster"), message, help);
        }
        let minor = eks.version.strip_prefix("1.").filter(|minor| (1..=3).contains(&minor.len()));
        if !minor.is_some_and(|minor| minor.bytes().all(|b| b.is_ascii_digit())) {
            let message = format!("{} is not a version of EKS", quoted(&eks.version));
            self.error(&path.key("version"), message, "write the minor in quotes: \"1.34\"");
        }
        for (key, role) in [("role", &eks.role), ("nodeRole", &eks.node_role)] {
            if !syntax::is_role(role) {
                let message = format!("{} is not the ARN of an IAM role", quoted(role));
                self.error(&path.key(key), message, "for example arn:aws:iam::123456789012:role/eks-node");
            }
        }
        self.subnets_of_eks(&path.key("subnets"), &eks.subnets);
        let types = path.key("instanceTypes");
        if eks.instance_types.is_empty() && !self.context.is_broken(&types.to_string()) {
            self.error(&types, "is empty", "leave it out for m6i.large");
        }
        for (index, name) in eks.instance_types.iter().enumerate() {
            if !syntax::is_instance_type(name) && !self.context.is_broken(&types.to_string()) {
                let message = format!("{} is not an instance type", quoted(name));
                self.error(&types.index(index), message, "for example m6i.large");
            }
        }
        if eks.max == 0 {
            self.error(&path.key("max"), "a cluster without nodes serves nobody", "choose 1 or more");
        } else if eks.min > eks.max {
            let message = format!("min is {} and max {}", eks.min, eks.max);
            self.error(&path.key("max"), message, "choose a max that is not less than min");
        } else if !(eks.min..=eks.max).contains(&eks.desired) {
            let message = format!("{} is not between min ({}) and max ({})", eks.desired, eks.min, eks.max);
            self.error(&path.key("desired"), message, "leave it out for min");
        }
    }

    fn subnets_of_eks(&self, list: &Path, subnets: &[String]) {
        if self.context.is_broken(&list.to_string()) {
            return;
        }
        if subnets.len() < 2 {
            let message = format!("{} subnets; EKS needs two or more, in different zones", subnets.len());
            self.error(list, message, "for example [subnet-0123456789abcdef0, subnet-0123456789abcdef1]");
        }
        let mut seen = BTreeSet::new();
        for (index, subnet) in subnets.iter().enumerate() {
            if !syntax::is_id(subnet, "subnet-") {
                let message = format!("{} is not the id of a subnet", quoted(subnet));
                self.error(&list.index(index), message, "for example subnet-0123456789abcdef0");
            } else if !seen.insert(subnet) {
                self.error(&list.index(index), format!("{subnet} is given twice"), "remove one of the two");
            }
        }
    }

    pub(super) fn copy(&self) {
        let Some(copy) = &self.draft.copy else { return };
        let path = top("copy");
        for (side, wanted) in self.both() {
            if wanted.is_some_and(|wanted| !wanted.has_cluster()) {
                let message = format!("{side} has neither a kubeconfig nor an inventory to copy with");
                let help = format!("add `{side}.kubeconfig` or `{side}.inventory`");
                self.error(&path, message, help);
            }
        }
        for (key, patterns, help) in [
            ("namespaces", &copy.namespaces, "for example shop or team-*"),
            ("except", &copy.except, "for example kube-* or monitoring"),
        ] {
            self.words(
                &path.key(key),
                patterns,
                "the name of a namespace, with `*` for anything",
                help,
                |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '*',
            );
        }
        let help = "for example Job, or certificates.cert-manager.io";
        self.words(&path.key("withoutKinds"), &copy.without_kinds, "a kind of object", help, |c| {
            c.is_ascii_alphanumeric() || c == '-' || c == '.'
        });
        if let Some(selector) = &copy.selector
            && let Err(reason) = label_selector(selector)
        {
            let message = format!("{} is not a label selector: {reason}", quoted(selector));
            self.error(&path.key("selector"), message, "for example app=shop,tier!=cache");
        }
        for (from, to) in &copy.storage_classes {
            for name in [from, to] {
                if let Err(reason) = dns_subdomain(name) {
                    let message = format!("{} is not the name of a StorageClass: {reason}", quoted(name));
                    self.error(&path.key("storageClasses").key(from), message, "for example gp2: gp3");
                    break;
                }
            }
        }
    }

    /// Words of certain characters, each once.
    fn words(&self, list: &Path, words: &[String], what: &str, help: &str, is_fine: impl Fn(char) -> bool) {
        if self.context.is_broken(&list.to_string()) {
            return;
        }
        let mut seen = BTreeSet::new();
        for (index, word) in words.iter().enumerate() {
            let path = list.index(index);
            if word.len() > 253 || !syntax::is_made_of(word, &is_fine) {
                self.error(&path, format!("{} is not {what}", quoted(word)), help);
            } else if !seen.insert(word) {
                self.error(&path, format!("{} is given twice", quoted(word)), "remove one of the two");
            }
        }
    }
}

/// `s3://bucket/prefix`, and what else kops keeps its state in.
fn is_state_store(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    syntax::is_made_of(scheme, |c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && syntax::is_made_of(rest, |c| c.is_ascii_alphanumeric() || "._-/".contains(c))
        && !rest.starts_with(['-', '.'])
}

/// `key=value`, `key!=value`, `key in (a, b)`, `key notin (a)`, `key`, `!key`, by commas.
fn label_selector(text: &str) -> Result<(), Reason> {
    if text.len() > SELECTOR_LIMIT {
        return Err(format!("has {} characters; at most {SELECTOR_LIMIT} are allowed", text.len()));
    }
    for requirement in requirements(text)? {
        let requirement = requirement.trim();
        let (key, values) = if let Some((left, set)) = requirement.split_once('(') {
            let set = set.strip_suffix(')').ok_or("a `(` has no `)`")?;
            let key = left.trim_end().strip_suffix(" notin").or_else(|| left.trim_end().strip_suffix(" in"));
            let key = key.ok_or_else(|| format!("{} is neither `in` nor `notin`", quoted(left.trim())))?;
            (key, set.split(',').map(str::trim).collect())
        } else if let Some((key, value)) = requirement.split_once("!=") {
            (key, vec![value.trim()])
        } else if let Some((key, value)) = requirement.split_once('=') {
            (key, vec![value.strip_prefix('=').unwrap_or(value).trim()])
        } else {
            (requirement.strip_prefix('!').unwrap_or(requirement), Vec::new())
        };
        qualified_name(key.trim())?;
        for value in values {
            crate::inventory::check::syntax::label_value(value)?;
        }
    }
    Ok(())
}

/// By the commas that are in no brackets.
fn requirements(text: &str) -> Result<Vec<&str>, Reason> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0_u32, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or("a `)` has no `(`")?,
            ',' if depth == 0 => {
                parts.push(text.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(from..).unwrap_or_default());
    Ok(parts)
}
