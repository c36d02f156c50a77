//! The journal's format, and its PURE parser.
//!
//! One record a line: `KW1 NUMBER HASH PREVIOUS LENGTH JSON`. HASH is the first half of
//! SHA-256 over the number, the previous record's hash and the JSON, so a record can be checked by
//! itself and the chain as a whole. JSON without line ends makes a line one record, and makes the
//! journal readable with the usual tools.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// What the lines of this version begin with; the number is the format's.
const TAG: &str = "KW";
const VERSION: u32 = 1;
/// Half a SHA-256.
const HASH_BYTES: usize = 16;

/// Links a record to the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link(pub [u8; HASH_BYTES]);

impl Link {
    /// What the first record links to.
    pub const FIRST: Link = Link([0; HASH_BYTES]);

    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; HASH_BYTES];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Link(bytes))
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// From 1.
    pub number: u64,
    pub event: Value,
}

/// A journal's contents.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub records: Vec<Record>,
    /// The last record's link.
    pub last: Link,
    /// Bytes of whole records. What follows is a write that a crash cut short.
    pub length: usize,
}

/// Why a journal cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalDamage {
    #[error("record {number} (byte {offset}) is damaged: {reason}")]
    Record { number: u64, offset: usize, reason: &'static str },
    #[error(
        "record {number} has format {version}, this keelwright reads up to {VERSION}; use the newer keelwright that wrote it"
    )]
    Newer { number: u64, version: u32 },
}

/// Writes one record; the line and what the next one links to.
pub fn encode(number: u64, previous: Link, event: &Value) -> (String, Link) {
    // serde_json's Display is compact and has no line end: control characters are escaped.
    let json = event.to_string();
    let link = link(number, previous, &json);
    let line = format!(
        "{TAG}{VERSION} {number} {} {} {} {json}\n",
        hex::encode(link.0),
        hex::encode(previous.0),
        json.len()
    );
    (line, link)
}

/// Reads a journal. A tail that a crash cut short is left out; anything else that is not right is an
/// error: a record that was there and is no longer readable must not go unnoticed.
pub fn parse(bytes: &[u8]) -> Result<Parsed, JournalDamage> {
    let mut parsed = Parsed { records: Vec::new(), last: Link::FIRST, length: 0 };
    while let Some(rest) = bytes.get(parsed.length..).filter(|rest| !rest.is_empty()) {
        let number = parsed.records.len() as u64 + 1;
        match parse_line(rest) {
            Ok(line) if line.number == number && line.previous == parsed.last => {
                parsed.records.push(Record { number, event: line.event });
                parsed.last = line.link;
                parsed.length += line.length;
            }
            Ok(_) => {
                let reason = "it does not follow the record before it";
                return Err(JournalDamage::Record { number, offset: parsed.length, reason });
            }
            Err(Flaw::Newer(version)) => return Err(JournalDamage::Newer { number, version }),
            Err(Flaw::Torn) if !whole_record_follows(rest) => return Ok(parsed),
            Err(Flaw::Torn) => {
                let reason = "it is cut short, and whole records follow";
                return Err(JournalDamage::Record { number, offset: parsed.length, reason });
            }
            Err(Flaw::Damaged(reason)) => {
                return Err(JournalDamage::Record { number, offset: parsed.length, reason });
            }
        }
    }
    Ok(parsed)
}

struct Line {
    number: u64,
    link: Link,
    previous: Link,
    event: Value,
    /// With its line end.
    length: usize,
}

enum Flaw {
    /// What an interrupted write leaves: no line end, or pages that were never written.
    Torn,
    Damaged(&'static str),
    Newer(u32),
}

fn parse_line(bytes: &[u8]) -> Result<Line, Flaw> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Err(Flaw::Torn) };
    let line = bytes.get(..end).unwrap_or_default();
    if line.contains(&0) {
        return Err(Flaw::Torn);
    }
    let text = std::str::from_utf8(line).map_err(|_| Flaw::Damaged("it is not text"))?;
    let mut fields = text.splitn(6, ' ');
    let mut field = || fields.next().ok_or(Flaw::Damaged("fields are missing"));
    let version = field()?.strip_prefix(TAG).and_then(|version| version.parse::<u32>().ok());
    match version {
        Some(VERSION) => {}
        Some(version) if version > VERSION => return Err(Flaw::Newer(version)),
        Some(_) | None => return Err(Flaw::Damaged("it does not begin as a record does")),
    }
    let number = field()?.parse().map_err(|_| Flaw::Damaged("its number is not one"))?;
    let hash = Link::parse(field()?).ok_or(Flaw::Damaged("its hash is not one"))?;
    let previous = Link::parse(field()?).ok_or(Flaw::Damaged("its link is not one"))?;
    let length: usize = field()?.parse().map_err(|_| Flaw::Damaged("its length is not one"))?;
    let json = field()?;
    if json.len() != length {
        return Err(Flaw::Damaged("its length is wrong"));
    }
    if link(number, previous, json) != hash {
        return Err(Flaw::Damaged("its hash is wrong"));
    }
    let event = serde_json::from_str(json).map_err(|_| Flaw::Damaged("its event is not JSON"))?;
    Ok(Line { number, link: hash, previous, event, length: end + 1 })
}

/// Whether any later line is a whole record: then what went wrong is not the end of the file.
fn whole_record_follows(bytes: &[u8]) -> bool {
    bytes.split_inclusive(|byte| *byte == b'\n').skip(1).any(|line| parse_line(line).is_ok())
}

fn link(number: u64, previous: Link, json: &str) -> Link {
    let mut hasher = Sha256::new();
    hasher.update(number.to_le_bytes());
    hasher.update(previous.0);
    hasher.update(json.as_bytes());
    let mut half = [0; HASH_BYTES];
    half.iter_mut().zip(hasher.finalize()).for_each(|(to, from)| *to = from);
    Link(half)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
