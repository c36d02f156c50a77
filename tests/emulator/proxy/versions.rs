//! What moto cannot do with versions of launch templates: delete them, and launch from any but the first when it has
//! user data.

use std::collections::{BTreeMap, BTreeSet};

use super::super::client::{Answer, Client};
use super::super::xml::{self, Edits};
use super::call::Call;
use super::reply;

/// A template and a version of it.
type Version = (String, String);

#[derive(Debug, Default)]
pub struct Versions {
    deleted: BTreeSet<Version>,
    /// Kept here, and from moto.
    user_data: BTreeMap<Version, String>,
}

impl Versions {
    /// Takes the user data out of a call that makes a version.
    pub fn take_out(&self, call: &mut Call) -> Option<String> {
        let is_it = call.name() == "EC2.CreateLaunchTemplateVersion";
        is_it.then(|| call.params.remove("LaunchTemplateData.UserData")).flatten()
    }

    pub async fn answer(&mut self, call: &Call, moto: &Client) -> Option<Answer> {
        if call.name() != "EC2.DeleteLaunchTemplateVersions" {
            return None;
        }
        let named = ["LaunchTemplateId", "LaunchTemplateName"].map(|name| (name, call.param(name)));
        let named: Vec<_> = named.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let known = moto.ec2("DescribeLaunchTemplateVersions", &named).await;
        if known.status >= 300 {
            return Some(known);
        }
        let document = xml::parse(known.text());
        let known = xml::items(&document, "launchTemplateVersionSet");
        let (mut done, mut failed) = (String::new(), String::new());
        for version in call.list("LaunchTemplateVersion") {
            let found = known.iter().find(|item| xml::text(**item, "versionNumber") == version);
            let template = found.map(|item| xml::text(*item, "launchTemplateId")).unwrap_or_default();
            let item = xml::element("launchTemplateId", &template) + &xml::element("versionNumber", &version);
            let is_default = found.is_some_and(|item| xml::text(*item, "defaultVersion") == "true");
            if found.is_none() || is_default || !self.deleted.insert((template, version)) {
                let code = if is_default { "unexpectedError" } else { "launchTemplateVersionDoesNotExist" };
                let error = xml::element("code", code);
                failed += &format!("<item>{item}<responseError>{error}</responseError></item>");
            } else {
                done += &format!("<item>{item}</item>");
            }
        }
        let (good, bad) =
            ("successfullyDeletedLaunchTemplateVersionSet", "unsuccessfullyDeletedLaunchTemplateVersionSet");
        Some(reply::success(call, &format!("<{good}>{done}</{good}><{bad}>{failed}</{bad}>")))
    }

    /// `taken`: the user data that was taken out of the call.
    pub fn rewrite(&mut self, call: &Call, taken: Option<String>, answer: &mut Answer) {
        let shows = call.name() == "EC2.DescribeLaunchTemplateVersions";
        if answer.status >= 300 || !(shows || taken.is_some()) {
            return;
        }
        let text = answer.text().to_owned();
        let document = xml::parse(&text);
        let of = |node| (xml::text(node, "launchTemplateId"), xml::text(node, "versionNumber"));
        let mut edits = Edits::default();
        if let Some(taken) = taken {
            let made = xml::named(&document, "launchTemplateVersion").next();
            self.user_data.extend(made.map(|made| (of(made), taken)));
        }
        for item in xml::items(&document, "launchTemplateVersionSet") {
            if self.deleted.contains(&of(item)) {
                edits.remove(item);
            } else if let (Some(kept), Some(data)) =
                (self.user_data.get(&of(item)), xml::child(item, "launchTemplateData"))
            {
                edits.append(data, &xml::element("userData", kept));
            }
        }
        answer.body = edits.apply(&text).into();
    }
}
