//! The rules that fields must keep together.

use crate::inventory::parse::context::Context;
use crate::inventory::parse::draft::Draft;
use crate::inventory::parse::tree::Node;

/// Reports every rule that the draft breaks.
pub(crate) fn check(_draft: &Draft, _root: &Node, _context: &Context<'_>) {}

/// The minors this release installs, as a person reads them.
pub(crate) fn supported_versions() -> String {
    "v1.34.x, v1.35.x, v1.36.x, v1.37.x".into()
}
