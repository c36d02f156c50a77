//! Network load balancers, target groups with their members, and listeners.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, Listener as ThereListener, LoadBalancer, LoadBalancerAttribute,
    LoadBalancerSchemeEnum, LoadBalancerStateEnum, LoadBalancerTypeEnum, ProtocolEnum, Tag,
    TargetDescription, TargetGroup as ThereGroup, TargetGroupAttribute, TargetHealthStateEnum,
    TargetTypeEnum,
};

use super::error::{Adjusted as _, Named as _};
use super::observe::{Only, Raw};
use super::{AwsCloud, id_of, ids_of, tags, theirs};
use crate::cloud::name::ResourceName;
use crate::cloud::ports::{CloudError, Ids, State, Trouble};
use crate::cloud::resource::{Balancer, Health, Listener, Resource, Tags, TargetGroup, Targets};

const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";
const PROTECTION: &str = "deletion_protection.enabled";
const PRESERVE: &str = "preserve_client_ip.enabled";
const DELAY: &str = "deregistration_delay.timeout_seconds";
/// DescribeTags takes so many at once.
pub(super) const TAGGED_AT_ONCE: usize = 20;
/// Groups whose members keelwright names one by one; those of others are a scaling group's.
const LISTED: &[&str] = &["api"];

impl AwsCloud {
    /// Balancers, their listeners, target groups and their members.
    pub(super) async fn list_balancers(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let kind = only.map(|name| name.as_str().split('/').next().unwrap_or_default().to_owned());
        let wants = |kinds: &[&str]| kind.as_deref().is_none_or(|kind| kinds.contains(&kind));
        let mut all = Vec::new();
        if wants(&["balancer", "listener"]) {
            all.extend(self.load_balancers(wants(&["balancer"]), wants(&["listener"])).await?);
        }
        if wants(&["target-group", "targets"]) {
            all.extend(self.target_groups(wants(&["targets"])).await?);
        }
        Ok(all)
    }

    async fn load_balancers(&self, themselves: bool, listeners: bool) -> Result<Vec<Raw>, CloudError> {
        let pages = self.elb.describe_load_balancers().into_paginator().items();
        let balancers: Vec<LoadBalancer> = pages
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .named("elasticloadbalancing:DescribeLoadBalancers")?;
        let arns = balancers.iter().filter_map(|balancer| balancer.load_balancer_arn()).map(str::to_owned);
        let read = self.balancer_tags(arns.collect()).await?;
        let mut all = Vec::new();
        for balancer in &balancers {
            let arn = balancer.load_balancer_arn().unwrap_or_default();
            let Some(read) = read.get(arn) else { continue };
            let Some(name) = read.name.clone() else { continue };
            if listeners {
                all.extend(self.listeners(arn, &name).await?);
            }
            if themselves {
                let attributes = self.balancer_attributes(arn).await?;
                let resource = Resource::Balancer(as_balancer(balancer, &attributes));
                let state = balancer_state(balancer);
                let mut raw = Raw::new(name, Some(arn), resource, read.tags.clone(), state);
                raw.dns_name = balancer.dns_name().map(str::to_owned);
                all.push(raw);
            }
        }
        Ok(all)
    }

    async fn balancer_tags(&self, arns: Vec<String>) -> Result<BTreeMap<String, tags::Read>, CloudError> {
        let mut all = BTreeMap::new();
        for some in arns.chunks(TAGGED_AT_ONCE) {
            let request = self.elb.describe_tags().set_resource_arns(Some(some.to_vec()));
            let answer = request.send().await.named("elasticloadbalancing:DescribeTags")?;
            for tagged in answer.tag_descriptions() {
                let pairs = tagged
                    .tags()
                    .iter()
                    .map(|tag| (tag.key().unwrap_or_default(), tag.value().unwrap_or_default()));
                let arn = tagged.resource_arn().unwrap_or_default().to_owned();
                all.insert(arn, tags::read(&self.cluster, pairs));
            }
        }
        Ok(all)
    }

