//! Plain lines with the seconds since the start, for logs and pipes.

use std::time::Instant;

use crate::exec::Event;

pub(super) struct Lines {
    began: Instant,
}

impl Default for Lines {
    fn default() -> Self {
        Lines { began: Instant::now() }
    }
}

impl Lines {
    pub fn show(&self, event: &Event) {
        if let Some(text) = describe(event) {
            eprintln!("{:8.1}s  {text}", self.began.elapsed().as_secs_f64());
        }
    }
}

/// One line for an event; None for those that only a live view shows.
pub(super) fn describe(event: &Event) -> Option<String> {
    Some(match event {
        Event::Began { cluster, steps } => format!("cluster {cluster}: {steps} steps"),
        Event::StepStarted { step, doing, .. } => format!("start    {step}  {doing}"),
        Event::Progress { .. } => return None,
        Event::Waiting { step, what } => format!("waiting  {step}  for {what}"),
        Event::StepEnded { step, seconds, changed, .. } => {
            format!("done     {step}  {seconds:.1} s, {changed} changed")
        }
        Event::StepFailed { step, error, seconds, .. } => format!("FAILED   {step}  {seconds:.1} s: {error}"),
        Event::StepSkipped { step, because, .. } => format!("skipped  {step}  because {because} failed"),
        Event::Ended { done, failed, skipped, interrupted } => format!(
            "ended: {done} done, {failed} failed, {skipped} skipped{}",
            if *interrupted { ", interrupted" } else { "" }
        ),
    })
}
