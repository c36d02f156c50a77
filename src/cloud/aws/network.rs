//! VPCs, internet gateways and subnets.

use aws_sdk_ec2::types::{
    AttributeBooleanValue, Filter, ResourceType, SubnetState, VpcAttributeName, VpcState,
};

use super::error::{Adjusted as _, Named as _};
use super::observe::{Only, Raw};
use super::{AwsCloud, id_of, tags, theirs};
use crate::cloud::name::{Ref, ResourceName};
use crate::cloud::ports::{CloudError, Found, Ids, State, Trouble};
use crate::cloud::resource::{InternetGateway, Resource, Subnet, Tags, Vpc};

impl AwsCloud {
    /// EC2's filters for what is looked for.
    pub(super) fn filters(&self, only: Only<'_>) -> Vec<Filter> {
        let by_name = |name: &ResourceName| {
            Filter::builder().name(format!("tag:{}", tags::NAME)).values(name.as_str()).build()
        };
        [self.of_cluster()].into_iter().chain(only.map(by_name)).collect()
    }

    pub(super) async fn list_vpcs(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let pages = self.ec2.describe_vpcs().set_filters(Some(self.filters(only))).into_paginator().items();
        let vpcs: Vec<_> = pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeVpcs")?;
        let mut all = Vec::new();
        for vpc in vpcs {
            let read = tags::read(&self.cluster, tags::pairs(vpc.tags()));
            let (Some(name), Some(cidr)) = (read.name, vpc.cidr_block().and_then(|cidr| cidr.parse().ok()))
            else {
                continue;
            };
            let id = vpc.vpc_id().unwrap_or_default();
            let has = |attribute| self.vpc_attribute(id, attribute);
            let (dns_support, dns_hostnames) = futures::try_join!(
                has(VpcAttributeName::EnableDnsSupport),
                has(VpcAttributeName::EnableDnsHostnames)
            )?;
            let state = match vpc.state() {
                Some(VpcState::Pending) => State::Pending("pending".to_owned()),
                _ => State::Ready,
            };
            let resource = Resource::Vpc(Vpc { cidr, dns_support, dns_hostnames });
            all.push(Raw::new(name, Some(id), resource, read.tags, state));
        }
        Ok(all)
    }

    async fn vpc_attribute(&self, id: &str, attribute: VpcAttributeName) -> Result<bool, CloudError> {
        let request = self.ec2.describe_vpc_attribute().vpc_id(id).attribute(attribute.clone());
        let answer = request.send().await.named("ec2:DescribeVpcAttribute")?;
        let value = match attribute {
            VpcAttributeName::EnableDnsHostnames => answer.enable_dns_hostnames(),
            _ => answer.enable_dns_support(),
        };
        Ok(value.and_then(AttributeBooleanValue::value).unwrap_or(false))
    }

    pub(super) async fn create_vpc(
        &self,
        name: &ResourceName,
        vpc: &Vpc,
        tags: &Tags,
    ) -> Result<String, CloudError> {
        let specification = self.specification(ResourceType::Vpc, name, tags);
        let request =
            self.ec2.create_vpc().cidr_block(vpc.cidr.to_string()).tag_specifications(specification);
        let answer = request.send().await.named("ec2:CreateVpc")?;
        Ok(answer.vpc().and_then(|vpc| vpc.vpc_id()).unwrap_or_default().to_owned())
    }

    /// One attribute a call; names of hosts need names at all.
    pub(super) async fn update_vpc(&self, id: &str, from: &Vpc, to: &Vpc) -> Result<(), CloudError> {
        let value = |value| AttributeBooleanValue::builder().value(value).build();
        if from.dns_support != to.dns_support {
            let request =
                self.ec2.modify_vpc_attribute().vpc_id(id).enable_dns_support(value(to.dns_support));
            request.send().await.named("ec2:ModifyVpcAttribute")?;
        }
        if from.dns_hostnames != to.dns_hostnames {
            let request =
                self.ec2.modify_vpc_attribute().vpc_id(id).enable_dns_hostnames(value(to.dns_hostnames));
            request.send().await.named("ec2:ModifyVpcAttribute")?;
        }
        Ok(())
    }

    pub(super) async fn delete_vpc(&self, id: &str) -> Result<(), CloudError> {
        let gone = self.ec2.delete_vpc().vpc_id(id).send().await;
        gone.named("ec2:DeleteVpc").unless(&[Trouble::NotFound])
    }

    pub(super) async fn list_gateways(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let request = self.ec2.describe_internet_gateways().set_filters(Some(self.filters(only)));
        let pages = request.into_paginator().items();
        let gateways: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeInternetGateways")?;
        let raw = |gateway: &aws_sdk_ec2::types::InternetGateway| {
            let read = tags::read(&self.cluster, tags::pairs(gateway.tags()));
            let attached = gateway.attachments().first().and_then(|attachment| attachment.vpc_id());
            let resource = Resource::InternetGateway(InternetGateway { vpc: theirs(attached) });
            Some(Raw::new(read.name?, gateway.internet_gateway_id(), resource, read.tags, State::Ready))
        };
        Ok(gateways.iter().filter_map(raw).collect())
    }

