//! Tests of snapshots: the check of what comes, and who is asked.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;

use super::*;
use crate::exec::ports::SnapshotDraft;

const VERSION_SAVED: KubeVersion = KubeVersion::new(1, 34, 4);

fn checked(pieces: &[&[u8]]) -> Result<u64, Flaw> {
    let mut check = Check::default();
    for piece in pieces {
        check.update(piece);
    }
    check.finish()
}

#[test]
fn a_whole_snapshot_passes_in_pieces_of_any_size() {
    let bytes = sample(b"some keys");
    let database = u64::try_from(bytes.len()).unwrap() - 32;
    for size in [1, 7, 31, 32, 33, 79, 80, 81, 4096, 32 << 10, bytes.len()] {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        assert_eq!(checked(&pieces), Ok(database), "{size}");
    }
}

#[test]
fn what_is_cut_or_changed_is_told() {
    let good = sample(b"some keys");
    for length in [0, 1, 31, 32, 40, 111] {
        assert_eq!(checked(&[&good[..length]]), Err(Flaw::Short(length as u64)), "{length}");
    }
    // Just before the hash, and at every page.
    for length in [good.len() - 32, good.len() - 1, 4096, 8192, 4096 + 32] {
        assert_eq!(checked(&[&good[..length]]), Err(Flaw::Hash), "{length}");
    }
    for at in [0, 20, 100, 5000, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(checked(&[&bad]), Err(Flaw::Hash), "{at}");
    }
}

/// `change` is made to the database; the hash at the end is right again.
fn rehashed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = sample(b"some keys");
    bytes.truncate(bytes.len() - 32);
    change(&mut bytes);
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    bytes
}

#[test]
fn what_is_no_database_is_told_although_its_hash_is_right() {
    type Change = fn(&mut Vec<u8>);
    let table: [(&str, Change); 5] = [
        ("no meta data", |bytes| bytes[8] = 0),
        ("magic number", |bytes| bytes[16] ^= 1),
        ("another version", |bytes| bytes[20] = 3),
        ("checksum", |bytes| bytes[64] ^= 1),
        ("bytes and says", |bytes| bytes.truncate(4 * 4096)),
    ];
    for (part, change) in table {
        let flaw = checked(&[&rehashed(change)]).unwrap_err().to_string();
        assert!(flaw.contains(part), "{part}: {flaw}");
    }
    assert!(matches!(checked(&[&rehashed(|bytes| bytes.fill(0))]), Err(Flaw::NoDatabase(_))));
}

/// What members answer, by name, a piece at a time.
struct Members {
    members: Vec<EtcdMember>,
    answers: fn(&str) -> Result<Vec<u8>, KubeError>,
    asked: Mutex<Vec<String>>,
}

impl Etcd for Members {
    fn members<'a>(&'a self) -> BoxFuture<'a, Result<Vec<EtcdMember>, KubeError>> {
        Box::pin(async { Ok(self.members.clone()) })
    }
    fn add_learner<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<EtcdMember>, KubeError>> {
        unreachable!()
    }
    fn promote<'a>(&'a self, _: u64) -> BoxFuture<'a, Result<(), KubeError>> {
        unreachable!()
    }
    fn remove<'a>(&'a self, _: u64) -> BoxFuture<'a, Result<(), KubeError>> {
        unreachable!()
    }
    fn snapshot<'a>(
        &'a self,
        member: &'a EtcdMember,
        sink: &'a mut (dyn FnMut(&[u8]) -> Result<(), PortError> + Send),
    ) -> BoxFuture<'a, Result<(), KubeError>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(member.name.clone());
            for piece in (self.answers)(&member.name)?.chunks(1000) {
                sink(piece).map_err(|error| KubeError::Unreachable(error.0))?;
            }
            Ok(())
        })
    }
}

/// Keeps what it is given, up to a size.
#[derive(Clone)]
struct Shelf {
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
    room: usize,
}

struct Draft(Vec<u8>, Shelf);

impl Snapshots for Shelf {
    fn begin(&self, version: KubeVersion) -> Result<Box<dyn SnapshotDraft>, PortError> {
        assert_eq!(version, VERSION_SAVED);
        Ok(Box::new(Draft(Vec::new(), self.clone())))
    }
}

