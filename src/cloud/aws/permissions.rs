//! What the credentials in use may do, as IAM foretells it.

use std::collections::BTreeSet;

use aws_sdk_iam::types::PolicyEvaluationDecisionType;

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
        let identity = self.sts.get_caller_identity().send().await.named("sts:GetCallerIdentity")?;
        let Some(principal) = self.principal(identity.arn().unwrap_or_default()).await? else {
            return Ok(Vec::new());
        };
        let actions: Vec<&str> = actions.iter().copied().collect();
        let mut denied = Vec::new();
        for some in actions.chunks(AT_ONCE) {
            let names = some.iter().map(|action| (*action).to_owned()).collect();
            let request = self.iam.simulate_principal_policy().policy_source_arn(&principal);
            let pages = request.set_action_names(Some(names)).into_paginator().items();
            let results: Vec<_> =
                pages.send().collect::<Result<Vec<_>, _>>().await.named("iam:SimulatePrincipalPolicy")?;
            let refused = results
                .iter()
                .filter(|result| *result.eval_decision() != PolicyEvaluationDecisionType::Allowed)
                .map(|result| Denied {
                    action: result.eval_action_name().to_owned(),
                    resource: result.eval_resource_name().unwrap_or("*").to_owned(),
                });
            denied.extend(refused);
        }
        denied.sort();
        denied.dedup();
        Ok(denied)
    }

    /// Whose policies count: a session's are its role's, whose ARN has a path that the session's lacks.
    async fn principal(&self, arn: &str) -> Result<Option<String>, CloudError> {
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
}
