//! PEM blocks as Go writes them: 64 columns, LF, no headers. Reading skips text between blocks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Columns of a PEM line (RFC 7468).
const COLUMNS: usize = 64;

/// One block: its label and what it holds. Contents may be a private key and are wiped.
pub struct Block {
    pub label: String,
    pub der: Zeroizing<Vec<u8>>,
}

/// A text that is not PEM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    #[error("no PEM block found")]
    Empty,
    #[error("the PEM block at line {line} does not end")]
    Open { line: usize },
    #[error("the PEM block at line {line} is not base64")]
    Encoding { line: usize },
    #[error("the PEM block at line {line} is encrypted; decrypt it first (openssl pkey -in FILE)")]
    Encrypted { line: usize },
}

/// Writes one block.
pub fn encode(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(STANDARD.encode(der));
    // All at once: growing would leave copies of a key behind in freed memory.
    let mut text = String::with_capacity(body.len() + body.len() / COLUMNS + 2 * label.len() + 40);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(COLUMNS));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// Reads all blocks of a text, in order.
pub fn decode_all(text: &str) -> Result<Vec<Block>, PemError> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let begin = line.trim().strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let Some(label) = begin else { continue };
        let line = index + 1;
        let end = format!("-----END {label}-----");
        let mut body = Zeroizing::new(String::with_capacity(text.len()));
        loop {
            let Some((_, part)) = lines.next() else { return Err(PemError::Open { line }) };
            let part = part.trim();
            if part == end {
                break;
            }
            if part.contains("ENCRYPTED") {
                return Err(PemError::Encrypted { line });
            }
            body.push_str(part);
        }
        if label.starts_with("ENCRYPTED") {
            return Err(PemError::Encrypted { line });
        }
        let der = STANDARD.decode(body.as_bytes()).map_err(|_| PemError::Encoding { line })?;
        blocks.push(Block { label: label.to_owned(), der: Zeroizing::new(der) });
    }
    Ok(blocks)
}

/// The first certificate of a text.
pub fn first_certificate(text: &str) -> Result<Block, PemError> {
    decode_all(text)?.into_iter().find(|block| block.label == "CERTIFICATE").ok_or(PemError::Empty)
}

/// The first private key of a text; `EC PARAMETERS` and certificates beside it are skipped.
pub fn first_private_key(text: &str) -> Result<Block, PemError> {
    decode_all(text)?.into_iter().find(|block| block.label.ends_with("PRIVATE KEY")).ok_or(PemError::Empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_blocks_of_every_length() {
        for length in [0, 1, 47, 48, 49, 200] {
            let der: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let text = encode("TEST", &der);
            assert!(text.lines().all(|line| line.len() <= COLUMNS), "{text}");
            let blocks = decode_all(&format!("Bag Attributes\n{text}{text}")).unwrap();
            assert_eq!(blocks.len(), 2);
            assert_eq!((blocks[1].label.as_str(), blocks[1].der.as_slice()), ("TEST", der.as_slice()));
        }
    }

    #[test]
    fn refuses_what_is_not_pem() {
        let error = |text: &str| decode_all(text).err();
        assert_eq!(error("-----BEGIN X-----\nAA"), Some(PemError::Open { line: 1 }));
        assert_eq!(error("\n-----BEGIN X-----\n??\n-----END X-----"), Some(PemError::Encoding { line: 2 }));
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n-----END RSA PRIVATE KEY-----";
        assert_eq!(error(old), Some(PemError::Encrypted { line: 1 }));
        let new = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
        assert_eq!(error(new), Some(PemError::Encrypted { line: 1 }));
        assert_eq!(first_certificate("").err(), Some(PemError::Empty));
    }
}
