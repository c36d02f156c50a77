//! A cluster of EKS to move to: made once, whatever happens on the way.

use std::sync::Mutex;
use std::time::Duration;

use futures::future::BoxFuture;
use http::Method;
use keelwright::cloud::aws::migration::MigrationAws;
use keelwright::cloud::aws::migration::eks::{EksCluster, EksError, EksEvent, EksPace, Part};
use keelwright::exec::{Clock, SystemClock};
use keelwright::inventory::{Account, Eks};
use keelwright::migrate::ports::CallError;
use serde_json::json;

use super::{Scene, eks};
use crate::emulator::client::Client;
use crate::emulator::fixtures::{subnet, vpc};
use crate::emulator::proxy::{Fault, Faults, Moment};
use crate::emulator::service::Service;

const CREATE: &str = "EKS.CreateCluster";
const NODES: &str = "EKS.CreateNodegroup";

/// The emulator counts looks, not seconds.
const PACE: EksPace = EksPace { pause: Duration::from_millis(2), patience: Duration::from_secs(20) };

/// What is wanted, in subnets that are there.
async fn wanted(client: &Client) -> Eks {
    eks(&[subnet(client, &vpc(client).await).await])
}

async fn make(aws: &MigrationAws, wanted: &Eks) -> (Result<EksCluster, EksError>, Vec<EksEvent>) {
    let events = Mutex::new(Vec::new());
    let note = |event| events.lock().unwrap().push(event);
    let made = aws.make_cluster(wanted, &SystemClock::default(), PACE, &note).await;
    (made, events.into_inner().unwrap())
}

#[tokio::test]
async fn a_cluster_and_its_nodes_are_made_and_waited_for_and_then_used() {
    let Some(scene) = Scene::new() else { return };
    let wanted = wanted(&scene.cloud.moto).await;
    let (made, events) = make(&scene.aws, &wanted).await;
    let made = made.unwrap();
    let waiting = |part| EksEvent::Waiting(part, "CREATING".to_owned());
    let expected = [
        EksEvent::Making(Part::Cluster),
        waiting(Part::Cluster),
        waiting(Part::Cluster),
        EksEvent::Making(Part::Nodes),
        waiting(Part::Nodes),
        waiting(Part::Nodes),
    ];
    assert_eq!(events, expected);
    assert_eq!((made.name.as_str(), made.version.as_str()), ("green", "1.34"));
    assert!(made.endpoint.starts_with("https://") && !made.authority.is_empty(), "{made:?}");
    assert!(made.vpc.starts_with("vpc-") && made.scaling_groups.len() == 1, "{made:?}");
    let account = Account { region: "eu-central-1".to_owned(), profile: None, assume_role: None };
    let kubeconfig = made.kubeconfig(&account).to_yaml().unwrap();
    assert!(kubeconfig.expose().contains(&made.endpoint) && kubeconfig.expose().contains(&made.authority));
    let (again, events) = make(&scene.aws, &wanted).await;
    assert_eq!((again.unwrap(), events), (made, Vec::new()));
    assert_eq!((scene.cloud.proxy.count(CREATE), scene.cloud.proxy.count(NODES)), (1, 1));
    scene.was_foretold();
}

#[tokio::test]
async fn lost_answers_and_refusals_for_a_while_make_no_second_one() {
    let Some(scene) = Scene::new() else { return };
    let mut wanted = wanted(&scene.cloud.moto).await;
    for fault in [Fault::LostReply, Fault::CutBefore, Fault::Throttle, Fault::InternalError] {
        for call in [CREATE, NODES] {
            wanted.cluster = format!("{fault:?}-{}", call.replace('.', "-"));
            let before = scene.cloud.proxy.count(call);
            scene.cloud.proxy.set_faults(Faults::first(2, call, fault));
            let (made, events) = make(&scene.aws, &wanted).await;
            made.unwrap_or_else(|error| panic!("{fault:?} {call}: {error:?}"));
            assert!(events.iter().any(|event| matches!(event, EksEvent::Again(_))), "{fault:?} {call}");
            // A call whose answer was lost has made it, and the next look sees that.
            let expected = if fault == Fault::LostReply { 1 } else { 3 };
            assert_eq!(scene.cloud.proxy.count(call) - before, expected, "{fault:?} {call}");
        }
    }
}

