//! A test is told when a call comes, and nothing passes until it says so.

use crate::emulator::Cloud;
use crate::emulator::census::census;
use crate::emulator::fixtures::vpc;
use crate::emulator::proxy::Moment;
use crate::emulator::service::Service;

/// Two calls, the second of which is stopped at; how many VPCs there are when the tool has been killed.
async fn killed_at(cloud: &Cloud, moment: Moment) -> usize {
    let client = cloud.proxy.client();
    cloud.proxy.stop_at(cloud.proxy.calls().len() + 1, moment);
    let tool = tokio::spawn(async move { (vpc(&client).await, vpc(&client).await, vpc(&client).await) });
    cloud.proxy.stopped().await;
    assert!(!tool.is_finished() && cloud.proxy.is_stopped());
    let late = cloud.proxy.client();
    let late = tokio::spawn(async move { late.try_query(Service::Ec2, "DescribeVpcs", &[]).await });
    while cloud.proxy.calls().len() < 3 {
        tokio::task::yield_now().await;
    }
    assert!(!late.is_finished(), "nothing passes while the proxy is stopped");
    tool.abort();
    assert!(tool.await.unwrap_err().is_cancelled());
    cloud.proxy.release();
    assert!(late.await.unwrap().is_err(), "what was held is cut");
    census(&cloud.moto, "/keelwright").await.values().flatten().count()
}

#[tokio::test]
async fn a_tool_is_killed_before_or_after_the_effect_of_a_call() {
    for (moment, made) in [(Moment::Before, 1), (Moment::After, 2)] {
        let Some(cloud) = Cloud::start() else { return };
        assert_eq!(killed_at(&cloud, moment).await, made);
        vpc(&cloud.proxy.client()).await;
        assert_eq!(census(&cloud.moto, "/keelwright").await.values().flatten().count(), made + 1);
    }
}