impl SnapshotDraft for Draft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        self.0.extend_from_slice(bytes);
        if self.0.len() > self.1.room { Err(PortError("no space left on device".to_owned())) } else { Ok(()) }
    }
    fn keep(self: Box<Self>) -> Result<String, PortError> {
        self.1.kept.lock().unwrap().push(self.0);
        Ok("here".to_owned())
    }
}

#[derive(Default)]
struct Time(Mutex<Duration>);

impl Clock for Time {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }
    fn wait<'a>(&'a self, duration: Duration) -> BoxFuture<'a, ()> {
        *self.0.lock().unwrap() += duration;
        Box::pin(async {})
    }
}

/// `name`, with `l` for the leader, `n` for a learner, `u` for one that is not healthy.
fn members(list: &[(&str, &str)]) -> Vec<EtcdMember> {
    let member = |(id, (name, signs)): (usize, &(&str, &str))| EtcdMember {
        id: id as u64,
        name: (*name).to_owned(),
        peer_urls: Vec::new(),
        client_urls: Vec::new(),
        learner: signs.contains('n'),
        healthy: !signs.contains('u'),
        leader: signs.contains('l'),
    };
    list.iter().enumerate().map(member).collect()
}

struct Case {
    result: Result<TakenSnapshot, SnapshotError>,
    asked: Vec<String>,
    kept: Vec<Vec<u8>>,
    waited: Duration,
}

async fn take(list: &[(&str, &str)], room: usize, answers: fn(&str) -> Result<Vec<u8>, KubeError>) -> Case {
    let etcd = Members { members: members(list), answers, asked: Mutex::default() };
    let shelf = Shelf { kept: Arc::default(), room };
    let time = Time::default();
    let result = take_snapshot(&etcd, &shelf, &time, VERSION_SAVED, Duration::from_secs(3)).await;
    let asked = etcd.asked.into_inner().unwrap();
    Case { result, asked, kept: shelf.kept.lock().unwrap().clone(), waited: time.now() }
}

const THREE: [(&str, &str); 5] = [("a", "u"), ("b", "l"), ("c", ""), ("d", "n"), ("e", "")];

#[tokio::test]
async fn one_healthy_voter_gives_it_and_the_leader_only_if_nobody_else_does() {
    let case = take(&THREE, usize::MAX, |_| Ok(sample(b"x"))).await;
    let taken = case.result.unwrap();
    assert_eq!((taken.place.as_str(), taken.member.as_str()), ("here", "c"));
    assert_eq!(case.kept, [sample(b"x")]);
    assert_eq!(taken.bytes, 5 * 4096);

    let case = take(&THREE, usize::MAX, |name| match name {
        "b" => Ok(sample(b"x")),
        "c" => Ok(sample(b"x")[..9000].to_vec()),
        _ => Err(KubeError::Unreachable("the stream ended".to_owned())),
    })
    .await;
    assert_eq!(case.result.unwrap().member, "b");
    assert_eq!(case.asked, ["c", "e", "b"]);
    assert_eq!(case.kept.len(), 1);
}

#[tokio::test]
async fn without_a_whole_one_nothing_is_kept_and_the_reason_is_told() {
    let case = take(&THREE[..3], usize::MAX, |_| Ok(sample(b"x")[..9000].to_vec())).await;
    let error = case.result.unwrap_err();
    assert!(matches!(&error, SnapshotError::Flawed { source: Flaw::Hash, .. }), "{error:?}");
    assert_eq!(case.asked, ["c", "b"].repeat(4), "asked again until patience is over");
    assert_eq!((case.kept.len(), case.waited), (0, Duration::from_secs(3)));

    let case = take(&[("d", "n"), ("a", "u")], usize::MAX, |_| unreachable!()).await;
    assert!(matches!(case.result, Err(SnapshotError::NoVoter)));
}

#[tokio::test]
async fn a_disk_that_is_full_is_not_tried_again() {
    let case = take(&THREE, 5000, |_| Ok(sample(b"x"))).await;
    assert!(matches!(&case.result, Err(SnapshotError::Keep(error)) if error.0.contains("no space")));
    assert_eq!((case.asked.len(), case.kept.len(), case.waited), (1, 0, Duration::ZERO));
}
