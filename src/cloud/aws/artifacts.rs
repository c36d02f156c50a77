//! Files by their hashes in an S3 bucket. S3 itself checks what arrives against the hash, and remembers that it did.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode};
use aws_smithy_runtime_api::client::result::SdkError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::Named as _;
use super::{again, sdk_config};
use crate::cloud::artifacts::{Item, Shelf};
use crate::cloud::ports::{Call, CloudError, Trouble};
use crate::inventory::ArtifactBucket;

/// A file over a slow line.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(3600);

/// A place in a bucket, reached as the operator.
#[derive(Debug, Clone)]
pub struct Artifacts {
    client: aws_sdk_s3::Client,
    place: ArtifactBucket,
}

impl Artifacts {
    /// With the credentials of the SDK's usual chain, a profile, or a role to assume. Calls nobody yet.
    pub async fn connect(place: &ArtifactBucket, profile: Option<&str>, assume_role: Option<&str>) -> Self {
        Artifacts::with(place, &sdk_config(&place.region, profile, assume_role).await)
    }

    /// With a configuration made elsewhere.
    pub fn with(place: &ArtifactBucket, config: &aws_config::SdkConfig) -> Self {
        Artifacts { client: client!(aws_sdk_s3, config), place: place.clone() }
    }

    /// Whether there is such a bucket. Of an object in none it is only said that it is missing.
    async fn find_bucket(&self) -> Result<(), CloudError> {
        let ArtifactBucket { name, region, .. } = &self.place;
        match self.client.head_bucket().bucket(name).send().await {
            Err(SdkError::ServiceError(error)) => match error.raw().status().as_u16() {
                404 => Err(refused(Trouble::NotFound, "NoSuchBucket", format!("there is no bucket {name}"))),
                // It says where it is in place of being it.
                301 => Err(refused(
                    Trouble::Invalid,
                    "PermanentRedirect",
                    format!("bucket {name} is not in {region}"),
                )),
                403 => Err(self.denied()),
                _ => Err(SdkError::ServiceError(error)).named("s3:ListBucket").map(|_: ()| ()),
            },
            answer => answer.named("s3:ListBucket").map(drop),
        }
    }

    /// A file that somebody else has put there, unchecked, counts as missing.
    async fn find(&self, item: &Item) -> Result<bool, CloudError> {
        let key = self.place.key(item.sha256.as_str());
        let request = self.client.head_object().bucket(&self.place.name).key(key);
        let answer = match request.checksum_mode(ChecksumMode::Enabled).send().await {
            // These answers have no body that could have a code.
            Err(SdkError::ServiceError(error)) => match error.raw().status().as_u16() {
                404 => return Ok(false),
                403 => return Err(self.denied()),
                _ => Err(SdkError::ServiceError(error)).named("s3:GetObject")?,
            },
            answer => answer.named("s3:GetObject")?,
        };
        let size = answer.content_length().and_then(|size| u64::try_from(size).ok());
        Ok(answer.checksum_sha256() == Some(&checksum(item)) && size == Some(item.size))
    }

    /// Who may not list a bucket is not told that an object is missing either.
    fn denied(&self) -> CloudError {
        refused(Trouble::Denied, "Forbidden", format!("bucket {}", self.place.name))
    }

    async fn send(&self, item: &Item) -> Result<(), CloudError> {
        let body = ByteStream::from_path(&item.path).await.map_err(|error| CloudError {
            trouble: Trouble::Invalid,
            call: "keelwright",
            code: "Unreadable".to_owned(),
            message: format!("{}: {error}", item.path),
        })?;
        let timeouts = TimeoutConfig::builder().operation_timeout(UPLOAD_TIMEOUT).build();
        let config = aws_sdk_s3::config::Config::builder().timeout_config(timeouts);
        let request = self
            .client
            .put_object()
            .bucket(&self.place.name)
            .key(self.place.key(item.sha256.as_str()))
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(checksum(item))
            .body(body);
        request.customize().config_override(config).send().await.named("s3:PutObject").map(drop)
    }
}

/// What looking takes.
fn refused(trouble: Trouble, code: &str, message: String) -> CloudError {
    CloudError { trouble, call: "s3:GetObject, s3:ListBucket", code: code.to_owned(), message }
}

/// As S3 writes hashes.
fn checksum(item: &Item) -> String {
    // invariant: a SHA-256 is 64 hexadecimal digits
    STANDARD.encode(hex::decode(item.sha256.as_str()).unwrap_or_default())
}

impl Shelf for Artifacts {
    fn open(&self) -> Call<'_, ()> {
        Box::pin(self.find_bucket())
    }

    fn has<'a>(&'a self, item: &'a Item) -> Call<'a, bool> {
        Box::pin(self.find(item))
    }

    fn put<'a>(&'a self, item: &'a Item) -> Call<'a, ()> {
        Box::pin(self.send(item))
    }
}
