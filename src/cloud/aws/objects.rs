//! A cluster's shared state in an S3 bucket. S3 compares before it writes: `If-Match` with the version that is to be
//! replaced, `If-None-Match: *` for the first.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::result::SdkError;
use camino::Utf8Path;
use futures::future::BoxFuture;

use super::error::Named as _;
use super::{CALL_TIMEOUT, again, sdk_config};
use crate::cloud::ports::{CloudError, Trouble};
use crate::inventory::SharedState;
use crate::state::shared::{Found, ObjectStore, StoreError, Version};

/// The object that is replaced as a whole.
const STATE: &str = "state.json";
/// A snapshot of a large etcd over a slow line.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(3600);

/// A prefix in a bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: aws_sdk_s3::Client,
    bucket: String,
    prefix: String,
}

impl Bucket {
    /// With the credentials of the SDK's usual chain, a profile, or a role to assume. Calls nobody yet.
    pub async fn connect(place: &SharedState) -> Self {
        let config = sdk_config(&place.region, place.profile.as_deref(), place.assume_role.as_deref()).await;
        Bucket::with(place, &config)
    }

    /// With a configuration made elsewhere.
    pub fn with(place: &SharedState, config: &aws_config::SdkConfig) -> Self {
        Bucket {
            client: client!(aws_sdk_s3, config),
            bucket: place.bucket.clone(),
            prefix: place.prefix.clone(),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    async fn read(&self) -> Result<Option<Found>, StoreError> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.key(STATE));
        let object = match request.send().await {
            Err(SdkError::ServiceError(error)) if error.err().is_no_such_key() => return Ok(None),
            answer => answer.named("s3:GetObject").map_err(meaning)?,
        };
        let version = Version(object.e_tag().unwrap_or_default().to_owned());
        let content = object.body.collect().await.map_err(|error| StoreError::Unknown(error.to_string()))?;
        Ok(Some((content.to_vec(), version)))
    }

    async fn replace(&self, content: &[u8], expected: Option<&Version>) -> Result<Version, StoreError> {
        let body = ByteStream::from(content.to_vec());
        let request = self.client.put_object().bucket(&self.bucket).key(self.key(STATE)).body(body);
        let request = match expected {
            Some(Version(version)) => request.if_match(version),
            None => request.if_none_match("*"),
        };
        let written = request.send().await.named("s3:PutObject").map_err(meaning)?;
        Ok(Version(written.e_tag().unwrap_or_default().to_owned()))
    }

    /// Whatever is there by that name.
    async fn put(&self, name: &str, body: ByteStream, patience: Duration) -> Result<(), StoreError> {
        let timeouts = TimeoutConfig::builder().operation_timeout(patience).build();
        let config = aws_sdk_s3::config::Config::builder().timeout_config(timeouts);
        let request = self.client.put_object().bucket(&self.bucket).key(self.key(name)).body(body);
        let written = request.customize().config_override(config).send().await;
        written.named("s3:PutObject").map(drop).map_err(meaning)
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let request = self.client.delete_object().bucket(&self.bucket).key(self.key(name));
        request.send().await.named("s3:DeleteObject").map(drop).map_err(meaning)
    }

    async fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.key(prefix));
        let mut pages = request.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            for object in page.named("s3:ListBucket").map_err(meaning)?.contents() {
                let name = object.key().and_then(|key| key.strip_prefix(&self.key("")));
                let bytes = object.size().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default();
                found.extend(name.map(|name| (name.to_owned(), bytes)));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// What an error means for who wrote: whether it was written.
fn meaning(error: CloudError) -> StoreError {
    match (error.code.as_str(), error.trouble) {
        // An object that was to be replaced and is not there has been replaced by nothing.
        ("PreconditionFailed" | "NoSuchKey", _) => StoreError::Conflict,
        ("ConditionalRequestConflict", _) | (_, Trouble::Unknown | Trouble::Throttled) => {
            StoreError::Unknown(error.to_string())
        }
        _ => StoreError::Refused(error.to_string()),
    }
}

impl ObjectStore for Bucket {
    fn get(&self) -> BoxFuture<'_, Result<Option<Found>, StoreError>> {
        Box::pin(self.read())
    }

    fn put<'a>(
        &'a self,
        content: &'a [u8],
        expected: Option<&'a Version>,
    ) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(self.replace(content, expected))
    }

    fn write<'a>(&'a self, name: &'a str, content: &'a [u8]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(Bucket::put(self, name, ByteStream::from(content.to_vec()), CALL_TIMEOUT))
    }

    fn upload<'a>(&'a self, name: &'a str, path: &'a Utf8Path) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let body = ByteStream::from_path(path).await;
            let body = body.map_err(|error| StoreError::Refused(format!("{path}: {error}")))?;
            Bucket::put(self, name, body, UPLOAD_TIMEOUT).await
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.delete(name))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, u64)>, StoreError>> {
        Box::pin(self.names(prefix))
    }

    fn address(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }
}
