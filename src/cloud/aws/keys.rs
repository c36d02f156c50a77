//! Key pairs: only public keys ever leave the operator.

use aws_sdk_ec2::primitives::Blob;
use aws_sdk_ec2::types::ResourceType;

use super::AwsCloud;
use super::error::{Adjusted as _, Named as _};
use super::observe::{Only, Raw};
use super::tags;
use crate::cloud::name::ResourceName;
use crate::cloud::ports::{CloudError, State, Trouble};
use crate::cloud::resource::{KeyPair, Resource, Tags};

impl AwsCloud {
    /// Known by their names, which is also what machines are given.
    pub(super) async fn list_keys(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let request = self.ec2.describe_key_pairs().include_public_key(true);
        let answer =
            request.set_filters(Some(self.filters(only))).send().await.named("ec2:DescribeKeyPairs")?;
        let raw = |key: &aws_sdk_ec2::types::KeyPairInfo| {
            let read = tags::read(&self.cluster, tags::pairs(key.tags()));
            // A comment is of no account.
            let words: Vec<&str> = key.public_key().unwrap_or_default().split_whitespace().take(2).collect();
            let resource = Resource::KeyPair(KeyPair { public_key: words.join(" ") });
            Some(Raw::new(read.name?, key.key_name(), resource, read.tags, State::Ready))
        };
        Ok(answer.key_pairs().iter().filter_map(raw).collect())
    }

    pub(super) async fn create_key(
        &self,
        name: &ResourceName,
        key: &KeyPair,
        tags: &Tags,
    ) -> Result<String, CloudError> {
        let request = self
            .ec2
            .import_key_pair()
            .key_name(self.physical_name(name.short()))
            .public_key_material(Blob::new(key.public_key.as_bytes()))
            .tag_specifications(self.specification(ResourceType::KeyPair, name, tags));
        let answer = request.send().await.named("ec2:ImportKeyPair")?;
        Ok(answer.key_name().unwrap_or_default().to_owned())
    }

    pub(super) async fn delete_key(&self, name: &str) -> Result<(), CloudError> {
        let gone = self.ec2.delete_key_pair().key_name(name).send().await;
        gone.named("ec2:DeleteKeyPair").unless(&[Trouble::NotFound])
    }
}
