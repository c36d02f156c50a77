//! Tests of the snapshots on the operator's side.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::exec::snapshot::sample;
use crate::inventory::ClusterName;
use crate::state::files::tests::{Scratch, mode};
use crate::state::{Identity, Vault};

const NOW: i64 = 1_767_225_600;
const VERSION: KubeVersion = KubeVersion::new(1, 34, 4);

struct Setup {
    scratch: Scratch,
    identity: Identity,
    vault: Vault,
    now: Arc<AtomicI64>,
}

impl Setup {
    fn new() -> Self {
        let (scratch, identity) = (Scratch::new(), Identity::generate());
        let now = Arc::new(AtomicI64::new(NOW));
        let clock = Arc::clone(&now);
        let clock: crate::state::vault::Clock = Arc::new(move || clock.load(Ordering::Relaxed));
        let name = ClusterName::parse("prod").unwrap();
        let vault = Vault::open_or_create(&scratch.0, &identity, &name, clock, None).unwrap();
        Setup { scratch, identity, vault, now }
    }

    fn take(&self, content: &[u8]) -> Utf8PathBuf {
        let mut draft = self.vault.begin(VERSION).unwrap();
        for piece in sample(content).chunks(1000) {
            draft.write(piece).unwrap();
        }
        draft.keep().unwrap().into()
    }

    fn names(&self) -> Vec<String> {
        names(&self.scratch.0.join(SNAPSHOTS_DIRECTORY)).unwrap()
    }

    fn open(&self, path: &Utf8Path) -> Vec<u8> {
        let mut plain = Vec::new();
        self.identity.decrypt(&fs::read(path).unwrap()).unwrap().read_to_end(&mut plain).unwrap();
        plain
    }
}

#[test]
fn what_was_kept_is_sealed_private_and_can_be_opened_again() {
    let setup = Setup::new();
    let content = b"kubernetes-secret-canary".repeat(20_000);
    let path = setup.take(&content);
    let stem = setup.scratch.0.join("snapshots/2026-01-01T00-00-00Z-v1.34.4");
    assert_eq!(path, format!("{stem}.db.age"));
    assert_eq!(setup.open(&path), sample(&content));
    let sealed = fs::read(&path).unwrap();
    assert!(!String::from_utf8_lossy(&sealed).contains("canary"));
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    // With the vault as it was: what opens the snapshot opens the keys to what is in it.
    let vault = fs::read(format!("{stem}.vault.age")).unwrap();
    assert_eq!(vault, fs::read(setup.scratch.0.join("vault.age")).unwrap());
    let bytes = u64::try_from(sealed.len()).unwrap();
    assert_eq!(
        list(&Home::local(&setup.scratch.0)).unwrap(),
        [KeptSnapshot { place: path.into_string(), taken: NOW, version: VERSION, bytes }]
    );
    assert_eq!(setup.names().len(), 2);
}

#[test]
fn one_that_was_not_kept_leaves_nothing() {
    let setup = Setup::new();
    assert_eq!(list(&Home::local(&setup.scratch.0)).unwrap(), []);
    let mut draft = setup.vault.begin(VERSION).unwrap();
    draft.write(b"half").unwrap();
    assert_eq!(setup.names(), [".2026-01-01T00-00-00Z-v1.34.4.db.age.new"]);
    assert_eq!(list(&Home::local(&setup.scratch.0)).unwrap(), []);
    drop(draft);
    assert_eq!(setup.names(), Vec::<String>::new());
}

#[test]
fn what_a_crash_left_goes_when_the_next_one_begins() {
    let setup = Setup::new();
    let mut draft = setup.vault.begin(VERSION).unwrap();
    draft.write(b"half").unwrap();
    std::mem::forget(draft);
    setup.now.fetch_add(1, Ordering::Relaxed);
    setup.take(b"x");
    assert_eq!(setup.names().len(), 2);
}

#[test]
fn the_newest_are_kept_and_files_of_others_are_left_alone() {
    let setup = Setup::new();
    setup.take(b"0");
    let theirs = ["notes.txt", "mine-v1.db.age"];
    for name in theirs {
        fs::write(setup.scratch.0.join(SNAPSHOTS_DIRECTORY).join(name), "x").unwrap();
    }
    for number in 1..=KEEP {
        setup.now.fetch_add(60, Ordering::Relaxed);
        let path = setup.take(b"x");
        assert_eq!(list(&Home::local(&setup.scratch.0)).unwrap().last().unwrap().place, path);
        assert_eq!(list(&Home::local(&setup.scratch.0)).unwrap().len(), KEEP.min(number + 1));
    }
    assert_eq!(list(&Home::local(&setup.scratch.0)).unwrap()[0].taken, NOW + 60, "the oldest is gone");
    assert_eq!(setup.names().len(), 2 * KEEP + theirs.len(), "{:?}", setup.names());
}

#[test]
fn a_vault_that_may_only_look_takes_none() {
    let setup = Setup::new();
    let identity_file = setup.scratch.0.join("identity.txt");
    Identity::load_or_create(&identity_file).unwrap();
    let name = ClusterName::parse("other").unwrap();
    let state = setup.scratch.0.join("other");
    let seen = Vault::observe(&state, &identity_file, &name, Arc::new(|| NOW)).unwrap();
    assert!(seen.begin(VERSION).is_err());
    assert!(!state.exists());
}
