//! EBS volumes: sizes and speeds that AWS makes.
//!
//! The limits are the widest that any region or instance type has; what a particular one lacks, AWS says itself.

use std::ops::RangeInclusive;

use super::Rules;
use crate::inventory::parse::path::Path;
use crate::inventory::parse::scalar::quoted;
use crate::inventory::{Disk, DiskKind};

/// GiB: Debian's image has 8.
pub(super) const ROOT_LEAST: u32 = 8;
/// GiB: io1 and io2 have no smaller ones.
pub(super) const ETCD_LEAST: u32 = 4;
/// GiB: what every kind can have in every region.
const MOST: u32 = 16_384;
/// MiB a second of gp3. 1000 until 2025.
const THROUGHPUT: RangeInclusive<u32> = 125..=2000;
/// Operations a second that each MiB a second of gp3 needs.
const IOPS_PER_THROUGHPUT: u32 = 4;

/// Operations a second that a kind can have, and how many for each GiB; None: they cannot be chosen.
fn iops_of(kind: DiskKind) -> Option<(RangeInclusive<u32>, u32)> {
    match kind {
        // 16000 until 2025.
        DiskKind::Gp3 => Some((3000..=80_000, 500)),
        DiskKind::Gp2 => None,
        DiskKind::Io1 => Some((100..=64_000, 50)),
        DiskKind::Io2 => Some((100..=256_000, 1000)),
    }
}

impl Rules<'_> {
    pub(super) fn disk(&self, path: &Path, disk: &Disk, least: u32) {
        if !(least..=MOST).contains(&disk.size) {
            let message = format!("{} GiB; want {least} to {MOST}", disk.size);
            self.error(&path.key("size"), message, "write the size in GiB");
        }
        self.iops(path, disk);
        self.throughput(path, disk);
        if let Some(key) = disk.kms_key.as_ref().filter(|key| !super::syntax::is_kms_key(key)) {
            let message = format!("{} is not a key of KMS", quoted(key));
            self.error(&path.key("kmsKey"), message, "write its ARN, or alias/NAME");
        }
    }

    fn iops(&self, path: &Path, disk: &Disk) {
        let at = path.key("iops");
        let kind = disk.kind.as_str();
        let Some(iops) = disk.iops else {
            let must = matches!(disk.kind, DiskKind::Io1 | DiskKind::Io2);
            if must && !self.context.is_broken(&at.to_string()) {
                self.error(&at, format!("`iops` is missing: {kind} has none of its own"), "add `iops: 3000`");
            }
            return;
        };
        let Some((range, per_gib)) = iops_of(disk.kind) else {
            self.error(
                &at,
                format!("{kind} has operations by its size, not by choice"),
                "remove it, or use type: gp3",
            );
            return;
        };
        // A small gp3 has its 3000 all the same.
        let by_size = disk.size.saturating_mul(per_gib).max(*range.start());
        if !range.contains(&iops) {
            let message =
                format!("{iops} operations a second; {kind} has {} to {}", range.start(), range.end());
            self.error(&at, message, "choose a number in that range");
        } else if iops > by_size {
            let message =
                format!("{iops} operations a second; {kind} of {} GiB has at most {by_size}", disk.size);
            self.error(
                &at,
                message,
                format!("{kind} has at most {per_gib} for each GiB; use a larger volume or less"),
            );
        }
    }

    fn throughput(&self, path: &Path, disk: &Disk) {
        let at = path.key("throughput");
        let Some(throughput) = disk.throughput else { return };
        if disk.kind != DiskKind::Gp3 {
            let message = format!("{} has throughput by its operations, not by choice", disk.kind.as_str());
            self.error(&at, message, "remove it, or use type: gp3");
            return;
        }
        let iops = disk.iops.unwrap_or(3000);
        if !THROUGHPUT.contains(&throughput) {
            let (low, high) = (THROUGHPUT.start(), THROUGHPUT.end());
            self.error(
                &at,
                format!("{throughput} MiB a second; gp3 has {low} to {high}"),
                "choose a number in that range",
            );
        } else if throughput > iops / IOPS_PER_THROUGHPUT {
            let message = format!(
                "{throughput} MiB a second need {} operations; there are {iops}",
                throughput * IOPS_PER_THROUGHPUT
            );
            self.error(&at, message, format!("set iops to {} or more", throughput * IOPS_PER_THROUGHPUT));
        }
    }
}