#[tokio::test]
async fn an_operator_who_is_killed_anywhere_goes_on_where_it_was() {
    let Some(scene) = Scene::new() else { return };
    let mut wanted = wanted(&scene.cloud.moto).await;
    make(&scene.aws, &wanted).await.0.unwrap();
    let calls = scene.cloud.proxy.calls().len();
    assert!(calls > 8, "{calls}");
    for at in 0..calls {
        for moment in [Moment::Before, Moment::After] {
            wanted.cluster = format!("green-{at}-{moment:?}");
            scene.cloud.proxy.stop_at(scene.cloud.proxy.calls().len() + at, moment);
            let (aws, its) = (scene.aws.clone(), wanted.clone());
            let operator = tokio::spawn(async move { make(&aws, &its).await });
            scene.cloud.proxy.stopped().await;
            operator.abort();
            assert!(operator.await.unwrap_err().is_cancelled());
            scene.cloud.proxy.release();
            let (made, _) = make(&scene.aws, &wanted).await;
            made.unwrap_or_else(|error| panic!("{at} {moment:?}: {error:?}"));
        }
    }
    let there = scene.cloud.moto.get(Service::Eks, "/clusters").await.ok();
    let there: serde_json::Value = serde_json::from_slice(&there.body).unwrap();
    assert_eq!(there["clusters"].as_array().unwrap().len(), 1 + 2 * calls);
}

#[tokio::test]
async fn another_cluster_of_that_name_is_refused_and_left_alone() {
    let Some(scene) = Scene::new() else { return };
    let mut wanted = wanted(&scene.cloud.moto).await;
    make(&scene.aws, &wanted).await.0.unwrap();
    let before = scene.cloud.proxy.calls().len();
    wanted.version = "1.35".to_owned();
    wanted.max = 9;
    let error = make(&scene.aws, &wanted).await.0.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the cluster green is there, and is not as wanted: version of the control plane is 1.34, wanted is 1.35; \
         version of the node group is 1.34, wanted is 1.35; max of the node group is 6, wanted is 9"
    );
    assert!(error.hint().contains("another name"));
    let calls = &scene.cloud.proxy.calls()[before..];
    assert!(calls.iter().all(|call| call.starts_with("EKS.Describe")), "{calls:?}");
}

#[tokio::test]
async fn a_cluster_that_somebody_made_alike_gets_its_nodes() {
    let Some(scene) = Scene::new() else { return };
    let wanted = wanted(&scene.cloud.moto).await;
    let body = json!({
        "name": wanted.cluster, "version": wanted.version, "roleArn": wanted.role,
        "resourcesVpcConfig": {"subnetIds": wanted.subnets},
    });
    scene.cloud.moto.rest(Service::Eks, Method::POST, "/clusters", &body.to_string()).await.ok();
    make(&scene.aws, &wanted).await.0.unwrap();
    assert_eq!((scene.cloud.proxy.count(CREATE), scene.cloud.proxy.count(NODES)), (0, 1));
}

/// Time that goes by only where it is waited for.
#[derive(Default)]
struct Waited(Mutex<Duration>);

impl Clock for Waited {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn wait<'a>(&'a self, duration: Duration) -> BoxFuture<'a, ()> {
        *self.0.lock().unwrap() += duration;
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn it_ends_at_the_deadline_and_says_what_it_waited_for() {
    let Some(scene) = Scene::new() else { return };
    let wanted = wanted(&scene.cloud.moto).await;
    let pace = EksPace { pause: Duration::from_secs(60), patience: Duration::from_secs(600) };
    let end = async || {
        let error = scene.aws.make_cluster(&wanted, &Waited::default(), pace, &|_| {}).await.unwrap_err();
        assert!(matches!(&error, EksError::Deadline { waited, .. } if *waited == pace.patience), "{error:?}");
        error.to_string()
    };
    scene.cloud.proxy.set(|settings| settings.delays.cluster = u32::MAX);
    assert_eq!(end().await, "the control plane of green was waited for 10 minutes: CREATING");
    assert_eq!(scene.cloud.proxy.count(CREATE), 1);
    // Nor does it ask for ever where nobody answers.
    scene.cloud.proxy.set_faults(Faults::first(usize::MAX, "EKS.DescribeCluster", Fault::Throttle));
    let said = end().await;
    assert!(said.contains("waited for 10 minutes: eks:DescribeCluster: Throttling"), "{said}");
}

#[tokio::test]
async fn what_eks_refuses_is_said_in_its_words() {
    let Some(scene) = Scene::new() else { return };
    let mut wanted = wanted(&scene.cloud.moto).await;
    scene.cloud.proxy.set(|settings| settings.denied = ["eks:CreateCluster".to_owned()].into());
    let error = make(&scene.aws, &wanted).await.0.unwrap_err();
    assert!(matches!(&error, EksError::Call(CallError::Denied(said)) if said.contains("eks:CreateCluster")));
    scene.cloud.proxy.set(|settings| settings.denied.clear());
    wanted.role = "no role".to_owned();
    let error = make(&scene.aws, &wanted).await.0.unwrap_err();
    assert!(
        matches!(&error, EksError::Call(CallError::Refused(said)) if said.contains("InvalidParameter")),
        "{error:?}"
    );
}
