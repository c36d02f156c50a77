//! Records of Route 53. They have no tags: one is ours when it has the wanted name and leads to a balancer of ours.

use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecordSet, RrType,
};

use super::error::{Adjusted as _, Named as _};
use super::observe::{Only, Raw};
use super::{AwsCloud, id_of};
use crate::cloud::name::{PhysicalId, Ref};
use crate::cloud::ports::{CloudError, Found, Ids, State, Trouble};
use crate::cloud::resource::{Record, Resource, Tags};

/// Route 53 gives names with a dot at their end.
pub(super) fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

impl AwsCloud {
    pub(super) async fn list_records(&self, _: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let mut all = Vec::new();
        for zone in &self.hosted_zones {
            for (name, resource_name) in &self.records {
                let Some(set) = self.record_set(zone, name).await? else { continue };
                let Some(target) = set.alias_target() else { continue };
                let Some(balancer) = self.balancer_named(target.dns_name()).await? else { continue };
                let resource = Resource::Record(Record {
                    hosted_zone: zone.clone(),
                    name: name.trim_end_matches('.').to_owned(),
                    balancer: Ref::Theirs(PhysicalId(balancer)),
                });
                let id = format!("{zone} {name}");
                all.push(Raw::new(resource_name.clone(), Some(&id), resource, Tags::new(), State::Ready));
            }
        }
        Ok(all)
    }

    async fn record_set(&self, zone: &str, name: &str) -> Result<Option<ResourceRecordSet>, CloudError> {
        let request = self
            .route53
            .list_resource_record_sets()
            .hosted_zone_id(zone)
            .start_record_name(name)
            .start_record_type(RrType::A)
            .max_items(1);
        let answer = request.send().await.named("route53:ListResourceRecordSets")?;
        let first = answer.resource_record_sets().first();
        Ok(first.filter(|set| set.name() == name && *set.r#type() == RrType::A).cloned())
    }

    /// The balancer of the cluster that has this DNS name.
    async fn balancer_named(&self, dns_name: &str) -> Result<Option<String>, CloudError> {
        let wanted = dns_name.trim_end_matches('.').to_lowercase();
        let wanted = wanted.strip_prefix("dualstack.").unwrap_or(&wanted);
        let balancers =
            self.list_balancers(Some(&crate::cloud::ResourceName::new("balancer", "api"))).await?;
        let is_it = |raw: &&Raw| raw.dns_name.as_ref().is_some_and(|name| name.to_lowercase() == wanted);
        Ok(balancers.iter().find(is_it).map(|raw| raw.id.clone()))
    }

    /// An alias has the balancer's own TTL, 60 s. Creates, and never replaces: a record of that name is somebody's.
    pub(super) async fn create_record(&self, record: &Record, ids: &Ids) -> Result<String, CloudError> {
        let arn = id_of(&record.balancer, ids)?;
        let answer = self.elb.describe_load_balancers().load_balancer_arns(&arn).send().await;
        let answer = answer.named("elasticloadbalancing:DescribeLoadBalancers")?;
        let balancer = answer.load_balancers().first();
        let target = AliasTarget::builder()
            .hosted_zone_id(balancer.and_then(|there| there.canonical_hosted_zone_id()).unwrap_or_default())
            .dns_name(balancer.and_then(|there| there.dns_name()).unwrap_or_default())
            .evaluate_target_health(false)
            .build()
            .map_err(wrong)?;
        let set = ResourceRecordSet::builder()
            .name(absolute(&record.name))
            .r#type(RrType::A)
            .alias_target(target)
            .build()
            .map_err(wrong)?;
        if self.record_set(&record.hosted_zone, &absolute(&record.name)).await?.is_some() {
            return Err(CloudError {
                trouble: Trouble::Exists,
                call: "route53:ChangeResourceRecordSets",
                code: "RecordExists".to_owned(),
                message: format!("{} is there and does not lead to this cluster's balancer", record.name),
            });
        }
        self.change(&record.hosted_zone, ChangeAction::Create, set).await?;
        Ok(format!("{} {}", record.hosted_zone, absolute(&record.name)))
    }

    async fn change(
        &self,
        zone: &str,
        action: ChangeAction,
        set: ResourceRecordSet,
    ) -> Result<(), CloudError> {
        let change = Change::builder().action(action).resource_record_set(set).build().map_err(wrong)?;
        let batch = ChangeBatch::builder().changes(change).build().map_err(wrong)?;
        let request = self.route53.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch);
        let answer = request.send().await.named("route53:ChangeResourceRecordSets")?;
        let Some(info) = answer.change_info() else { return Ok(()) };
        // INSYNC may take a minute; whoever needs the name looks again. A failure would have been told here.
        debug_assert!(matches!(info.status(), ChangeStatus::Pending | ChangeStatus::Insync));
        Ok(())
    }

    /// Deletes exactly what was found.
    pub(super) async fn delete_record(&self, record: &Record, _: &Found) -> Result<(), CloudError> {
        let Some(set) = self.record_set(&record.hosted_zone, &absolute(&record.name)).await? else {
            return Ok(());
        };
        self.change(&record.hosted_zone, ChangeAction::Delete, set).await.unless(&[Trouble::NotFound])
    }
}

fn wrong(error: impl std::fmt::Display) -> CloudError {
    CloudError {
        trouble: Trouble::Invalid,
        call: "route53:ChangeResourceRecordSets",
        code: "BadRecord".to_owned(),
        message: error.to_string(),
    }
}
