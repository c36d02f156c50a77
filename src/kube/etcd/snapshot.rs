//! The database of one member, as Maintenance.Snapshot streams it: one JSON text a line, 32 KiB of the database
//! in each, and a last one with the SHA-256 of all of them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{EtcdClient, Number};
use crate::exec::{EtcdMember, KubeError, PortError};

/// More without a line's end is no answer of etcd's: gRPC lets no message through that is longer than 4 MiB,
/// and base64 makes four bytes of three.
const LINE_LIMIT: usize = 8 << 20;
/// A stream that stands still for so long will not go on.
const STALL: Duration = Duration::from_secs(60);

impl EtcdClient {
    /// Hands every piece to `sink` as it comes, so that one line at a time is in memory, however large the
    /// database is; the member is slowed down to the pace of `sink`.
    pub(super) async fn stream_snapshot(
        &self,
        member: &EtcdMember,
        sink: &mut (dyn FnMut(&[u8]) -> Result<(), PortError> + Send),
    ) -> Result<(), KubeError> {
        let what = || format!("snapshot of etcd member {}", member.name);
        let unreachable = |reason: String| KubeError::Unreachable(format!("{}: {reason}", what()));
        let host =
            self.host_of(&member.name).ok_or_else(|| unreachable("no host has its name".to_owned()))?;
        let response = self.send("/v3/maintenance/snapshot", &json!({}), Some(&host)).await?;
        if !response.status().is_success() {
            let code = response.status().as_u16();
            return Err(KubeError::Refused { what: what(), code, message: "refused".to_owned() });
        }
        let mut body = response.into_body();
        let (mut pending, mut remaining) = (Vec::new(), u64::MAX);
        loop {
            let frame = timeout(STALL, body.frame())
                .await
                .map_err(|_| unreachable(format!("the stream stood still for {} s", STALL.as_secs())))?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| unreachable(error.to_string()))?;
            pending.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                let (blob, left) = parse_part(&line).map_err(unreachable)?;
                sink(&blob).map_err(|error| KubeError::Refused {
                    what: what(),
                    code: 0,
                    message: error.0,
                })?;
                remaining = left;
            }
            if pending.len() > LINE_LIMIT {
                return Err(unreachable("a line without an end".to_owned()));
            }
        }
        match remaining {
            0 => Ok(()),
            u64::MAX => Err(unreachable("the stream was empty".to_owned())),
            remaining => Err(unreachable(format!("the stream ended {remaining} bytes early"))),
        }
    }
}

/// One line of the stream: the bytes, and how many of the database are to follow.
fn parse_part(line: &[u8]) -> Result<(Vec<u8>, u64), String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Part {
        remaining_bytes: Number,
        blob: String,
    }
    let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if let Some(error) = value.get("error") {
        return Err(error.get("message").and_then(Value::as_str).unwrap_or("refused").to_owned());
    }
    let part: Part = serde_json::from_value(value.get("result").cloned().unwrap_or_default())
        .map_err(|error| error.to_string())?;
    let blob = STANDARD.decode(part.blob).map_err(|error| error.to_string())?;
    Ok((blob, part.remaining_bytes.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_part_of_a_snapshot() {
        let part = parse_part(br#"{"result":{"remaining_bytes":"5","blob":"YWI="}}"#).unwrap();
        assert_eq!(part, (b"ab".to_vec(), 5));
        assert_eq!(parse_part(br#"{"result":{"blob":""}}"#).unwrap(), (vec![], 0));
        assert_eq!(parse_part(br#"{"error":{"message":"no"}}"#).unwrap_err(), "no");
        assert!(parse_part(b"<html>").is_err());
    }
}
