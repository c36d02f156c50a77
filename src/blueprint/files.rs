//! Collects the files and directories of one host while its blueprint is put together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::model::{Content, Directory, File, FileGroup, FilePolicy};

/// What the parts of a blueprint add to.
#[derive(Default, Clone)]
pub(super) struct Files {
    pub(super) files: BTreeMap<String, File>,
    pub(super) directories: BTreeMap<String, Directory>,
}

/// A file of known text that must have exactly this content.
pub(super) fn text_file(group: FileGroup, mode: u32, text: impl Into<Arc<str>>) -> File {
    File {
        group,
        mode,
        content: Content::Text(text.into()),
        policy: FilePolicy::Exact,
        restarts: BTreeSet::new(),
    }
}

impl Files {
    /// Takes in all that `others` has.
    pub(super) fn extend(&mut self, others: &Files) {
        self.files.extend(others.files.iter().map(|(path, file)| (path.clone(), file.clone())));
        self.directories.extend(others.directories.iter().map(|(path, dir)| (path.clone(), dir.clone())));
    }

    pub(super) fn add(&mut self, path: &str, file: File) {
        self.files.insert(path.to_owned(), file);
    }

    /// Adds a file and the unit that must restart (or reload) when it changes.
    pub(super) fn add_for(&mut self, path: &str, mut file: File, unit: &str) {
        file.restarts.insert(unit.to_owned());
        self.add(path, file);
    }

    pub(super) fn file(
        &mut self,
        path: &str,
        group: FileGroup,
        mode: u32,
        content: Content,
        policy: FilePolicy,
    ) {
        self.add(path, File { group, mode, content, policy, restarts: BTreeSet::new() });
    }

    pub(super) fn directory(&mut self, path: &str, mode: u32) {
        self.directories.insert(path.to_owned(), Directory { mode });
    }
}
