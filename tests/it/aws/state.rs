//! A cluster's state in a bucket of moto's S3.

use std::time::Duration;

use camino::Utf8PathBuf;
use http::Method;
use keelwright::cloud::aws::Bucket;
use keelwright::exec::SystemClock;
use keelwright::inventory::SharedState;
use keelwright::state::Holder;
use keelwright::state::shared::{AcquireError, ObjectStore as _, Session, StoreError, Terms};
use rand::RngExt as _;

use super::lifecycle::sdk_config;
use crate::emulator::Cloud;
use crate::emulator::proxy::{Fault, Faults};
use crate::emulator::service::Service;

/// A bucket of its own, and the account that it is in.
async fn bucket(name: &str) -> Option<(Cloud, Bucket)> {
    let cloud = Cloud::start()?;
    let place = r#"<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>"#;
    cloud.moto.rest(Service::S3, Method::PUT, &format!("/{name}"), place).await.ok();
    let bucket = Bucket::with(&place_in(name), &sdk_config(&cloud));
    Some((cloud, bucket))
}

fn place_in(bucket: &str) -> SharedState {
    SharedState {
        bucket: bucket.to_owned(),
        prefix: "clusters/prod".to_owned(),
        region: "eu-central-1".to_owned(),
        profile: None,
        assume_role: None,
    }
}

fn who(name: &str) -> Holder {
    Holder { who: name.to_owned(), pid: 1, since: 0, epoch: 0 }
}

#[tokio::test]
async fn only_what_is_named_is_replaced() {
    let Some((_cloud, bucket)) = bucket("state-compare").await else { return };
    assert_eq!(bucket.get().await, Ok(None));
    let first = bucket.put(b"one", None).await.unwrap();
    assert_eq!(bucket.put(b"other", None).await, Err(StoreError::Conflict));
    let second = bucket.put(b"two", Some(&first)).await.unwrap();
    assert_eq!(bucket.put(b"other", Some(&first)).await, Err(StoreError::Conflict));
    assert_eq!(bucket.get().await, Ok(Some((b"two".to_vec(), second.clone()))));
    bucket.remove("state.json").await.unwrap();
    assert_eq!(bucket.put(b"three", Some(&second)).await, Err(StoreError::Conflict));
}

#[tokio::test]
async fn files_lie_beside_it() {
    let Some((_cloud, bucket)) = bucket("state-files").await else { return };
    let path = Utf8PathBuf::from_path_buf(std::env::temp_dir()).unwrap();
    let path = path.join(format!("keelwright-upload-{}", std::process::id()));
    std::fs::write(&path, vec![7; 9 << 20]).unwrap();
    bucket.upload("snapshots/b", &path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    bucket.write("snapshots/a", b"a").await.unwrap();
    bucket.write("journal/1", b"line").await.unwrap();
    let both = [("snapshots/a".to_owned(), 1), ("snapshots/b".to_owned(), 9 << 20)];
    assert_eq!(bucket.list("snapshots/").await.unwrap(), both);
    bucket.remove("snapshots/a").await.unwrap();
    bucket.remove("snapshots/a").await.unwrap();
    assert_eq!(bucket.list("snapshots/").await.unwrap(), both[1..]);
    let error = bucket.upload("snapshots/c", &path).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(ref reason) if reason.contains(path.as_str())), "{error}");
}

#[tokio::test]
async fn a_bucket_that_is_not_there_or_not_allowed_is_named() {
    let Some((cloud, bucket)) = bucket("state-denied").await else { return };
    let missing = Bucket::with(&place_in("state-missing"), &sdk_config(&cloud));
    let error = missing.get().await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)) && error.to_string().contains("s3:GetObject"), "{error}");
    cloud.proxy.set(|settings| settings.denied = ["s3:PutObject".into()].into());
    let error = bucket.put(b"one", None).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)) && error.to_string().contains("s3:PutObject"), "{error}");
    assert_eq!(bucket.get().await, Ok(None));
}

/// S3 shows at once what was written, so nothing is hidden.
fn trouble(seed: u64) -> Faults {
    Faults::new(seed, |_, call, random| match random.random_range(0..100) {
        0..10 => Fault::Throttle,
        10..15 => Fault::InternalError,
        15..20 => Fault::CutBefore,
        20..30 if call.contains(".Put") => Fault::LostReply,
        _ => Fault::None,
    })
}

/// Throttling, lost answers and resets: every run knows what it has written, and nobody writes over another.
#[tokio::test]
async fn runs_over_a_bad_network_lose_nothing() {
    let Some((cloud, bucket)) = bucket("state-faults").await else { return };
    let terms = Terms {
        lease: Duration::from_secs(20),
        look: Duration::from_millis(100),
        again: Duration::from_millis(20),
    };
    let clock = SystemClock::default();
    let mut written = 0;
    for seed in 0..12 {
        cloud.proxy.set_faults(trouble(seed));
        let session = Session::acquire(&bucket, &clock, terms, &who("ann"), &|_| true).await;
        let mut session = match session {
            Ok(session) => session,
            Err(AcquireError::Held(_)) => panic!("seed {seed}: nobody else works"),
            Err(error) => panic!("seed {seed}: {error}"),
        };
        assert_eq!(session.epoch(), seed + 1, "seed {seed}");
        let lines = session.document().file("log").map_or(0, |log| log.len());
        assert_eq!(lines, written, "seed {seed}");
        for _ in 0..6 {
            let log = vec![b'x'; written + 1];
            session.save(&[("log", Some(&log))]).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            written += 1;
        }
        // Every second one is killed.
        if seed % 2 == 0 {
            session.release().await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    }
    cloud.proxy.set_faults(Faults::none());
}
