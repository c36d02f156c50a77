//! From the bytes of an inventory file to an [`Inventory`], or to everything that is wrong with it.
//!
//! Three passes, whose problems come out together: bytes to a tree with places ([`tree`]), the tree
//! to a draft ([`cluster`], [`host`], [`settings`]), the draft against the rules
//! ([`super::check`]).

mod bastion;
mod cluster;
pub(crate) mod context;
pub(crate) mod draft;
mod hooks;
mod host;
pub(crate) mod path;
mod reader;
pub(crate) mod scalar;
mod settings;
mod text;
pub(crate) mod tree;
mod upgrade;
mod values;

use camino::Utf8Path;

pub(crate) use context::Context;
pub(crate) use reader::closest;
pub(crate) use text::SIZE_LIMIT;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::model::Inventory;

/// Where an inventory comes from, and what its relative paths are relative to.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The file as the operator named it, for messages.
    pub file: &'a str,
    /// The directory that relative paths start at, absolute.
    pub base: &'a Utf8Path,
    /// What `~` is.
    pub home: Option<&'a Utf8Path>,
}

/// Parses and checks an inventory. All problems are found in one go.
///
/// # Errors
/// [`Diagnostics`] with at least one error, and the warnings among them.
pub fn parse(bytes: &[u8], origin: &Origin<'_>) -> Result<(Inventory, Vec<Diagnostic>), Diagnostics> {
    let context = Context::new(origin);
    let inventory = text::decode(bytes, &context).and_then(|text| read(text, &context));
    match (inventory, context.finish()) {
        (Some(inventory), Ok(warnings)) => Ok((inventory, warnings)),
        (_, Err(problems)) => Err(problems),
        (None, Ok(warnings)) => {
            // invariant: every reader that gives up has reported why. Should one forget, say so
            // rather than go on with half an inventory.
            let file = origin.file.to_owned();
            Err(Diagnostics { file, list: warnings, omitted: 1 })
        }
    }
}

fn read(text: &str, context: &Context<'_>) -> Option<Inventory> {
    let root = tree::build(text, context)?;
    let mut draft = cluster::read(&root, context)?;
    draft.settle();
    super::check::check(&draft, &root, context);
    draft.into_inventory()
}

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
mod hostile;
