//! Networks and who may talk to whom.

use serde_json::{Value, json};

use super::{Block, Writer, label};
use crate::cloud::name::{Ref, ResourceName, physical_name};
use crate::cloud::resource::{
    Desired, InternetGateway, NatGateway, Peer, Protocol, RouteTable, Rule, SecurityGroup, SecurityRules,
    Subnet, Vpc,
};

impl Writer<'_> {
    pub(super) fn vpc(&self, name: &ResourceName, vpc: &Vpc, desired: &Desired) -> Vec<Block> {
        let content = json!({
            "cidr_block": vpc.cidr,
            "enable_dns_support": vpc.dns_support,
            "enable_dns_hostnames": vpc.dns_hostnames,
            "tags": self.tags(name, desired),
        });
        vec![("aws_vpc", label(name.short()), content)]
    }

    pub(super) fn internet_gateway(
        &self,
        name: &ResourceName,
        gateway: &InternetGateway,
        desired: &Desired,
    ) -> Vec<Block> {
        let content = json!({"vpc_id": self.id(&gateway.vpc), "tags": self.tags(name, desired)});
        vec![("aws_internet_gateway", label(name.short()), content)]
    }

    pub(super) fn subnet(&self, name: &ResourceName, subnet: &Subnet, desired: &Desired) -> Vec<Block> {
        let content = json!({
            "vpc_id": self.id(&subnet.vpc),
            "cidr_block": subnet.cidr,
            "availability_zone": subnet.zone,
            "map_public_ip_on_launch": subnet.public_addresses,
            "tags": self.tags(name, desired),
        });
        vec![("aws_subnet", label(name.short()), content)]
    }

    pub(super) fn address(&self, name: &ResourceName, desired: &Desired) -> Vec<Block> {
        let content = json!({"domain": "vpc", "tags": self.tags(name, desired)});
        vec![("aws_eip", label(name.short()), content)]
    }

    pub(super) fn nat(&self, name: &ResourceName, nat: &NatGateway, desired: &Desired) -> Vec<Block> {
        let mut content = json!({
            "allocation_id": self.id(&nat.address),
            "subnet_id": self.id(&nat.subnet),
            "tags": self.tags(name, desired),
        });
        if let Ref::Ours(gateway) = &nat.internet_gateway {
            content["depends_on"] = json!([self.address_of(gateway)]);
        }
        vec![("aws_nat_gateway", label(name.short()), content)]
    }

    pub(super) fn route_table(
        &self,
        name: &ResourceName,
        table: &RouteTable,
        desired: &Desired,
    ) -> Vec<Block> {
        let own = format!("${{aws_route_table.{}.id}}", label(name.short()));
        let content = json!({"vpc_id": self.id(&table.vpc), "tags": self.tags(name, desired)});
        let mut blocks = vec![("aws_route_table", label(name.short()), content)];
        for (number, (to, through)) in table.routes.iter().enumerate() {
            let is_nat = matches!(through, Ref::Ours(name) if name.kind() == "nat-gateway");
            let gateway = if is_nat { "nat_gateway_id" } else { "gateway_id" };
            let content =
                json!({"route_table_id": own, "destination_cidr_block": to, gateway: self.id(through)});
            blocks.push(("aws_route", format!("{}-{number}", label(name.short())), content));
        }
        for (number, subnet) in table.subnets.iter().enumerate() {
            let content = json!({"route_table_id": own, "subnet_id": self.id(subnet)});
            blocks.push((
                "aws_route_table_association",
                format!("{}-{number}", label(name.short())),
                content,
            ));
        }
        blocks
    }

    pub(super) fn security_group(
        &self,
        name: &ResourceName,
        group: &SecurityGroup,
        desired: &Desired,
    ) -> Vec<Block> {
        let content = json!({
            "name": physical_name(self.cluster, name.short()),
            "description": format!("{} of cluster {}", name.short(), self.cluster),
            "vpc_id": self.id(&group.vpc),
            "tags": self.tags(name, desired),
        });
        vec![("aws_security_group", label(name.short()), content)]
    }

    pub(super) fn rules(&self, name: &ResourceName, rules: &SecurityRules) -> Vec<Block> {
        let group = self.id(&rules.group);
        let mut blocks = Vec::new();
        for (kind, list) in [
            ("aws_vpc_security_group_ingress_rule", &rules.ingress),
            ("aws_vpc_security_group_egress_rule", &rules.egress),
        ] {
            for (number, rule) in list.iter().enumerate() {
                let content = self.rule(&group, rule);
                blocks.push((kind, format!("{}-{number}", label(name.short())), content));
            }
        }
        blocks
    }

    fn rule(&self, group: &Value, rule: &Rule) -> Value {
        let mut content = json!({"security_group_id": group});
        match rule.protocol {
            Protocol::All => content["ip_protocol"] = json!("-1"),
            Protocol::Other(number) => content["ip_protocol"] = json!(number.to_string()),
            Protocol::Tcp(from, to) | Protocol::Udp(from, to) => {
                let is_tcp = matches!(rule.protocol, Protocol::Tcp(..));
                content["ip_protocol"] = json!(if is_tcp { "tcp" } else { "udp" });
                content["from_port"] = json!(from);
                content["to_port"] = json!(to);
            }
        }
        match &rule.peer {
            Peer::Network(network) if network.addr().is_ipv6() => content["cidr_ipv6"] = json!(network),
            Peer::Network(network) => content["cidr_ipv4"] = json!(network),
            Peer::Group(other) => content["referenced_security_group_id"] = self.id(other),
        }
        content
    }
}
