//! What could be read of `aws`, right or wrong.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use crate::inventory::*;

/// [`Aws`] in which what could not be read is missing. A text that has no default and was not given is empty.
pub(crate) struct DraftAws {
    pub region: Option<String>,
    pub zones: Option<Zones>,
    pub profile: Option<String>,
    pub assume_role: Option<String>,
    pub network: Option<AwsNetwork>,
    pub access: Access,
    pub ssh_key: Option<Utf8PathBuf>,
    pub image: Option<MachineImage>,
    pub bastion: Option<BastionMachine>,
    pub control_planes: ControlPlaneMachines,
    pub worker_groups: Vec<WorkerGroup>,
    pub api: ApiBalancer,
    /// None where one could not be read.
    pub ingress: Vec<Option<IngressListener>>,
    pub tags: BTreeMap<String, String>,
    pub deletion_protection: bool,
}

impl DraftAws {
    /// None when something is missing, which the reader has reported.
    pub fn into_aws(self) -> Option<Aws> {
        Some(Aws {
            region: self.region?,
            zones: self.zones?,
            profile: self.profile,
            assume_role: self.assume_role,
            network: self.network?,
            access: self.access,
            ssh_key: self.ssh_key?,
            image: self.image?,
            bastion: self.bastion,
            control_planes: self.control_planes,
            worker_groups: self.worker_groups,
            api: self.api,
            ingress: self.ingress.into_iter().collect::<Option<_>>()?,
            tags: self.tags,
            deletion_protection: self.deletion_protection,
        })
    }
}
