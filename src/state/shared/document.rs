//! What is in the object.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::state::Holder;

/// The one format there is.
const FORMAT: u32 = 1;

/// All of a cluster's state but snapshots and the journal of single runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedDocument {
    format: u32,
    /// The number of the run that holds the lock, or held it last.
    pub epoch: u64,
    /// None: nobody holds the lock.
    pub holder: Option<Holder>,
    /// Grows with everything that this run writes, so that no two contents are equal.
    pub serial: u64,
    /// By name, encoded.
    files: BTreeMap<String, String>,
}

/// Why a content is none.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("it is no state of keelwright's: {0}")]
    Format(#[from] serde_json::Error),
    #[error("it has format {found}, and this keelwright knows {FORMAT}; use a newer one")]
    Newer { found: u32 },
    #[error("its file {name} is damaged")]
    File { name: String },
}

impl SharedDocument {
    /// Nothing yet.
    pub fn empty() -> Self {
        SharedDocument { format: FORMAT, ..SharedDocument::default() }
    }

    /// Reads a content.
    ///
    /// # Errors
    /// [`DocumentError`] when it is none, or a newer one.
    pub fn parse(content: &[u8]) -> Result<Self, DocumentError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let Head { format } = serde_json::from_slice(content)?;
        if format != FORMAT {
            return Err(DocumentError::Newer { found: format });
        }
        let document: SharedDocument = serde_json::from_slice(content)?;
        let damaged = document.files.iter().find(|(_, text)| STANDARD.decode(text).is_err());
        match damaged {
            Some((name, _)) => Err(DocumentError::File { name: name.clone() }),
            None => Ok(document),
        }
    }

    /// The content.
    pub fn encode(&self) -> Vec<u8> {
        // invariant: text keys and plain values always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// A file's content; None: there is no such file.
    pub fn file(&self, name: &str) -> Option<Vec<u8>> {
        self.files.get(name).and_then(|text| STANDARD.decode(text).ok())
    }

    /// Names of all files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Gives a file its content; None: it goes.
    pub fn set(&mut self, name: &str, content: Option<&[u8]>) {
        match content {
            Some(content) => self.files.insert(name.to_owned(), STANDARD.encode(content)),
            None => self.files.remove(name),
        };
    }
}
