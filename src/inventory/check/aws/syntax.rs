//! What AWS takes for a name, an id, an ARN and a tag.

/// `eu-central-1`, `us-gov-west-1`: words and a number.
pub(in crate::inventory) fn is_region(text: &str) -> bool {
    let mut parts = text.split('-').rev();
    let number = parts
        .next()
        .is_some_and(|part| matches!(part.len(), 1 | 2) && is_made_of(part, |c| c.is_ascii_digit()));
    let words: Vec<&str> = parts.collect();
    number && words.len() >= 2 && words.iter().all(|word| is_made_of(word, |c| c.is_ascii_lowercase()))
}

/// `eu-central-1a`; `us-west-2-lax-1a` is a local zone.
pub(super) fn is_zone(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let region = text.find(|c: char| c.is_ascii_digit()).and_then(|at| {
        let digits = text.get(at..)?.find(|c: char| !c.is_ascii_digit())?;
        text.get(..at + digits)
    });
    is_made_of(text, is_fine)
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && region.is_some_and(is_region)
}

/// Whether a zone's name begins with its region's: no other way is known to tell them apart offline.
pub(super) fn is_zone_of(zone: &str, region: &str) -> bool {
    // `eu-central-12a` would not be a zone of `eu-central-1`.
    zone.strip_prefix(region).is_some_and(|rest| rest.starts_with(|c: char| !c.is_ascii_digit()))
}

/// `vpc-`, `subnet-`, `ami-` and the like: eight hexadecimal digits until 2016, seventeen since.
pub(in crate::inventory::check) fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        matches!(rest.len(), 8 | 17) && is_made_of(rest, |c| c.is_ascii_digit() || ('a'..='f').contains(&c))
    })
}

pub(in crate::inventory::check) fn is_account(text: &str) -> bool {
    text.len() == 12 && is_made_of(text, |c| c.is_ascii_digit())
}

/// `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`
pub(in crate::inventory::check) fn is_role(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts.as_slice() else { return false };
    *arn == "arn"
        && is_partition(partition)
        && *service == "iam"
        && region.is_empty()
        && is_account(account)
        && resource.strip_prefix("role/").is_some_and(is_role_name)
}

/// A path and a name, as IAM has them.
fn is_role_name(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-/".contains(c);
    let name = text.rsplit('/').next().unwrap_or_default();
    is_made_of(text, is_fine) && (1..=64).contains(&name.len())
}

/// `aws`, `aws-cn`, `aws-us-gov`, `aws-iso-b` …
pub(in crate::inventory::check) fn is_partition(text: &str) -> bool {
    text.strip_prefix("aws").is_some_and(|rest| {
        rest.is_empty() || (rest.starts_with('-') && is_made_of(rest, |c| c.is_ascii_lowercase() || c == '-'))
    })
}

