//! Tags: whose a resource is, and what it is called.

use std::collections::BTreeSet;

use super::name::ResourceName;
use super::resource::Tags;

/// The cluster a resource belongs to.
pub(super) const CLUSTER: &str = "keelwright.dev/cluster";
/// Its [`ResourceName`].
pub(super) const NAME: &str = "keelwright.dev/name";
/// How its image was chosen.
pub(super) const IMAGE: &str = "keelwright.dev/image";
/// On machines of a scaling group and in its template: which machine it makes.
pub(super) const REVISION: &str = "keelwright.dev/revision";
/// On a scaling group whose machines are made anew: the size it had before.
pub(super) const ROLLING: &str = "keelwright.dev/rolling";
/// The keys that keelwright has set: whatever else is there is somebody else's. Where one tag has no room for them
/// there are `…/tags-2` and so on.
const KEYS: &str = "keelwright.dev/tags";
/// As long as a tag's value may be.
const VALUE_LIMIT: usize = 256;

/// What the tags of a resource say: its name, where it is the cluster's, and all others.
#[derive(Debug, Clone, Default)]
pub(super) struct Read {
    pub name: Option<ResourceName>,
    pub image: Option<String>,
    pub tags: Tags,
}

/// Reads tags of `cluster`; a resource of another one has no name.
pub(super) fn read<'a>(cluster: &str, tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Read {
    let mut read = Read::default();
    let (mut is_ours, mut keys) = (false, BTreeSet::new());
    for (key, value) in tags {
        match key {
            CLUSTER => is_ours = value == cluster,
            NAME => read.name = ResourceName::parse(value),
            IMAGE => read.image = Some(value.to_owned()),
            key if key.starts_with(KEYS) => keys.extend(value.split(SEPARATOR)),
            key => drop(read.tags.insert(key.to_owned(), value.to_owned())),
        }
    }
    read.tags.retain(|key, _| keys.contains(key.as_str()));
    read.name = read.name.filter(|_| is_ours);
    read
}

/// Between keys; the inventory allows none in a key.
const SEPARATOR: char = ',';

/// The tags that list keys.
fn keys_of(tags: &Tags) -> Tags {
    let mut lists = vec![String::new()];
    for key in tags.keys().filter(|key| !key.contains(SEPARATOR)) {
        match lists.last_mut().filter(|list| list.len() + key.len() < VALUE_LIMIT) {
            Some(list) if list.is_empty() => list.clone_from(key),
            Some(list) => {
                list.push(SEPARATOR);
                *list += key;
            }
            None => lists.push(key.clone()),
        }
    }
    let name = |at: usize| if at == 0 { KEYS.to_owned() } else { format!("{KEYS}-{}", at + 1) };
    lists.into_iter().enumerate().map(|(at, list)| (name(at), list)).collect()
}

/// All tags of a resource of `cluster`.
pub(super) fn all_tags(cluster: &str, name: &ResourceName, tags: &Tags) -> Tags {
    let mut all = tags.clone();
    all.extend(keys_of(tags));
    all.insert(CLUSTER.to_owned(), cluster.to_owned());
    all.insert(NAME.to_owned(), name.to_string());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_was_set_is_read_again_and_nothing_else() {
        for count in [0, 1, 3, 30] {
            let own: Tags = (0..count)
                .map(|number| (format!("k8s.io/a-long-name-of-a-tag/{number:02}"), "x".to_owned()))
                .collect();
            let mut all = keys_of(&own);
            assert!(all.values().all(|value| value.len() <= VALUE_LIMIT));
            all.extend(own.clone());
            all.extend(tags(&[
                (CLUSTER, "a"),
                (NAME, "vpc/main"),
                ("aws:autoscaling:groupName", "b"),
                ("theirs", "c"),
            ]));
            let read = read("a", all.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            assert_eq!((read.tags, read.name), (own, ResourceName::parse("vpc/main")));
        }
    }

    #[test]
    fn another_clusters_resource_has_no_name() {
        let all = tags(&[(CLUSTER, "b"), (NAME, "vpc/main")]);
        assert_eq!(read("a", all.iter().map(|(key, value)| (key.as_str(), value.as_str()))).name, None);
    }
}
