//! What Kubernetes takes for a name, a label and a flag
//! (`k8s.io/apimachinery/pkg/util/validation`).

/// Why a text is not one; the column counts from 1.
pub(super) type Reason = String;

fn column_of_bad(text: &str, allowed: impl Fn(char) -> bool) -> Option<Reason> {
    text.chars()
        .enumerate()
        .find(|(_, character)| !allowed(*character))
        .map(|(index, character)| format!("illegal character {character:?} at column {}", index + 1))
}

/// A DNS subdomain of RFC 1123: at most 253 characters of lower-case labels.
pub(super) fn dns_subdomain(text: &str) -> Result<(), Reason> {
    if text.is_empty() {
        return Err("is empty".into());
    }
    if text.len() > 253 {
        return Err(format!("has {} characters; at most 253 are allowed", text.len()));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if let Some(reason) = column_of_bad(text, allowed) {
        return Err(reason);
    }
    for label in text.split('.') {
        if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
            return Err("each part between dots must start and end with a letter or a digit".into());
        }
        if label.len() > 63 {
            return Err(format!("the part {label:?} is longer than 63 characters"));
        }
    }
    Ok(())
}

/// The part of a label's key after the `/`, or a value that is not empty.
fn qualified_part(text: &str) -> Result<(), Reason> {
    if text.len() > 63 {
        return Err(format!("has {} characters; at most 63 are allowed", text.len()));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if let Some(reason) = column_of_bad(text, allowed) {
        return Err(reason);
    }
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if edge(text.chars().next()) && edge(text.chars().last()) {
        Ok(())
    } else {
        Err("must start and end with a letter or a digit".into())
    }
}

/// `[prefix/]name`, as labels and taints have it.
pub(super) fn qualified_name(text: &str) -> Result<(), Reason> {
    let name = match text.split_once('/') {
        Some((prefix, name)) => {
            dns_subdomain(prefix).map_err(|reason| format!("before the `/`: {reason}"))?;
            name
        }
        None => text,
    };
    if name.is_empty() {
        return Err("the name is empty".into());
    }
    qualified_part(name)
}

pub(super) fn label_value(text: &str) -> Result<(), Reason> {
    if text.is_empty() { Ok(()) } else { qualified_part(text) }
}

/// A flag's name without its dashes.
pub(super) fn flag_name(text: &str) -> Result<(), Reason> {
    if text.starts_with('-') {
        return Err("write it without the dashes".into());
    }
    if text.contains('=') {
        return Err("write the value to `value`".into());
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match column_of_bad(text, allowed) {
        Some(reason) => Err(reason),
        None if text.is_empty() || text.ends_with('-') => Err("is not the name of a flag".into()),
        None => Ok(()),
    }
}

/// An absolute path of a host: only characters that no shell, unit or YAML reader treats specially.
pub(super) fn host_path(text: &str) -> Result<(), Reason> {
    if !text.starts_with('/') {
        return Err("must be absolute".into());
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if let Some(reason) = column_of_bad(text, allowed) {
        return Err(reason);
    }
    for (index, part) in text.split('/').enumerate() {
        match part {
            "." | ".." => return Err(format!("must not contain `{part}`")),
            "" if index > 0 => return Err("must not end with `/` or contain `//`".into()),
            part if part.starts_with('-') => return Err(format!("the part {part:?} starts with `-`")),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_kubernetes_rules() {
        for good in ["disk", "example.org/disk", "a.b-c_d", "node-role.kubernetes.io/worker", "A"] {
            assert!(qualified_name(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "-a", "a-", "Example.org/a", "a b", "a/b/c", "a;b"] {
            assert!(qualified_name(bad).is_err(), "{bad}");
        }
        assert!(label_value("").is_ok() && label_value("a.b").is_ok() && label_value("a b").is_err());
        assert!(flag_name("v").is_ok() && flag_name("--v").is_err() && flag_name("v=2").is_err());
        for bad in ["var", "/a/../b", "/a b", "/a//b", "/a/", "/", "/a/-b", "/a\nb", "/$x"] {
            assert!(host_path(bad).is_err(), "{bad}");
        }
        assert!(host_path("/var/lib/etcd").is_ok());
        assert!(
            dns_subdomain("a.b").is_ok() && dns_subdomain("a..b").is_err() && dns_subdomain("A").is_err()
        );
    }
}
