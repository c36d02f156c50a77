//! What becomes of calls that fail: looks are made again, changes never, and what is said of one is whether it was
//! carried out.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use keelwright::cloud::aws::migration::MigrationAws;
use keelwright::migrate::ports::{Balancers as _, CallError, Dns as _};
use keelwright::migrate::record::{Batch, RecordSet, Routing};

use super::{Scene, is_later, is_unknown, record, sdk_config, values};
use crate::emulator::proxy::{Fault, Faults, Moment};

const CHANGE: &str = "Route53.ChangeResourceRecordSets";
const LIST: &str = "Route53.ListResourceRecordSets";
const NAME: &str = "shop.example.org.";

fn old() -> RecordSet {
    record(NAME, Routing::Simple, values(&["192.0.2.1"]))
}

fn new() -> RecordSet {
    record(NAME, Routing::Simple, values(&["192.0.2.2"]))
}

fn batch() -> Batch {
    Batch { delete: vec![old()], create: vec![new()] }
}

/// A zone with the old record.
async fn scene() -> Option<(Scene, String)> {
    let scene = Scene::new()?;
    let zone = scene.zone().await;
    scene.create(&zone, &[old()]).await;
    Some((scene, zone))
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_was_made_and_is_not_made_again() {
    let Some((scene, zone)) = scene().await else { return };
    scene.cloud.proxy.set_faults(Faults::first(1, CHANGE, Fault::LostReply));
    assert!(is_unknown(&scene.aws.change(&zone, &batch()).await));
    assert_eq!(scene.records(&zone, NAME).await, [new()]);
    let again = scene.aws.change(&zone, &batch()).await;
    assert!(matches!(again, Err(CallError::Conflict(_))), "{again:?}");
    assert_eq!(scene.records(&zone, NAME).await, [new()]);
}

#[tokio::test]
async fn a_change_that_fails_is_made_once_and_says_whether_it_was_carried_out() {
    let Some((scene, zone)) = scene().await else { return };
    for (fault, is_as_expected) in [
        (Fault::Throttle, is_later as fn(&Result<_, CallError>) -> bool),
        (Fault::Refuse(400, "PriorRequestNotComplete"), is_later),
        (Fault::InternalError, is_unknown),
        (Fault::Refuse(503, "ServiceUnavailable"), is_unknown),
        (Fault::CutBefore, is_unknown),
        (Fault::Refuse(403, "AccessDenied"), |answer| matches!(answer, Err(CallError::Denied(_)))),
        (Fault::Refuse(400, "InvalidInput"), |answer| matches!(answer, Err(CallError::Refused(_)))),
    ] {
        let before = scene.cloud.proxy.count(CHANGE);
        scene.cloud.proxy.set_faults(Faults::first(1, CHANGE, fault));
        let answer = scene.aws.change(&zone, &batch()).await;
        assert!(is_as_expected(&answer), "{fault:?}: {answer:?}");
        assert_eq!(scene.cloud.proxy.count(CHANGE) - before, 1, "{fault:?}");
        assert_eq!(scene.records(&zone, NAME).await, [old()], "{fault:?}");
    }
    scene.aws.change(&zone, &batch()).await.unwrap();
}

#[tokio::test]
async fn a_call_without_an_answer_ends_and_nobody_knows() {
    let Some((scene, zone)) = scene().await else { return };
    let timeouts =
        aws_config::timeout::TimeoutConfig::builder().operation_timeout(Duration::from_millis(300));
    let config = sdk_config(&scene.cloud).into_builder().timeout_config(timeouts.build()).build();
    let aws = MigrationAws::with(&config);
    scene.cloud.proxy.set_faults(Faults::first(1, CHANGE, Fault::Hang));
    assert!(is_unknown(&aws.change(&zone, &batch()).await));
    assert_eq!(scene.records(&zone, NAME).await, [old()]);
}

#[tokio::test]
async fn looks_are_made_again_until_they_are_answered() {
    let Some((scene, zone)) = scene().await else { return };
    let calls = [LIST, "Route53.GetHostedZone", "Route53.GetChange"];
    for (call, fault) in calls.into_iter().zip([Fault::Throttle, Fault::LostReply, Fault::InternalError]) {
        scene.cloud.proxy.set_faults(Faults::first(2, call, fault));
        let before = scene.cloud.proxy.count(call);
        match call {
            LIST => drop(scene.records(&zone, NAME).await),
            "Route53.GetHostedZone" => drop(scene.aws.zone(&zone).await.unwrap().unwrap()),
            _ => {
                let change = scene.aws.change(&zone, &batch()).await.unwrap();
                scene.aws.is_everywhere(&change).await.unwrap();
            }
        }
        assert_eq!(scene.cloud.proxy.count(call) - before, 3, "{call}");
    }
    scene.cloud.proxy.set_faults(Faults::first(100, LIST, Fault::Throttle));
    assert!(is_later(&scene.aws.records(&zone, NAME).await), "at some time it is enough");
}

#[tokio::test]
async fn what_the_credentials_do_not_allow_is_denied() {
    let Some((scene, zone)) = scene().await else { return };
    let denied = ["route53:ChangeResourceRecordSets", "elasticloadbalancing:RegisterTargets"];
    scene.cloud.proxy.set(|settings| settings.denied = denied.map(str::to_owned).into());
    let answer = scene.aws.change(&zone, &batch()).await.unwrap_err();
    assert!(matches!(&answer, CallError::Denied(said) if said.contains(denied[0])), "{answer:?}");
    let target = keelwright::migrate::ports::BalancerTarget { id: "i-1".into(), port: 80, is_outside: false };
    let answer = scene.aws.register("arn", &[target]).await.unwrap_err();
    assert!(matches!(&answer, CallError::Denied(said) if said.contains(denied[1])), "{answer:?}");
}

/// Where credentials are looked for in vain.
#[derive(Debug)]
struct Nobody(fn() -> CredentialsError);

impl ProvideCredentials for Nobody {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err((self.0)()))
    }
}

