//! User data as EC2 takes it: at most 16 KiB, so it travels compressed, which cloud-init sees by itself.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// What gzip begins with.
const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// No script of ours is longer, and nobody's else is read.
const LONGEST: u64 = 1 << 20;

pub(super) fn encoded(text: &str) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // invariant: writing to memory does not fail
    let bytes = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    STANDARD.encode(bytes.unwrap_or_else(|_| text.as_bytes().to_vec()))
}

/// None: no text.
pub(super) fn decoded(data: &str) -> Option<String> {
    let bytes = STANDARD.decode(data).ok().filter(|bytes| !bytes.is_empty())?;
    if !bytes.starts_with(&MAGIC) {
        return String::from_utf8(bytes).ok();
    }
    let mut text = String::new();
    GzDecoder::new(bytes.as_slice()).take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["#!/bin/sh\n", "é", &"long\n".repeat(10_000)] {
            let data = encoded(text);
            assert_eq!(decoded(&data).as_deref(), Some(text));
            assert_eq!(encoded(text), data, "equal texts are equal data");
            assert!(data.len() < 16_384);
        }
        assert_eq!(decoded(&STANDARD.encode("#cloud-config\n")).as_deref(), Some("#cloud-config\n"));
        assert_eq!(decoded(""), None);
        assert_eq!(decoded("not base64!"), None);
    }
}
