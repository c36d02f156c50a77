//! Deleting versions of launch templates, which moto cannot.

use std::collections::BTreeSet;

use super::super::client::{Answer, Client};
use super::super::xml::{self, Edits};
use super::call::Call;
use super::reply;

/// Templates and versions of them that are deleted.
#[derive(Debug, Default)]
pub struct Versions(BTreeSet<(String, String)>);

impl Versions {
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
            if found.is_none() || is_default || !self.0.insert((template, version)) {
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

    pub fn rewrite(&self, call: &Call, answer: &mut Answer) {
        if call.name() != "EC2.DescribeLaunchTemplateVersions" || answer.status >= 300 {
            return;
        }
        let text = answer.text().to_owned();
        let document = xml::parse(&text);
        let mut edits = Edits::default();
        for item in xml::items(&document, "launchTemplateVersionSet") {
            let version = (xml::text(item, "launchTemplateId"), xml::text(item, "versionNumber"));
            if self.0.contains(&version) {
                edits.remove(item);
            }
        }
        answer.body = edits.apply(&text).into();
    }
}
