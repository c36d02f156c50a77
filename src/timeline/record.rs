//! From samples to spans.

use std::collections::BTreeMap;

use super::model::{
    Client, Component, ComponentSpans, FORMAT, HostTimeline, Running, Span, Timeline, VersionSpan,
};
use crate::inventory::HostName;

/// Two samples further apart than this leave a gap: what ran between them is not known. Larger, a sampler
/// that was blind for long would draw as known what nobody saw; smaller, one late answer would tear holes.
pub const GAP_SECONDS: f64 = 5.0;

/// What was seen at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    pub hosts: BTreeMap<HostName, HostSample>,
}

/// What was seen of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSample {
    /// Components that run; one that was there before and is not now is away.
    pub components: BTreeMap<Component, Running>,
    pub cordoned: bool,
    /// Cordoned, and without a pod that a drain would move.
    pub drained: bool,
}

/// Collects the samples of one run; it keeps spans, so a long run of a large fleet stays small.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    /// When the last sample was taken.
    last: Option<f64>,
    hosts: BTreeMap<HostName, Tracks>,
}

#[derive(Debug, Clone, Default)]
struct Tracks {
    components: BTreeMap<Component, Track<Running>>,
    cordoned: Track<bool>,
    drained: Track<bool>,
}

/// What one thing was, span after span.
#[derive(Debug, Clone)]
struct Track<T>(Vec<(Span, T)>);

impl<T> Default for Track<T> {
    fn default() -> Self {
        Track(Vec::new())
    }
}

impl<T: PartialEq> Track<T> {
    /// The last span reaches up to a moment, if there was a sample shortly before it.
    fn reach(&mut self, last: Option<f64>, at: f64) -> bool {
        let known = last.is_some_and(|last| at >= last && at - last <= GAP_SECONDS);
        match self.0.last_mut() {
            Some((span, _)) if known => span.to = at,
            Some(_) | None => return false,
        }
        true
    }

    fn see(&mut self, last: Option<f64>, at: f64, value: T) {
        let reached = self.reach(last, at);
        if !(reached && self.0.last().is_some_and(|(_, known)| *known == value)) {
            self.0.push((Span { from: at, to: at }, value));
        }
    }
}

impl Track<bool> {
    fn spans(&self) -> Vec<Span> {
        self.0.iter().filter(|(_, is)| *is).map(|(span, _)| *span).collect()
    }
}

impl Recorder {
    /// Takes a sample of so many seconds after the run's begin. One older than the last is of no use.
    pub fn add(&mut self, at: f64, sample: Sample) {
        if self.last.is_some_and(|last| at <= last) {
            return;
        }
        let last = self.last.replace(at);
        for name in sample.hosts.keys() {
            if !self.hosts.contains_key(name) {
                self.hosts.insert(name.clone(), Tracks::default());
            }
        }
        for (name, tracks) in &mut self.hosts {
            let seen = sample.hosts.get(name).cloned().unwrap_or_default();
            // Before it was seen for the first time a component was not away: it was not part of the host.
            for component in seen.components.keys() {
                tracks.components.entry(*component).or_default();
            }
            for (component, track) in &mut tracks.components {
                track.see(last, at, seen.components.get(component).cloned().unwrap_or(Running::Away));
            }
            tracks.cordoned.see(last, at, seen.cordoned);
            tracks.drained.see(last, at, seen.drained);
        }
    }

    /// What the samples say of the `seconds` that the run took. A state lasts from the sample that saw it
    /// first to the one that saw another.
    pub fn timeline(mut self, title: &str, seconds: f64, mut clients: Vec<Client>) -> Timeline {
        clients.sort_by(|one, other| one.client.cmp(&other.client));
        for tracks in self.hosts.values_mut() {
            for track in tracks.components.values_mut() {
                track.reach(self.last, seconds);
            }
            tracks.cordoned.reach(self.last, seconds);
            tracks.drained.reach(self.last, seconds);
        }
        let mut hosts: Vec<HostTimeline> = self.hosts.into_iter().map(host).collect();
        let is_worker = |host: &HostTimeline| {
            !host.components.iter().any(|found| found.component == Component::KubeApiserver)
        };
        hosts.sort_by_key(is_worker);
        Timeline { format: FORMAT, title: title.to_owned(), seconds, hosts, clients }
    }
}

