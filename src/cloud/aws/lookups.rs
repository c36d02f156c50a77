//! What has to be asked before anything can be wanted: the account, its zones, subnets of others, images.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::Filter;

use super::AwsCloud;
use super::error::{Adjusted as _, Named as _};
use crate::cloud::name::PhysicalId;
use crate::cloud::ports::{CloudError, Trouble};
use crate::cloud::spec::{KnownSubnet, Lookups};
use crate::inventory::{Aws, AwsNetwork, MachineImage};

/// Why the account could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error("cannot read the public key {path}")]
    Key { path: camino::Utf8PathBuf, source: std::io::Error },
    #[error("{path} is no public key: want one line such as `ssh-ed25519 AAAA… name`")]
    NoKey { path: camino::Utf8PathBuf },
    #[error(transparent)]
    Cloud(#[from] CloudError),
}

/// An image, and the device its root disk has to be named by.
pub(super) struct Image {
    pub id: String,
    pub root_device: String,
}

/// Asks the account for what the spec needs, and reads the operator's public key.
///
/// # Errors
/// [`LookupError`] when the key cannot be read, or the account does not answer.
pub async fn look_up(cloud: &AwsCloud, aws: &Aws) -> Result<Lookups, LookupError> {
    let public_key = public_key(&aws.ssh_key)?;
    let identity = cloud.sts.get_caller_identity().send().await.named("sts:GetCallerIdentity")?;
    let partition = identity.arn().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws").to_owned();
    let zones = cloud.zones().await?;
    let subnets = match &aws.network {
        AwsNetwork::New { .. } => BTreeMap::new(),
        AwsNetwork::Existing { public_subnets, private_subnets, .. } => {
            let all: Vec<String> = public_subnets.iter().chain(private_subnets).cloned().collect();
            cloud.subnets(all).await?
        }
    };
    let account = identity.account().unwrap_or_default().to_owned();
    Ok(Lookups { partition, account, zones, subnets, public_key, first_boots: BTreeMap::new() })
}

fn public_key(path: &camino::Utf8Path) -> Result<String, LookupError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| LookupError::Key { path: path.to_owned(), source })?;
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    match words.as_slice() {
        [kind, key] if kind.starts_with("ssh-") || kind.starts_with("ecdsa-") => Ok(format!("{kind} {key}")),
        _ => Err(LookupError::NoKey { path: path.to_owned() }),
    }
}

impl AwsCloud {
    async fn zones(&self) -> Result<Vec<String>, CloudError> {
        let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
        let request = self
            .ec2
            .describe_availability_zones()
            .filters(filter("state", "available"))
            // Local and wavelength zones have no balancers and few machines.
            .filters(filter("zone-type", "availability-zone"));
        let answer = request.send().await.named("ec2:DescribeAvailabilityZones")?;
        let mut zones: Vec<String> = answer
            .availability_zones()
            .iter()
            .filter_map(|zone| zone.zone_name())
            .map(str::to_owned)
            .collect();
        zones.sort();
        Ok(zones)
    }

    async fn subnets(&self, ids: Vec<String>) -> Result<BTreeMap<PhysicalId, KnownSubnet>, CloudError> {
        let request = self.ec2.describe_subnets().set_subnet_ids(Some(ids));
        let answer = request.send().await.named("ec2:DescribeSubnets")?;
        let known = |subnet: &aws_sdk_ec2::types::Subnet| {
            let zone = subnet.availability_zone()?.to_owned();
            let cidr = subnet.cidr_block()?.parse().ok()?;
            Some((PhysicalId(subnet.subnet_id()?.to_owned()), KnownSubnet { zone, cidr }))
        };
        Ok(answer.subnets().iter().filter_map(known).collect())
    }

    /// Takes a parameter out of the Parameter Store; one that is not there is no error.
    pub async fn forget_parameter(&self, name: &str) -> Result<(), CloudError> {
        let gone = self.ssm.delete_parameter().name(name).send().await;
        gone.named("ssm:DeleteParameter").unless(&[Trouble::NotFound])
    }

    /// The image that a machine is made from today.
    pub(super) async fn image(&self, image: &MachineImage) -> Result<Image, CloudError> {
        match image {
            MachineImage::Pinned { id } => self.image_by_id(id).await,
            MachineImage::Parameter { path } => {
                let answer = self.ssm.get_parameter().name(path).send().await.named("ssm:GetParameter")?;
                let id = answer.parameter().and_then(|parameter| parameter.value()).unwrap_or_default();
                self.image_by_id(id).await
            }
            MachineImage::Newest { owner, name } => self.newest(owner, name).await,
        }
    }

    async fn image_by_id(&self, id: &str) -> Result<Image, CloudError> {
        let answer = self.ec2.describe_images().image_ids(id).send().await.named("ec2:DescribeImages")?;
        answer.images().first().and_then(known_image).ok_or_else(|| no_image(format!("{id} does not exist")))
    }

    async fn newest(&self, owner: &str, name: &str) -> Result<Image, CloudError> {
        let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
        let request = self
            .ec2
            .describe_images()
            .owners(owner)
            .filters(filter("name", name))
            .filters(filter("state", "available"));
        let answer = request.send().await.named("ec2:DescribeImages")?;
        // Dates of RFC 3339 sort as text.
        let newest = answer.images().iter().max_by_key(|image| (image.creation_date(), image.image_id()));
        newest.and_then(known_image).ok_or_else(|| no_image(format!("{owner} has no image {name}")))
    }
}

fn known_image(image: &aws_sdk_ec2::types::Image) -> Option<Image> {
    let root_device = image.root_device_name().unwrap_or("/dev/xvda").to_owned();
    Some(Image { id: image.image_id()?.to_owned(), root_device })
}

fn no_image(message: String) -> CloudError {
    CloudError { trouble: Trouble::Invalid, call: "ec2:DescribeImages", code: "NoImage".to_owned(), message }
}
