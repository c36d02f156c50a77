//! What moto forgets of a launch.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::emulator::Cloud;
use crate::emulator::fixtures::{IMAGE, instance, launch, subnet, template, vpc};
use crate::emulator::proxy::Delays;

#[tokio::test]
async fn a_launch_has_the_profile_and_the_maintenance_options_of_its_template() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let subnet = subnet(&client, &vpc(&client).await).await;
    client.iam("CreateInstanceProfile", &[("InstanceProfileName", "node")]).await.ok();
    let data = [
        ("LaunchTemplateData.IamInstanceProfile.Name", "node"),
        ("LaunchTemplateData.MaintenanceOptions.AutoRecovery", "disabled"),
    ];
    let template = template(&client, "node", &data).await;
    let id = instance(&client, &subnet, &[("LaunchTemplate.LaunchTemplateId", &template)]).await;
    let named = [("InstanceId.1", id.as_str())];
    let shown = client.ec2("DescribeInstances", &named).await.ok();
    assert!(shown.one("arn").ends_with(":instance-profile/node"));
    assert_eq!(shown.one("autoRecovery"), "disabled");
    let modify = [("InstanceId", id.as_str()), ("AutoRecovery", "default")];
    client.ec2("ModifyInstanceMaintenanceOptions", &modify).await.ok();
    assert_eq!(client.ec2("DescribeInstances", &named).await.ok().one("autoRecovery"), "default");
    let own = instance(&client, &subnet, &[("MaintenanceOptions.AutoRecovery", "disabled")]).await;
    let shown = client.ec2("DescribeInstances", &[("InstanceId.1", &own)]).await.ok();
    assert_eq!(shown.one("autoRecovery"), "disabled");
    let unknown = launch(&subnet, &[("IamInstanceProfile.Name", "none")]);
    let refused = client.ec2("RunInstances", &unknown).await;
    assert_eq!((refused.status, refused.error().as_deref()), (400, Some("InvalidParameterValue")));
}

#[tokio::test]
async fn an_instance_says_on_its_console_what_the_test_wants() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    cloud.proxy.set(|settings| settings.delays = Delays::none());
    let id = instance(&client, &subnet(&client, &vpc(&client).await).await, &[]).await;
    let said = async || {
        let answer = client.ec2("GetConsoleOutput", &[("InstanceId", &id)]).await.ok();
        String::from_utf8(BASE64_STANDARD.decode(answer.one("output")).unwrap()).unwrap()
    };
    assert_eq!(said().await, "");
    cloud.proxy.set(|settings| settings.console = Box::new(|id| Some(format!("host key of {id}"))));
    assert_eq!(said().await, format!("host key of {id}"));
}

#[tokio::test]
async fn a_later_version_of_a_template_has_its_user_data() {
    let Some(cloud) = Cloud::start() else { return };
    let client = cloud.proxy.client();
    let template = template(&client, "node", &[("LaunchTemplateData.UserData", "b25l")]).await;
    let named = ("LaunchTemplateId", template.as_str());
    let second = [
        named,
        ("LaunchTemplateData.UserData", "dHdv"),
        ("LaunchTemplateData.ImageId", IMAGE),
        ("LaunchTemplateData.InstanceType", "m6i.large"),
    ];
    client.ec2("CreateLaunchTemplateVersion", &second).await.ok();
    let shown = client.ec2("DescribeLaunchTemplateVersions", &[named]).await.ok();
    let mut shown = shown.all("userData");
    shown.sort();
    assert_eq!(shown, ["b25l", "dHdv"]);
    client.ec2("ModifyLaunchTemplate", &[named, ("SetDefaultVersion", "2")]).await.ok();
    let subnet = subnet(&client, &vpc(&client).await).await;
    let group = [
        ("AutoScalingGroupName", "nodes"),
        ("MinSize", "1"),
        ("MaxSize", "1"),
        ("VPCZoneIdentifier", subnet.as_str()),
        ("LaunchTemplate.LaunchTemplateId", template.as_str()),
        ("LaunchTemplate.Version", "$Default"),
    ];
    client.scaling("CreateAutoScalingGroup", &group).await.ok();
    assert_eq!(client.scaling("DescribeAutoScalingGroups", &[]).await.ok().all("InstanceId").len(), 1);
}
