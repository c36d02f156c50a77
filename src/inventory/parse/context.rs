//! Where problems are collected while one file is read and checked.

use std::cell::RefCell;

use camino::{Utf8Path, Utf8PathBuf};

use super::Origin;
use super::path::Path;
use crate::inventory::diagnostic::{Diagnostic, Diagnostics, Position, SHOWN_LIMIT, Severity};

/// What a file is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Document {
    Inventory,
    Migration,
}

impl Document {
    /// Its `kind`.
    pub fn kind(self) -> &'static str {
        match self {
            Document::Inventory => "Cluster",
            Document::Migration => "Migration",
        }
    }

    pub fn noun(self) -> &'static str {
        match self {
            Document::Inventory => "inventory",
            Document::Migration => "migration",
        }
    }

    pub fn with_article(self) -> &'static str {
        match self {
            Document::Inventory => "an inventory",
            Document::Migration => "a migration",
        }
    }
}

pub(crate) struct Context<'a> {
    pub document: Document,
    pub origin: &'a Origin<'a>,
    found: RefCell<Found>,
}

#[derive(Default)]
struct Found {
    list: Vec<Diagnostic>,
    omitted: usize,
}

impl<'a> Context<'a> {
    pub fn new(document: Document, origin: &'a Origin<'a>) -> Self {
        Context { document, origin, found: RefCell::default() }
    }

    pub fn add_error(&self, position: Option<Position>, path: &Path, message: String, help: Option<String>) {
        self.add(Severity::Error, position, path, message, help);
    }

    pub fn add_warning(
        &self,
        position: Option<Position>,
        path: &Path,
        message: String,
        help: Option<String>,
    ) {
        self.add(Severity::Warning, position, path, message, help);
    }

    fn add(
        &self,
        severity: Severity,
        position: Option<Position>,
        path: &Path,
        message: String,
        help: Option<String>,
    ) {
        let mut found = self.found.borrow_mut();
        if found.list.len() >= SHOWN_LIMIT {
            found.omitted += usize::from(severity == Severity::Error);
            return;
        }
        found.list.push(Diagnostic { severity, position, path: path.to_string(), message, help });
    }

    /// Whether enough has been found: what is found from now on is only counted.
    pub fn is_full(&self) -> bool {
        self.found.borrow().list.len() >= SHOWN_LIMIT
    }

    /// Whether a value at or below one of these paths is wrong, so that a rule about it would only
    /// repeat what has been said.
    pub fn is_broken(&self, path: &str) -> bool {
        let found = self.found.borrow();
        found.omitted > 0
            || found.list.iter().any(|problem| {
                problem.severity == Severity::Error
                    && problem
                        .path
                        .strip_prefix(path)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            })
    }

    /// Ends the collection: the warnings, or all problems when one is an error.
    pub fn finish(self) -> Result<Vec<Diagnostic>, Diagnostics> {
        let Found { mut list, omitted } = self.found.into_inner();
        list.sort_by(|a, b| (a.position, &a.path).cmp(&(b.position, &b.path)));
        list.dedup();
        if omitted == 0 && list.iter().all(|problem| problem.severity == Severity::Warning) {
            return Ok(list);
        }
        Err(Diagnostics { file: self.origin.file.to_owned(), list, omitted })
    }

    /// A path of the operator's own machine: `~` is the home directory, anything relative starts at
    /// the file's directory; `.` and `..` are resolved as text.
    pub fn local_path(&self, text: &str) -> Result<Utf8PathBuf, String> {
        let path = if text == "~" || text.starts_with("~/") {
            let home = self.origin.home.ok_or("`~` is not known here; write the whole path")?;
            home.join(text.trim_start_matches('~').trim_start_matches('/'))
        } else if text.starts_with('~') {
            return Err("`~NAME` is not supported; write the whole path".into());
        } else {
            self.origin.base.join(text)
        };
        Ok(normalised(&path))
    }
}

fn normalised(path: &Utf8Path) -> Utf8PathBuf {
    let mut normal = Utf8PathBuf::new();
    for component in path.components() {
        match component {
            camino::Utf8Component::CurDir => {}
            camino::Utf8Component::ParentDir => {
                if !normal.pop() {
                    normal.push("..");
                }
            }
            camino::Utf8Component::Prefix(_)
            | camino::Utf8Component::RootDir
            | camino::Utf8Component::Normal(_) => normal.push(component.as_str()),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_paths_start_at_the_inventory_or_at_home() {
        let origin =
            Origin { file: "x", base: Utf8Path::new("/srv/a"), home: Some(Utf8Path::new("/home/me")) };
        let context = Context::new(Document::Inventory, &origin);
        for (text, want) in [
            ("keys/id", "/srv/a/keys/id"),
            ("../keys/./id", "/srv/keys/id"),
            ("/abs", "/abs"),
            ("~/.ssh/id", "/home/me/.ssh/id"),
            ("~", "/home/me"),
        ] {
            assert_eq!(context.local_path(text).unwrap(), want);
        }
        assert!(context.local_path("~root/x").is_err());
    }
}
