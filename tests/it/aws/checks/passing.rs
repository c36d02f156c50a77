//! What the proxy has nothing to say about passes as it is.

use http::Method;
use http_body_util::Full;

use super::super::Cloud;
use super::super::service::Service;

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
    let params = [("RoleArn", "arn:aws:iam::210987654321:role/builder"), ("RoleSessionName", "test")];
    let role = client.query(Service::Sts, "AssumeRole", &params).await.ok();
    let mut builder = client.clone();
    builder.access_key = role.one("AccessKeyId");
    let request = builder.request(Service::Sts, Method::POST, "/").header("x-amz-security-token", "any");
    let form = super::super::client::form(Service::Sts, "GetCallerIdentity", []);
    let request =
        request.header("content-type", "application/x-www-form-urlencoded").body(Full::new(form.into()));
    let answer = builder.send(request.unwrap()).await.unwrap().ok();
    assert_eq!(answer.one("Account"), "210987654321");
    let own = client.query(Service::Sts, "GetCallerIdentity", &[]).await.ok().one("Account");
    assert_eq!(Some(own), cloud.moto.account);
}
