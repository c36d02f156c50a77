//! Brings the files of bundles into the bucket that machines fetch them from: each once, under its hash.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::ports::{Call, CloudError, Trouble};
use super::run::passes;
use crate::exec::Clock;
use crate::exec::{Pace, Waits};
use crate::release::BundleManifest;
use crate::release::artifact::Sha256;

/// Questions at once; they are small.
const ASKED_AT_ONCE: usize = 16;
/// Files at once: more would share the same line.
const SENT_AT_ONCE: usize = 4;

/// A file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub name: String,
    pub path: Utf8PathBuf,
    pub sha256: Sha256,
    pub size: u64,
}

/// Where files lie by their hashes.
pub trait Shelf: Send + Sync {
    /// Fails where there is no such place, or it cannot be reached.
    fn open(&self) -> Call<'_, ()>;

    /// Whether a file is there, and is what its name says.
    fn has<'a>(&'a self, item: &'a Item) -> Call<'a, bool>;

    /// Puts a file there whose content has been checked on arrival. It may be called again.
    fn put<'a>(&'a self, item: &'a Item) -> Call<'a, ()>;
}

/// What happens, for people.
#[derive(Debug, Clone, PartialEq)]
pub enum StockEvent<'a> {
    Sent(&'a Item),
    Again { item: &'a Item, error: CloudError, wait: Duration },
}

/// Why a file is not where machines fetch it from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} did not get into the bucket")]
pub struct StockError {
    pub name: String,
    pub path: Utf8PathBuf,
    pub source: CloudError,
}

/// Every file and image of bundles, each hash once, by name.
pub fn items<'a>(bundles: impl IntoIterator<Item = (&'a BundleManifest, &'a Utf8Path)>) -> Vec<Item> {
    let mut all = BTreeMap::new();
    let mut known = BTreeSet::new();
    for (bundle, directory) in bundles {
        let files = bundle.files.iter().map(|file| (&file.name, &file.path, &file.sha256, file.size));
        let images =
            bundle.images.iter().map(|image| (&image.reference, &image.path, &image.sha256, image.size));
        for (name, path, sha256, size) in files.chain(images) {
            if known.insert(sha256) {
                let item =
                    Item { name: name.clone(), path: directory.join(path), sha256: sha256.clone(), size };
                all.insert((name, sha256), item);
            }
        }
    }
    all.into_values().collect()
}

/// The way into the bucket.
pub struct Stock<'a> {
    pub shelf: &'a dyn Shelf,
    pub clock: &'a dyn Clock,
    pub pace: Pace,
    pub seed: u64,
    pub events: &'a (dyn Fn(StockEvent<'_>) + Sync),
}

