//! Names of Route 53: what there is, and changes that are made only where it is still there.

use aws_sdk_route53::operation::change_resource_record_sets::{
    ChangeResourceRecordSetsError, ChangeResourceRecordSetsOutput,
};
use aws_sdk_route53::types::error::InvalidChangeBatch;
use aws_sdk_route53::types::{ChangeStatus, ResourceRecordSet, RrType};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::MigrationAws;
use super::error::Told as _;
use super::names::{canonical, without_dot};
use super::records;
use crate::migrate::ports::{Call, CallError, ChangeId, Dns, Zone};
use crate::migrate::record::{Batch, RecordSet};

const CHANGE: &str = "route53:ChangeResourceRecordSets";

impl Dns for MigrationAws {
    fn zone<'a>(&'a self, id: &'a str) -> Call<'a, Option<Zone>> {
        Box::pin(async move {
            let answer = self.route53.get_hosted_zone().id(id).send().await;
            let Some(answer) = answer.told_if_there("route53:GetHostedZone")? else { return Ok(None) };
            let servers = answer.delegation_set().map(|set| set.name_servers()).unwrap_or_default();
            Ok(answer.hosted_zone().map(|zone| Zone {
                name: without_dot(&canonical(zone.name())),
                is_private: zone.config().is_some_and(|config| config.private_zone()),
                name_servers: servers.iter().map(|server| without_dot(server)).collect(),
            }))
        })
    }

    fn records<'a>(&'a self, zone: &'a str, name: &'a str) -> Call<'a, Vec<RecordSet>> {
        Box::pin(async move {
            let sets = self.record_sets(zone, &canonical(name)).await?;
            Ok(sets.iter().filter_map(records::read).collect())
        })
    }

    fn change<'a>(&'a self, zone: &'a str, batch: &'a Batch) -> Call<'a, ChangeId> {
        Box::pin(async move {
            let batch = records::batch(batch)
                .map_err(|error| CallError::Refused(format!("{CHANGE} of {zone}: {error}")))?;
            let request = self.route53.change_resource_record_sets().hosted_zone_id(zone);
            changed(request.change_batch(batch).send().await)
        })
    }

    fn is_everywhere<'a>(&'a self, change: &'a ChangeId) -> Call<'a, bool> {
        Box::pin(async move {
            let answer = self.route53.get_change().id(&change.0).send().await.told("route53:GetChange")?;
            Ok(answer.change_info().is_some_and(|info| *info.status() == ChangeStatus::Insync))
        })
    }
}

/// Where a page begins.
#[derive(Default)]
struct Page {
    record_type: Option<RrType>,
    identifier: Option<String>,
}

impl MigrationAws {
    /// All of exactly this name, which is written canonically. They come one after another, so the first of another name
    /// is the end.
    async fn record_sets(&self, zone: &str, name: &str) -> Result<Vec<ResourceRecordSet>, CallError> {
        let mut found = Vec::new();
        let mut from = Page::default();
        loop {
            let request = self
                .route53
                .list_resource_record_sets()
                .hosted_zone_id(zone)
                .start_record_name(name)
                .set_start_record_type(from.record_type)
                .set_start_record_identifier(from.identifier);
            let page = request.send().await.told("route53:ListResourceRecordSets")?;
            let is_it = |set: &&ResourceRecordSet| canonical(set.name()) == name;
            found.extend(page.resource_record_sets().iter().filter(is_it).cloned());
            if !page.is_truncated() || page.next_record_name().map(canonical).as_deref() != Some(name) {
                return Ok(found);
            }
            from = Page {
                record_type: page.next_record_type().cloned(),
                identifier: page.next_record_identifier().map(str::to_owned),
            };
        }
    }
}

fn changed(
    answer: Result<ChangeResourceRecordSetsOutput, SdkError<ChangeResourceRecordSetsError, HttpResponse>>,
) -> Result<ChangeId, CallError> {
    if let Err(SdkError::ServiceError(error)) = &answer
        && let ChangeResourceRecordSetsError::InvalidChangeBatch(refusal) = error.err()
    {
        return Err(contradiction(&said(refusal)));
    }
    let answer = answer.told(CHANGE)?;
    let info = answer.change_info();
    info.map(|info| ChangeId(info.id().to_owned()))
        .ok_or_else(|| CallError::Unknown(format!("{CHANGE}: the answer names no change")))
}

/// Route 53 says it in a list, or in one text.
fn said(refusal: &InvalidChangeBatch) -> String {
    match refusal.messages() {
        [] => refusal.message().unwrap_or("it does not say why").to_owned(),
        messages => messages.join("; "),
    }
}

/// The account can protect records from being changed at all; looking again would not help then.
fn contradiction(said: &str) -> CallError {
    let text = format!("{CHANGE}: InvalidChangeBatch: {said}");
    // What is between quotation marks is a name, and may say anything.
    let words: String = said.split('\'').step_by(2).collect::<String>().to_lowercase();
    if words.contains("protect") { CallError::Refused(text) } else { CallError::Conflict(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_batch_is_a_conflict_with_all_that_was_said() {
        let both = InvalidChangeBatch::builder().messages("one is not there").messages("two is not so");
        assert_eq!(
            contradiction(&said(&both.build())),
            CallError::Conflict(format!("{CHANGE}: InvalidChangeBatch: one is not there; two is not so"))
        );
        let text = "[Tried to delete resource record set [name='protected.example.org.', type='A'] but it was not found]";
        let one = InvalidChangeBatch::builder().message(text).build();
        assert_eq!(
            contradiction(&said(&one)),
            CallError::Conflict(format!("{CHANGE}: InvalidChangeBatch: {text}"))
        );
    }

    #[test]
    fn a_protected_record_is_refused_for_good() {
        let text = "[The record set [name='api.example.org.', type='A'] is Protected and cannot be changed]";
        assert!(matches!(contradiction(text), CallError::Refused(said) if said.ends_with(text)));
    }
}
