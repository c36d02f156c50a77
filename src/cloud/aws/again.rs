//! Which calls the SDK may repeat by itself.

use aws_config::retry::RetryConfig;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// How often a call that only looks is made before its error counts.
pub(super) const LOOKS: u32 = 8;

/// Lets calls that only look be repeated, and no others.
#[derive(Debug)]
pub(super) struct OnlyLooks;

impl Intercept for OnlyLooks {
    fn name(&self) -> &'static str {
        "OnlyLooks"
    }

    fn modify_before_retry_loop(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if !config.load::<Metadata>().is_some_and(|call| is_look(call.name())) {
            config.interceptor_state().store_put(RetryConfig::disabled());
        }
        Ok(())
    }
}

fn is_look(operation: &str) -> bool {
    ["Describe", "List", "Get", "Simulate"].iter().any(|verb| operation.starts_with(verb))
}
