//! What the operator wants copied: patterns of namespaces, a label selector, kinds. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::kinds::Kind;
use super::object::label;
use crate::inventory::CopySelection;

/// A checked [`CopySelection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    namespaces: Vec<String>,
    except: Vec<String>,
    selector: Vec<Requirement>,
    without_kinds: Vec<String>,
    /// By blue's name.
    pub storage_classes: BTreeMap<String, String>,
    pub snapshots: bool,
}

/// A part of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    needs: Needs,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Needs {
    Any,
    None,
    In(Vec<String>),
    /// An object without the label matches too.
    NotIn(Vec<String>),
}

/// Text that is no label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    #[error(
        "`{0}` in the label selector is none of: key, !key, key=value, key!=value, key in (a, b), key notin (a, b)"
    )]
    Part(String),
    #[error("`{0}` in the label selector is no name of a label")]
    Key(String),
    #[error("`{0}` in the label selector is no value of a label")]
    Value(String),
}

impl Selection {
    /// # Errors
    /// [`SelectorError`] for the first part of the selector that is none.
    pub fn new(wanted: &CopySelection) -> Result<Self, SelectorError> {
        Ok(Selection {
            namespaces: wanted.namespaces.clone(),
            except: wanted.except.clone(),
            selector: wanted.selector.as_deref().map_or(Ok(Vec::new()), parse_selector)?,
            without_kinds: wanted.without_kinds.clone(),
            storage_classes: wanted.storage_classes.iter().cloned().collect(),
            snapshots: wanted.snapshots,
        })
    }

    /// Whether objects of a namespace are wanted.
    pub fn has_namespace(&self, namespace: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, namespace));
        (self.namespaces.is_empty() || any(&self.namespaces)) && !any(&self.except)
    }

    /// Only some namespaces are wanted: what belongs to none comes along where it is needed.
    pub fn is_of_some_namespaces(&self) -> bool {
        !self.namespaces.is_empty()
    }

    pub fn has_kind(&self, kind: &Kind) -> bool {
        !self.without_kinds.iter().any(|word| kind.is_called(word))
    }

    /// Words of `withoutKinds` that mean none of these.
    pub fn unknown_kinds<'a>(&'a self, kinds: &'a [&Kind]) -> impl Iterator<Item = &'a str> {
        let is_unknown = |word: &&String| !kinds.iter().any(|kind| kind.is_called(word));
        self.without_kinds.iter().filter(is_unknown).map(String::as_str)
    }

    /// Whether an object has the labels that are wanted.
    pub fn has_labels(&self, object: &Value) -> bool {
        self.selector.iter().all(|requirement| {
            let value = label(object, &requirement.key);
            let is_among = |values: &[String]| values.iter().any(|wanted| Some(wanted.as_str()) == value);
            match &requirement.needs {
                Needs::Any => value.is_some(),
                Needs::None => value.is_none(),
                Needs::In(values) => is_among(values),
                Needs::NotIn(values) => !is_among(values),
            }
        })
    }

    /// What a StorageClass of blue is called in green.
    pub fn storage_class<'a>(&'a self, blue: &'a str) -> &'a str {
        self.storage_classes.get(blue).map_or(blue, String::as_str)
    }
}

/// `*` stands for any characters, also none.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    let mut rest = rest;
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

fn parse_selector(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let parts = split(text).into_iter().map(str::trim).filter(|part| !part.is_empty());
    parts.map(parse_requirement).collect()
}

/// At commas that are outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.extend(text.get(begin..at));
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(begin..));
    parts
}

fn parse_requirement(part: &str) -> Result<Requirement, SelectorError> {
    let requirement = |key: &str, needs: Needs| Ok(Requirement { key: parse_key(key)?, needs });
    if let Some(key) = part.strip_prefix('!') {
        return requirement(key, Needs::None);
    }
    // The longer operators first: each has a shorter one in it.
    for (operator, is_not) in [("!=", true), ("==", false), ("=", false)] {
        if let Some((key, value)) = part.split_once(operator) {
            let values = vec![parse_value(value)?];
            return requirement(key, if is_not { Needs::NotIn(values) } else { Needs::In(values) });
        }
    }
    let Some((head, list)) = part.split_once('(') else {
        return if part.contains(char::is_whitespace) {
            Err(SelectorError::Part(part.to_owned()))
        } else {
            requirement(part, Needs::Any)
        };
    };
    let unknown = || SelectorError::Part(part.to_owned());
    let list = list.trim_end().strip_suffix(')').ok_or_else(unknown)?;
    let values = list.split(',').map(parse_value).collect::<Result<Vec<_>, _>>()?;
    let (key, operator) = head.trim().rsplit_once(char::is_whitespace).ok_or_else(unknown)?;
    match operator {
        "in" => requirement(key, Needs::In(values)),
        "notin" => requirement(key, Needs::NotIn(values)),
        _ => Err(unknown()),
    }
}

