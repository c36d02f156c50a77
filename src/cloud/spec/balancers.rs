//! Balancers: one for the API's clients outside, one for what the cluster serves. Nodes reach API servers by
//! themselves, so no control plane ever depends on finding its way through a balancer back to itself.

use std::collections::BTreeSet;

use super::rules::{API_BALANCER, API_PORT, INGRESS_BALANCER, group};
use super::{Spec, control_plane_name, ours};
use crate::cloud::name::Ref;
use crate::cloud::resource::{Balancer, Health, Listener, Record, Resource, TargetGroup, Targets};

/// Seconds that connections to an API server that leaves may last: watches are made anew elsewhere.
const API_DEREGISTRATION: u32 = 30;
/// AWS's own default.
const INGRESS_DEREGISTRATION: u32 = 300;

/// The target group of an ingress port.
pub(super) fn ingress_group(node_port: u16) -> String {
    format!("ingress-{node_port}")
}

impl Spec<'_> {
    pub(super) fn balancers(&mut self) {
        self.api_balancer();
        if !self.aws.ingress.is_empty() {
            self.ingress_balancer();
        }
    }

    fn api_balancer(&mut self) {
        let balancer = self.balancer(API_BALANCER, self.aws.api.internal);
        let health = Health::Https { path: "/readyz".to_owned() };
        let target_group = TargetGroup {
            vpc: self.vpc.clone(),
            port: API_PORT,
            health,
            preserve_client_address: false,
            deregistration_delay: API_DEREGISTRATION,
        };
        let target_group = self.put(API_BALANCER, Resource::TargetGroup(target_group));
        let members = 1..=self.aws.control_planes.count;
        let instances = members.map(|number| ours("instance", &control_plane_name(number))).collect();
        self.put(API_BALANCER, Resource::Targets(Targets { group: target_group.clone(), instances }));
        let listener = Listener { balancer: balancer.clone(), port: API_PORT, group: target_group };
        self.put(API_BALANCER, Resource::Listener(listener));
        if let Some(record) = &self.aws.api.record {
            let record = Record {
                hosted_zone: record.hosted_zone.clone(),
                name: record.name.trim_end_matches('.').to_owned(),
                balancer,
            };
            self.put(API_BALANCER, Resource::Record(record));
        }
    }

    fn ingress_balancer(&mut self) {
        let balancer = self.balancer(INGRESS_BALANCER, false);
        for listener in self.aws.ingress.clone() {
            let name = ingress_group(listener.node_port);
            let target_group = TargetGroup {
                vpc: self.vpc.clone(),
                port: listener.node_port,
                health: Health::Tcp,
                preserve_client_address: true,
                deregistration_delay: INGRESS_DEREGISTRATION,
            };
            let group = self.put(&name, Resource::TargetGroup(target_group));
            let port = listener.port;
            let listener = Listener { balancer: balancer.clone(), port, group };
            self.put(&format!("{INGRESS_BALANCER}-{port}"), Resource::Listener(listener));
        }
    }

    fn balancer(&mut self, name: &str, internal: bool) -> Ref {
        let private = |zone: &super::Zone| Some(zone.private.clone());
        let subnets: BTreeSet<Ref> = match internal {
            true => self.zones.iter().filter_map(private).collect(),
            false => self.zones.iter().filter_map(|zone| zone.public.clone()).collect(),
        };
        let balancer = Balancer {
            internal,
            subnets,
            groups: BTreeSet::from([group(name)]),
            // Off by default at AWS: then a zone without a target that is well answers nobody.
            cross_zone: true,
            deletion_protection: self.aws.deletion_protection,
        };
        self.put(name, Resource::Balancer(balancer))
    }
}
