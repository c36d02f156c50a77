//! Brings one file into a host's artifact store, streamed and checked by its hash over there.

use bytes::BytesMut;
use camino::Utf8Path;
use tokio::io::AsyncReadExt as _;

use super::channel::{Become, ExecError, RootExec, run_as_root};
use super::session::Connection;
use crate::command::quote;
use crate::exec::{Layout, RemoteError};

/// Read from disk at once; the SSH window bounds what is under way beyond it.
const CHUNK: usize = 128 << 10;

/// Hashes while it writes; a file that is not whole, or does not fit, never gets its name.
const RECEIVE: &str = r#"umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
store=$S/artifacts
mkdir -p -- "$store" || exit 1
if [ -f "$store/$sum" ] && [ "$(sha256sum <"$store/$sum")" = "$sum  -" ]; then
	echo have
	exit 0
fi
find "$store" -mindepth 1 -maxdepth 1 -name '.in.*' -mmin +120 -exec rm -f -- {} +
temp=$(mktemp "$store/.in.XXXXXX") || exit 1
trap 'rm -f -- "$temp"' EXIT
trap 'exit 1' HUP INT TERM PIPE
echo send
got=$({ tee -- "$temp" || echo "tee failed"; } | sha256sum)
if [ "$got" != "$sum  -" ]; then
	rm -f -- "$temp"
	echo "wrong ${got%% *}"
	exit 0
fi
sync -- "$temp" && mv -T -f -- "$temp" "$store/$sum" && sync -- "$store" && echo done
"#;

/// What an upload is.
pub(crate) struct Upload<'a> {
    pub source: &'a Utf8Path,
    pub sha256: &'a str,
    pub layout: &'a Layout,
    pub progress: &'a (dyn Fn(u64) + Send + Sync),
}

impl Upload<'_> {
    /// One try over one connection.
    pub async fn send(&self, connection: &Connection, how: &Become) -> Result<(), ExecError> {
        if self.sha256.len() != 64
            || !self.sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return Err(self.failed("its hash is no SHA-256 in lower-case hex".into()));
        }
        let mut file = tokio::fs::File::open(self.source).await.map_err(|e| self.failed(e.to_string()))?;
        let text = format!("S={}\nsum={}\n{RECEIVE}", quote(&self.layout.state), self.sha256);
        let mut exec = run_as_root(connection, how, &text).await?;
        match self.answer(&mut exec).await?.as_str() {
            "have" => return Ok(()),
            "send" => {}
            other => return Err(self.failed(format!("the host answers {other:?}"))),
        }
        let mut sent = 0_u64;
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            let length = file.read_buf(&mut chunk).await.map_err(|e| self.failed(e.to_string()))?;
            if length == 0 {
                break;
            }
            // The host may give up (disk full) while there is no window left to write to.
            tokio::select! {
                written = exec.writer.data_bytes(chunk.freeze()) => written?,
                early = exec.output.next() => {
                    early?;
                    return Err(self.failed(exec.output.complaint()));
                }
            }
            sent += length as u64;
            (self.progress)(sent);
        }
        exec.writer.eof().await?;
        match self.answer(&mut exec).await?.as_str() {
            "done" => Ok(()),
            other => {
                let reason = match (other.strip_prefix("wrong "), exec.output.complaint()) {
                    (Some(_), said) if !said.is_empty() => said,
                    (Some(got), _) => format!("expected hash {}, got {got}", self.sha256),
                    (None, said) => format!("{other} {said}"),
                };
                Err(self.failed(reason))
            }
        }
    }

    /// One line from the host.
    async fn answer(&self, exec: &mut RootExec) -> Result<String, ExecError> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            match exec.output.next().await? {
                Some(piece) => line.extend_from_slice(&piece),
                None => return Err(self.failed(exec.output.complaint())),
            }
        }
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }

    fn failed(&self, reason: String) -> ExecError {
        let name = self.source.file_name().unwrap_or(self.source.as_str()).to_owned();
        ExecError::Fatal(RemoteError::Transfer { name, reason })
    }
}
