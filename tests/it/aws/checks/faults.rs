//! Faults happen to the calls that the plan says, in the shape of each service.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::emulator::Cloud;
use crate::emulator::census::census;
use crate::emulator::client::form;
use crate::emulator::fixtures::vpc;
use crate::emulator::proxy::{Fault, Faults};
use crate::emulator::service::Service;

#[tokio::test]
async fn each_service_throttles_and_breaks_in_its_own_words() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    for fault in [Fault::Throttle, Fault::InternalError] {
        cloud.proxy.set_faults(Faults::new(0, move |_, _, _| fault));
        let answers = [
            client.ec2("CreateVpc", &[("CidrBlock", "10.0.0.0/16")]).await,
            client.iam("ListRoles", &[]).await,
            client.balancing("DescribeLoadBalancers", &[]).await,
            client.scaling("DescribeAutoScalingGroups", &[]).await,
            client.query(Service::Sts, "GetCallerIdentity", &[]).await,
            client.parameters("GetParameter", &json!({"Name": "/a"})).await,
            client.get(Service::Route53, "/2013-04-01/hostedzone").await,
            client.get(Service::S3, "/bucket/key").await,
        ];
        let said = answers.map(|answer| format!("{} {}", answer.status, answer.error().unwrap()));
        if fault == Fault::Throttle {
            let (ec2, query) = ("503 RequestLimitExceeded", "400 Throttling");
            let rest = ["400 ThrottlingException", query, "503 SlowDown"];
            assert_eq!(said, [&[ec2, query, query, query, query][..], &rest].concat()[..]);
        } else {
            let query = "500 InternalFailure";
            let first = ["500 InternalError", "500 ServiceFailure", query, query, query];
            assert_eq!(
                said,
                [&first[..], &["500 InternalServerError", query, "500 InternalError"]].concat()[..]
            );
        }
    }
    assert!(census(&cloud.moto, "/keelwright").await.is_empty(), "a refused call does nothing");
}

/// The error with which a call ends whose connection breaks.
fn breaks(cloud: &Cloud) -> ErrorKind {
    let mut stream = TcpStream::connect(cloud.proxy.client().address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let body = form(Service::Ec2, "CreateVpc", [("CidrBlock", "10.0.0.0/16")]);
    let request = cloud.proxy.client().request(Service::Ec2, http::Method::POST, "/").body(()).unwrap();
    let authorization = request.headers()["authorization"].to_str().unwrap();
    let kind = "content-type: application/x-www-form-urlencoded";
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\nauthorization: {authorization}\r\n{kind}\r\n");
    let head = format!("{head}content-length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap_err().kind()
}

#[tokio::test]
async fn a_cut_call_has_not_happened_and_one_with_a_lost_reply_has() {
    let Some(cloud) = Cloud::start() else { return };
    cloud.proxy.set_faults(Faults::at([(0, Fault::CutBefore), (1, Fault::LostReply)]));
    assert_eq!(breaks(&cloud), ErrorKind::ConnectionReset);
    assert!(census(&cloud.moto, "/keelwright").await.is_empty());
    assert_eq!(breaks(&cloud), ErrorKind::ConnectionReset);
    assert_eq!(census(&cloud.moto, "/keelwright").await.len(), 1);
    let journal = cloud.proxy.journal();
    assert_eq!(journal.iter().map(|entry| entry.status).collect::<Vec<_>>(), [None, None]);
    assert_eq!(journal[1].fault, Fault::LostReply);
}

#[tokio::test]
async fn a_call_that_hangs_holds_up_no_other() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    cloud.proxy.set_faults(Faults::first(1, "EC2.CreateVpc", Fault::Hang));
    let hangs = client.try_query(Service::Ec2, "CreateVpc", &[("CidrBlock", "10.0.0.0/16")]);
    let meanwhile = async {
        while cloud.proxy.calls().is_empty() {
            tokio::task::yield_now().await;
        }
        vpc(&client).await
    };
    let id = tokio::select! {
        _ = hangs => panic!("it has an end"),
        id = meanwhile => id,
    };
    assert_eq!(cloud.moto.ec2("DescribeVpcs", &[("VpcId.1", &id)]).await.ok().all("vpcId"), [id]);
    assert_eq!(census(&cloud.moto, "/keelwright").await.values().flatten().count(), 1);
}

#[test]
fn the_same_seed_makes_the_same_faults() {
    let run = |seed| {
        let mut faults = Faults::one_in(3, seed, &[Fault::Throttle, Fault::LostReply]);
        (0..50).map(|index| faults.decide(index, "EC2.CreateVpc")).collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    assert!(run(7).contains(&Fault::Throttle) && run(7).contains(&Fault::LostReply));
}
