//! What a stage's launcher says, line by line. Pure: bytes in, events out.

use bytes::{Buf, BytesMut};

/// A line is short; more than this without an end is not our launcher.
const LINE_LIMIT: usize = 64 << 10;
/// The launcher sends at most the last 16 KiB of an operation's output.
const OUTPUT_LIMIT: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StageEvent {
    /// The host's boot id: first of all.
    Boot(String),
    /// The stage is not there: send the payload.
    Need,
    /// The stage runs, or has ended.
    Attached,
    /// The host was booted since the stage may have been started.
    Rebooted,
    /// A higher epoch holds the host.
    Fenced(u64),
    /// Its result was already taken.
    Gone,
    /// The host could not start it.
    Error(String),
    End(StageEnd),
}

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StageEnd {
    pub status: StageStatus,
    pub completed: usize,
    pub changed: Vec<usize>,
    pub output: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StageStatus {
    Code(i32),
    /// Ended from outside.
    Killed,
    /// Ended by its own deadline.
    Deadline,
    /// Stopped between two operations for a higher epoch.
    Fenced(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the host answers {0:?}, which is not how a stage answers")]
pub(crate) struct StageGarbage(String);

/// Reads a launcher's output.
#[derive(Debug, Default)]
pub(crate) struct StageReader {
    buffer: BytesMut,
    end: Option<StageEnd>,
    /// Raw bytes still to come of the output.
    raw: Option<usize>,
}

impl StageReader {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event that is there in full.
    pub fn next(&mut self) -> Result<Option<StageEvent>, StageGarbage> {
        loop {
            if let Some(length) = self.raw {
                if self.buffer.len() < length {
                    return Ok(None);
                }
                let raw = self.buffer.split_to(length);
                if let Some(end) = &mut self.end {
                    end.output = String::from_utf8_lossy(&raw).into_owned();
                }
                self.raw = None;
            }
            let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') else {
                return if self.buffer.len() > LINE_LIMIT {
                    Err(garbage("a line without end"))
                } else {
                    Ok(None)
                };
            };
            let line = self.buffer.split_to(at);
            self.buffer.advance(1);
            let line = String::from_utf8_lossy(&line).into_owned();
            // After an output that does not end its last line, "end" still has its own prefix.
            let Some(words) = line.strip_prefix("keelwright: ") else { return Err(garbage(&line)) };
            if let Some(event) = self.line(words)? {
                return Ok(Some(event));
            }
        }
    }

    fn line(&mut self, line: &str) -> Result<Option<StageEvent>, StageGarbage> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let event = match word {
            "boot" => StageEvent::Boot(rest.to_owned()),
            "need" => StageEvent::Need,
            "attached" => StageEvent::Attached,
            "rebooted" => StageEvent::Rebooted,
            "gone" => StageEvent::Gone,
            "fenced" => StageEvent::Fenced(rest.parse().map_err(|_| garbage(line))?),
            "error" => StageEvent::Error(rest.to_owned()),
            "result" => {
                self.end = Some(parse_result(rest).ok_or_else(|| garbage(line))?);
                return Ok(None);
            }
            "output" if self.end.is_some() => {
                let length: usize = rest.parse().map_err(|_| garbage(line))?;
                if length > OUTPUT_LIMIT {
                    return Err(garbage(line));
                }
                self.raw = Some(length);
                return Ok(None);
            }
            "end" => StageEvent::End(self.end.take().ok_or_else(|| garbage(line))?),
            _ => return Err(garbage(line)),
        };
        Ok(Some(event))
    }
}

/// `STATUS COMPLETED CHANGED…`
fn parse_result(text: &str) -> Option<StageEnd> {
    let mut words = text.split(' ');
    let status = match words.next()? {
        "killed" => StageStatus::Killed,
        "deadline" => StageStatus::Deadline,
        word => match word.strip_prefix("fenced-") {
            Some(epoch) => StageStatus::Fenced(epoch.parse().ok()?),
            None => StageStatus::Code(word.parse().ok()?),
        },
    };
    let completed = words.next()?.parse().ok()?;
    let changed = words.map(|word| word.parse().ok()).collect::<Option<Vec<usize>>>()?;
    Some(StageEnd { status, completed, changed, output: String::new() })
}

fn garbage(line: &str) -> StageGarbage {
    StageGarbage(line.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TALK: &[u8] = b"keelwright: boot b1\nkeelwright: attached\nkeelwright: result 3 2 0 1\n\
        keelwright: output 12\nboom\nnot endkeelwright: end\n";

    fn events(pieces: &[&[u8]]) -> Vec<StageEvent> {
        let mut reader = StageReader::default();
        let mut events = Vec::new();
        for piece in pieces {
            reader.feed(piece);
            while let Some(event) = reader.next().unwrap() {
                events.push(event);
            }
        }
        events
    }

    #[test]
    fn output_is_taken_by_length_whatever_is_in_it() {
        let talk =
            b"keelwright: result fenced-9 0\nkeelwright: output 16\nkeelwright: end\nkeelwright: end\n";
        let [StageEvent::End(end)] = &events(&[talk])[..] else { panic!() };
        assert_eq!(end.status, StageStatus::Fenced(9));
        assert_eq!(end.output, "keelwright: end\n");
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same_events(cut in 0..TALK.len()) {
            let (head, tail) = TALK.split_at(cut);
            let found = events(&[head, tail]);
            prop_assert_eq!(found.len(), 3);
            prop_assert_eq!(&found[2], &StageEvent::End(StageEnd {
                status: StageStatus::Code(3),
                completed: 2,
                changed: vec![0, 1],
                output: "boom\nnot end".into(),
            }));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = StageReader::default();
            reader.feed(b"keelwright: ");
            reader.feed(&bytes);
            while let Ok(Some(_)) = reader.next() {}
        }
    }
}
