//! The VPC: a public and a private subnet in each zone, and the ways out.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use super::{Spec, SpecError, Zone, ours, zone_names};
use crate::cloud::name::{PhysicalId, Ref};
use crate::cloud::resource::{ElasticIp, InternetGateway, NatGateway, Resource, RouteTable, Subnet, Vpc};
use crate::cloud::spec::Lookups;
use crate::inventory::{Aws, AwsNetwork, Nat};

/// Eight parts: one private subnet for each of up to six zones, and the last part for public ones.
const PRIVATE_BITS: u8 = 3;
/// The last eighth in eight parts again.
const PUBLIC_BITS: u8 = 6;
/// What tells a balancer's controller which subnets are for it.
const PUBLIC_ROLE: (&str, &str) = ("kubernetes.io/role/elb", "1");
const PRIVATE_ROLE: (&str, &str) = ("kubernetes.io/role/internal-elb", "1");

/// The zones and their subnets.
pub(super) fn zones(aws: &Aws, lookups: &Lookups) -> Result<Vec<Zone>, SpecError> {
    let names = zone_names(aws, lookups)?;
    let short = |name: &String| name.strip_prefix(&aws.region).unwrap_or(name).trim_matches('-').to_owned();
    match &aws.network {
        AwsNetwork::New { cidr, .. } => {
            let zone = |(index, name): (usize, &String)| {
                let short = short(name);
                Zone {
                    name: name.clone(),
                    public: Some(ours("subnet", &format!("public-{short}"))),
                    private: ours("subnet", &format!("private-{short}")),
                    cidr: part(*cidr, PRIVATE_BITS, index),
                    short,
                }
            };
            Ok(names.iter().enumerate().map(zone).collect())
        }
        AwsNetwork::Existing { public_subnets, private_subnets, .. } => {
            let public = by_zone(public_subnets, lookups)?;
            let private = by_zone(private_subnets, lookups)?;
            names
                .iter()
                .map(|name| {
                    let found = private.get(name);
                    let (id, cidr) = found
                        .ok_or_else(|| SpecError::NoSubnetInZone { kind: "private", zone: name.clone() })?;
                    Ok(Zone {
                        name: name.clone(),
                        short: short(name),
                        public: public.get(name).map(|(id, _)| Ref::Theirs(id.clone())),
                        private: Ref::Theirs(id.clone()),
                        cidr: Some(*cidr),
                    })
                })
                .collect()
        }
    }
}

fn by_zone(ids: &[String], lookups: &Lookups) -> Result<BTreeMap<String, (PhysicalId, Ipv4Net)>, SpecError> {
    let known = |id: &String| {
        let id = PhysicalId(id.clone());
        let subnet = lookups.subnets.get(&id).ok_or_else(|| SpecError::NoSubnet(id.to_string()))?;
        Ok((subnet.zone.clone(), (id, subnet.cidr)))
    };
    ids.iter().map(known).collect()
}

/// The part at `index` of a network in 2^`bits` parts.
fn part(cidr: Ipv4Net, bits: u8, index: usize) -> Option<Ipv4Net> {
    cidr.subnets(cidr.prefix_len() + bits).ok()?.nth(index)
}

impl Spec<'_> {
    pub(super) fn network(&mut self) {
        let AwsNetwork::New { cidr, nat } = self.aws.network.clone() else { return };
        self.put("main", Resource::Vpc(Vpc { cidr, dns_support: true, dns_hostnames: true }));
        let gateway = InternetGateway { vpc: self.vpc.clone() };
        let gateway = self.put("main", Resource::InternetGateway(gateway));
        for (index, zone) in self.zones.clone().into_iter().enumerate() {
            self.subnets(index, &zone, cidr);
        }
        self.public_routes(&gateway);
        self.private_routes(&gateway, nat);
    }

    fn subnets(&mut self, index: usize, zone: &Zone, cidr: Ipv4Net) {
        let last = (1 << PUBLIC_BITS) - (1 << (PUBLIC_BITS - PRIVATE_BITS));
        let parts = [
            ("public", part(cidr, PUBLIC_BITS, last + index), true, PUBLIC_ROLE),
            ("private", part(cidr, PRIVATE_BITS, index), false, PRIVATE_ROLE),
        ];
        for (kind, cidr, public_addresses, role) in parts {
            // invariant: six zones at most, and a network of /22 at least, are rules of the inventory.
            let Some(cidr) = cidr else { continue };
            let subnet = Subnet { vpc: self.vpc.clone(), zone: zone.name.clone(), cidr, public_addresses };
            self.put_tagged(&format!("{kind}-{}", zone.short), Resource::Subnet(subnet), &[role]);
        }
    }

    fn public_routes(&mut self, gateway: &Ref) {
        let subnets: BTreeSet<Ref> = self.zones.iter().filter_map(|zone| zone.public.clone()).collect();
        let routes = BTreeMap::from([(Ipv4Net::default(), gateway.clone())]);
        self.put("public", Resource::RouteTable(RouteTable { vpc: self.vpc.clone(), routes, subnets }));
    }

    /// A zone that fails takes no other zone's way out with it, unless one gateway is asked for.
    fn private_routes(&mut self, internet_gateway: &Ref, nat: Nat) {
        let mut way_out: Option<Ref> = None;
        for zone in self.zones.clone() {
            let wanted = match nat {
                Nat::PerZone => true,
                Nat::Single => way_out.is_none(),
                Nat::None => false,
            };
            if wanted && let Some(subnet) = zone.public.clone() {
                let name = format!("nat-{}", zone.short);
                let address = self.put(&name, Resource::ElasticIp(ElasticIp {}));
                let internet_gateway = internet_gateway.clone();
                let nat = NatGateway { subnet, address, internet_gateway };
                way_out = Some(self.put(&zone.short, Resource::NatGateway(nat)));
            }
            let routes = way_out.iter().map(|nat| (Ipv4Net::default(), nat.clone())).collect();
            let subnets = BTreeSet::from([zone.private.clone()]);
            let table = RouteTable { vpc: self.vpc.clone(), routes, subnets };
            self.put(&format!("private-{}", zone.short), Resource::RouteTable(table));
        }
    }
}
