//! From bytes to text: what is refused before YAML is looked at.

use super::context::{Context, Document};
use super::path::Path;
use crate::inventory::diagnostic::Position;

/// An inventory of 5,000 hosts has about 1 MiB.
pub(crate) const SIZE_LIMIT: usize = 4 * 1024 * 1024;

/// Checks size and encoding; a leading byte order mark is dropped.
pub(super) fn decode<'a>(bytes: &'a [u8], context: &Context<'_>) -> Option<&'a str> {
    let refuse = |position: Option<Position>, message: String, help: &str| {
        context.add_error(position, &Path::root(), message, Some(help.to_owned()));
        None
    };
    if bytes.len() > SIZE_LIMIT {
        let message = format!("{} is {} bytes, limit 4 MiB", context.document.noun(), bytes.len());
        let help = match context.document {
            Document::Inventory => "an inventory describes one cluster; is this the right file?",
            Document::Migration => "a migration has a few dozen lines; is this the right file?",
        };
        return refuse(None, message, help);
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return refuse(
            None,
            "not valid UTF-8 at byte 0: this is UTF-16".into(),
            "save it as UTF-8, or: iconv -f UTF-16 -t UTF-8",
        );
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let position = position_of(bytes, at);
            return refuse(position, format!("not valid UTF-8 at byte {at}"), "save the file as UTF-8");
        }
    };
    if let Some(at) = text.bytes().position(|byte| byte == 0) {
        let position = position_of(bytes, at);
        let help = format!("{} is text; remove it", context.document.with_article());
        return refuse(position, format!("NUL character at byte {at}"), &help);
    }
    Some(text)
}

fn position_of(bytes: &[u8], at: usize) -> Option<Position> {
    let before = String::from_utf8_lossy(bytes.get(..at)?);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    Some(Position { line: u32::try_from(line).ok()?, column: u32::try_from(column).ok()?, length: 1 })
}
