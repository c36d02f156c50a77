//! The timeline as JSON. All times are seconds since the run began.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::inventory::HostName;

/// Raised with every change that a reader of an older file would misunderstand.
pub const FORMAT: u32 = 1;

/// One run, from its first second to its last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// [`FORMAT`]
    pub format: u32,
    pub title: String,
    /// How long the run took.
    pub seconds: f64,
    /// In the order of their names, control planes first.
    pub hosts: Vec<HostTimeline>,
    /// In the order of their names.
    pub clients: Vec<Client>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostTimeline {
    pub host: HostName,
    /// Those that were seen on the host at least once, in the order of [`Component`].
    pub components: Vec<ComponentSpans>,
    /// While nothing new is scheduled to its node.
    pub cordoned: Vec<Span>,
    /// While its node is cordoned and has no pod left that a drain would move.
    pub drained: Vec<Span>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentSpans {
    pub component: Component,
    /// In order and without overlap. Between two there may be a gap: nobody knows what ran then.
    pub spans: Vec<VersionSpan>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionSpan {
    pub from: f64,
    pub to: f64,
    pub version: Running,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Span {
    pub from: f64,
    pub to: f64,
}

/// What a control plane or a node consists of, as far as an upgrade replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    Etcd,
    KubeApiserver,
    KubeControllerManager,
    KubeScheduler,
    KubeProxy,
    Kubelet,
}

impl Component {
    pub const ALL: [Component; 6] = [
        Component::Etcd,
        Component::KubeApiserver,
        Component::KubeControllerManager,
        Component::KubeScheduler,
        Component::KubeProxy,
        Component::Kubelet,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Component::Etcd => "etcd",
            Component::KubeApiserver => "kube-apiserver",
            Component::KubeControllerManager => "kube-controller-manager",
            Component::KubeScheduler => "kube-scheduler",
            Component::KubeProxy => "kube-proxy",
            Component::Kubelet => "kubelet",
        }
    }
}

/// A version, or that nothing runs: `"1.34.4"` or `"away"` in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Running {
    /// Without the `v` that tags begin with, and without an image's own count after it.
    Version(String),
    Away,
}

const AWAY: &str = "away";

impl Running {
    /// From the tag of an image or what a kubelet says of itself: `v1.34.4`, `3.6.5-0`.
    pub fn of_tag(tag: &str) -> Self {
        let bare = tag.trim_start_matches('v');
        Running::Version(bare.split_once('-').map_or(bare, |(version, _)| version).to_owned())
    }

    pub fn as_str(&self) -> &str {
        match self {
            Running::Version(version) => version,
            Running::Away => AWAY,
        }
    }
}

impl From<String> for Running {
    fn from(text: String) -> Self {
        if text == AWAY { Running::Away } else { Running::Version(text) }
    }
}

impl From<Running> for String {
    fn from(running: Running) -> Self {
        running.as_str().to_owned()
    }
}

/// Orders versions by their numbers, so that 1.9 comes before 1.10.
pub fn by_number(one: &str, other: &str) -> Ordering {
    let numbers =
        |text: &str| -> Vec<u64> { text.split('.').map(|part| part.parse().unwrap_or(u64::MAX)).collect() };
    numbers(one).cmp(&numbers(other)).then_with(|| one.cmp(other))
}

/// One client that calls all the time, and what became of its calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    pub client: String,
    /// In order; a second in which no call ended is not there.
    pub seconds: Vec<Second>,
}

/// The calls that ended in one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    pub at: u64,
    /// Answered at once.
    pub ok: u32,
    /// Answered when they were tried again.
    pub retried: u32,
    /// Lost: the second try had no answer either.
    pub failed: u32,
}

/// How one call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Ok,
    Retried,
    Failed,
}

impl Client {
    /// Counts calls by the second they ended in.
    pub fn of(client: &str, outcomes: impl IntoIterator<Item = (u64, Outcome)>) -> Self {
        let mut seconds: BTreeMap<u64, Second> = BTreeMap::new();
        for (at, outcome) in outcomes {
            let second = seconds.entry(at).or_insert(Second { at, ok: 0, retried: 0, failed: 0 });
            match outcome {
                Outcome::Ok => second.ok += 1,
                Outcome::Retried => second.retried += 1,
                Outcome::Failed => second.failed += 1,
            }
        }
        Client { client: client.to_owned(), seconds: seconds.into_values().collect() }
    }

    /// All its calls, as if they were of one second.
    pub fn total(&self) -> (u64, u64, u64) {
        self.seconds.iter().fold((0, 0, 0), |(ok, retried, failed), second| {
            (
                ok + u64::from(second.ok),
                retried + u64::from(second.retried),
                failed + u64::from(second.failed),
            )
        })
    }
}

impl Second {
    pub fn calls(self) -> u32 {
        self.ok + self.retried + self.failed
    }

    /// Calls that had an answer, of all of them, in percent.
    pub fn success_percent(self) -> f64 {
        if self.calls() == 0 {
            return 100.0;
        }
        100.0 * f64::from(self.ok + self.retried) / f64::from(self.calls())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_versions() {
        for (tag, version) in [("v1.34.4", "1.34.4"), ("3.6.5-0", "3.6.5"), ("v3.6.8", "3.6.8"), ("x", "x")] {
            assert_eq!(Running::of_tag(tag).as_str(), version);
        }
    }

    #[test]
    fn versions_are_in_the_order_of_their_numbers() {
        let mut versions = ["1.10.0", "1.9.3", "edge", "1.9.12"];
        versions.sort_by(|one, other| by_number(one, other));
        assert_eq!(versions, ["1.9.3", "1.9.12", "1.10.0", "edge"]);
    }

    #[test]
    fn json_is_read_back_as_it_was() {
        let timeline = Timeline {
            format: FORMAT,
            title: "x".to_owned(),
            seconds: 3.5,
            hosts: vec![HostTimeline {
                host: HostName::parse("cp-1").unwrap(),
                components: vec![ComponentSpans {
                    component: Component::KubeApiserver,
                    spans: vec![VersionSpan { from: 0.0, to: 1.5, version: Running::Away }],
                }],
                cordoned: vec![Span { from: 1.0, to: 2.0 }],
                drained: vec![],
            }],
            clients: vec![Client::of("API", [(1, Outcome::Ok), (1, Outcome::Failed), (0, Outcome::Retried)])],
        };
        let text = serde_json::to_string(&timeline).unwrap();
        assert!(
            text.contains(
                r#"{"component":"kube-apiserver","spans":[{"from":0.0,"to":1.5,"version":"away"}]}"#
            ),
            "{text}"
        );
        assert!(
            text.contains(r#"{"at":0,"ok":0,"retried":1,"failed":0},{"at":1,"ok":1,"retried":0,"failed":1}"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Timeline>(&text).unwrap(), timeline);
    }

    #[test]
    fn success_is_what_was_answered_of_what_was_called() {
        for (ok, retried, failed, percent) in
            [(10, 0, 0, 100.0), (5, 4, 1, 90.0), (0, 0, 3, 0.0), (0, 0, 0, 100.0)]
        {
            let second = Second { at: 0, ok, retried, failed };
            assert!((second.success_percent() - percent).abs() < 1e-9, "{second:?}");
        }
    }
}
