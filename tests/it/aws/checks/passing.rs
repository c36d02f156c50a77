//! What the proxy has nothing to say about passes as it is.

use http::Method;
use http_body_util::Full;

use crate::emulator::Cloud;
use crate::emulator::client::Client;
use crate::emulator::fixtures::vpc;
use crate::emulator::service::Service;

#[tokio::test]
async fn objects_pass_with_their_headers() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client().in_region("us-east-1");
    client.rest(Service::S3, Method::PUT, "/keelwright-passing", "").await.ok();
    let put = async || {
        let request = client.request(Service::S3, Method::PUT, "/keelwright-passing/a/lock");
        let request = request.header("if-none-match", "*").body(Full::new("mine".into())).unwrap();
        client.send(request).await.unwrap()
    };
    put().await.ok();
    let again = put().await;
    assert_eq!((again.status, again.error().as_deref()), (412, Some("PreconditionFailed")));
    assert_eq!(client.get(Service::S3, "/keelwright-passing/a/lock").await.ok().text(), "mine");
    let head = client.rest(Service::S3, Method::HEAD, "/keelwright-passing/a/lock", "").await.ok();
    assert_eq!(head.headers["content-length"], "4");
    assert!(head.headers.contains_key("etag"));
}

#[tokio::test]
async fn a_role_of_another_account_works_in_that_account() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let other = cloud.moto.account.clone().unwrap().replacen('1', "2", 1);
    let arn = format!("arn:aws:iam::{other}:role/builder");
    let params = [("RoleArn", arn.as_str()), ("RoleSessionName", "test")];
    let role = client.query(Service::Sts, "AssumeRole", &params).await.ok();
    let builder = Client { access_key: role.one("AccessKeyId"), ..client.clone() };
    let id = vpc(&builder).await;
    let there = async |client: &Client| client.ec2("DescribeVpcs", &[]).await.ok().all("vpcId").contains(&id);
    assert!(there(&builder).await && there(&cloud.moto.in_account(&other)).await);
    assert!(!there(&client).await && !there(&cloud.moto).await);
}
