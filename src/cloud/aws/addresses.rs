//! Elastic IP addresses and NAT gateways.

use aws_sdk_ec2::types::{DomainType, NatGatewayState, ResourceType};

use super::error::{Adjusted as _, Named as _};
use super::observe::{Only, Raw};
use super::{AwsCloud, id_of, tags, theirs};
use crate::cloud::name::{Ref, ResourceName};
use crate::cloud::ports::{CloudError, Ids, State, Trouble};
use crate::cloud::resource::{ElasticIp, NatGateway, Resource, Tags};

impl AwsCloud {
    pub(super) async fn list_addresses(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let request = self.ec2.describe_addresses().set_filters(Some(self.filters(only)));
        let answer = request.send().await.named("ec2:DescribeAddresses")?;
        let raw = |address: &aws_sdk_ec2::types::Address| {
            let read = tags::read(&self.cluster, tags::pairs(address.tags()));
            let resource = Resource::ElasticIp(ElasticIp {});
            Some(Raw::new(read.name?, address.allocation_id(), resource, read.tags, State::Ready))
        };
        Ok(answer.addresses().iter().filter_map(raw).collect())
    }

    pub(super) async fn create_address(
        &self,
        name: &ResourceName,
        tags: &Tags,
    ) -> Result<String, CloudError> {
        let specification = self.specification(ResourceType::ElasticIp, name, tags);
        let request = self.ec2.allocate_address().domain(DomainType::Vpc).tag_specifications(specification);
        let answer = request.send().await.named("ec2:AllocateAddress")?;
        Ok(answer.allocation_id().unwrap_or_default().to_owned())
    }

    pub(super) async fn delete_address(&self, id: &str) -> Result<(), CloudError> {
        let gone = self.ec2.release_address().allocation_id(id).send().await;
        gone.named("ec2:ReleaseAddress")
            // EC2's answer for an address that somebody has still.
            .when("is in use", Trouble::InUse)
            .when("do not have permission to access the specified resource", Trouble::InUse)
            .unless(&[Trouble::NotFound])
    }

    pub(super) async fn list_nats(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let request = self.ec2.describe_nat_gateways().set_filter(Some(self.filters(only)));
        let pages = request.into_paginator().items();
        let nats: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeNatGateways")?;
        let raw = |nat: &aws_sdk_ec2::types::NatGateway| {
            let read = tags::read(&self.cluster, tags::pairs(nat.tags()));
            let address = nat.nat_gateway_addresses().first().and_then(|address| address.allocation_id());
            let resource = Resource::NatGateway(NatGateway {
                subnet: theirs(nat.subnet_id()),
                address: theirs(address),
                internet_gateway: Ref::Ours(ResourceName::new("internet-gateway", "main")),
            });
            Some(Raw::new(read.name?, nat.nat_gateway_id(), resource, read.tags, nat_state(nat)))
        };
        Ok(nats.iter().filter_map(raw).collect())
    }

    pub(super) async fn create_nat(
        &self,
        name: &ResourceName,
        nat: &NatGateway,
        tags: &Tags,
        ids: &Ids,
        token: &str,
    ) -> Result<String, CloudError> {
        let request = self
            .ec2
            .create_nat_gateway()
            .subnet_id(id_of(&nat.subnet, ids)?)
            .allocation_id(id_of(&nat.address, ids)?)
            .client_token(token)
            .tag_specifications(self.specification(ResourceType::Natgateway, name, tags));
        let answer = request.send().await.named("ec2:CreateNatGateway")?;
        Ok(answer.nat_gateway().and_then(|nat| nat.nat_gateway_id()).unwrap_or_default().to_owned())
    }

    pub(super) async fn delete_nat(&self, id: &str) -> Result<(), CloudError> {
        let gone = self.ec2.delete_nat_gateway().nat_gateway_id(id).send().await;
        gone.named("ec2:DeleteNatGateway").unless(&[Trouble::NotFound])
    }
}

fn nat_state(nat: &aws_sdk_ec2::types::NatGateway) -> State {
    match nat.state() {
        Some(NatGatewayState::Available) => State::Ready,
        Some(NatGatewayState::Deleting) => State::Leaving("deleting".to_owned()),
        Some(NatGatewayState::Deleted) => State::Gone,
        Some(NatGatewayState::Failed) => {
            State::Failed(format!("failed: {}", nat.failure_message().unwrap_or("it does not say why")))
        }
        _ => State::Pending("pending".to_owned()),
    }
}
