//! One line per host that is being worked on, and a bar for the whole.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::lines::describe;
use crate::exec::Event;
use crate::plan::{StepId, Target};

/// Hosts shown at once; beyond that a terminal scrolls more than it tells.
const LINES: usize = 20;
const TICK: Duration = Duration::from_millis(120);

#[derive(Default)]
pub(super) struct Live {
    bars: MultiProgress,
    total: Option<ProgressBar>,
    rows: BTreeMap<StepId, (ProgressBar, String)>,
}

impl Live {
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Began { steps, .. } => {
                let total = ProgressBar::new(u64::try_from(*steps).unwrap_or(u64::MAX));
                if let Ok(style) =
                    ProgressStyle::with_template("{bar:30} {pos} of {len} steps, {elapsed} gone")
                {
                    total.set_style(style);
                }
                total.enable_steady_tick(TICK);
                self.total = Some(self.bars.add(total));
            }
            Event::StepStarted { step, target, doing } => self.start(step, target, doing),
            Event::Progress { step, name, sent, size } => {
                self.say(step, &format!("{name} {} of {} MiB", sent >> 20, size >> 20));
            }
            Event::Waiting { step, what } => self.say(step, &format!("waiting for {what}")),
            Event::StepEnded { step, .. } => self.end(step),
            Event::StepFailed { step, .. } | Event::StepSkipped { step, .. } => {
                self.end(step);
                if let Some(line) = describe(event) {
                    let _ = self.bars.println(line);
                }
            }
            Event::Ended { .. } => {
                if let Some(total) = &self.total {
                    total.finish_and_clear();
                }
                if let Some(line) = describe(event) {
                    let _ = self.bars.println(line);
                }
            }
        }
    }

    fn start(&mut self, step: &StepId, target: &Target, doing: &str) {
        if self.rows.len() >= LINES {
            return;
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:<16} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(target.to_string());
        bar.set_message(doing.to_owned());
        bar.enable_steady_tick(TICK);
        let bar = self.bars.insert_from_back(1, bar);
        self.rows.insert(step.clone(), (bar, doing.to_owned()));
    }

    fn say(&mut self, step: &StepId, what: &str) {
        if let Some((bar, doing)) = self.rows.get(step) {
            bar.set_message(format!("{doing}: {what}"));
        }
    }

    fn end(&mut self, step: &StepId) {
        if let Some((bar, _)) = self.rows.remove(step) {
            bar.finish_and_clear();
        }
        if let Some(total) = &self.total {
            total.inc(1);
        }
    }
}
