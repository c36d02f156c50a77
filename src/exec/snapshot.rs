//! A snapshot of etcd that can be trusted: taken from one healthy voter, checked while it comes, kept only when
//! it is whole.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::engine::Clock;
use super::ports::{Etcd, EtcdMember, KubeError, PortError, Snapshots};
use crate::release::KubeVersion;

/// Between tries, when no member gave one.
const PAUSE: Duration = Duration::from_secs(1);
/// What etcd appends to the database: a SHA-256.
const HASH_BYTES: usize = 32;
/// A page's header and the meta data behind it: all of the first page that is looked at.
const HEAD_BYTES: usize = 80;
/// bbolt's `magic`, `version` and the flag of a meta page.
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const META_PAGE: u16 = 0x04;

/// A snapshot that is whole and durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenSnapshot {
    /// Where it is kept.
    pub place: String,
    /// The member it was taken from.
    pub member: String,
    /// Of the database in it.
    pub bytes: u64,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("etcd does not say who its members are")]
    Members(#[source] KubeError),
    #[error("etcd has no healthy voter to take a snapshot from")]
    NoVoter,
    #[error("etcd member {member} does not give a snapshot")]
    Stream {
        member: String,
        #[source]
        source: KubeError,
    },
    #[error("what etcd member {member} sent is no snapshot")]
    Flawed {
        member: String,
        #[source]
        source: Flaw,
    },
    #[error("the snapshot cannot be kept")]
    Keep(#[source] PortError),
}

/// What is wrong with bytes that should be a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("it ends after {0} bytes")]
    Short(u64),
    #[error("the hash at its end is not that of what came before it; it was cut off or damaged")]
    Hash,
    #[error("it does not begin as a database of etcd does: {0}")]
    NoDatabase(&'static str),
    #[error("it has {found} bytes and says that it has {said}")]
    Length { found: u64, said: u64 },
}

/// Takes a snapshot of a cluster that runs `version`, and keeps it. Every healthy voter is asked in turn until
/// one gives a whole snapshot; when none does, all are asked again until `patience` is over. A learner may lack
/// the newest writes and is never asked.
pub async fn take_snapshot(
    etcd: &dyn Etcd,
    snapshots: &dyn Snapshots,
    clock: &dyn Clock,
    version: KubeVersion,
    patience: Duration,
) -> Result<TakenSnapshot, SnapshotError> {
    let end = clock.now() + patience;
    loop {
        let error = match ask_all(etcd, snapshots, version).await {
            Ok(taken) => return Ok(taken),
            // A disk that is full stays full.
            Err(error @ SnapshotError::Keep(_)) => return Err(error),
            Err(error) => error,
        };
        if clock.now() >= end {
            return Err(error);
        }
        clock.wait(PAUSE).await;
    }
}

async fn ask_all(
    etcd: &dyn Etcd,
    snapshots: &dyn Snapshots,
    version: KubeVersion,
) -> Result<TakenSnapshot, SnapshotError> {
    let members = etcd.members().await.map_err(SnapshotError::Members)?;
    let mut last = SnapshotError::NoVoter;
    for member in voters(&members) {
        match ask(etcd, member, snapshots, version).await {
            Ok(taken) => return Ok(taken),
            Err(error @ SnapshotError::Keep(_)) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Who may be asked, in order: the leader last, because it has the most to do.
fn voters(members: &[EtcdMember]) -> Vec<&EtcdMember> {
    let mut found: Vec<&EtcdMember> =
        members.iter().filter(|member| member.healthy && !member.learner).collect();
    found.sort_by(|a, b| (a.leader, &a.name, a.id).cmp(&(b.leader, &b.name, b.id)));
    found
}

async fn ask(
    etcd: &dyn Etcd,
    member: &EtcdMember,
    snapshots: &dyn Snapshots,
    version: KubeVersion,
) -> Result<TakenSnapshot, SnapshotError> {
    let mut draft = snapshots.begin(version).map_err(SnapshotError::Keep)?;
    let mut check = Check::default();
    let mut unwritten = None;
    let streamed = {
        let mut sink = |bytes: &[u8]| {
            check.update(bytes);
            draft.write(bytes).inspect_err(|error| unwritten = Some(PortError(error.0.clone())))
        };
        etcd.snapshot(member, &mut sink).await
    };
    if let Some(error) = unwritten {
        return Err(SnapshotError::Keep(error));
    }
    let name = || member.name.clone();
    streamed.map_err(|source| SnapshotError::Stream { member: name(), source })?;
    let bytes = check.finish().map_err(|source| SnapshotError::Flawed { member: name(), source })?;
    let place = draft.keep().map_err(SnapshotError::Keep)?;
    Ok(TakenSnapshot { place, member: name(), bytes })
}

/// Looks at a snapshot while it passes by.
#[derive(Debug, Default)]
pub struct Check {
    hash: Sha256,
    length: u64,
    head: Vec<u8>,
    /// The last bytes so far: the hash, if nothing follows.
    tail: Vec<u8>,
}

impl Check {
    pub fn update(&mut self, bytes: &[u8]) {
        let wanted = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(bytes.get(..wanted).unwrap_or_default());
        self.length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        // All but the last 32 bytes of what there is now belongs to the database.
        let over = (self.tail.len() + bytes.len()).saturating_sub(HASH_BYTES);
        let from_tail = over.min(self.tail.len());
        let (of_database, kept) = bytes.split_at_checked(over - from_tail).unwrap_or((bytes, &[]));
        self.hash.update(self.tail.get(..from_tail).unwrap_or_default());
        self.hash.update(of_database);
        self.tail.drain(..from_tail);
        self.tail.extend_from_slice(kept);
    }

    /// The size of the database, when all of it has come and it is one.
    pub fn finish(self) -> Result<u64, Flaw> {
        let database = self.length.checked_sub(HASH_BYTES as u64).ok_or(Flaw::Short(self.length))?;
        if database < HEAD_BYTES as u64 {
            return Err(Flaw::Short(self.length));
        }
        if self.hash.finalize().as_slice() != self.tail.as_slice() {
            return Err(Flaw::Hash);
        }
        let said = database_size(&self.head)?;
        if said == database { Ok(database) } else { Err(Flaw::Length { found: database, said }) }
    }
}

/// The size of a bbolt file, from its first page: a header of 16 bytes, then the meta data with the FNV-1a hash of
/// itself at its end. Numbers are those of the member's machine, little-endian on all that Kubernetes runs its
/// control plane on, but for s390x.
fn database_size(head: &[u8]) -> Result<u64, Flaw> {
    let number = |at: usize, length: usize| {
        let bytes = head.get(at..at + length).unwrap_or_default();
        bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let expect = |holds: bool, what| if holds { Ok(()) } else { Err(Flaw::NoDatabase(what)) };
    expect(number(8, 2) & u64::from(META_PAGE) != 0, "its first page has no meta data")?;
    expect(number(16, 4) == u64::from(MAGIC), "bbolt's magic number is missing")?;
    expect(number(20, 4) == u64::from(VERSION), "it is of another version of bbolt")?;
    let hashed = head.get(16..72).unwrap_or_default();
    expect(number(72, 8) == fnv1a(hashed), "the checksum of its meta data is wrong")?;
    let (page_size, pages) = (number(24, 4), number(56, 8));
    // Two meta pages, a list of free pages and a root: an empty database has as many.
    expect(pages >= 4 && page_size >= 512, "it has no pages")?;
    pages.checked_mul(page_size).ok_or(Flaw::NoDatabase("its size is no number"))
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A database that passes for one of etcd's, with the hash at its end: for the simulator and tests.
pub fn sample(content: &[u8]) -> Vec<u8> {
    const PAGE: usize = 4096;
    let pages = 4 + content.len().div_ceil(PAGE);
    let mut bytes = vec![0; pages * PAGE];
    let mut put = |at: usize, number: &[u8]| {
        bytes.iter_mut().skip(at).zip(number).for_each(|(to, from)| *to = *from);
    };
    put(4 * PAGE, content);
    put(8, &META_PAGE.to_le_bytes());
    put(16, &MAGIC.to_le_bytes());
    put(20, &VERSION.to_le_bytes());
    put(24, &(PAGE as u32).to_le_bytes());
    put(56, &(pages as u64).to_le_bytes());
    let checksum = fnv1a(bytes.get(16..72).unwrap_or_default());
    bytes.iter_mut().skip(72).zip(checksum.to_le_bytes()).for_each(|(to, from)| *to = from);
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    bytes
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
