//! What the credentials in use may do, as IAM foretells it.

use std::collections::BTreeSet;

use aws_sdk_iam::types::{EvaluationResult, PolicyEvaluationDecisionType};

use super::AwsCloud;
use super::error::Named as _;
use crate::cloud::permissions::Denied;
use crate::cloud::ports::CloudError;

/// Actions of one question.
const AT_ONCE: usize = 50;

impl AwsCloud {
    /// Which of these actions would be refused. The account's root user may do everything.
    ///
    /// # Errors
    /// [`Trouble::Denied`](crate::cloud::ports::Trouble::Denied) when the credentials may not ask.
    pub async fn denied(&self, actions: &BTreeSet<&'static str>) -> Result<Vec<Denied>, CloudError> {
        let oracle = Oracle { sts: &self.sts, iam: &self.iam };
        let identity = oracle.identity().await?;
        let Some(principal) = oracle.principal(&identity.arn).await? else { return Ok(Vec::new()) };
        let actions: Vec<&str> = actions.iter().copied().collect();
        let mut denied = oracle.denied(&principal, &actions, &[]).await?;
        denied.sort();
        denied.dedup();
        Ok(denied)
    }
}

/// Who the credentials are.
pub(super) struct Identity {
    pub arn: String,
    pub account: String,
}

/// Those who know what is allowed.
pub(super) struct Oracle<'a> {
    pub sts: &'a aws_sdk_sts::Client,
    pub iam: &'a aws_sdk_iam::Client,
}

impl Oracle<'_> {
    pub async fn identity(&self) -> Result<Identity, CloudError> {
        let identity = self.sts.get_caller_identity().send().await.named("sts:GetCallerIdentity")?;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Ok(Identity { arn: text(identity.arn()), account: text(identity.account()) })
    }

    /// Whose policies count: a session's are its role's, whose ARN has a path that the session's lacks. None: the root
    /// user's, who has none.
    pub async fn principal(&self, arn: &str) -> Result<Option<String>, CloudError> {
        let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
        let mut parts = resource.split('/');
        match (parts.next(), parts.next()) {
            (Some("root"), _) => Ok(None),
            (Some("assumed-role"), Some(role)) => {
                let answer = self.iam.get_role().role_name(role).send().await.named("iam:GetRole")?;
                Ok(answer.role().map(|role| role.arn().to_owned()))
            }
            _ => Ok(Some(arn.to_owned())),
        }
    }

    /// Which of these actions would be refused on which of these resources; none: on any.
    pub async fn denied(
        &self,
        principal: &str,
        actions: &[&str],
        resources: &[String],
    ) -> Result<Vec<Denied>, CloudError> {
        let mut denied = Vec::new();
        for some in actions.chunks(AT_ONCE) {
            let names = some.iter().map(|action| (*action).to_owned()).collect();
            let request = self.iam.simulate_principal_policy().policy_source_arn(principal);
            let request = request.set_action_names(Some(names));
            let request = request.set_resource_arns((!resources.is_empty()).then(|| resources.to_vec()));
            let pages = request.into_paginator().items();
            let results: Vec<_> =
                pages.send().collect::<Result<Vec<_>, _>>().await.named("iam:SimulatePrincipalPolicy")?;
            let refused = results.iter().filter(|result| is_refused(result)).map(|result| Denied {
                action: result.eval_action_name().to_owned(),
                resource: result.eval_resource_name().unwrap_or("*").to_owned(),
            });
            denied.extend(refused);
        }
        Ok(denied)
    }
}

/// A policy with conditions on what only the call itself will tell says nothing beforehand.
fn is_refused(result: &EvaluationResult) -> bool {
    *result.eval_decision() != PolicyEvaluationDecisionType::Allowed
        && result.missing_context_values().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_depends_on_the_call_itself_is_not_foretold() {
        let result = |decision| EvaluationResult::builder().eval_action_name("a:B").eval_decision(decision);
        let denied = PolicyEvaluationDecisionType::ImplicitDeny;
        assert!(is_refused(&result(denied.clone()).build().unwrap()));
        let condition = "route53:ChangeResourceRecordSetsNormalizedRecordNames";
        assert!(!is_refused(&result(denied).missing_context_values(condition).build().unwrap()));
        assert!(!is_refused(&result(PolicyEvaluationDecisionType::Allowed).build().unwrap()));
    }
}
