//! Permissions and dry runs.

use crate::emulator::Cloud;
use crate::emulator::census::census;

#[tokio::test]
async fn what_the_test_denies_is_refused_and_foretold() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    cloud.proxy.set(|settings| settings.denied = ["ec2:CreateVpc".into()].into());
    let ask = [
        ("PolicySourceArn", "arn:aws:iam::1:user/a"),
        ("ActionNames.member.1", "ec2:CreateVpc"),
        ("ActionNames.member.2", "ec2:CreateSubnet"),
    ];
    let simulated = client.iam("SimulatePrincipalPolicy", &ask).await.ok();
    assert_eq!(simulated.all("EvalDecision"), ["implicitDeny", "allowed"]);
    let params = [("CidrBlock", "10.0.0.0/16"), ("DryRun", "true")];
    for params in [&params[..], &params[..1]] {
        let refused = client.ec2("CreateVpc", params).await;
        assert_eq!((refused.status, refused.error().as_deref()), (403, Some("UnauthorizedOperation")));
    }
}

#[tokio::test]
async fn a_dry_run_makes_nothing() {
    let Some(cloud) = Cloud::start() else { return };
    let params = [("CidrBlock", "10.0.0.0/16"), ("DryRun", "true")];
    let answer = cloud.proxy.client().ec2("CreateVpc", &params).await;
    assert_eq!((answer.status, answer.error().as_deref()), (412, Some("DryRunOperation")));
    assert!(census(&cloud.moto, "/keelwright").await.is_empty());
}