fn parse_key(key: &str) -> Result<String, SelectorError> {
    let key = key.trim();
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let is_dns = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
    };
    let is_fine = !name.is_empty() && is_label_text(name) && prefix.is_none_or(is_dns);
    if is_fine { Ok(key.to_owned()) } else { Err(SelectorError::Key(key.to_owned())) }
}

fn parse_value(value: &str) -> Result<String, SelectorError> {
    let value = value.trim();
    if is_label_text(value) { Ok(value.to_owned()) } else { Err(SelectorError::Value(value.to_owned())) }
}

/// As Kubernetes wants values of labels, and the part of a key after its prefix: up to 63 letters, digits and `-_.`.
fn is_label_text(text: &str) -> bool {
    let is_end = |end: Option<char>| end.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && is_end(text.chars().next())
        && is_end(text.chars().last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::copy::testing::kind;
    use serde_json::json;

    fn selection(change: impl FnOnce(&mut CopySelection)) -> Result<Selection, SelectorError> {
        let mut wanted = CopySelection::default();
        change(&mut wanted);
        Selection::new(&wanted)
    }

    #[test]
    fn patterns_of_namespaces() {
        for (pattern, namespace, is_it) in [
            ("shop", "shop", true),
            ("shop", "shop-2", false),
            ("shop*", "shop-2", true),
            ("*", "", true),
            ("*-prod", "shop-prod", true),
            ("*-prod", "shop-prod-2", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern, namespace), is_it, "{pattern} {namespace}");
        }
        let some = selection(|wanted| {
            wanted.namespaces = vec!["shop*".to_owned()];
            wanted.except = vec!["*-test".to_owned()];
        });
        let some = some.unwrap();
        assert!(some.has_namespace("shop-prod") && !some.has_namespace("shop-test"));
        assert!(!some.has_namespace("other"));
    }

    #[test]
    fn label_selectors_as_kubernetes_has_them() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "", "example.org/a": "1"}}});
        for (selector, is_it) in [
            ("", true),
            ("app=web", true),
            ("app == web", true),
            ("app=web,tier=", true),
            ("app!=web", false),
            ("other!=web", true),
            ("app in (web, api)", true),
            ("app notin (web,api),tier", false),
            ("other notin (x)", true),
            ("example.org/a", true),
            ("!example.org/a", false),
            ("!other", true),
            ("other", false),
        ] {
            let found = selection(|wanted| wanted.selector = Some(selector.to_owned())).unwrap();
            assert_eq!(found.has_labels(&object), is_it, "{selector}");
        }
    }

    #[test]
    fn what_is_no_label_selector_is_refused() {
        for selector in
            ["app web", "app in web", "app in (web", "a b (c)", "=x", "app=a b", "-a", "a/b/c", "app=ä"]
        {
            let found = selection(|wanted| wanted.selector = Some(selector.to_owned()));
            assert!(found.is_err(), "{selector}: {found:?}");
        }
    }

    #[test]
    fn kinds_and_classes_by_their_names() {
        let found = selection(|wanted| {
            wanted.without_kinds = vec!["jobs".to_owned(), "Widget".to_owned()];
            wanted.storage_classes = vec![("gp2".to_owned(), "gp3".to_owned())];
        });
        let found = found.unwrap();
        let (job, pod) = (kind("batch/v1", "Job"), kind("v1", "Pod"));
        assert!(!found.has_kind(&job) && found.has_kind(&pod));
        assert_eq!(found.unknown_kinds(&[&job, &pod]).collect::<Vec<_>>(), ["Widget"]);
        assert_eq!((found.storage_class("gp2"), found.storage_class("io2")), ("gp3", "io2"));
    }
}