    async fn balancer_attributes(&self, arn: &str) -> Result<BTreeMap<String, String>, CloudError> {
        let request = self.elb.describe_load_balancer_attributes().load_balancer_arn(arn);
        let answer = request.send().await.named("elasticloadbalancing:DescribeLoadBalancerAttributes")?;
        let pair = |attribute: &LoadBalancerAttribute| {
            Some((attribute.key()?.to_owned(), attribute.value()?.to_owned()))
        };
        Ok(answer.attributes().iter().filter_map(pair).collect())
    }

    /// A listener's name is its balancer's where it has one port, and has the port where it has several.
    async fn listeners(&self, balancer: &str, name: &ResourceName) -> Result<Vec<Raw>, CloudError> {
        let pages = self.elb.describe_listeners().load_balancer_arn(balancer).into_paginator().items();
        let listeners: Vec<ThereListener> = pages
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .named("elasticloadbalancing:DescribeListeners")?;
        let raw = |listener: &ThereListener| {
            let port = listener.port().and_then(|port| u16::try_from(port).ok())?;
            let group = listener.default_actions().first().and_then(|action| action.target_group_arn());
            let short = match LISTED.contains(&name.short()) {
                true => name.short().to_owned(),
                false => format!("{}-{port}", name.short()),
            };
            let resource =
                Resource::Listener(Listener { balancer: theirs(Some(balancer)), port, group: theirs(group) });
            let name = ResourceName::new("listener", short);
            Some(Raw::new(name, listener.listener_arn(), resource, Tags::new(), State::Ready))
        };
        Ok(listeners.iter().filter_map(raw).collect())
    }

    pub(super) async fn create_balancer(
        &self,
        name: &ResourceName,
        balancer: &Balancer,
        tags: &Tags,
        ids: &Ids,
    ) -> Result<String, CloudError> {
        let scheme = match balancer.internal {
            true => LoadBalancerSchemeEnum::Internal,
            false => LoadBalancerSchemeEnum::InternetFacing,
        };
        let request = self
            .elb
            .create_load_balancer()
            .name(self.physical_name(name.short()))
            .r#type(LoadBalancerTypeEnum::Network)
            .scheme(scheme)
            .set_subnets(Some(ids_of(&balancer.subnets, ids)?))
            .set_security_groups(Some(ids_of(&balancer.groups, ids)?))
            .set_tags(Some(elb_tags(&self.all_tags(name, tags))));
        let answer = request.send().await.named("elasticloadbalancing:CreateLoadBalancer")?;
        let arn = answer.load_balancers().first().and_then(|balancer| balancer.load_balancer_arn());
        Ok(arn.unwrap_or_default().to_owned())
    }

    pub(super) async fn update_balancer(
        &self,
        arn: &str,
        from: &Balancer,
        to: &Balancer,
        ids: &Ids,
    ) -> Result<(), CloudError> {
        if from.subnets != to.subnets {
            let request = self.elb.set_subnets().load_balancer_arn(arn);
            let request = request.set_subnets(Some(ids_of(&to.subnets, ids)?));
            request.send().await.named("elasticloadbalancing:SetSubnets")?;
        }
        if from.groups != to.groups {
            let request = self.elb.set_security_groups().load_balancer_arn(arn);
            let request = request.set_security_groups(Some(ids_of(&to.groups, ids)?));
            request.send().await.named("elasticloadbalancing:SetSecurityGroups")?;
        }
        if (from.cross_zone, from.deletion_protection) != (to.cross_zone, to.deletion_protection) {
            self.set_attributes(arn, &[(CROSS_ZONE, to.cross_zone), (PROTECTION, to.deletion_protection)])
                .await?;
        }
        Ok(())
    }

    async fn set_attributes(&self, arn: &str, values: &[(&str, bool)]) -> Result<(), CloudError> {
        let attribute = |(key, value): &(&str, bool)| {
            LoadBalancerAttribute::builder().key(*key).value(value.to_string()).build()
        };
        let request = self.elb.modify_load_balancer_attributes().load_balancer_arn(arn);
        let request = request.set_attributes(Some(values.iter().map(attribute).collect()));
        request.send().await.named("elasticloadbalancing:ModifyLoadBalancerAttributes").map(drop)
    }

