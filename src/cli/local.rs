//! Programs on the operator's own machine: the hooks that run there.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use camino::Utf8PathBuf;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::exec::hook::TIMED_OUT;
use crate::exec::ports::{LocalCommand, LocalCommands, LocalEnd, PortError};

/// The end of what a program printed that is kept, of each of its two streams.
const TAIL: usize = 8 << 10;

/// Starts programs in the directory of the inventory.
#[derive(Debug)]
pub struct LocalProcesses {
    pub directory: Utf8PathBuf,
}

impl LocalCommands for LocalProcesses {
    fn run<'a>(&'a self, command: &'a LocalCommand) -> BoxFuture<'a, Result<LocalEnd, PortError>> {
        Box::pin(async move {
            let Some((program, arguments)) = command.argv.split_first() else {
                return Err(PortError("a command needs a program".to_owned()));
            };
            let mut child = Command::new(program)
                .args(arguments)
                .envs(&command.environment)
                .current_dir(&self.directory)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                // A group of its own: Ctrl-C asks keelwright to stop, which lets the hook end; and when its time is
                // over all that it has started ends with it.
                .process_group(0)
                .kill_on_drop(true)
                .spawn()
                .map_err(|error| PortError(format!("{program} cannot be started: {error}")))?;
            let group = child.id();
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            let ended = async { futures::join!(child.wait(), tail(stdout), tail(stderr)) };
            match tokio::time::timeout(command.timeout, ended).await {
                Ok((status, stdout, stderr)) => {
                    let status = status.map_err(|error| PortError(format!("{program}: {error}")))?;
                    Ok(LocalEnd { status: code(status), output: text(&[stdout, stderr]) })
                }
                Err(_elapsed) => {
                    kill(group);
                    let output = format!("it did not end within {} s", command.timeout.as_secs());
                    Ok(LocalEnd { status: TIMED_OUT, output })
                }
            }
        })
    }
}

/// As shells count.
fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

fn kill(group: Option<u32>) {
    let group = group.and_then(|id| i32::try_from(id).ok());
    if let Some(group) = group {
        // What has ended already cannot be killed, and need not be.
        let _ =
            nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::Signal::SIGKILL);
    }
}

/// Reads to the end and keeps the last bytes: a program that prints much must not stand still for it.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let Some(mut stream) = stream else { return Vec::new() };
    let (mut kept, mut chunk) = (Vec::new(), vec![0; TAIL]);
    loop {
        let read = match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return kept,
            Ok(read) => chunk.get(..read).unwrap_or_default(),
        };
        kept.extend_from_slice(read);
        let excess = kept.len().saturating_sub(TAIL);
        kept.drain(..excess);
    }
}

fn text(streams: &[Vec<u8>]) -> String {
    let texts = streams.iter().map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn end(script: &str, timeout: Duration) -> Result<LocalEnd, PortError> {
        let processes = LocalProcesses { directory: "/".into() };
        let command = LocalCommand {
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            environment: [("KEELWRIGHT_HOST".to_owned(), "worker-1".to_owned())].into(),
            timeout,
        };
        processes.run(&command).await
    }

    #[tokio::test]
    async fn a_program_is_told_by_its_environment_and_tells_by_its_code_and_output() {
        let patient = Duration::from_secs(60);
        for (script, status, output) in [
            ("exit 0", 0, ""),
            ("echo $KEELWRIGHT_HOST at $PWD; echo no >&2; exit 3", 3, "worker-1 at /\nno"),
            ("kill -9 $$", 137, ""),
            ("cat; echo end", 0, "end"),
        ] {
            let want = LocalEnd { status, output: output.to_owned() };
            assert_eq!(end(script, patient).await.unwrap(), want, "{script}");
        }
        let much = end("head -c 1000000 /dev/zero | tr '\\0' x; echo last", patient).await.unwrap();
        assert!(much.output.ends_with("xlast") && much.output.len() <= TAIL);
    }

    #[tokio::test]
    async fn a_program_whose_time_is_over_ends_with_what_it_has_started() {
        let path = std::env::temp_dir().join(format!("keelwright-hook-{}", std::process::id()));
        let path = path.to_str().unwrap().to_owned();
        let script = format!("tail -f /dev/null & echo $! > {path}; wait");
        let found = end(&script, Duration::from_secs(2)).await.unwrap();
        assert_eq!(found.status, TIMED_OUT);
        let child: i32 = std::fs::read_to_string(&path).unwrap().trim().parse().unwrap();
        std::fs::remove_file(&path).unwrap();
        let is_gone = || {
            let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        let began = std::time::Instant::now();
        while !is_gone() {
            assert!(began.elapsed() < Duration::from_secs(10), "{child} goes on");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let processes = LocalProcesses { directory: "/".into() };
        let command = LocalCommand {
            argv: vec!["/nowhere/hook".to_owned()],
            environment: Default::default(),
            timeout: Duration::from_secs(9),
        };
        let error = processes.run(&command).await.unwrap_err().to_string();
        assert!(error.contains("/nowhere/hook cannot be started"), "{error}");
    }
}