    pub(super) async fn create_gateway(
        &self,
        name: &ResourceName,
        tags: &Tags,
    ) -> Result<String, CloudError> {
        let specification = self.specification(ResourceType::InternetGateway, name, tags);
        let request = self.ec2.create_internet_gateway().tag_specifications(specification);
        let answer = request.send().await.named("ec2:CreateInternetGateway")?;
        let id = answer.internet_gateway().and_then(|gateway| gateway.internet_gateway_id());
        Ok(id.unwrap_or_default().to_owned())
    }

    pub(super) async fn update_gateway(
        &self,
        id: &str,
        from: &InternetGateway,
        to: &InternetGateway,
        ids: &Ids,
    ) -> Result<(), CloudError> {
        if from.vpc == to.vpc {
            return Ok(());
        }
        let vpc = id_of(&to.vpc, ids)?;
        let request = self.ec2.attach_internet_gateway().internet_gateway_id(id).vpc_id(vpc);
        request.send().await.named("ec2:AttachInternetGateway").map(drop)
    }

    pub(super) async fn delete_gateway(
        &self,
        id: &str,
        gateway: &InternetGateway,
        there: &Found,
    ) -> Result<(), CloudError> {
        let attached = match &gateway.vpc {
            Ref::Theirs(vpc) => Some(vpc.0.clone()),
            Ref::Ours(_) => there.refers.iter().next().map(|vpc| vpc.0.clone()),
        };
        if let Some(vpc) = attached.filter(|vpc| !vpc.is_empty()) {
            let request = self.ec2.detach_internet_gateway().internet_gateway_id(id).vpc_id(vpc);
            let harmless = [Trouble::NotFound];
            let detached = request.send().await.named("ec2:DetachInternetGateway");
            match detached {
                Err(error) if error.code == "Gateway.NotAttached" => {}
                other => other.unless(&harmless)?,
            }
        }
        let gone = self.ec2.delete_internet_gateway().internet_gateway_id(id).send().await;
        gone.named("ec2:DeleteInternetGateway").unless(&[Trouble::NotFound])
    }

    pub(super) async fn list_subnets(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let request = self.ec2.describe_subnets().set_filters(Some(self.filters(only)));
        let pages = request.into_paginator().items();
        let subnets: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeSubnets")?;
        let raw = |subnet: &aws_sdk_ec2::types::Subnet| {
            let read = tags::read(&self.cluster, tags::pairs(subnet.tags()));
            let resource = Resource::Subnet(Subnet {
                vpc: theirs(subnet.vpc_id()),
                zone: subnet.availability_zone().unwrap_or_default().to_owned(),
                cidr: subnet.cidr_block()?.parse().ok()?,
                public_addresses: subnet.map_public_ip_on_launch().unwrap_or(false),
            });
            let state = match subnet.state() {
                Some(SubnetState::Pending) => State::Pending("pending".to_owned()),
                _ => State::Ready,
            };
            Some(Raw::new(read.name?, subnet.subnet_id(), resource, read.tags, state))
        };
        Ok(subnets.iter().filter_map(raw).collect())
    }

    pub(super) async fn create_subnet(
        &self,
        name: &ResourceName,
        subnet: &Subnet,
        tags: &Tags,
        ids: &Ids,
    ) -> Result<String, CloudError> {
        let request = self
            .ec2
            .create_subnet()
            .vpc_id(id_of(&subnet.vpc, ids)?)
            .availability_zone(&subnet.zone)
            .cidr_block(subnet.cidr.to_string())
            .tag_specifications(self.specification(ResourceType::Subnet, name, tags));
        let answer = request.send().await.named("ec2:CreateSubnet")?;
        Ok(answer.subnet().and_then(|subnet| subnet.subnet_id()).unwrap_or_default().to_owned())
    }

    pub(super) async fn update_subnet(&self, id: &str, from: &Subnet, to: &Subnet) -> Result<(), CloudError> {
        if from.public_addresses == to.public_addresses {
            return Ok(());
        }
        let value = AttributeBooleanValue::builder().value(to.public_addresses).build();
        let request = self.ec2.modify_subnet_attribute().subnet_id(id).map_public_ip_on_launch(value);
        request.send().await.named("ec2:ModifySubnetAttribute").map(drop)
    }

    pub(super) async fn delete_subnet(&self, id: &str) -> Result<(), CloudError> {
        let gone = self.ec2.delete_subnet().subnet_id(id).send().await;
        gone.named("ec2:DeleteSubnet").unless(&[Trouble::NotFound])
    }
}
