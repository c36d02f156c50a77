//! Runs a stage on a host to its end, over as many connections as that takes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

use super::channel::ExecError;
use super::remote::{BACKOFF, SshRemote};
use super::stage::{StageEnd, StageEvent, StageReader, StageStatus};
use crate::exec::{HostScript, RemoteError, RenderedStage, StageResult, render_stage};
use crate::inventory::HostName;

/// Beyond a stage's own deadline: for the host to end it and to say so.
const DEADLINE_SLACK: Duration = Duration::from_secs(60);

/// For a last word that may be lost without harm.
const ACK_PATIENCE: Duration = Duration::from_secs(2);

/// The payload, shared between attempts and wiped after the last.
#[derive(Clone)]
struct SharedPayload(Arc<Zeroizing<Vec<u8>>>);

impl AsRef<[u8]> for SharedPayload {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What earlier attempts have found out.
#[derive(Default)]
struct Progress {
    /// Set once the stage may have been started.
    boot: Option<String>,
    /// The payload may have arrived: from now on the host is asked before anything is sent.
    sent: bool,
    /// When the host was last heard of.
    heard: Option<Instant>,
}

/// Runs a stage. The first attempt sends the payload at once; later ones find the stage that the
/// first one started, and only send when it never arrived.
pub(crate) async fn run_stage(
    remote: &SshRemote,
    host: &HostName,
    script: &HostScript,
) -> Result<StageResult, RemoteError> {
    let mut stage = render_stage(script, &remote.machine(host)?.layout).map_err(|error| {
        RemoteError::Transfer { name: format!("stage {}", script.id), reason: error.to_string() }
    })?;
    let payload = SharedPayload(Arc::new(std::mem::take(&mut stage.payload)));
    let limit = Duration::from_secs(u64::from(script.deadline)) + DEADLINE_SLACK;
    let lost_after = remote.environment().lost_after;
    let began = Instant::now();
    let mut progress = Progress::default();
    let mut pauses = BACKOFF.iter().chain(std::iter::repeat(&BACKOFF[BACKOFF.len() - 1]));
    loop {
        let left = (limit + lost_after).saturating_sub(began.elapsed());
        let attempt = attempt(remote, host, &stage, &payload, &mut progress);
        let reason = match timeout(left, attempt).await {
            Err(_) => return Err(deadline(script)),
            Ok(Ok(Attempt::Ended(end))) => return ended(script, end),
            // However often it is asked: what ran is gone.
            Ok(Ok(Attempt::Rebooted)) => {
                let reason = format!("{host} was booted while stage {} ran", stage.id());
                return Err(RemoteError::Lost { reason });
            }
            Ok(Err(ExecError::Fatal(error))) if progress.sent && passes(&error) => error.to_string(),
            Ok(Err(ExecError::Fatal(error))) => return Err(error),
            Ok(Err(ExecError::Lost(reason))) => reason,
        };
        let silent = progress.heard.unwrap_or(began).elapsed();
        if silent >= lost_after {
            return Err(RemoteError::Lost {
                reason: format!("{reason}; gave up after {} s", silent.as_secs()),
            });
        }
        sleep(pauses.next().copied().unwrap_or(lost_after)).await;
    }
}

/// Whether an error may pass while a host boots or a network heals.
fn passes(error: &RemoteError) -> bool {
    match error {
        RemoteError::Connect { .. } | RemoteError::Login { .. } | RemoteError::Lost { .. } => true,
        RemoteError::HostKey { .. } | RemoteError::Privilege { .. } => false,
        RemoteError::Deadline { .. } | RemoteError::Fenced { .. } | RemoteError::Transfer { .. } => false,
    }
}

/// What one connection told.
enum Attempt {
    Ended(StageEnd),
    Rebooted,
}

/// One connection's worth.
async fn attempt(
    remote: &SshRemote,
    host: &HostName,
    stage: &RenderedStage,
    payload: &SharedPayload,
    progress: &mut Progress,
) -> Result<Attempt, ExecError> {
    let eager = !progress.sent;
    let mut exec = remote.start(host, &stage.launcher(eager, progress.boot.as_deref())).await?;
    let (writer, output) = (&exec.writer, &mut exec.output);
    progress.sent = true;
    let whole = || Bytes::from_owner(payload.clone());
    // Sending and listening at once: the host may refuse before it has taken everything.
    let mut sending = Box::pin(writer.data_bytes(if eager { whole() } else { Bytes::new() }));
    let mut under_way = true;
    let mut reader = StageReader::default();
    loop {
        let piece = tokio::select! {
            sent = &mut sending, if under_way => {
                under_way = false;
                sent?;
                continue;
            }
            piece = output.next() => piece?,
        };
        let Some(piece) = piece else {
            let said = output.complaint();
            return Err(ExecError::Lost(format!("the launcher ended early: {said}")));
        };
        progress.heard = Some(Instant::now());
        reader.feed(&piece);
        loop {
            let event = reader.next().map_err(|error| refused(stage, error.to_string()))?;
            let Some(event) = event else { break };
            match event {
                StageEvent::Boot(boot) => progress.boot = progress.boot.take().or(Some(boot)),
                StageEvent::Need => {
                    sending = Box::pin(writer.data_bytes(whole()));
                    under_way = true;
                }
                StageEvent::Attached => {}
                StageEvent::Rebooted => return Ok(Attempt::Rebooted),
                StageEvent::Fenced(newest) => {
                    return Err(ExecError::Fatal(RemoteError::Fenced { own: stage.epoch(), newest }));
                }
                StageEvent::Gone => {
                    return Err(refused(stage, "it ran before, and its result was taken".into()));
                }
                StageEvent::Error(reason) => return Err(refused(stage, reason)),
                StageEvent::End(end) => {
                    // The host may forget it now. When this is lost it forgets by itself, later.
                    let acknowledge = async {
                        writer.data_bytes(Bytes::from_static(b"ack\n")).await?;
                        writer.eof().await
                    };
                    let _ = timeout(ACK_PATIENCE, acknowledge).await;
                    return Ok(Attempt::Ended(end));
                }
            }
        }
    }
}

fn refused(stage: &RenderedStage, reason: String) -> ExecError {
    ExecError::Fatal(RemoteError::Transfer { name: format!("stage {}", stage.id()), reason })
}

fn deadline(script: &HostScript) -> RemoteError {
    RemoteError::Deadline {
        what: format!("stage {}", script.id),
        deadline: Duration::from_secs(u64::from(script.deadline)),
    }
}

/// A stage's end as the executor has it.
fn ended(script: &HostScript, end: StageEnd) -> Result<StageResult, RemoteError> {
    let StageEnd { status, completed, changed, mut output } = end;
    let status = match status {
        StageStatus::Code(status) => status,
        StageStatus::Deadline => return Err(deadline(script)),
        StageStatus::Fenced(newest) => return Err(RemoteError::Fenced { own: script.epoch, newest }),
        StageStatus::Killed => {
            if !output.is_empty() && !output.ends_with('\n') {
                output.push('\n');
            }
            output.push_str(
                "the stage was killed: the host went down, ran out of memory, or somebody stopped it",
            );
            137
        }
    };
    Ok(StageResult { status, completed, output, changed })
}
