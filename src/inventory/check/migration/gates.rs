//! `gates`: who can be asked, and what CloudWatch takes.

use std::collections::BTreeMap;

use super::top;
use crate::inventory::MetricGate;
use crate::inventory::check::Rules;
use crate::inventory::parse::migration::draft::DraftMigration;
use crate::inventory::parse::path::Path;
use crate::inventory::parse::scalar::quoted;

/// Of one metric, by CloudWatch.
const DIMENSION_LIMIT: usize = 30;
/// Characters of a namespace, a metric, and a dimension's name, by CloudWatch.
const NAME_LIMIT: usize = 255;
/// Seconds: periods that are no whole minutes.
const SHORT_PERIODS: [u32; 5] = [1, 5, 10, 20, 30];

impl Rules<'_, DraftMigration> {
    /// Answers that are judged have to be there at the same time.
    fn samples_fit(&self) {
        let gates = &self.draft.gates.gates;
        let probes = u32::try_from(self.draft.probes.len()).unwrap_or(u32::MAX).max(1);
        let there = (gates.window / gates.interval.max(1)).saturating_mul(probes);
        if there >= gates.samples {
            return;
        }
        let message = format!(
            "{} answers are wanted, and {}s of a round every {}s are {there}: nothing would ever be judged",
            gates.samples, gates.window, gates.interval
        );
        self.error(&top("gates").key("samples"), message, "ask for fewer, or make `window` longer");
    }

    pub(super) fn gates(&self) {
        let draft = &self.draft.gates;
        self.samples_fit();
        let green = self.draft.green.as_ref();
        if draft.gates.nodes_ready && green.is_some_and(|green| !green.has_cluster()) {
            let message = "nobody knows green's nodes: it has neither a kubeconfig nor an inventory";
            self.error(
                &top("gates").key("nodesReady"),
                message,
                "add `green.kubeconfig` or `green.inventory`",
            );
        }
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, gate) in draft.metrics.iter().enumerate() {
            let Some(gate) = gate else { continue };
            let path = top("gates").key("metrics").index(index);
            if let Some(earlier) = first.insert(&gate.metric, index) {
                let other = top("gates").key("metrics").index(earlier).key("metric");
                let lines = self.lines(&other, &path.key("metric"));
                let message = format!("two gates look at {} ({lines})", quoted(&gate.metric));
                self.error(&path.key("metric"), message, "write `below` and `above` in one gate");
            }
            self.metric(&path, gate);
        }
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, gate) in draft.commands.iter().enumerate() {
            let Some(gate) = gate else { continue };
            let path = top("gates").key("commands").index(index).key("name");
            if let Some(earlier) = first.insert(&gate.name, index) {
                let other = top("gates").key("commands").index(earlier).key("name");
                let message = format!("two gates are called `{}` ({})", gate.name, self.lines(&other, &path));
                self.error(&path, message, "each needs a name of its own: reports say it");
            }
        }
    }

    fn metric(&self, path: &Path, gate: &MetricGate) {
        match (gate.below, gate.above) {
            (None, None) => {
                let message = "has neither `below` nor `above`, so every value is fine";
                self.error(path, message, "write what it has to stay below or above");
            }
            (Some(below), Some(above)) if below <= above => {
                let message = format!("no value is above {above} and below {below}");
                self.error(&path.key("below"), message, "choose a `below` that is more than `above`");
            }
            (Some(_) | None, Some(_) | None) => {}
        }
        let period = gate.period;
        if !period.is_multiple_of(60) && !SHORT_PERIODS.contains(&period) {
            let message = format!("{period} s is not a period of CloudWatch");
            self.error(&path.key("period"), message, "1s, 5s, 10s, 20s, 30s, or whole minutes");
        }
        let names = [("namespace", &gate.namespace), ("metric", &gate.metric)];
        for (key, name) in names {
            if let Some(reason) = wrong_name(name) {
                let message = format!("{} is not a name in CloudWatch: {reason}", quoted(name));
                self.error(&path.key(key), message, "write it as CloudWatch shows it");
            }
        }
        let list = path.key("dimensions");
        if gate.dimensions.len() > DIMENSION_LIMIT {
            let message =
                format!("{} dimensions; a metric has at most {DIMENSION_LIMIT}", gate.dimensions.len());
            self.error(&list, message, "name those that the metric has");
        }
        for (key, value) in &gate.dimensions {
            if let Some(reason) = wrong_name(key).or_else(|| wrong_name(value)) {
                let message = format!("{} = {} is not a dimension: {reason}", quoted(key), quoted(value));
                self.error(&list.key(key), message, "write it as CloudWatch shows it");
            }
        }
    }
}

fn wrong_name(text: &str) -> Option<String> {
    let length = text.chars().count();
    if length == 0 || length > NAME_LIMIT {
        return Some(format!("it has {length} characters, and 1 to {NAME_LIMIT} are allowed"));
    }
    let bad = text.chars().enumerate().find(|(_, c)| !c.is_ascii_graphic() && *c != ' ');
    bad.map(|(index, character)| format!("illegal character {character:?} at column {}", index + 1))
}
