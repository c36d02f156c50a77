//! From the bytes of an inventory file to an [`Inventory`], or to everything that is wrong with it.
//!
//! Three passes, whose problems come out together: bytes to a tree with places ([`tree`]), the tree
//! to a draft ([`cluster`], [`host`], [`aws`], [`settings`]), the draft against the rules
//! ([`super::check`]). A migration's file goes the same way ([`migration`]).

mod artifacts;
pub(crate) mod aws;
mod bastion;
pub(in crate::inventory) mod cluster;
pub(crate) mod context;
pub(crate) mod draft;
mod hooks;
mod host;
pub(crate) mod migration;
pub(crate) mod path;
mod reader;
pub(crate) mod scalar;
mod settings;
mod state;
mod text;
pub(crate) mod tree;
mod upgrade;
mod values;

use camino::Utf8Path;

pub(crate) use context::{Context, Document};
pub(crate) use reader::closest;
pub(crate) use text::SIZE_LIMIT;

use super::aws::Wanted;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::migration::Migration;
use super::model::Inventory;
use draft::Draft;
use migration::draft::DraftMigration;

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

/// Parses and checks an inventory of hosts. All problems are found in one go; that machines are to be made is
/// one of them, at `provider`.
///
/// # Errors
/// [`Diagnostics`] with at least one error, and the warnings among them.
pub fn parse(bytes: &[u8], origin: &Origin<'_>) -> Result<(Inventory, Vec<Diagnostic>), Diagnostics> {
    parse_as(bytes, origin, |draft, root, context| match draft.into_wanted()? {
        Wanted::Hosts(inventory) => Some(*inventory),
        Wanted::Aws(_) => {
            let path = path::Path::root().key("provider");
            let message = "machines are to be made in AWS, and this needs machines that are there";
            let help = Some("name an inventory that has `hosts`".to_owned());
            context.add_error(Some(root.locate(&path)), &path, message.into(), help);
            None
        }
    })
}

/// As [`parse`], with machines that are there or that are to be made.
///
/// # Errors
/// As [`parse`].
pub fn parse_wanted(bytes: &[u8], origin: &Origin<'_>) -> Result<(Wanted, Vec<Diagnostic>), Diagnostics> {
    parse_as(bytes, origin, |draft, _, _| draft.into_wanted())
}

/// Everything but what is made of the draft at last.
fn parse_as<T>(
    bytes: &[u8],
    origin: &Origin<'_>,
    finish: impl FnOnce(Draft, &tree::Node, &Context<'_>) -> Option<T>,
) -> Result<(T, Vec<Diagnostic>), Diagnostics> {
    let context = Context::new(Document::Inventory, origin);
    let read = text::decode(bytes, &context).and_then(|text| read(text, &context));
    let wanted = read.and_then(|(draft, root)| finish(draft, &root, &context));
    finished(wanted, context)
}

/// Parses and checks a migration's file. All problems are found in one go.
///
/// # Errors
/// As [`parse`].
pub fn parse_migration(
    bytes: &[u8],
    origin: &Origin<'_>,
) -> Result<(Migration, Vec<Diagnostic>), Diagnostics> {
    let context = Context::new(Document::Migration, origin);
    let root = text::decode(bytes, &context).and_then(|text| tree::build(text, &context));
    let draft = root.and_then(|root| {
        let mut draft = migration::read(&root, &context)?;
        draft.settle();
        super::check::check_migration(&draft, &root, &context);
        Some(draft)
    });
    let wanted = draft.and_then(DraftMigration::into_migration);
    finished(wanted, context)
}

/// What was read, if nothing is wrong with it.
fn finished<T>(wanted: Option<T>, context: Context<'_>) -> Result<(T, Vec<Diagnostic>), Diagnostics> {
    let file = context.origin.file.to_owned();
    match (wanted, context.finish()) {
        (Some(wanted), Ok(warnings)) => Ok((wanted, warnings)),
        (_, Err(problems)) => Err(problems),
        (None, Ok(warnings)) => {
            // invariant: every reader that gives up has reported why. Should one forget, say so
            // rather than go on with half of what was written.
            Err(Diagnostics { file, list: warnings, omitted: 1 })
        }
    }
}

/// The draft, checked, and the tree it was read from.
fn read(text: &str, context: &Context<'_>) -> Option<(Draft, tree::Node)> {
    let root = tree::build(text, context)?;
    let mut draft = cluster::read(&root, context)?;
    draft.settle();
    super::check::check(&draft, &root, context);
    Some((draft, root))
}

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
mod hostile;
