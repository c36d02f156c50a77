//! What the operator sees of a migration: a line for what happened, and on a terminal one that lives.

use std::io::IsTerminal as _;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::view::OutputFormat;
use crate::migrate::event::MigrationEvent;
use crate::migrate::show;

/// Where events go.
pub(super) struct MigrationView {
    kind: Kind,
    began: Instant,
}

enum Kind {
    Json,
    Lines,
    Live(ProgressBar),
}

impl MigrationView {
    pub fn new(format: OutputFormat) -> Self {
        let kind = match format {
            OutputFormat::Json => Kind::Json,
            OutputFormat::Human if std::io::stderr().is_terminal() => {
                let bar = ProgressBar::new_spinner();
                if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                    bar.set_style(style);
                }
                bar.enable_steady_tick(std::time::Duration::from_millis(120));
                Kind::Live(bar)
            }
            OutputFormat::Human => Kind::Lines,
        };
        MigrationView { kind, began: Instant::now() }
    }

    pub fn lines() -> Self {
        MigrationView { kind: Kind::Lines, began: Instant::now() }
    }

    /// Shows one event.
    pub fn show(&self, event: &MigrationEvent) {
        let line = || format!("{:8.1}s  {}", self.began.elapsed().as_secs_f64(), show::event(event));
        match (&self.kind, event) {
            (Kind::Json, _) => {
                if let Ok(text) = serde_json::to_string(event) {
                    println!("{text}");
                }
            }
            (Kind::Lines, _) => eprintln!("{}", line()),
            (Kind::Live(bar), MigrationEvent::Seen { .. }) => bar.set_message(show::event(event)),
            (Kind::Live(bar), _) => bar.println(line()),
        }
    }

    pub fn end(&self) {
        if let Kind::Live(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }
}