#[tokio::test]
async fn without_credentials_nothing_is_sent_and_that_is_known() {
    let Some((scene, zone)) = scene().await else { return };
    let before = scene.cloud.proxy.calls().len();
    let config = |error: fn() -> CredentialsError| -> SdkConfig {
        let provider = SharedCredentialsProvider::new(Nobody(error));
        sdk_config(&scene.cloud).into_builder().credentials_provider(provider).build()
    };
    let aws = MigrationAws::with(&config(|| CredentialsError::not_loaded("no profile")));
    let answer = aws.change(&zone, &batch()).await;
    assert!(matches!(&answer, Err(CallError::Denied(said)) if said.contains("no profile")), "{answer:?}");
    let aws = MigrationAws::with(&config(|| CredentialsError::provider_error("the token has expired")));
    let answer = aws.change(&zone, &batch()).await;
    assert!(matches!(&answer, Err(CallError::Later(said)) if said.contains("has expired")), "{answer:?}");
    assert_eq!(scene.cloud.proxy.calls().len(), before);
}

#[tokio::test]
async fn an_operator_who_is_killed_at_a_change_leaves_the_old_or_the_new_record() {
    for (moment, left) in [(Moment::Before, old()), (Moment::After, new())] {
        let Some((scene, zone)) = scene().await else { return };
        scene.cloud.proxy.stop_at(scene.cloud.proxy.calls().len(), moment);
        let (aws, there) = (scene.aws.clone(), zone.clone());
        let operator = tokio::spawn(async move { aws.change(&there, &batch()).await });
        scene.cloud.proxy.stopped().await;
        operator.abort();
        assert!(operator.await.unwrap_err().is_cancelled());
        scene.cloud.proxy.release();
        assert_eq!(scene.records(&zone, NAME).await, [left], "{moment:?}");
    }
}
