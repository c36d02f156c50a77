//! `kind: Migration`: names in zones, shares that grow, and what the account is worked in as.

mod clusters;
mod gates;
mod names;
mod probes;
mod sides;

use std::collections::{BTreeMap, BTreeSet};

use super::Rules;
use super::aws::syntax;
use super::hosts::unusable;
use crate::inventory::parse::context::Context;
use crate::inventory::parse::migration::draft::{DraftMigration, DraftSide};
use crate::inventory::parse::path::Path;
use crate::inventory::parse::scalar::quoted;
use crate::inventory::parse::tree::Node;

/// Reports every rule that the draft breaks.
pub(crate) fn check_migration(draft: &DraftMigration, root: &Node, context: &Context<'_>) {
    let rules = Rules { draft, root, context };
    rules.account();
    rules.service_names();
    rules.sides();
    rules.resolvers();
    rules.probes();
    rules.schedule();
    rules.gates();
    rules.take_over();
    rules.make();
    rules.copy();
    rules.teardown();
}

fn top(key: &str) -> Path {
    Path::root().key(key)
}

impl Rules<'_, DraftMigration> {
    /// Both sides, by their keys.
    fn both(&self) -> [(&'static str, Option<&DraftSide>); 2] {
        [("blue", self.draft.blue.as_ref()), ("green", self.draft.green.as_ref())]
    }

    /// A list that is there, can be read and is empty.
    fn is_empty_list(&self, key: &str, length: usize) -> bool {
        length == 0 && self.root.has(&top(key)) && !self.context.is_broken(key)
    }

    fn account(&self) {
        let Some(account) = &self.draft.aws else { return };
        if let Some(region) = account.region.as_ref().filter(|region| !syntax::is_region(region)) {
            let help = match region.strip_suffix(|c: char| c.is_ascii_lowercase()) {
                Some(region) if syntax::is_region(region) => format!("write {region}, without its zone"),
                Some(_) | None => "for example eu-central-1".to_owned(),
            };
            let message = format!("{} is not the name of a region", quoted(region));
            self.error(&top("aws").key("region"), message, help);
        }
        if let Some(role) = account.assume_role.as_ref().filter(|role| !syntax::is_role(role)) {
            let message = format!("{} is not the ARN of an IAM role", quoted(role));
            let help = "for example arn:aws:iam::123456789012:role/keelwright";
            self.error(&top("aws").key("assumeRole"), message, help);
        }
    }

    fn service_names(&self) {
        if self.is_empty_list("names", self.draft.names.len()) {
            let message = "no names; need at least one that clients use";
            let help = "add `- {name: shop.example.org, hostedZone: Z0123456789ABC}`";
            self.error(&top("names"), message, help);
        }
        let mut first: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (index, service) in self.draft.names.iter().enumerate() {
            let Some(service) = service else { continue };
            let path = top("names").index(index);
            if let Err((message, help)) = names::service(&service.name) {
                self.error(&path.key("name"), message, help);
            }
            if let Err((message, help)) = names::hosted_zone(&service.hosted_zone) {
                self.error(&path.key("hostedZone"), message, help);
            }
            if let Some(earlier) = first.insert((&service.name, &service.hosted_zone), index) {
                let other = top("names").index(earlier).key("name");
                let lines = self.lines(&other, &path.key("name"));
                let message = format!("{} is named twice in one zone ({lines})", quoted(&service.name));
                self.error(&path.key("name"), message, "remove one of the two");
            }
        }
    }

    fn resolvers(&self) {
        let mut seen = BTreeSet::new();
        for (index, resolver) in self.draft.resolvers.iter().enumerate() {
            let Some(resolver) = resolver else { continue };
            let path = top("resolvers").index(index);
            // One on the operator's own machine is as good as any.
            let kind = unusable(resolver.ip()).filter(|_| !resolver.ip().is_loopback());
            if let Some(kind) = kind {
                let message = format!("{} is {kind}", resolver.ip());
                self.error(&path, message, "name a resolver that clients use, such as 192.0.2.53");
            }
            if !seen.insert(resolver) {
                self.error(&path, format!("{resolver} is given twice"), "remove one of the two");
            }
        }
    }

    /// Green's share grows until it is all there is.
    fn schedule(&self) {
        let list = top("schedule");
        if self.is_empty_list("schedule", self.draft.schedule.len()) {
            self.error(&list, "no moves; the last has to be 100%", "leave `schedule` out for the default");
        }
        let mut before = 0;
        for (index, wanted) in self.draft.schedule.iter().enumerate() {
            let Some(wanted) = wanted else { continue };
            let path = list.index(index).key("green");
            if wanted.green == 0 {
                self.error(&path, "0% is what green has before the first move", "begin with 1% or more");
            } else if wanted.green <= before {
                let message = format!("{}% is not more than the {before}% before it", wanted.green);
                self.error(&path, message, "green's share grows from move to move");
            }
            before = before.max(wanted.green);
        }
        let last = self.draft.schedule.last().copied().flatten();
        if let Some(last) = last.filter(|last| last.green != 100 && !self.context.is_broken("schedule")) {
            let index = self.draft.schedule.len().saturating_sub(1);
            let message = format!("the last move leaves green with {}%", last.green);
            let help = "add `- {green: 100%, soak: 30m}`: a migration ends with all of it";
            self.error(&list.index(index).key("green"), message, help);
        }
    }
}

#[cfg(test)]
mod tests;
