//! What moto forgets of the launch of an instance: its template's profile, its maintenance options, its console.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::super::client::{Answer, Client};
use super::super::xml::{self, Edits};
use super::call::Call;
use super::reply;

/// What an instance says on its console; None: nothing yet.
pub type Console = Box<dyn FnMut(&str) -> Option<String> + Send>;

/// What a launch template says and moto does not heed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Template {
    /// Its instance profile, as a name or an ARN.
    pub profile: Option<(&'static str, String)>,
    recovery: Option<String>,
}

/// The instances that do not recover as by default.
#[derive(Debug, Default)]
pub struct Launches(BTreeMap<String, String>);

impl Launches {
    /// Gives a launch the instance profile of its template.
    pub fn fill_in(&self, call: &mut Call, template: &Template) {
        let own = call.params.keys().any(|name| name.starts_with("IamInstanceProfile."));
        if call.name() != "EC2.RunInstances" || own {
            return;
        }
        if let Some((kind, value)) = &template.profile {
            call.params.insert(format!("IamInstanceProfile.{kind}"), value.clone());
        }
    }

    /// What moto does not implement.
    pub async fn answer(&mut self, call: &Call, moto: &Client) -> Option<Answer> {
        if call.name() != "EC2.ModifyInstanceMaintenanceOptions" {
            return None;
        }
        let id = call.param("InstanceId");
        let there = moto.ec2("DescribeInstances", &[("InstanceId.1", id)]).await;
        if there.status >= 300 {
            return Some(there);
        }
        let recovery = call.param("AutoRecovery");
        self.0.insert(id.to_owned(), recovery.to_owned());
        let inner = xml::element("instanceId", id) + &xml::element("autoRecovery", recovery);
        Some(reply::success(call, &inner))
    }

    pub fn rewrite(&mut self, call: &Call, template: &Template, console: &mut Console, answer: &mut Answer) {
        match call.name().as_str() {
            "EC2.RunInstances" if answer.error().as_deref() == Some("NoSuchEntity") => {
                let message = "Value for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name";
                *answer = reply::refusal(call, 400, "InvalidParameterValue", message);
            }
            "EC2.RunInstances" if answer.status < 300 => {
                let own = call.params.get("MaintenanceOptions.AutoRecovery");
                if let Some(recovery) = own.or(template.recovery.as_ref()) {
                    let ids = answer.all("instanceId").into_iter();
                    self.0.extend(ids.map(|id| (id, recovery.clone())));
                }
                self.show_recovery(answer);
            }
            "EC2.DescribeInstances" if answer.status < 300 => self.show_recovery(answer),
            "EC2.GetConsoleOutput" if answer.status < 300 => {
                let said = console(call.param("InstanceId")).unwrap_or_default();
                let text = answer.text().to_owned();
                let document = xml::parse(&text);
                let mut edits = Edits::default();
                let output = xml::named(&document, "output").next();
                output.into_iter().for_each(|node| edits.set(node, &BASE64_STANDARD.encode(&said)));
                answer.body = edits.apply(&text).into();
            }
            _ => {}
        }
    }

    fn show_recovery(&self, answer: &mut Answer) {
        let text = answer.text().to_owned();
        let document = xml::parse(&text);
        let mut edits = Edits::default();
        for set in xml::named(&document, "instancesSet") {
            for instance in set.children().filter(roxmltree::Node::is_element) {
                let recovery =
                    self.0.get(&xml::text(instance, "instanceId")).map_or("default", String::as_str);
                let options = xml::element("autoRecovery", recovery);
                edits.append(instance, &format!("<maintenanceOptions>{options}</maintenanceOptions>"));
            }
        }
        answer.body = edits.apply(&text).into();
    }
}

/// The launch template that a call names, if it is one that launches instances.
pub async fn template(call: &Call, moto: &Client) -> Template {
    let prefix = match call.name().as_str() {
        "EC2.RunInstances" | "AutoScaling.CreateAutoScalingGroup" | "AutoScaling.UpdateAutoScalingGroup" => {
            let mixed = "MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification";
            if call.params.keys().any(|name| name.starts_with(mixed)) { mixed } else { "LaunchTemplate" }
        }
        _ => return Template::default(),
    };
    let param = |name| call.param(&format!("{prefix}.{name}"));
    let named = [
        ("LaunchTemplateId", param("LaunchTemplateId")),
        ("LaunchTemplateName", param("LaunchTemplateName")),
    ];
    let Some(named) = named.into_iter().find(|(_, value)| !value.is_empty()) else {
        return Template::default();
    };
    let version = if param("Version").is_empty() { "$Default" } else { param("Version") };
    let versions =
        moto.ec2("DescribeLaunchTemplateVersions", &[named, ("LaunchTemplateVersion.1", version)]).await;
    if versions.status < 300 { of_versions(versions.text()) } else { Template::default() }
}

fn of_versions(text: &str) -> Template {
    let document = xml::parse(text);
    let Some(data) = xml::named(&document, "launchTemplateData").next() else { return Template::default() };
    let present = |path| Some(xml::text(data, path)).filter(|text| !text.is_empty());
    let name = present("iamInstanceProfile/name").map(|name| ("Name", name));
    let arn = present("iamInstanceProfile/arn").map(|arn| ("Arn", arn));
    Template { profile: name.or(arn), recovery: present("maintenanceOptions/autoRecovery") }
}