fn host((host, tracks): (HostName, Tracks)) -> HostTimeline {
    let version = |(span, version): (Span, Running)| VersionSpan { from: span.from, to: span.to, version };
    let components = tracks.components.into_iter().map(|(component, track)| ComponentSpans {
        component,
        spans: track.0.into_iter().map(version).collect(),
    });
    HostTimeline {
        host,
        components: components.collect(),
        cordoned: tracks.cordoned.spans(),
        drained: tracks.drained.spans(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    /// One host whose kubelet is of these versions, one sample each; "" for none, "!" for no sample.
    fn recorded(versions: &[(f64, &str)]) -> Recorder {
        let mut recorder = Recorder::default();
        for (at, version) in versions.iter().filter(|(_, version)| *version != "!") {
            let mut host = HostSample::default();
            if !version.is_empty() {
                host.components.insert(Component::Kubelet, Running::Version((*version).to_owned()));
            }
            recorder.add(*at, Sample { hosts: BTreeMap::from([(name("w"), host)]) });
        }
        recorder
    }

    fn told(recorder: Recorder, end: f64) -> Vec<String> {
        let timeline = recorder.timeline("", end, Vec::new());
        let all = timeline.hosts.iter().flat_map(|host| &host.components).flat_map(|found| &found.spans);
        all.map(|span| format!("{}-{} {}", span.from, span.to, span.version.as_str())).collect()
    }

    #[test]
    fn samples_become_spans() {
        let table: [(&[(f64, &str)], f64, &[&str]); 8] = [
            (&[(0.0, "1"), (1.0, "1"), (2.0, "2")], 3.0, &["0-2 1", "2-3 2"]),
            // Not there for a while is away; before it is seen first it is nothing.
            (&[(0.0, ""), (1.0, "1"), (2.0, ""), (3.0, "1")], 4.0, &["1-2 1", "2-3 away", "3-4 1"]),
            (&[(0.0, "")], 4.0, &[]),
            // One sample that failed is bridged, a longer blindness is a gap.
            (&[(0.0, "1"), (1.0, "!"), (2.0, "1")], 3.0, &["0-3 1"]),
            (&[(0.0, "1"), (1.0, "1"), (9.0, "1")], 10.0, &["0-1 1", "9-10 1"]),
            (&[(0.0, "1"), (9.0, "2")], 20.0, &["0-0 1", "9-9 2"]),
            // A sample from before the last one, and an end before the last sample.
            (&[(2.0, "1"), (1.0, "2"), (3.0, "1")], 3.0, &["2-3 1"]),
            (&[], 3.0, &[]),
        ];
        for (samples, end, spans) in table {
            assert_eq!(told(recorded(samples), end), spans, "{samples:?}");
        }
    }

    #[test]
    fn cordons_and_drains_are_spans_of_their_own() {
        let mut recorder = Recorder::default();
        for (at, cordoned, drained) in
            [(0.0, false, false), (1.0, true, false), (2.0, true, true), (3.0, false, false)]
        {
            let host = HostSample { cordoned, drained, ..HostSample::default() };
            recorder.add(at, Sample { hosts: BTreeMap::from([(name("w"), host)]) });
        }
        let host = &recorder.timeline("", 4.0, Vec::new()).hosts[0];
        assert_eq!(host.cordoned, [Span { from: 1.0, to: 3.0 }]);
        assert_eq!(host.drained, [Span { from: 2.0, to: 3.0 }]);
    }

    #[test]
    fn control_planes_come_first() {
        let mut recorder = Recorder::default();
        let with = |component| HostSample {
            components: BTreeMap::from([(component, Running::Away)]),
            ..HostSample::default()
        };
        let hosts = [
            ("a-worker", Component::Kubelet),
            ("cp-2", Component::KubeApiserver),
            ("cp-1", Component::KubeApiserver),
        ];
        let hosts = hosts.map(|(host, component)| (name(host), with(component)));
        recorder.add(0.0, Sample { hosts: BTreeMap::from(hosts) });
        let timeline = recorder.timeline("", 1.0, Vec::new());
        let order: Vec<&str> = timeline.hosts.iter().map(|host| host.host.as_str()).collect();
        assert_eq!(order, ["cp-1", "cp-2", "a-worker"]);
    }
}