    pub(super) async fn delete_balancer(&self, arn: &str, balancer: &Balancer) -> Result<(), CloudError> {
        if balancer.deletion_protection {
            self.set_attributes(arn, &[(PROTECTION, false)]).await.unless(&[Trouble::NotFound])?;
        }
        let gone = self.elb.delete_load_balancer().load_balancer_arn(arn).send().await;
        gone.named("elasticloadbalancing:DeleteLoadBalancer").unless(&[Trouble::NotFound])
    }

    pub(super) async fn tag_balancer(
        &self,
        arn: &str,
        all: &Tags,
        gone: &[String],
    ) -> Result<(), CloudError> {
        let request = self.elb.add_tags().resource_arns(arn).set_tags(Some(elb_tags(all)));
        request.send().await.named("elasticloadbalancing:AddTags")?;
        if gone.is_empty() {
            return Ok(());
        }
        let request = self.elb.remove_tags().resource_arns(arn).set_tag_keys(Some(gone.to_vec()));
        request.send().await.named("elasticloadbalancing:RemoveTags").map(drop)
    }

    async fn target_groups(&self, members: bool) -> Result<Vec<Raw>, CloudError> {
        let pages = self.elb.describe_target_groups().into_paginator().items();
        let groups: Vec<ThereGroup> = pages
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .named("elasticloadbalancing:DescribeTargetGroups")?;
        let arns = groups.iter().filter_map(|group| group.target_group_arn()).map(str::to_owned);
        let read = self.balancer_tags(arns.collect()).await?;
        let mut all = Vec::new();
        for group in &groups {
            let arn = group.target_group_arn().unwrap_or_default();
            let Some(read) = read.get(arn) else { continue };
            let Some(name) = read.name.clone() else { continue };
            if members && LISTED.contains(&name.short()) {
                all.extend(self.members(arn, &name).await?);
            }
            let attributes = self.group_attributes(arn).await?;
            let resource = Resource::TargetGroup(as_group(group, &attributes));
            all.push(Raw::new(name, Some(arn), resource, read.tags.clone(), State::Ready));
        }
        Ok(all)
    }

    async fn members(&self, arn: &str, name: &ResourceName) -> Result<Option<Raw>, CloudError> {
        let answer = self.elb.describe_target_health().target_group_arn(arn).send().await;
        let answer = answer.named("elasticloadbalancing:DescribeTargetHealth")?;
        let leaves = |state: Option<&TargetHealthStateEnum>| state == Some(&TargetHealthStateEnum::Draining);
        let stays = answer
            .target_health_descriptions()
            .iter()
            .filter(|target| !leaves(target.target_health().and_then(|health| health.state())));
        let ids = stays.filter_map(|target| target.target()).filter_map(|target| target.id());
        let instances: BTreeSet<_> = ids.map(|id| theirs(Some(id))).collect();
        if instances.is_empty() {
            return Ok(None);
        }
        let resource = Resource::Targets(Targets { group: theirs(Some(arn)), instances });
        let name = ResourceName::new("targets", name.short());
        Ok(Some(Raw::new(name, Some(arn), resource, Tags::new(), State::Ready)))
    }

    async fn group_attributes(&self, arn: &str) -> Result<BTreeMap<String, String>, CloudError> {
        let request = self.elb.describe_target_group_attributes().target_group_arn(arn);
        let answer = request.send().await.named("elasticloadbalancing:DescribeTargetGroupAttributes")?;
        let pair = |attribute: &TargetGroupAttribute| {
            Some((attribute.key()?.to_owned(), attribute.value()?.to_owned()))
        };
        Ok(answer.attributes().iter().filter_map(pair).collect())
    }

