//! Which part of the cluster's pod ranges each node has.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::inventory::{HostName, Inventory};

/// The sizes the controller manager uses by default.
const NODE_PREFIX_V4: u8 = 24;
const NODE_PREFIX_V6: u8 = 64;

/// Why a node can have no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PodCidrError {
    #[error("pod range {range} is smaller than one node's share, /{prefix}")]
    TooSmall { range: IpNet, prefix: u8 },
    #[error("pod range {range} has {capacity} shares of /{prefix} and none is left for node {host}")]
    Exhausted { range: IpNet, prefix: u8, capacity: u128, host: HostName },
}

/// One range of each family for every node. Nodes keep what was observed of them when it lies in the
/// cluster's range and nobody before them has it; the others get the first that is free, in order of name.
pub fn assign_pod_cidrs(
    inventory: &Inventory,
    observed: &BTreeMap<HostName, Vec<IpNet>>,
) -> Result<BTreeMap<HostName, Vec<IpNet>>, PodCidrError> {
    let mut assigned: BTreeMap<HostName, Vec<IpNet>> =
        inventory.nodes().map(|host| (host.name.clone(), Vec::new())).collect();
    for range in &inventory.network.pod_cidrs {
        let shares = Shares::of(*range)?;
        // What a node that is being removed still has is not free either.
        let mut taken = BTreeSet::new();
        let mut kept: BTreeMap<&HostName, u128> = BTreeMap::new();
        for (host, ranges) in observed {
            for index in ranges.iter().filter_map(|observed| shares.index_of(*observed)) {
                if taken.insert(index) {
                    kept.entry(host).or_insert(index);
                }
            }
        }
        let mut next = 0;
        for (host, ranges) in &mut assigned {
            let index = match kept.get(host) {
                Some(index) => *index,
                None => {
                    while taken.contains(&next) {
                        next += 1;
                    }
                    taken.insert(next);
                    next
                }
            };
            ranges.push(shares.share(index).ok_or_else(|| PodCidrError::Exhausted {
                range: *range,
                prefix: shares.prefix,
                capacity: shares.capacity(),
                host: host.clone(),
            })?);
        }
    }
    Ok(assigned)
}

/// A range cut into equal shares.
struct Shares {
    range: IpNet,
    prefix: u8,
}

impl Shares {
    fn of(range: IpNet) -> Result<Self, PodCidrError> {
        let prefix = match range {
            IpNet::V4(_) => NODE_PREFIX_V4,
            IpNet::V6(_) => NODE_PREFIX_V6,
        };
        if range.prefix_len() > prefix {
            return Err(PodCidrError::TooSmall { range, prefix });
        }
        Ok(Shares { range: range.trunc(), prefix })
    }

    fn capacity(&self) -> u128 {
        1 << (self.prefix - self.range.prefix_len())
    }

    fn share(&self, index: u128) -> Option<IpNet> {
        if index >= self.capacity() {
            return None;
        }
        match self.range {
            IpNet::V4(range) => {
                let offset = u32::try_from(index).ok()? << (32 - self.prefix);
                let address = u32::from(range.network()) | offset;
                Ipv4Net::new(address.into(), self.prefix).ok().map(IpNet::V4)
            }
            IpNet::V6(range) => {
                let address = u128::from(range.network()) | (index << (128 - self.prefix));
                Ipv6Net::new(address.into(), self.prefix).ok().map(IpNet::V6)
            }
        }
    }

    /// Which share this is; None when it is none of them.
    fn index_of(&self, share: IpNet) -> Option<u128> {
        if share.prefix_len() != self.prefix || !self.range.contains(&share) {
            return None;
        }
        match (self.range, share) {
            (IpNet::V4(range), IpNet::V4(share)) => {
                let offset = u32::from(share.network()) - u32::from(range.network());
                Some(u128::from(offset >> (32 - self.prefix)))
            }
            (IpNet::V6(range), IpNet::V6(share)) => {
                Some((u128::from(share.network()) - u128::from(range.network())) >> (128 - self.prefix))
            }
            (IpNet::V4(_), IpNet::V6(_)) | (IpNet::V6(_), IpNet::V4(_)) => None,
        }
    }
}
