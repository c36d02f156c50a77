//! What must hold after every operation, whatever fails. Each broken promise is recorded once, with
//! its moment; a test fails on the first.

use super::world::World;
use crate::inventory::HostName;
use crate::script::{Op, Payload};

/// Marks every private byte of the simulated vault: it may stand in a file on a host and nowhere else.
pub const CANARY: &str = "CANARY-PRIVATE";

impl World {
    /// Before a host does an operation.
    pub fn before_op(&mut self, name: &HostName, op: &Op) {
        let Op::WriteFile { path, payload, .. } = op else { return };
        if let Payload::Text(text) = payload
            && text.contains(CANARY)
        {
            self.violation(self.now, format!("{name}: {path} has a secret in plain text"));
        }
    }

    /// Before the etcd of a host is restarted because its manifest changed.
    pub fn before_etcd_restart(&mut self, name: &HostName) {
        let Some((cluster, member)) = self.member_on(name) else { return };
        let voter = self.clusters.get(&cluster).is_some_and(|cluster| {
            cluster.established && cluster.members.get(&member).is_some_and(|member| !member.learner)
        });
        // One that was put back before it answered takes nothing away.
        if voter && self.answers(cluster, member) {
            self.voter_goes(name, cluster, "restarted");
        }
    }

    /// A voter that answers is about to be taken down by us: the others must be enough.
    pub fn voter_goes(&mut self, name: &HostName, cluster: u64, how: &str) {
        let (up, needed) = self.quorum(cluster);
        let fresh = self.etcd_hosts.iter().any(|other| {
            // Down since the operator looked: nobody could know.
            self.hosts
                .get(other)
                .is_some_and(|host| host.down_since.is_some_and(|since| since >= self.observed_at))
        });
        if up >= needed && up - 1 < needed && needed > 1 && !fresh {
            let text = format!("the voter on {name} was {how} with {up} of {needed} needed voters up");
            self.violation(self.now, text);
        }
    }
}