    pub(super) async fn create_target_group(
        &self,
        name: &ResourceName,
        group: &TargetGroup,
        tags: &Tags,
        ids: &Ids,
    ) -> Result<String, CloudError> {
        let (protocol, path) = health(&group.health);
        let request = self
            .elb
            .create_target_group()
            .name(self.physical_name(name.short()))
            .protocol(ProtocolEnum::Tcp)
            .port(group.port.into())
            .vpc_id(id_of(&group.vpc, ids)?)
            .target_type(TargetTypeEnum::Instance)
            .health_check_protocol(protocol)
            .set_health_check_path(path)
            .set_tags(Some(elb_tags(&self.all_tags(name, tags))));
        let answer = request.send().await.named("elasticloadbalancing:CreateTargetGroup")?;
        let arn = answer.target_groups().first().and_then(|group| group.target_group_arn());
        Ok(arn.unwrap_or_default().to_owned())
    }

    pub(super) async fn update_target_group(
        &self,
        arn: &str,
        from: &TargetGroup,
        to: &TargetGroup,
    ) -> Result<(), CloudError> {
        if from.health != to.health {
            let (protocol, path) = health(&to.health);
            let request = self.elb.modify_target_group().target_group_arn(arn);
            let request = request.health_check_protocol(protocol).set_health_check_path(path);
            request.send().await.named("elasticloadbalancing:ModifyTargetGroup")?;
        }
        let attributes = |group: &TargetGroup| (group.preserve_client_address, group.deregistration_delay);
        if attributes(from) == attributes(to) {
            return Ok(());
        }
        let attribute =
            |key: &str, value: String| TargetGroupAttribute::builder().key(key).value(value).build();
        let request = self
            .elb
            .modify_target_group_attributes()
            .target_group_arn(arn)
            .attributes(attribute(PRESERVE, to.preserve_client_address.to_string()))
            .attributes(attribute(DELAY, to.deregistration_delay.to_string()));
        request.send().await.named("elasticloadbalancing:ModifyTargetGroupAttributes").map(drop)
    }

    pub(super) async fn delete_target_group(&self, arn: &str) -> Result<(), CloudError> {
        let gone = self.elb.delete_target_group().target_group_arn(arn).send().await;
        gone.named("elasticloadbalancing:DeleteTargetGroup").unless(&[Trouble::NotFound])
    }

    pub(super) async fn create_targets(&self, targets: &Targets, ids: &Ids) -> Result<String, CloudError> {
        let arn = id_of(&targets.group, ids)?;
        self.register(&arn, ids_of(&targets.instances, ids)?).await?;
        Ok(arn)
    }

    /// Members that are there twice are no harm; an instance that came again has another id.
    pub(super) async fn update_targets(
        &self,
        arn: &str,
        from: &Targets,
        to: &Targets,
        ids: &Ids,
    ) -> Result<(), CloudError> {
        self.register(arn, ids_of(&to.instances, ids)?).await?;
        let gone: Vec<String> = from
            .instances
            .difference(&to.instances)
            .filter_map(|instance| id_of(instance, ids).ok())
            .collect();
        self.deregister(arn, gone).await
    }

    async fn register(&self, arn: &str, instances: Vec<String>) -> Result<(), CloudError> {
        let targets = instances.into_iter().map(|id| TargetDescription::builder().id(id).build()).collect();
        let request = self.elb.register_targets().target_group_arn(arn).set_targets(Some(targets));
        request.send().await.named("elasticloadbalancing:RegisterTargets").map(drop)
    }

    async fn deregister(&self, arn: &str, instances: Vec<String>) -> Result<(), CloudError> {
        if instances.is_empty() {
            return Ok(());
        }
        let targets = instances.into_iter().map(|id| TargetDescription::builder().id(id).build()).collect();
        let request = self.elb.deregister_targets().target_group_arn(arn).set_targets(Some(targets));
        request.send().await.named("elasticloadbalancing:DeregisterTargets").unless(&[Trouble::NotFound])
    }

