//! Who may: keys of the operator, and roles of the machines.

use std::collections::BTreeMap;

use super::{Spec, policies};
use crate::cloud::resource::{InstanceProfile, KeyPair, Resource, Role};
use crate::inventory::Delivery;
use crate::release::addons::{CLOUD_CONTROLLER, EBS_CSI};

impl Spec<'_> {
    pub(super) fn access(&mut self) {
        let public_key = self.lookups.public_key.clone();
        self.put("operator", Resource::KeyPair(KeyPair { public_key }));
        let place = policies::Place {
            partition: &self.lookups.partition,
            region: &self.aws.region,
            account: &self.lookups.account,
            cluster: self.cluster,
        };
        let has = |name: &str| self.addons.iter().any(|addon| addon.name == name);
        // Their pods are on the control planes' network, so it is these that may.
        let mut control_plane = BTreeMap::from([("node-token", policies::write_token(place))]);
        if has(CLOUD_CONTROLLER) {
            control_plane.insert("cloud-controller", policies::cloud_controller());
        }
        if has(EBS_CSI) {
            control_plane.insert("volumes", policies::volumes(place));
        }
        let mut worker =
            BTreeMap::from([("node-token", policies::read_token(place)), ("drain", policies::drain(place))]);
        if let Delivery::Bucket(bucket) = self.delivery {
            for role in [&mut control_plane, &mut worker] {
                role.insert("artifacts", policies::read_artifacts(place.partition, bucket));
            }
        }
        let roles = [("control-plane", control_plane), ("worker", worker)];
        for (name, policies) in roles {
            let policies = policies.into_iter().map(|(name, policy)| (name.to_owned(), policy)).collect();
            let role = self.put(name, Resource::Role(Role { policies }));
            self.put(name, Resource::InstanceProfile(InstanceProfile { role }));
        }
    }
}