/// A key of KMS: its ARN or its alias's, `alias/NAME`, or its id.
pub(super) fn is_kms_key(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/');
    let is_resource = |text: &str| {
        let name = text.strip_prefix("key/").or_else(|| text.strip_prefix("alias/"));
        name.is_some_and(|name| is_made_of(name, is_word))
    };
    if let Some(alias) = text.strip_prefix("alias/") {
        return is_made_of(alias, is_word);
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    if let [arn, partition, service, region, account, resource] = parts.as_slice() {
        return *arn == "arn"
            && is_partition(partition)
            && *service == "kms"
            && is_region(region)
            && is_account(account)
            && is_resource(resource);
    }
    let id = text.strip_prefix("mrk-").unwrap_or(text);
    matches!(id.len(), 32 | 36) && is_made_of(id, |c| c.is_ascii_hexdigit() || c == '-')
}

/// `m6i.large`: a family, which has a generation, and a size.
pub(in crate::inventory::check) fn is_instance_type(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.split_once('.').is_some_and(|(family, size)| {
        is_made_of(family, is_fine)
            && family.starts_with(|c: char| c.is_ascii_lowercase())
            && family.contains(|c: char| c.is_ascii_digit())
            && is_made_of(size, is_fine)
            && size.starts_with(|c: char| c.is_ascii_alphanumeric())
    })
}

/// `/path/of/a/parameter`
pub(super) fn is_parameter(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    text.starts_with('/')
        && text.len() > 1
        && !text.ends_with('/')
        && !text.contains("//")
        && is_made_of(text, is_fine)
}

/// A publisher of images: an account, or a word that stands for some.
pub(super) fn is_image_owner(text: &str) -> bool {
    is_account(text) || matches!(text, "self" | "amazon" | "aws-marketplace")
}

/// What EC2 takes for the name of an image, with our `{arch}` and its wildcards.
pub(super) fn is_image_name(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_*?".contains(c);
    let text = text.replace("{arch}", "x");
    text.len() <= 128 && is_made_of(&text, is_fine)
}

/// A hosted zone of Route 53; its API takes up to 32 characters, of which AWS's own begin with Z.
pub(in crate::inventory::check) fn is_hosted_zone(text: &str) -> bool {
    text.len() <= 32 && is_made_of(text, |c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

/// A tag's key or value: letters, digits and blanks of any script, and `+ - = . _ : / @`.
pub(super) fn tag(text: &str, least: usize, most: usize) -> Result<(), String> {
    let length = text.chars().count();
    if length < least {
        return Err("is empty".into());
    }
    if length > most {
        return Err(format!("has {length} characters; at most {most} are allowed"));
    }
    let is_fine = |c: char| c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c);
    match text.chars().enumerate().find(|(_, c)| !is_fine(*c)) {
        Some((index, character)) => Err(format!("illegal character {character:?} at column {}", index + 1)),
        None => Ok(()),
    }
}

/// Not empty, and every character is such a one.
pub(in crate::inventory::check) fn is_made_of(text: &str, is_fine: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(is_fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(is: impl Fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(is(text), "{text:?} is refused");
        }
        for text in bad.iter().chain(&["", " ", "-", "ä", "\n"]) {
            assert!(!is(text), "{text:?} is taken");
        }
    }

    #[test]
    fn places() {
        let regions =
            ["eu-central-1", "us-gov-west-1", "us-isob-east-1", "ap-southeast-10", "eusc-de-east-1"];
        table(
            is_region,
            &regions,
            &["eu-central", "eu-central-1a", "eu-1", "EU-central-1", "eu--1", "eu-central-100"],
        );
        let zones = ["eu-central-1a", "us-west-2-lax-1a", "us-east-1-wl1-bos-wlz-1"];
        table(is_zone, &zones, &["eu-central-1", "a", "eu-central-1A", "euc1-az1", "eu-central-1a-", "1a"]);
        assert!(is_zone_of("eu-central-1a", "eu-central-1") && is_zone_of("us-west-2-lax-1a", "us-west-2"));
        assert!(!is_zone_of("eu-central-12a", "eu-central-1") && !is_zone_of("eu-west-1a", "eu-central-1"));
    }

    #[test]
    fn ids_and_arns() {
        let is_vpc = |text: &str| is_id(text, "vpc-");
        table(
            is_vpc,
            &["vpc-0abc1234", "vpc-0123456789abcdef0"],
            &["vpc-", "vpc-0abc", "vpc-0ABC1234", "subnet-0abc1234", "vpc-0abc123g"],
        );
        table(
            is_role,
            &["arn:aws:iam::123456789012:role/keelwright", "arn:aws-us-gov:iam::123456789012:role/a/b-c_d@e"],
            &[
                "keelwright",
                "arn:aws:iam::123456789012:user/me",
                "arn:aws:iam::1234:role/x",
                "arn:aws:iam:eu-central-1:123456789012:role/x",
                "arn:aws:sts::123456789012:assumed-role/x",
                "arn:gcp:iam::123456789012:role/x",
                "arn:aws:iam::123456789012:role/",
                "arn:aws:iam::123456789012:role/a b",
            ],
        );
        table(
            is_kms_key,
            &[
                "alias/prod",
                "arn:aws:kms:eu-central-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef",
                "arn:aws:kms:eu-central-1:123456789012:alias/prod",
                "01234567-89ab-cdef-0123-456789abcdef",
                "mrk-0123456789abcdef0123456789abcdef",
            ],
            &[
                "prod",
                "alias/",
                "alias/a b",
                "arn:aws:kms::123456789012:key/x",
                "arn:aws:s3:::bucket",
                "arn:aws:kms:eu-central-1:123456789012:x",
            ],
        );
        table(
            is_hosted_zone,
            &["Z0123456789ABC", "Z1"],
            &["", "z0123", "/hostedzone/Z0123", "ZABCDEFGHIJKLMNOPQRSTUVWXYZ0123456"],
        );
    }

    #[test]
    fn machines() {
        table(
            is_instance_type,
            &["m6i.large", "u-6tb1.metal", "m7i-flex.large", "c5.24xlarge"],
            &[
                "large",
                "m6i",
                "m6i.",
                ".large",
                "M6i.large",
                "m.large",
                "m6i.large.x",
                "6i.large",
                "m6i large",
            ],
        );
        table(is_parameter, &["/a", "/aws/service/x-y/1.2_3"], &["a", "/", "/a/", "/a//b", "/a b", "/a:1"]);
        table(
            is_image_owner,
            &["136693071363", "self", "amazon", "aws-marketplace"],
            &["me", "1366", "debian"],
        );
        for good in ["debian-12-{arch}-*", "ubuntu/images/hvm-ssd-gp3/x", "a (1) [2]"] {
            assert!(is_image_name(good), "{good}");
        }
        for bad in ["", "{x}", "a{arch", "a;b", "a\"b", "ä", &"a".repeat(129)] {
            assert!(!is_image_name(bad), "{bad}");
        }
    }

    #[test]
    fn tags() {
        for good in ["team", "a b", "a+-=._:/@", "größe", ""] {
            assert_eq!(tag(good, 0, 256), Ok(()), "{good}");
        }
        assert!(tag("", 1, 128).is_err_and(|reason| reason == "is empty"));
        assert!(tag("a;b", 1, 128).is_err_and(|reason| reason.contains("';' at column 2")));
        assert!(tag("abc", 1, 2).is_err_and(|reason| reason.contains("has 3 characters; at most 2")));
    }
}