    pub(super) async fn delete_targets(&self, arn: &str) -> Result<(), CloudError> {
        let answer = self.elb.describe_target_health().target_group_arn(arn).send().await;
        let answer = match answer.named("elasticloadbalancing:DescribeTargetHealth") {
            Err(error) if error.trouble == Trouble::NotFound => return Ok(()),
            answer => answer?,
        };
        let targets = answer.target_health_descriptions().iter().filter_map(|target| target.target());
        let ids = targets.filter_map(|target| target.id()).map(str::to_owned);
        self.deregister(arn, ids.collect()).await
    }

    pub(super) async fn create_listener(
        &self,
        _: &ResourceName,
        listener: &Listener,
        ids: &Ids,
    ) -> Result<String, CloudError> {
        let request = self
            .elb
            .create_listener()
            .load_balancer_arn(id_of(&listener.balancer, ids)?)
            .protocol(ProtocolEnum::Tcp)
            .port(listener.port.into())
            .default_actions(forward(&id_of(&listener.group, ids)?));
        let answer = request.send().await.named("elasticloadbalancing:CreateListener")?;
        let arn = answer.listeners().first().and_then(|listener| listener.listener_arn());
        Ok(arn.unwrap_or_default().to_owned())
    }

    pub(super) async fn update_listener(
        &self,
        arn: &str,
        to: &Listener,
        ids: &Ids,
    ) -> Result<(), CloudError> {
        let request = self.elb.modify_listener().listener_arn(arn);
        let request = request.default_actions(forward(&id_of(&to.group, ids)?));
        request.send().await.named("elasticloadbalancing:ModifyListener").map(drop)
    }

    pub(super) async fn delete_listener(&self, arn: &str) -> Result<(), CloudError> {
        let gone = self.elb.delete_listener().listener_arn(arn).send().await;
        gone.named("elasticloadbalancing:DeleteListener").unless(&[Trouble::NotFound])
    }
}

fn forward(group: &str) -> Action {
    Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(group).build()
}

fn elb_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn health(health: &Health) -> (ProtocolEnum, Option<String>) {
    match health {
        Health::Tcp => (ProtocolEnum::Tcp, None),
        Health::Https { path } => (ProtocolEnum::Https, Some(path.clone())),
    }
}

fn is_on(attributes: &BTreeMap<String, String>, key: &str) -> bool {
    attributes.get(key).is_some_and(|value| value == "true")
}

fn as_balancer(balancer: &LoadBalancer, attributes: &BTreeMap<String, String>) -> Balancer {
    let zones = balancer.availability_zones().iter();
    Balancer {
        internal: balancer.scheme() == Some(&LoadBalancerSchemeEnum::Internal),
        subnets: zones.map(|zone| theirs(zone.subnet_id())).collect(),
        groups: balancer.security_groups().iter().map(|group| theirs(Some(group))).collect(),
        cross_zone: is_on(attributes, CROSS_ZONE),
        deletion_protection: is_on(attributes, PROTECTION),
    }
}

fn balancer_state(balancer: &LoadBalancer) -> State {
    let state = balancer.state();
    match state.and_then(|state| state.code()) {
        Some(LoadBalancerStateEnum::Failed) => {
            let reason = state.and_then(|state| state.reason()).unwrap_or("it does not say why");
            State::Failed(format!("failed: {reason}"))
        }
        Some(LoadBalancerStateEnum::Provisioning) => State::Pending("provisioning".to_owned()),
        _ => State::Ready,
    }
}

fn as_group(group: &ThereGroup, attributes: &BTreeMap<String, String>) -> TargetGroup {
    let health = match group.health_check_protocol() {
        Some(ProtocolEnum::Https) => {
            Health::Https { path: group.health_check_path().unwrap_or_default().to_owned() }
        }
        _ => Health::Tcp,
    };
    TargetGroup {
        vpc: theirs(group.vpc_id()),
        port: group.port().and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
        health,
        preserve_client_address: is_on(attributes, PRESERVE),
        deregistration_delay: attributes.get(DELAY).and_then(|text| text.parse().ok()).unwrap_or_default(),
    }
}
