//! The machines behind targets: by their own ids, or by addresses of their network interfaces.

use std::net::IpAddr;

use aws_sdk_ec2::types::{Filter, Instance, NetworkInterface};

use super::MigrationAws;
use super::error::Told as _;
use super::network::FILTERED;
use crate::migrate::ports::{CallError, Machine};

/// Machines that are there: those that go have no addresses any more.
const STATES: [&str; 4] = ["pending", "running", "stopping", "stopped"];

impl MigrationAws {
    /// One that is asked for by an address is told with that one, and with the groups of the interface that has it.
    pub(super) async fn list_machines(&self, ids: &[String]) -> Result<Vec<Machine>, CallError> {
        let (addresses, ids): (Vec<&String>, Vec<&String>) =
            ids.iter().partition(|id| id.parse::<IpAddr>().is_ok());
        let (six, four): (Vec<&String>, Vec<&String>) =
            addresses.into_iter().partition(|address| address.contains(':'));
        let mut machines = Vec::new();
        for some in ids.chunks(FILTERED) {
            machines.extend(self.instances(some).await?);
        }
        for (filter, addresses) in
            [("addresses.private-ip-address", four), ("ipv6-addresses.ipv6-address", six)]
        {
            for some in addresses.chunks(FILTERED) {
                machines.extend(self.behind(filter, some).await?);
            }
        }
        machines.sort_by(|one, other| (&one.id, one.address).cmp(&(&other.id, other.address)));
        machines.dedup();
        Ok(machines)
    }

    /// By a filter: ids that nobody has are no error.
    async fn instances(&self, ids: &[&String]) -> Result<Vec<Machine>, CallError> {
        let request = self
            .ec2
            .describe_instances()
            .filters(filter("instance-id", ids))
            .filters(filter("instance-state-name", &STATES));
        let pages = request.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        let reservations = pages.told("ec2:DescribeInstances")?;
        Ok(reservations.iter().flat_map(|some| some.instances()).filter_map(machine).collect())
    }

    async fn behind(&self, name: &str, addresses: &[&String]) -> Result<Vec<Machine>, CallError> {
        let request = self.ec2.describe_network_interfaces().filters(filter(name, addresses));
        let pages = request.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        let interfaces = pages.told("ec2:DescribeNetworkInterfaces")?;
        let wanted: Vec<IpAddr> = addresses.iter().filter_map(|address| address.parse().ok()).collect();
        Ok(interfaces.iter().flat_map(|interface| owners(interface, &wanted)).collect())
    }
}

fn filter<T: AsRef<str>>(name: &str, values: &[T]) -> Filter {
    let values = values.iter().map(|value| value.as_ref().to_owned()).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

fn machine(instance: &Instance) -> Option<Machine> {
    let four = instance.private_ip_address().and_then(|address| address.parse().ok());
    let six = || instance.ipv6_address().and_then(|address| address.parse().ok());
    let groups = instance.security_groups().iter().filter_map(|group| group.group_id());
    Some(Machine {
        id: instance.instance_id()?.to_owned(),
        address: four.or_else(six)?,
        vpc: instance.vpc_id()?.to_owned(),
        groups: groups.map(str::to_owned).collect(),
    })
}

/// The instance of an interface, for each wanted address that it has.
fn owners(interface: &NetworkInterface, wanted: &[IpAddr]) -> Vec<Machine> {
    let owner = interface.attachment().and_then(|attachment| attachment.instance_id());
    let (Some(id), Some(vpc)) = (owner, interface.vpc_id()) else { return Vec::new() };
    let first = interface.private_ip_address();
    let four = interface.private_ip_addresses().iter().filter_map(|address| address.private_ip_address());
    let six = interface.ipv6_addresses().iter().filter_map(|address| address.ipv6_address());
    let all: Vec<IpAddr> =
        first.into_iter().chain(four).chain(six).filter_map(|address| address.parse().ok()).collect();
    let groups = interface.groups().iter().filter_map(|group| group.group_id());
    let groups: Vec<String> = groups.map(str::to_owned).collect();
    let machine = |address: &IpAddr| Machine {
        id: id.to_owned(),
        address: *address,
        vpc: vpc.to_owned(),
        groups: groups.clone(),
    };
    wanted.iter().filter(|address| all.contains(address)).map(machine).collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{
        GroupIdentifier, NetworkInterfaceAttachment, NetworkInterfaceIpv6Address,
        NetworkInterfacePrivateIpAddress,
    };

    use super::*;

    fn interface(owner: Option<&str>) -> NetworkInterface {
        let second = NetworkInterfacePrivateIpAddress::builder().private_ip_address("10.0.1.9").build();
        let six = NetworkInterfaceIpv6Address::builder().ipv6_address("fd00::9").build();
        let attachment = NetworkInterfaceAttachment::builder().set_instance_id(owner.map(str::to_owned));
        NetworkInterface::builder()
            .vpc_id("vpc-1")
            .private_ip_address("10.0.1.8")
            .private_ip_addresses(second)
            .ipv6_addresses(six)
            .groups(GroupIdentifier::builder().group_id("sg-1").build())
            .attachment(attachment.build())
            .build()
    }

    #[test]
    fn a_machine_is_told_by_any_address_of_its_interfaces() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let wanted = ["10.0.1.8", "10.0.1.9", "fd00::9", "10.0.1.10"].map(address);
        let found = owners(&interface(Some("i-1")), &wanted);
        let addresses: Vec<IpAddr> = found.iter().map(|machine| machine.address).collect();
        assert_eq!(addresses, wanted[..3]);
        assert!(found.iter().all(|machine| machine.id == "i-1" && machine.groups == ["sg-1"]));
    }

    #[test]
    fn an_address_of_a_balancer_or_a_gateway_is_no_machines() {
        assert!(owners(&interface(None), &["10.0.1.8".parse().unwrap()]).is_empty());
    }
}