impl Stock<'_> {
    /// Which of these are not there yet.
    ///
    /// # Errors
    /// [`CloudError`] when the bucket does not say.
    pub async fn missing(&self, items: Vec<Item>) -> Result<Vec<Item>, CloudError> {
        if items.is_empty() {
            return Ok(items);
        }
        self.shelf.open().await?;
        let looks = items.into_iter().map(async |item| {
            let there = self.shelf.has(&item).await?;
            Ok((!there).then_some(item))
        });
        let found = stream::iter(looks).buffered(ASKED_AT_ONCE).try_collect::<Vec<_>>().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Sends files.
    ///
    /// # Errors
    /// [`StockError`] for the first that does not get there.
    pub async fn bring(&self, items: &[Item]) -> Result<(), StockError> {
        let sends = items.iter().enumerate().map(async |(at, item)| {
            let sent = self.send(at, item).await;
            sent.map_err(|source| StockError { name: item.name.clone(), path: item.path.clone(), source })
        });
        stream::iter(sends).buffer_unordered(SENT_AT_ONCE).try_collect::<Vec<()>>().await.map(drop)
    }

    /// The same file under the same name: an answer that was lost is no reason to look.
    async fn send(&self, at: usize, item: &Item) -> Result<(), CloudError> {
        let mut waits = Waits::new(self.pace, self.seed ^ at as u64);
        let began = self.clock.now();
        loop {
            let error = match self.shelf.put(item).await {
                Ok(()) => {
                    (self.events)(StockEvent::Sent(item));
                    return Ok(());
                }
                Err(error) => error,
            };
            let lasts = self.clock.now().saturating_sub(began) <= self.pace.patience;
            if !(passes(error.trouble) && error.trouble != Trouble::NotFound && lasts) {
                return Err(error);
            }
            let wait = waits.next_wait();
            (self.events)(StockEvent::Again { item, error, wait });
            self.clock.wait(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::cloud::fake::FakeCloud;

    /// A shelf that fails as often as it is told.
    #[derive(Default)]
    struct Fake {
        there: Mutex<BTreeMap<Sha256, String>>,
        troubles: Mutex<Vec<Trouble>>,
        puts: Mutex<usize>,
    }

    impl Shelf for Fake {
        fn open(&self) -> Call<'_, ()> {
            Box::pin(std::future::ready(Ok(())))
        }

        fn has<'a>(&'a self, item: &'a Item) -> Call<'a, bool> {
            let there = self.there.lock().unwrap().get(&item.sha256) == Some(&item.name);
            Box::pin(async move { Ok(there) })
        }

        fn put<'a>(&'a self, item: &'a Item) -> Call<'a, ()> {
            *self.puts.lock().unwrap() += 1;
            let trouble = self.troubles.lock().unwrap().pop();
            if trouble.is_none_or(|trouble| trouble == Trouble::Unknown) {
                self.there.lock().unwrap().insert(item.sha256.clone(), item.name.clone());
            }
            let error = trouble.map(|trouble| CloudError {
                trouble,
                call: "s3:PutObject",
                code: format!("{trouble:?}"),
                message: "no".to_owned(),
            });
            Box::pin(async move { error.map_or(Ok(()), Err) })
        }
    }

    fn item(name: &str, digit: char) -> Item {
        let sha256 = digit.to_string().repeat(64).parse().unwrap();
        Item { name: name.to_owned(), path: name.into(), sha256, size: 1 }
    }

    fn stock<'a>(shelf: &'a Fake, clock: &'a FakeCloud) -> Stock<'a> {
        Stock { shelf, clock, pace: Pace::default(), seed: 1, events: &|_| {} }
    }

    #[test]
    fn what_is_missing_is_brought_and_nothing_twice() {
        let (shelf, clock) = (Fake::default(), FakeCloud::new());
        let all = vec![item("kubelet", 'a'), item("runc", 'b'), item("pause", 'c')];
        futures::executor::block_on(async {
            let stock = stock(&shelf, &clock);
            assert_eq!(stock.missing(all.clone()).await.unwrap(), all);
            stock.bring(&all[..2]).await.unwrap();
            assert_eq!(stock.missing(all.clone()).await.unwrap(), all[2..]);
        });
        assert_eq!(*shelf.puts.lock().unwrap(), 2);
    }

    #[test]
    fn trouble_that_passes_is_waited_out_and_other_trouble_is_told() {
        let (shelf, clock) = (Fake::default(), FakeCloud::new());
        *shelf.troubles.lock().unwrap() = vec![Trouble::Unknown, Trouble::Throttled];
        futures::executor::block_on(stock(&shelf, &clock).bring(&[item("kubelet", 'a')])).unwrap();
        assert_eq!((*shelf.puts.lock().unwrap(), clock.now() > Duration::ZERO), (3, true));
        for trouble in [Trouble::Denied, Trouble::Invalid, Trouble::NotFound] {
            *shelf.troubles.lock().unwrap() = vec![trouble];
            let bring = stock(&shelf, &clock);
            let error = futures::executor::block_on(bring.bring(&[item("runc", 'b')])).unwrap_err();
            assert_eq!((error.name.as_str(), error.source.trouble), ("runc", trouble));
        }
        *shelf.troubles.lock().unwrap() = vec![Trouble::Throttled; 1000];
        let error =
            futures::executor::block_on(stock(&shelf, &clock).bring(&[item("runc", 'b')])).unwrap_err();
        assert_eq!(error.source.trouble, Trouble::Throttled, "and not for ever");
    }

    #[test]
    fn bundles_of_two_architectures_share_what_is_the_same() {
        let bundle = |arch: &str, digits: [char; 2]| {
            let file = |name: &str, digit: char| {
                serde_json::json!({"name": name, "version": "1", "path": format!("bin/{name}"),
                    "sha256": digit.to_string().repeat(64), "size": 3, "source": "x"})
            };
            let text = serde_json::json!({"apiVersion": "keelwright.dev/v1", "kubernetesVersion": "v1.37.1",
                "arch": arch, "files": [file("kubelet", digits[0]), file("license", digits[1])], "images": []});
            BundleManifest::from_json(text.to_string().as_bytes()).unwrap()
        };
        let (one, other) = (bundle("amd64", ['a', 'c']), bundle("arm64", ['b', 'c']));
        let all = items([(&one, Utf8Path::new("/amd64")), (&other, Utf8Path::new("/arm64"))]);
        let paths: Vec<_> = all.iter().map(|item| item.path.as_str()).collect();
        assert_eq!(paths, ["/amd64/bin/kubelet", "/arm64/bin/kubelet", "/amd64/bin/license"]);
    }
}
