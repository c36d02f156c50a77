//! What the operator sees of a run: a live view on a terminal, plain timestamped lines elsewhere,
//! JSON lines on request. All three read the same events.

mod lines;
mod live;

use std::io::IsTerminal as _;
use std::sync::Mutex;

use crate::exec::Event;

/// How to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// For people: live on a terminal, plain lines elsewhere
    #[default]
    Human,
    /// One JSON object a line, on standard output
    Json,
}

/// Where events go.
pub struct View {
    kind: Kind,
}

enum Kind {
    Json,
    Lines(lines::Lines),
    Live(Mutex<live::Live>),
}

impl View {
    /// Chooses by the format asked for and by whether standard error is a terminal.
    pub fn new(format: OutputFormat) -> Self {
        let kind = match format {
            OutputFormat::Json => Kind::Json,
            OutputFormat::Human if std::io::stderr().is_terminal() => Kind::Live(Mutex::default()),
            OutputFormat::Human => Kind::Lines(lines::Lines::default()),
        };
        View { kind }
    }

    /// Shows one event.
    pub fn show(&self, event: &Event) {
        match &self.kind {
            Kind::Json => {
                if let Ok(line) = serde_json::to_string(event) {
                    println!("{line}");
                }
            }
            Kind::Lines(lines) => lines.show(event),
            Kind::Live(live) => {
                if let Ok(mut live) = live.lock() {
                    live.show(event);
                }
            }
        }
    }
}
