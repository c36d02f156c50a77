//! The artifacts of one Kubernetes version, each with its SHA-256: from upstream, a mirror, a registry, a
//! directory, or (for the lab) built from Go modules.
//!
//! A bundle is a directory with `bundle.json`, `bin/` and `images/`. Making it again over itself fetches
//! just what is missing or has changed; every file appears whole or not at all.

mod collect;
pub mod elf;
pub mod error;
mod gobuild;
mod hash;
mod image;
pub mod item;
mod manifests;
pub mod request;
mod rootfs;
pub mod source;
mod verify;

#[cfg(test)]
pub(crate) mod testing;

use std::time::Duration;

use camino::Utf8PathBuf;

pub use collect::collect;
pub use error::BundleError;
pub use gobuild::GoBuilder;
pub use hash::Fingerprint;
pub use item::Item;
pub use manifests::{collect_manifests, manifest_texts};
pub use request::{Request, cache_directory};
pub use rootfs::Rootfs;
pub use verify::{Finding, Verified, open, verify};

use crate::release::Sha256;
use source::local::Local;
use source::remote::Remote;

/// Where the files and images of a bundle come from.
pub enum Sources {
    /// Executables from this machine, images written around them.
    Local(Local),
    /// Executables over https, images from a registry.
    Remote(Remote),
}

/// An item that was put in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub version: String,
    pub print: Fingerprint,
    pub source: String,
}

/// What happens while a bundle is made, for whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// go started on an executable.
    Building {
        name: String,
        set: &'static str,
    },
    Built {
        name: String,
        elapsed: Duration,
    },
    /// An item is in place.
    Done {
        item: Item,
        path: Utf8PathBuf,
        size: u64,
        elapsed: Duration,
        number: usize,
        of: usize,
    },
    /// A manifest, or an image that one names, is in place; `kept`: it was there already, unchanged.
    Extra {
        what: String,
        size: u64,
        elapsed: Duration,
        kept: bool,
    },
    /// A manifest was fetched of which nobody had said what it must hash to.
    FirstFetch {
        name: String,
        url: String,
        sha256: Sha256,
    },
    /// An item was there already, unchanged.
    Kept {
        item: Item,
        number: usize,
        of: usize,
    },
}

/// Takes events as they happen.
pub type Report<'a> = &'a (dyn Fn(Event) + Sync);
