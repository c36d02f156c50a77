//! Route tables, their routes and the subnets that use them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{ResourceType, RouteOrigin};
use ipnet::Ipv4Net;

use super::error::{Adjusted as _, Named as _};
use super::observe::{Only, Raw};
use super::{AwsCloud, id_of, tags, theirs};
use crate::cloud::name::{Ref, ResourceName};
use crate::cloud::ports::{CloudError, Ids, State, Trouble};
use crate::cloud::resource::{Resource, RouteTable, Tags};

/// What ids of NAT gateways begin with; a route names them in a field of their own.
const NAT_PREFIX: &str = "nat-";

impl AwsCloud {
    pub(super) async fn list_route_tables(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let tables =
            self.route_tables(self.ec2.describe_route_tables().set_filters(Some(self.filters(only)))).await?;
        let raw = |table: &aws_sdk_ec2::types::RouteTable| {
            let read = tags::read(&self.cluster, tags::pairs(table.tags()));
            let associated = table.associations().iter().filter_map(|association| association.subnet_id());
            let resource = Resource::RouteTable(RouteTable {
                vpc: theirs(table.vpc_id()),
                routes: table.routes().iter().filter_map(route).collect(),
                subnets: associated.map(|subnet| theirs(Some(subnet))).collect(),
            });
            Some(Raw::new(read.name?, table.route_table_id(), resource, read.tags, State::Ready))
        };
        Ok(tables.iter().filter_map(raw).collect())
    }

    async fn route_tables(
        &self,
        request: aws_sdk_ec2::operation::describe_route_tables::builders::DescribeRouteTablesFluentBuilder,
    ) -> Result<Vec<aws_sdk_ec2::types::RouteTable>, CloudError> {
        let pages = request.into_paginator().items();
        pages.send().collect::<Result<Vec<_>, _>>().await.named("ec2:DescribeRouteTables")
    }

    pub(super) async fn create_route_table(
        &self,
        name: &ResourceName,
        table: &RouteTable,
        tags: &Tags,
        ids: &Ids,
        token: &str,
    ) -> Result<String, CloudError> {
        let request = self
            .ec2
            .create_route_table()
            .vpc_id(id_of(&table.vpc, ids)?)
            .client_token(token)
            .tag_specifications(self.specification(ResourceType::RouteTable, name, tags));
        let answer = request.send().await.named("ec2:CreateRouteTable")?;
        Ok(answer.route_table().and_then(|table| table.route_table_id()).unwrap_or_default().to_owned())
    }

    pub(super) async fn update_route_table(
        &self,
        id: &str,
        from: &RouteTable,
        to: &RouteTable,
        ids: &Ids,
    ) -> Result<(), CloudError> {
        self.update_routes(id, &from.routes, &to.routes, ids).await?;
        if from.subnets == to.subnets {
            return Ok(());
        }
        for subnet in to.subnets.difference(&from.subnets) {
            let request = self.ec2.associate_route_table().route_table_id(id).subnet_id(id_of(subnet, ids)?);
            request.send().await.named("ec2:AssociateRouteTable").unless(&[Trouble::Exists])?;
        }
        let kept: BTreeSet<String> = to.subnets.iter().filter_map(|subnet| id_of(subnet, ids).ok()).collect();
        self.disassociate(id, &kept).await
    }

    async fn update_routes(
        &self,
        id: &str,
        from: &BTreeMap<Ipv4Net, Ref>,
        to: &BTreeMap<Ipv4Net, Ref>,
        ids: &Ids,
    ) -> Result<(), CloudError> {
        for (network, gateway) in to {
            let gateway = id_of(gateway, ids)?;
            let (nat, internet) = match gateway.starts_with(NAT_PREFIX) {
                true => (Some(gateway), None),
                false => (None, Some(gateway)),
            };
            // A gateway that came again has its old one's name, so what is there says nothing; the call does.
            if from.contains_key(network) {
                let request = self.ec2.replace_route().route_table_id(id);
                let request = request.destination_cidr_block(network.to_string());
                let request = request.set_nat_gateway_id(nat).set_gateway_id(internet);
                request.send().await.named("ec2:ReplaceRoute")?;
            } else {
                let request = self.ec2.create_route().route_table_id(id);
                let request = request.destination_cidr_block(network.to_string());
                let request = request.set_nat_gateway_id(nat).set_gateway_id(internet);
                request.send().await.named("ec2:CreateRoute").unless(&[Trouble::Exists])?;
            }
        }
        for network in from.keys().filter(|network| !to.contains_key(*network)) {
            let request = self.ec2.delete_route().route_table_id(id);
            let gone = request.destination_cidr_block(network.to_string()).send().await;
            gone.named("ec2:DeleteRoute").unless(&[Trouble::NotFound])?;
        }
        Ok(())
    }

    /// Takes all subnets but those away from a table.
    async fn disassociate(&self, id: &str, kept: &BTreeSet<String>) -> Result<(), CloudError> {
        let tables = self.route_tables(self.ec2.describe_route_tables().route_table_ids(id)).await;
        let tables = match tables {
            Err(error) if error.trouble == Trouble::NotFound => return Ok(()),
            tables => tables?,
        };
        let associations = tables.iter().flat_map(|table| table.associations());
        let gone = associations
            .filter(|association| association.subnet_id().is_some_and(|subnet| !kept.contains(subnet)));
        for association in gone {
            let association = association.route_table_association_id().unwrap_or_default();
            let request = self.ec2.disassociate_route_table().association_id(association);
            request.send().await.named("ec2:DisassociateRouteTable").unless(&[Trouble::NotFound])?;
        }
        Ok(())
    }

    pub(super) async fn delete_route_table(&self, id: &str) -> Result<(), CloudError> {
        self.disassociate(id, &BTreeSet::new()).await?;
        let gone = self.ec2.delete_route_table().route_table_id(id).send().await;
        gone.named("ec2:DeleteRouteTable").unless(&[Trouble::NotFound])
    }
}

/// A route that somebody made; the VPC's own is not counted.
fn route(route: &aws_sdk_ec2::types::Route) -> Option<(Ipv4Net, Ref)> {
    if route.origin() == Some(&RouteOrigin::CreateRouteTable) || route.gateway_id() == Some("local") {
        return None;
    }
    let gateway = route.nat_gateway_id().or(route.gateway_id());
    Some((route.destination_cidr_block()?.parse().ok()?, theirs(gateway)))
}
