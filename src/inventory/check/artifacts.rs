//! A bucket of artifacts: who can read it, and what must not lie in it.

use super::Rules;
use crate::inventory::parse::draft::Provider;
use crate::inventory::parse::path::Path;
use crate::inventory::parse::scalar::quoted;
use crate::inventory::{ArtifactBucket, Delivery};

impl Rules<'_> {
    pub(super) fn artifacts(&self) {
        let Delivery::Bucket(bucket) = &self.draft.artifacts.delivery else { return };
        let path = Path::root().key("artifacts").key("delivery").key("bucket");
        if self.draft.provider == Provider::Hosts {
            let message = "hosts that keelwright has not made have no role to read a bucket with";
            let help =
                "serve the files over https and write {mirror: {url: https://…}}, or leave `delivery` out";
            self.error(&path, message, help);
        }
        self.apart_from_state(&path, bucket);
    }

    /// Every machine may read all that is below the artifacts' prefix.
    fn apart_from_state(&self, path: &Path, bucket: &ArtifactBucket) {
        let Some(Some(state)) = &self.draft.state else { return };
        let below = |place: &str, prefix: &str| {
            place.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if state.bucket == bucket.name && below(&state.prefix, &bucket.prefix) {
            let message = format!(
                "machines may read what is below {}, and the cluster's state is there, at {}",
                quoted(&bucket.prefix),
                quoted(&state.prefix)
            );
            self.error(&path.key("prefix"), message, "choose another prefix, or another bucket");
        }
    }
}
