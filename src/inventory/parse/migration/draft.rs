//! What could be read of a migration's file, right or wrong.

use std::net::SocketAddr;

use camino::Utf8PathBuf;

use crate::inventory::*;

/// A [`Migration`] in which what could not be read is missing; lists keep their places.
pub(crate) struct DraftMigration {
    pub name: Option<ClusterName>,
    pub aws: Option<DraftAccount>,
    pub names: Vec<Option<ServiceName>>,
    pub blue: Option<DraftSide>,
    pub green: Option<DraftSide>,
    pub resolvers: Vec<Option<SocketAddr>>,
    pub probes: Vec<Option<Probe>>,
    pub schedule: Vec<Option<Move>>,
    pub gates: DraftGates,
    pub take_over: Option<TakeOver>,
    pub teardown: Teardown,
    pub make: Option<MakeGreen>,
    pub copy: Option<CopySelection>,
}

pub(crate) struct DraftAccount {
    pub region: Option<String>,
    pub profile: Option<String>,
    pub assume_role: Option<String>,
}

pub(crate) struct DraftSide {
    pub balancer: Option<Balancer>,
    pub kubeconfig: Option<Utf8PathBuf>,
    pub inventory: Option<Utf8PathBuf>,
}

pub(crate) struct DraftGates {
    /// Its lists are empty.
    pub gates: Gates,
    pub metrics: Vec<Option<MetricGate>>,
    pub commands: Vec<Option<CommandGate>>,
}

impl DraftSide {
    /// Somebody can look at its nodes and objects.
    pub fn has_cluster(&self) -> bool {
        self.kubeconfig.is_some() || self.inventory.is_some()
    }

    fn into_side(self) -> Option<MigrationSide> {
        Some(MigrationSide {
            balancer: self.balancer?,
            kubeconfig: self.kubeconfig,
            inventory: self.inventory,
        })
    }
}

impl DraftMigration {
    /// Fills in the defaults that depend on other fields.
    pub fn settle(&mut self) {
        // What is made is green.
        if let (Some(green), Some(MakeGreen::Inventory { inventory })) = (&mut self.green, &self.make)
            && !green.has_cluster()
        {
            green.inventory = Some(inventory.clone());
        }
    }

    /// None when something is missing, which the reader has reported.
    pub fn into_migration(self) -> Option<Migration> {
        let aws = self.aws?;
        let gates = Gates {
            metrics: self.gates.metrics.into_iter().collect::<Option<_>>()?,
            commands: self.gates.commands.into_iter().collect::<Option<_>>()?,
            ..self.gates.gates
        };
        Some(Migration {
            name: self.name?.into(),
            aws: Account { region: aws.region?, profile: aws.profile, assume_role: aws.assume_role },
            names: self.names.into_iter().collect::<Option<_>>()?,
            blue: self.blue?.into_side()?,
            green: self.green?.into_side()?,
            resolvers: self.resolvers.into_iter().collect::<Option<_>>()?,
            probes: self.probes.into_iter().collect::<Option<_>>()?,
            schedule: self.schedule.into_iter().collect::<Option<_>>()?,
            gates,
            take_over: self.take_over,
            teardown: self.teardown,
            make: self.make,
            copy: self.copy,
        })
    }
}
