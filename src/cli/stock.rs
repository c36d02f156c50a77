//! Artifacts in a bucket: what is missing of the bundles is brought there before a machine needs it.

use std::collections::BTreeSet;

use super::operation::Operation;
use super::site::{Site, cloud_error};
use super::{CommandError, ErrorKind};
use crate::cloud::artifacts::{Item, Stock, StockError, StockEvent, items};
use crate::cloud::aws::Artifacts;
use crate::cloud::ports::Trouble;
use crate::cloud::run::Pace;
use crate::exec::SystemClock;
use crate::inventory::{ArtifactBucket, Delivery};
use crate::plan::{Action, Plan};

const MEBIBYTE: u64 = 1 << 20;

/// The bucket of a cluster.
pub(super) struct Warehouse {
    shelf: Artifacts,
    clock: SystemClock,
    /// `s3://…`, for people.
    address: String,
}

impl Warehouse {
    /// None: the cluster has none. Calls nobody yet.
    pub async fn of(site: &Site) -> Option<Self> {
        let place = match site.inventory.delivery() {
            Delivery::Bucket(place) => place,
            Delivery::Upload | Delivery::Mirror { .. } => return None,
        };
        let aws = &site.inventory.aws;
        let shelf = Artifacts::connect(place, aws.profile.as_deref(), aws.assume_role.as_deref()).await;
        let ArtifactBucket { name, prefix, .. } = place;
        let address = format!("s3://{name}/{prefix}");
        Some(Warehouse { shelf, clock: SystemClock::default(), address })
    }

    /// What is not there of what the inventory's bundles have.
    pub async fn lacks(&self, site: &Site) -> Result<Vec<Item>, CommandError> {
        self.missing(site.items()).await
    }

    /// The line of a plan for files that are not there yet.
    pub fn line(&self, missing: &[Item]) -> Option<String> {
        let size: u64 = missing.iter().map(|item| item.size).sum();
        let files = match missing.len() {
            0 => return None,
            1 => "one file".to_owned(),
            number => format!("{number} files"),
        };
        Some(format!(
            "! {}: {files} of the bundle, {} MiB, are brought there first",
            self.address,
            size / MEBIBYTE
        ))
    }

    /// Brings what the hosts of a plan are going to fetch: an upgrade may pass through versions of other bundles.
    pub async fn fill_for(&self, operation: &Operation, plan: &Plan) -> Result<(), CommandError> {
        let actions = plan.steps.iter().flat_map(|step| &step.actions);
        let wanted: BTreeSet<String> = actions
            .filter_map(|planned| {
                let Action::FetchObject { sha256, .. } = &planned.action else { return None };
                Some(sha256.to_string())
            })
            .collect();
        let wanted = operation.items().into_iter().filter(|item| wanted.contains(item.sha256.as_str()));
        let missing = self.missing(wanted.collect()).await?;
        self.bring(&missing).await
    }

    async fn missing(&self, items: Vec<Item>) -> Result<Vec<Item>, CommandError> {
        self.stock(&|_| {}).missing(items).await.map_err(|error| match error.trouble {
            Trouble::NotFound | Trouble::Invalid => CommandError::new(ErrorKind::Usage, error)
                .hint("make it, or name another one in artifacts.delivery.bucket; its region is there, too"),
            _ => cloud_error(error),
        })
    }

    /// Brings files.
    pub async fn bring(&self, missing: &[Item]) -> Result<(), CommandError> {
        let events = |event: StockEvent<'_>| match event {
            StockEvent::Sent(item) => {
                eprintln!("sent {} ({} MiB) to {}", item.name, item.size / MEBIBYTE, self.address);
            }
            StockEvent::Again { item, error, wait } => {
                eprintln!("again {} in {:.1} s: {error}", item.name, wait.as_secs_f64());
            }
        };
        self.stock(&events).bring(missing).await.map_err(|error| {
            let StockError { path, source, .. } = &error;
            let denied = source.trouble == Trouble::Denied;
            let hint = match (denied, path.parent().and_then(|place| place.parent())) {
                (true, _) => {
                    format!("allow s3:GetObject, s3:ListBucket and s3:PutObject on {}", self.address)
                }
                (false, Some(bundle)) => {
                    format!("see whether the bundle is whole:\n    keelwright bundle verify {bundle}")
                }
                (false, None) => {
                    "what is there already is not sent again; go on with the same command".to_owned()
                }
            };
            CommandError::new(ErrorKind::Failed, error).hint(hint)
        })
    }

    fn stock<'a>(&'a self, events: &'a (dyn Fn(StockEvent<'_>) + Sync)) -> Stock<'a> {
        Stock { shelf: &self.shelf, clock: &self.clock, pace: Pace::default(), seed: rand::random(), events }
    }
}

impl Site {
    /// What the inventory's bundles have.
    fn items(&self) -> Vec<Item> {
        let (bundles, directories) = &self.bundles;
        let all =
            bundles.iter().filter_map(|(arch, bundle)| Some((bundle, directories.get(arch)?.as_path())));
        items(all)
    }
}

impl Operation {
    /// The same, and of bundles that an upgrade may pass through.
    fn items(&self) -> Vec<Item> {
        let passing = self
            .passing
            .iter()
            .filter_map(|(version, bundles)| Some((bundles, self.passing_directories.get(version)?)));
        let all = std::iter::once((&self.bundles, &self.bundle_directories)).chain(passing);
        items(all.flat_map(|(bundles, directories)| {
            bundles.iter().filter_map(|(arch, bundle)| Some((bundle, directories.get(arch)?.as_path())))
        }))
    }
}
