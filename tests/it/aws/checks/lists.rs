//! Lists come in pages; the journal has every call.

use http::Method;
use serde_json::json;

use crate::emulator::Cloud;
use crate::emulator::fixtures::{launch, subnet, target_group, template, vpc};
use crate::emulator::service::Service;

/// Goes through all pages; the number of things on each.
async fn pages(
    cloud: &Cloud,
    (service, action): (Service, &str),
    (from, next): (&str, &str),
    id: &str,
) -> Vec<usize> {
    let (mut sizes, mut token) = (Vec::new(), None::<String>);
    loop {
        let params = token.as_deref().map(|token| (from, token));
        let answer = cloud.proxy.client().query(service, action, params.as_slice()).await.ok();
        sizes.push(answer.all(id).len());
        token = answer.all(next).pop();
        if token.is_none() {
            return sizes;
        }
    }
}

#[tokio::test]
async fn lists_of_ec2_and_load_balancing_come_in_pages_of_five() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let vpc = vpc(&client).await;
    let subnet = subnet(&client, &vpc).await;
    for index in 0..6 {
        template(&client, &format!("template-{index}"), &[]).await;
        target_group(&client, &vpc, &format!("group-{index}")).await;
        client.ec2("RunInstances", &launch(&subnet, &[])).await.ok();
    }
    let tokens = ("NextToken", "nextToken");
    let lists = [("DescribeLaunchTemplates", "launchTemplateId"), ("DescribeInstances", "reservationId")];
    for (action, id) in lists {
        assert_eq!(pages(&cloud, (Service::Ec2, action), tokens, id).await, [5, 1], "{action}");
    }
    let groups = (Service::Balancing, "DescribeTargetGroups");
    assert_eq!(pages(&cloud, groups, ("Marker", "NextMarker"), "TargetGroupArn").await, [5, 1]);

    let short = client.ec2("DescribeLaunchTemplates", &[("MaxResults", "2")]).await.ok();
    assert_eq!(short.all("launchTemplateId").len(), 2);
    let token = short.one("nextToken");
    let other = client.ec2("DescribeVolumes", &[("NextToken", &token)]).await;
    assert_eq!(other.error().as_deref(), Some("InvalidNextToken"));
    let named: Vec<_> = (0..6).map(|index| format!("template-{index}")).collect();
    let keys: Vec<_> = (1..=6).map(|index| format!("LaunchTemplateName.{index}")).collect();
    let params: Vec<_> = keys.iter().map(String::as_str).zip(named.iter().map(String::as_str)).collect();
    let single = client.ec2("DescribeLaunchTemplates", &params).await.ok();
    assert_eq!(single.all("launchTemplateId").len(), 6, "what is named comes at once");
}

#[tokio::test]
async fn lists_of_iam_and_auto_scaling_come_in_pages() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    cloud.proxy.set(|settings| settings.page = 2);
    let subnet = subnet(&client, &vpc(&client).await).await;
    let template = template(&client, "worker", &[]).await;
    for name in ["a", "b", "c"] {
        client.iam("CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", "{}")]).await.ok();
        let group = [
            ("AutoScalingGroupName", name),
            ("MinSize", "0"),
            ("MaxSize", "1"),
            ("VPCZoneIdentifier", &subnet),
            ("LaunchTemplate.LaunchTemplateId", &template),
        ];
        client.scaling("CreateAutoScalingGroup", &group).await.ok();
    }
    assert_eq!(pages(&cloud, (Service::Iam, "ListRoles"), ("Marker", "Marker"), "RoleId").await, [2, 1]);
    let groups = (Service::AutoScaling, "DescribeAutoScalingGroups");
    assert_eq!(pages(&cloud, groups, ("NextToken", "NextToken"), "AutoScalingGroupARN").await, [2, 1]);
}

#[tokio::test]
async fn the_journal_has_every_call_with_its_parameters_and_outcome() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let id = vpc(&client).await;
    client.ec2("DeleteSubnet", &[("SubnetId", "subnet-1")]).await;
    client.parameters("GetParameter", &json!({"Name": "/a"})).await;
    client.get(Service::Route53, "/2013-04-01/hostedzone/Z1/rrset?maxitems=1").await;
    client.rest(Service::S3, Method::HEAD, "/keelwright-none/a%2Fb", "").await;
    client.in_region("us-east-1").query(Service::Sts, "GetCallerIdentity", &[]).await.ok();
    let names = [
        "EC2.CreateVpc",
        "EC2.DeleteSubnet",
        "SSM.GetParameter",
        "Route53.ListResourceRecordSets",
        "S3.HeadObject",
        "STS.GetCallerIdentity",
    ];
    assert_eq!(cloud.proxy.url(), format!("http://{}", client.address));
    assert_eq!(cloud.proxy.calls(), names);
    assert_eq!(cloud.proxy.count("EC2.CreateVpc"), 1);
    let journal = cloud.proxy.journal();
    assert!(journal.iter().enumerate().all(|(index, entry)| entry.index == index));
    assert_eq!(journal[0].params["CidrBlock"], "10.0.0.0/16");
    assert_eq!((journal[0].status, &journal[0].error), (Some(200), &None), "{id}");
    assert_eq!(journal[1].error.as_deref(), Some("InvalidSubnetID.NotFound"));
    assert_eq!(journal[2].params["Name"], "/a");
    assert_eq!((journal[3].params["Id"].as_str(), journal[3].params["maxitems"].as_str()), ("Z1", "1"));
    assert_eq!(journal[4].status, Some(404));
}
