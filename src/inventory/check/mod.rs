//! The rules that fields must keep together and by Kubernetes; one file per part of the inventory.

mod artifacts;
mod aws;
mod components;
mod flags;
mod hooks;
mod hosts;
mod kubelet_fields;
mod migration;
mod network;
mod syntax;
mod upgrade;

pub(in crate::inventory) use aws::is_region;
pub(crate) use migration::check_migration;

use crate::inventory::parse::context::Context;
use crate::inventory::parse::draft::{Draft, Provider};
use crate::inventory::parse::path::Path;
use crate::inventory::parse::tree::Node;
use crate::release::{SUPPORTED, release_of};

/// What the rules look at, and where they report.
struct Rules<'a, D = Draft> {
    draft: &'a D,
    root: &'a Node,
    context: &'a Context<'a>,
}

impl<D> Rules<'_, D> {
    fn error(&self, path: &Path, message: impl Into<String>, help: impl Into<String>) {
        self.context.add_error(self.place(path), path, message.into(), Some(help.into()));
    }

    fn warning(&self, path: &Path, message: impl Into<String>, help: impl Into<String>) {
        self.context.add_warning(self.place(path), path, message.into(), Some(help.into()));
    }

    fn place(&self, path: &Path) -> Option<crate::inventory::Position> {
        (!self.context.is_full()).then(|| self.root.locate(path))
    }

    /// `lines 3, 7` of two values that clash.
    fn lines(&self, first: &Path, second: &Path) -> String {
        if self.context.is_full() {
            return String::new();
        }
        format!("lines {}, {}", self.root.locate(first).line, self.root.locate(second).line)
    }
}

impl Rules<'_> {
    fn host(index: usize) -> Path {
        Path::root().key("hosts").index(index)
    }
}

/// Reports every rule that the draft breaks.
pub(crate) fn check(draft: &Draft, root: &Node, context: &Context<'_>) {
    let rules = Rules { draft, root, context };
    rules.version();
    rules.provider();
    match draft.provider {
        Provider::Hosts => {
            rules.hosts();
            rules.etcd();
            rules.endpoint();
        }
        Provider::Aws => rules.aws(),
    }
    rules.networks();
    rules.names();
    rules.components();
    rules.artifacts();
    rules.upgrade();
    rules.hooks();
}

/// The minors this release installs, as a person reads them.
pub(crate) fn supported_versions() -> String {
    SUPPORTED.iter().map(|release| format!("v{}.x", release.minor)).collect::<Vec<_>>().join(", ")
}

impl Rules<'_> {
    fn version(&self) {
        let Some(version) = self.draft.version else { return };
        if release_of(version).is_err() {
            let message =
                format!("Kubernetes {version} is not supported; supported: {}", supported_versions());
            let newest =
                SUPPORTED.last().map(|release| release.default_patch.to_string()).unwrap_or_default();
            self.error(
                &Path::root().key("kubernetes").key("version"),
                message,
                format!("for example {newest}"),
            );
        }
    }
}

#[cfg(test)]
mod rows;
