//! What an error of AWS means for a migration: above all whether a call was carried out.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::super::error::Named as _;
use crate::cloud::ports::{CloudError, Trouble};
use crate::migrate::ports::CallError;

/// Names the call, so that `?` says what failed.
pub(super) trait Told<T>: Sized {
    fn told(self, call: &'static str) -> Result<T, CallError>;

    /// The same where it may be that what was asked for is not there: that is no error, and None.
    fn told_if_there(self, call: &'static str) -> Result<Option<T>, CallError>;
}

impl<T, E> Told<T> for Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn told(self, call: &'static str) -> Result<T, CallError> {
        let error = match self {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let status = error.raw_response().map(|answer| answer.status().as_u16());
        let nobody = without_credentials(&error);
        Err(error).named(call).map_err(|error| match nobody {
            Some(kind) => kind(error.to_string()),
            None => meaning(&error, status),
        })
    }

    fn told_if_there(self, call: &'static str) -> Result<Option<T>, CallError> {
        let missing = matches!(&self, Err(SdkError::ServiceError(error)) if is_missing(error.err().code()));
        if missing { Ok(None) } else { self.told(call).map(Some) }
    }
}

fn is_missing(code: Option<&str>) -> bool {
    super::super::error::trouble(code.unwrap_or_default()) == Trouble::NotFound
}

/// What EKS says of a role that it has not heard of yet.
const PROPAGATES: &str = "ResourcePropagationDelayException";

pub(super) fn meaning(error: &CloudError, status: Option<u16>) -> CallError {
    let text = error.to_string();
    match error.trouble {
        Trouble::Throttled => CallError::Later(text),
        _ if error.code == PROPAGATES => CallError::Later(text),
        // It was their fault, so nobody knows how far they came.
        _ if status.is_some_and(|status| status >= 500) => CallError::Unknown(text),
        Trouble::Unknown => CallError::Unknown(text),
        Trouble::Denied => CallError::Denied(text),
        // A machine that is not running cannot be registered, and may be running soon.
        Trouble::NotFound if error.message.contains("not in a running state") => CallError::Later(text),
        Trouble::NotFound
        | Trouble::Exists
        | Trouble::InUse
        | Trouble::WrongState
        | Trouble::Limit
        | Trouble::Invalid => CallError::Refused(text),
    }
}

/// What it means that nobody could be found to make a call as: the SDK says of it what it says of a lost
/// connection, but nothing was sent.
fn without_credentials(error: &(dyn Error + 'static)) -> Option<fn(String) -> CallError> {
    let mut next = Some(error);
    while let Some(cause) = next {
        match cause.downcast_ref::<CredentialsError>() {
            Some(CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)) => {
                return Some(CallError::Denied);
            }
            // Whoever gives credentials may do so in a moment.
            Some(_) => return Some(CallError::Later),
            None => next = cause.source(),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(trouble: Trouble, code: &str, message: &str, status: u16) -> CallError {
        let error =
            CloudError { trouble, call: "route53:GetChange", code: code.into(), message: message.into() };
        meaning(&error, Some(status))
    }

    #[test]
    fn an_error_says_whether_the_call_was_carried_out() {
        let text = |code: &str| format!("route53:GetChange: {code}: why");
        let all = [
            ("Throttling", 400, CallError::Later as fn(String) -> CallError),
            ("RequestLimitExceeded", 503, CallError::Later),
            ("PriorRequestNotComplete", 400, CallError::Later),
            ("ResourcePropagationDelayException", 428, CallError::Later),
            ("InternalFailure", 500, CallError::Unknown),
            ("ServerException", 500, CallError::Unknown),
            ("ServiceUnavailable", 503, CallError::Unknown),
            ("", 502, CallError::Unknown),
            ("AccessDenied", 403, CallError::Denied),
            ("ExpiredToken", 403, CallError::Denied),
            ("NoSuchHostedZone", 404, CallError::Refused),
            ("InvalidInput", 400, CallError::Refused),
            ("TooManyTargets", 400, CallError::Refused),
        ];
        for (code, status, expected) in all {
            let trouble = super::super::super::error::trouble(code);
            assert_eq!(of(trouble, code, "why", status), expected(text(code)), "{code}");
        }
    }

    #[test]
    fn a_machine_that_is_not_running_yet_can_be_registered_later() {
        let message = "The following targets are not in a running state and cannot be registered: 'i-1'";
        assert!(matches!(of(Trouble::NotFound, "InvalidTarget", message, 400), CallError::Later(_)));
        let message = "The following targets are in another VPC: 'i-1'";
        assert!(matches!(of(Trouble::NotFound, "InvalidTarget", message, 400), CallError::Refused(_)));
    }
}
