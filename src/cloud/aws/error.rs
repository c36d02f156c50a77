//! What an error of AWS means for whoever made the call.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::cloud::ports::{CloudError, Trouble};

/// Names the call, so that `?` says what failed.
pub(super) trait Named<T> {
    fn named(self, call: &'static str) -> Result<T, CloudError>;
}

impl<T, E, R> Named<T> for Result<T, SdkError<E, R>>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    fn named(self, call: &'static str) -> Result<T, CloudError> {
        self.map_err(|error| {
            let code = error.code().unwrap_or_default().to_owned();
            let trouble = match &error {
                SdkError::ServiceError(_) => trouble(&code),
                // Nothing was sent.
                SdkError::ConstructionFailure(_) => Trouble::Invalid,
                _ => Trouble::Unknown,
            };
            let message = match error.message() {
                Some(message) => message.to_owned(),
                None => chain(&error),
            };
            CloudError { trouble, call, code, message }
        })
    }
}

/// An error with all its causes: the SDK's own words say little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Throttling has as many names as AWS has services.
const THROTTLED: &[&str] = &[
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "SlowDown",
    "PriorRequestNotComplete",
    "EC2ThrottledException",
    "ProvisionedThroughputExceededException",
    "BandwidthLimitExceeded",
];
const IN_USE: &[&str] = &[
    "DependencyViolation",
    "DeleteConflict",
    "ResourceInUse",
    "ResourceInUseException",
    "VolumeInUse",
    "InvalidPlacementGroup.InUse",
    "InvalidIPAddress.InUse",
    "InvalidNetworkInterface.InUse",
    "HostedZoneNotEmpty",
    "ScalingActivityInProgress",
    "OperationInProgress",
    // An address that a NAT gateway still has.
    "AuthFailure.AddressInUse",
    "InvalidGroup.InUse",
];
const EXISTS: &[&str] = &[
    "EntityAlreadyExists",
    "AlreadyExists",
    "AlreadyExistsFault",
    "DuplicateLoadBalancerName",
    "DuplicateTargetGroupName",
    "DuplicateListener",
    "InvalidGroup.Duplicate",
    "InvalidKeyPair.Duplicate",
    "InvalidLaunchTemplateName.AlreadyExistsException",
    "InvalidSubnet.Conflict",
    "Resource.AlreadyAssociated",
    "RouteAlreadyExists",
    "InvalidPermission.Duplicate",
];
const WRONG_STATE: &[&str] = &[
    "IncorrectState",
    "IncorrectInstanceState",
    "IncorrectModificationState",
    "InvalidState",
    "Gateway.NotAttached",
    "ConcurrentModification",
    "ConcurrentModificationException",
    "EntityTemporarilyUnmodifiable",
    "ResourceContention",
    "VolumeModificationInProgress",
];
const LIMITS: &[&str] =
    &["InsufficientInstanceCapacity", "LimitExceeded", "MaxIOPSLimitExceeded", "Unsupported"];
const DENIED: &[&str] = &[
    "UnauthorizedOperation",
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "InvalidClientTokenId",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "OptInRequired",
];
/// What went wrong over there: it may have been done all the same.
const THEIR_FAULT: &[&str] = &[
    "",
    "InternalError",
    "InternalFailure",
    "ServiceUnavailable",
    "Unavailable",
    "ServiceFailure",
    "ServerError",
];

pub(super) fn trouble(code: &str) -> Trouble {
    let is = |list: &[&str]| list.contains(&code);
    match code {
        _ if is(THEIR_FAULT) => Trouble::Unknown,
        _ if is(THROTTLED) => Trouble::Throttled,
        _ if is(IN_USE) => Trouble::InUse,
        _ if is(EXISTS) => Trouble::Exists,
        _ if is(WRONG_STATE) => Trouble::WrongState,
        _ if is(DENIED) => Trouble::Denied,
        _ if is(LIMITS) || code.ends_with("LimitExceeded") || code.starts_with("TooMany") => Trouble::Limit,
        // An instance profile that EC2 has not heard of yet comes as a wrong parameter; `adjusted` tells it apart.
        _ if code.ends_with("NotFound")
            || code.ends_with(".NotFoundException")
            || code.starts_with("NoSuch")
            || code.ends_with("NotFoundException")
            || code == "InvalidInstance"
            || code == "InvalidTarget" =>
        {
            Trouble::NotFound
        }
        _ => Trouble::Invalid,
    }
}

/// Takes a trouble for another one where a call means something of its own by it.
pub(super) trait Adjusted<T> {
    /// A call that was in vain because it is so already.
    fn unless(self, harmless: &[Trouble]) -> Result<(), CloudError>;
    /// What a message tells that its code does not.
    fn when(self, words: &str, trouble: Trouble) -> Result<T, CloudError>;
}

impl<T> Adjusted<T> for Result<T, CloudError> {
    fn unless(self, harmless: &[Trouble]) -> Result<(), CloudError> {
        match self {
            Ok(_) => Ok(()),
            Err(error) if harmless.contains(&error.trouble) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn when(self, words: &str, trouble: Trouble) -> Result<T, CloudError> {
        self.map_err(|error| match error.message.contains(words) {
            true => CloudError { trouble, ..error },
            false => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_every_service_are_told_apart() {
        for (code, expected) in [
            ("RequestLimitExceeded", Trouble::Throttled),
            ("Throttling", Trouble::Throttled),
            ("PriorRequestNotComplete", Trouble::Throttled),
            ("InvalidVpcID.NotFound", Trouble::NotFound),
            ("InvalidInstanceID.NotFound", Trouble::NotFound),
            ("InvalidLaunchTemplateId.NotFound", Trouble::NotFound),
            ("NoSuchEntity", Trouble::NotFound),
            ("LoadBalancerNotFound", Trouble::NotFound),
            ("NatGatewayNotFound", Trouble::NotFound),
            ("DependencyViolation", Trouble::InUse),
            ("ResourceInUse", Trouble::InUse),
            ("EntityAlreadyExists", Trouble::Exists),
            ("IncorrectState", Trouble::WrongState),
            ("UnauthorizedOperation", Trouble::Denied),
            ("AccessDenied", Trouble::Denied),
            ("VpcLimitExceeded", Trouble::Limit),
            ("InsufficientInstanceCapacity", Trouble::Limit),
            ("TooManyLoadBalancers", Trouble::Limit),
            ("InternalError", Trouble::Unknown),
            ("", Trouble::Unknown),
            ("InvalidParameterValue", Trouble::Invalid),
            ("ValidationError", Trouble::Invalid),
        ] {
            assert_eq!(trouble(code), expected, "{code}");
        }
    }
}
