//! Who may: keys of the operator, and roles of the machines.

use std::collections::BTreeMap;

use super::{Spec, policies};
use crate::cloud::resource::{InstanceProfile, KeyPair, Resource, Role};

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
        let roles = [
            ("control-plane", BTreeMap::from([("node-token", policies::write_token(place))])),
            (
                "worker",
                BTreeMap::from([
                    ("node-token", policies::read_token(place)),
                    ("drain", policies::drain(place)),
                ]),
            ),
        ];
        for (name, policies) in roles {
            let policies = policies.into_iter().map(|(name, policy)| (name.to_owned(), policy)).collect();
            let role = self.put(name, Resource::Role(Role { policies }));
            self.put(name, Resource::InstanceProfile(InstanceProfile { role }));
        }
    }
}
