//! A survey and an outcome as people read them. Pure.

use std::fmt::Write as _;

use super::cluster::FieldConflict;
use super::order::Stage;
use super::run::Outcome;
use super::survey::{Item, Standing, Survey};

/// Everything that would change, stage by stage, and what stays.
pub fn survey_text(survey: &Survey) -> String {
    let mut text = format!("{}\n", headline(survey));
    let mut stage: Option<Stage> = None;
    for item in survey.items.iter().filter(|item| item.standing != Standing::Same) {
        if stage != Some(item.stage) {
            stage = Some(item.stage);
            line(&mut text, 0, &format!("\n{}", item.stage));
        }
        show_item(&mut text, item);
    }
    section(&mut text, "what has state", survey.state.iter().map(|one| (&one.what, &one.to_do)));
    if !survey.warnings.is_empty() {
        line(&mut text, 0, "\nto know before");
        survey.warnings.iter().for_each(|warning| line(&mut text, 1, warning));
    }
    section(&mut text, "stays on blue", survey.left.iter().map(|left| (&left.what, &left.why)));
    if survey.unselected > 0 {
        let objects = count(survey.unselected, "object");
        line(&mut text, 0, &format!("\n{objects} of blue are not in the selection"));
    }
    text
}

/// `12 new, 1 differs, 40 the same`
fn headline(survey: &Survey) -> String {
    let number =
        |is: &dyn Fn(&Standing) -> bool| survey.items.iter().filter(|item| is(&item.standing)).count();
    let parts = [
        (number(&|standing| matches!(standing, Standing::New)), "new"),
        (number(&|standing| matches!(standing, Standing::Differs { .. })), "to be changed"),
        (number(&|standing| matches!(standing, Standing::Conflict { .. })), "in conflict"),
        (number(&|standing| matches!(standing, Standing::Refused { .. })), "refused"),
        (number(&|standing| matches!(standing, Standing::Same)), "the same"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    if parts.is_empty() {
        "nothing on blue is selected".to_owned()
    } else {
        format!("{}: {}", count(survey.items.len(), "object"), parts.join(", "))
    }
}

fn show_item(text: &mut String, item: &Item) {
    let id = &item.id;
    match &item.standing {
        Standing::New => {
            let from = item.snapshot.as_ref().map_or("", |_| ", from a snapshot of its volume");
            line(text, 1, &format!("+ {id}{from}"));
        }
        Standing::Same => {}
        Standing::Differs { changes } => {
            line(text, 1, &format!("~ {id}"));
            changes.iter().for_each(|change| line(text, 3, &change.text()));
        }
        Standing::Conflict { conflicts } => {
            line(text, 1, &format!("! {id}: somebody else has set fields on green"));
            show_conflicts(text, conflicts);
        }
        Standing::Refused { why } => line(text, 1, &format!("! {id}: green would refuse it now: {why}")),
    }
}

fn show_conflicts(text: &mut String, conflicts: &[FieldConflict]) {
    for conflict in conflicts {
        line(text, 3, &format!("{}: {}", conflict.manager, conflict.fields.join(", ")));
    }
}

/// What came of it, with everything that did not come along.
pub fn outcome_text(survey: &Survey, outcome: &Outcome) -> String {
    let mut text = format!("{} applied, {} the same\n", count(outcome.applied.len(), "object"), outcome.same);
    if !outcome.conflicts.is_empty() {
        line(
            &mut text,
            0,
            "\nin conflict: somebody else has set these fields on green, and they stay as they are",
        );
        for clash in &outcome.conflicts {
            line(&mut text, 1, &clash.object.to_string());
            show_conflicts(&mut text, &clash.conflicts);
        }
    }
    section(&mut text, "failed", outcome.failed.iter().map(|one| (&one.object, &one.why)));
    let left_out = outcome.left_out.iter();
    section(&mut text, "left out", left_out.map(|one| (&one.object, format!("{} failed", one.because))));
    section(&mut text, "stays on blue", survey.left.iter().map(|left| (&left.what, &left.why)));
    section(&mut text, "what has state", survey.state.iter().map(|one| (&one.what, &one.to_do)));
    text
}

fn section<A: std::fmt::Display, B: std::fmt::Display>(
    text: &mut String,
    title: &str,
    lines: impl Iterator<Item = (A, B)>,
) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        line(text, 0, &format!("\n{title}"));
        lines.for_each(|(what, said)| line(text, 1, &format!("{what}: {said}")));
    }
}

fn line(text: &mut String, depth: usize, said: &str) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{:width$}{said}", "", width = depth * 2);
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;
