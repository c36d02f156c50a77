//! A report by the journal of a migration.

use jiff::Timestamp;

use super::{Count, Event, Report, Sample, Seen};
use crate::migrate::event::MigrationEvent;
use crate::migrate::gates::Tally;
use crate::migrate::show;

/// Probes by whom they went through.
const STRAIGHT: &str = "straight at the balancers";
const NAME: &str = "through the name";

/// From all that happened, with its time in seconds since 1970; None: nothing did.
pub fn of_events(migration: &str, events: &[(i64, MigrationEvent)]) -> Option<Report> {
    let (first, _) = events.first()?;
    let mut report = Report {
        title: format!("migration {migration}"),
        began: Timestamp::from_second(*first).ok()?,
        samples: Vec::new(),
        events: Vec::new(),
    };
    let mut last = 0.0;
    for (at, event) in events {
        let since = u32::try_from(at - first).map_or(0.0, f64::from);
        match event {
            MigrationEvent::Seen { sample } => {
                let name = sample.name;
                let by_name = Seen {
                    blue: Count { asked: name.blue, failed: name.blue_failed },
                    green: Count { asked: name.green, failed: name.green_failed },
                };
                let count = |tally: Tally| Count { asked: tally.asked, failed: tally.failed };
                let straight = Seen { blue: count(sample.blue), green: count(sample.green) };
                report.samples.push(Sample {
                    at: last,
                    seconds: since - last,
                    weights: sample.weights,
                    seen: [(NAME.to_owned(), by_name), (STRAIGHT.to_owned(), straight)].into(),
                });
                last = since;
            }
            MigrationEvent::StepBegan { .. }
            | MigrationEvent::Everywhere { .. }
            | MigrationEvent::Paused
            | MigrationEvent::Resumed
            | MigrationEvent::WindowClosed { .. }
            | MigrationEvent::GoingBack { .. }
            | MigrationEvent::WentBack { .. }
            | MigrationEvent::Ended { .. } => {
                report.events.push(Event { at: since, label: show::event(event) });
            }
            // Nobody was there meanwhile.
            MigrationEvent::Began { .. } => last = since,
            MigrationEvent::Changed { .. }
            | MigrationEvent::Waiting { .. }
            | MigrationEvent::Again { .. }
            | MigrationEvent::Registered { .. }
            | MigrationEvent::TakenOut { .. }
            | MigrationEvent::StepEnded { .. } => {}
        }
    }
    Some(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::event::{NameTally, Sample as Probed};
    use crate::migrate::record::{Point, Side, Weights};

    #[test]
    fn a_journal_of_two_runs_becomes_one_report() {
        let weights = Weights::of_green(10);
        let name = NameTally { asked: 10, failed: 1, blue: 8, blue_failed: 0, green: 2, green_failed: 1 };
        let seen = |at| MigrationEvent::Seen {
            sample: Probed { at, weights: Some(weights), name, ..Probed::default() },
        };
        let began =
            || MigrationEvent::Began { migration: "shop".into(), from: Point::Only(Side::Blue), steps: 3 };
        let events = [
            (1000, began()),
            (1005, seen(5.0)),
            (1006, MigrationEvent::WentBack { to: Point::Weighted(weights) }),
            (2000, began()),
            (2005, seen(5.0)),
        ];
        let report = of_events("shop", &events).unwrap();
        let times: Vec<(f64, f64)> =
            report.samples.iter().map(|sample| (sample.at, sample.seconds)).collect();
        assert_eq!(times, [(0.0, 5.0), (1000.0, 5.0)]);
        assert_eq!(report.samples[0].seen[NAME].green, Count { asked: 2, failed: 1 });
        assert_eq!(report.events, [Event { at: 6.0, label: "went back to 90/10".into() }]);
        assert_eq!(of_events("shop", &[]), None);
    }
}
