//! The timeline as one picture: a row for each component of each host, the success rate of each client
//! below, and one axis of time. It has a background of its own, so it reads the same on a light and on a dark
//! page; what colours say, labels and patterns say too.

use std::collections::BTreeMap;

use super::axis::{clock, marks};
use super::model::{Client, Component, HostTimeline, Running, Second, Span, Timeline, by_number};
use super::svg::{Area, Look, Svg};

const WIDTH: f64 = 1000.0;
/// Where names end and time begins.
const LEFT: f64 = 236.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 58.0;
const ROW: f64 = 15.0;
const ROW_STEP: f64 = 18.0;
const BETWEEN_HOSTS: f64 = 10.0;
const CLIENT: f64 = 34.0;
const CLIENT_STEP: f64 = 46.0;
/// A digit of the labels' font, and what a label needs beside its digits.
const DIGIT: f64 = 6.1;
const MARGIN: f64 = 4.0;
/// A second with a lost call is never drawn thinner than this, however long the run.
const THINNEST: f64 = 1.5;

/// From the oldest version to the newest: darker is newer, so the order can be seen without the colour.
const KUBERNETES: [&str; 5] = ["#dbe9f6", "#a9cbe6", "#6aa6d3", "#2f77b2", "#123f6d"];
const ETCD: [&str; 5] = ["#e1f0dc", "#b2d9a8", "#7bbd73", "#3c8c46", "#14522b"];
/// From this one on a label on it is white.
const DARK: usize = 3;

const DEFINITIONS: &str = r##"<style>
text { font-family: Helvetica, Arial, sans-serif; font-size: 11px; fill: #1f2328; }
.title { font-size: 16px; font-weight: bold; }
.host { font-weight: bold; }
.quiet { fill: #59636e; }
.small { font-size: 10px; fill: #59636e; }
.inside { text-anchor: middle; }
.light { text-anchor: middle; fill: #ffffff; }
.right { text-anchor: end; }
.mark { text-anchor: middle; fill: #59636e; }
.page { fill: #ffffff; stroke: #d1d9e0; }
.grid { stroke: #e6eaef; }
.frame { fill: none; stroke: #8c959f; }
.away { fill: url(#away); stroke: #a40e26; }
.cordoned { fill: url(#cordoned); stroke: #6e7781; }
.drained { fill: #424a53; stroke: #24292f; }
.ok { fill: #b2d9a8; }
.retried { fill: url(#retried); }
.failed { fill: url(#failed); }
</style>
<defs>
<pattern id="away" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" fill="#ffffff"/><rect width="2" height="6" fill="#d1242f"/></pattern>
<pattern id="cordoned" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)"><rect width="6" height="6" fill="#f6f8fa"/><rect width="2" height="6" fill="#afb8c1"/></pattern>
<pattern id="retried" width="4" height="4" patternUnits="userSpaceOnUse"><rect width="4" height="4" fill="#f5c451"/><rect width="2" height="2" fill="#9a6700"/></pattern>
<pattern id="failed" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="4" height="4" fill="#d1242f"/><rect width="1" height="4" fill="#ffffff"/></pattern>
</defs>
"##;

impl Timeline {
    /// Draws it; the same timeline is the same text.
    pub fn svg(&self) -> String {
        let mut chart =
            Chart { svg: Svg::default(), seconds: self.seconds.max(1.0), palette: Palette::of(self) };
        let rows: f64 = self.hosts.iter().map(|host| rows(host) * ROW_STEP + BETWEEN_HOSTS).sum();
        let clients = TOP + rows;
        let axis = clients + CLIENT_STEP * count(self.clients.len());
        let legend = axis + 48.0;
        let entries = chart.legend_entries(!self.clients.is_empty());
        let height = legend + count(lines(&entries)) * ROW_STEP + 8.0;
        let page = Area { x: 0.5, y: 0.5, width: WIDTH - 1.0, height: height - 1.0 };
        chart.svg.rect(page, Look::Class("page"), "");
        chart.svg.text(16.0, 26.0, "title", &self.title);
        chart.svg.text(16.0, 43.0, "small", &subtitle(self));
        chart.grid(TOP - 4.0, axis);
        let mut y = TOP;
        for host in &self.hosts {
            y = chart.host(host, y) + BETWEEN_HOSTS;
        }
        for client in &self.clients {
            chart.client(client, y);
            y += CLIENT_STEP;
        }
        chart.legend(&entries, legend);
        chart.svg.finish(WIDTH, height, &self.title, DEFINITIONS)
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn has_node_row(host: &HostTimeline) -> bool {
    !host.cordoned.is_empty() || !host.drained.is_empty()
}

fn rows(host: &HostTimeline) -> f64 {
    count(host.components.len() + usize::from(has_node_row(host))).max(1.0)
}

fn subtitle(timeline: &Timeline) -> String {
    let drains: usize = timeline.hosts.iter().map(|host| host.drained.len()).sum();
    let lost: u64 = timeline.clients.iter().map(|client| client.total().2).sum();
    let mut text = format!(
        "{} hosts in {} (minutes:seconds), nodes emptied: {drains}",
        timeline.hosts.len(),
        clock(timeline.seconds)
    );
    if !timeline.clients.is_empty() {
        text += &format!(", calls lost: {lost}");
    }
    text
}

/// The colour of each version that was seen.
struct Palette {
    etcd: BTreeMap<String, usize>,
    kubernetes: BTreeMap<String, usize>,
}

impl Palette {
    fn of(timeline: &Timeline) -> Self {
        let ranked = |is_etcd: bool| {
            let components = timeline.hosts.iter().flat_map(|host| &host.components);
            let spans = components
                .filter(|found| (found.component == Component::Etcd) == is_etcd)
                .flat_map(|found| &found.spans);
            let mut versions: Vec<&str> = spans
                .filter_map(|span| match &span.version {
                    Running::Version(version) => Some(version.as_str()),
                    Running::Away => None,
                })
                .collect();
            versions.sort_by(|one, other| by_number(one, other));
            versions.dedup();
            let last = versions.len().saturating_sub(1).max(1);
            let shade = |rank: usize| rank * (KUBERNETES.len() - 1) / last;
            versions.iter().enumerate().map(|(rank, version)| ((*version).to_owned(), shade(rank))).collect()
        };
        Palette { etcd: ranked(true), kubernetes: ranked(false) }
    }

    /// The colour, and whether a label on it is white.
    fn colour(&self, is_etcd: bool, version: &str) -> (&'static str, bool) {
        let (ranks, ramp) = if is_etcd { (&self.etcd, ETCD) } else { (&self.kubernetes, KUBERNETES) };
        let shade = ranks.get(version).copied().unwrap_or_default();
        (ramp.get(shade).copied().unwrap_or("#ffffff"), shade >= DARK)
    }
}

/// A swatch and what it means.
struct Entry {
    look: Swatch,
    text: String,
}

enum Swatch {
    Class(&'static str),
    Fill(&'static str),
}

const SWATCH: f64 = 22.0;

impl Entry {
    fn width(&self) -> f64 {
        SWATCH + 5.0 + DIGIT * count(self.text.chars().count()) + 14.0
    }
}

/// How many lines the entries take.
fn lines(entries: &[Entry]) -> usize {
    let mut x = 16.0;
    let mut lines = 1;
    for entry in entries {
        if x + entry.width() > WIDTH - RIGHT {
            lines += 1;
            x = 16.0;
        }
        x += entry.width();
    }
    lines
}

struct Chart {
    svg: Svg,
    seconds: f64,
    palette: Palette,
}

impl Chart {
    fn x(&self, at: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (at / self.seconds).clamp(0.0, 1.0)
    }

    fn area(&self, from: f64, to: f64, y: f64, height: f64) -> Area {
        let x = self.x(from);
        Area { x, y, width: self.x(to) - x, height }
    }

    /// Lines through everything, and under them the time.
    fn grid(&mut self, top: f64, bottom: f64) {
        for at in marks(self.seconds) {
            let x = self.x(at);
            self.svg.line((x, top), (x, bottom + 4.0), "grid");
            self.svg.text(x, bottom + 16.0, "mark", &clock(at));
        }
        self.svg.text(LEFT - 24.0, bottom + 16.0, "small right", "minutes:seconds");
    }

    /// Returns where the host's rows end.
    fn host(&mut self, host: &HostTimeline, top: f64) -> f64 {
        let baseline = |y: f64| y + ROW - 4.0;
        self.svg.text(16.0, baseline(top), "host", host.host.as_str());
        let mut y = top;
        for found in &host.components {
            self.svg.text(LEFT - 8.0, baseline(y), "quiet right", found.component.name());
            for span in &found.spans {
                let of = Span { from: span.from, to: span.to };
                self.version(host, found.component, of, &span.version, y);
            }
            y += ROW_STEP;
        }
        if has_node_row(host) {
            self.svg.text(LEFT - 8.0, baseline(y), "quiet right", "node");
            for (spans, class, label) in
                [(&host.cordoned, "cordoned", "inside"), (&host.drained, "drained", "light")]
            {
                for span in spans {
                    let about = format!("{}: {class} {} to {}", host.host, clock(span.from), clock(span.to));
                    let area = self.area(span.from, span.to, y, ROW);
                    self.svg.rect(area, Look::Class(class), &about);
                    // The drained part lies over the cordoned one and would hide its label.
                    let hidden = class == "cordoned"
                        && host
                            .drained
                            .iter()
                            .any(|drained| drained.from < span.to && drained.to > span.from);
                    if !hidden {
                        self.label(area, label, &[class]);
                    }
                }
            }
        }
        top + rows(host) * ROW_STEP
    }

    fn version(&mut self, host: &HostTimeline, component: Component, span: Span, running: &Running, y: f64) {
        let area = self.area(span.from, span.to, y, ROW);
        let text = running.as_str();
        let about =
            format!("{} {}: {text}, {} to {}", host.host, component.name(), clock(span.from), clock(span.to));
        let Running::Version(version) = running else {
            self.svg.rect(area, Look::Class("away"), &about);
            return;
        };
        let (colour, dark) = self.palette.colour(component == Component::Etcd, version);
        self.svg.rect(area, Look::Fill(colour), &about);
        let minor = version.rsplit_once('.').map_or(version.as_str(), |(minor, _)| minor);
        let last = minor.rsplit_once('.').map_or(minor, |(_, last)| last);
        self.label(area, if dark { "light" } else { "inside" }, &[version, minor, last]);
    }

    /// The longest of these that fits.
    fn label(&mut self, area: Area, class: &str, texts: &[&str]) {
        let fits = |text: &&&str| DIGIT * count(text.len()) + MARGIN <= area.width;
        if let Some(text) = texts.iter().find(fits) {
            self.svg.text(area.x + area.width / 2.0, area.y + ROW - 4.0, class, text);
        }
    }

    /// The share of calls that had an answer, second by second; seconds that are alike are one shape.
    fn client(&mut self, client: &Client, y: f64) {
        let (ok, retried, failed) = client.total();
        self.svg.text(16.0, y + 12.0, "host", &client.client);
        let counts = format!("{} calls, {retried} tried twice, {failed} lost", ok + retried + failed);
        self.svg.text(16.0, y + 25.0, "small", &counts);
        self.svg.text(LEFT - 4.0, y + 8.0, "small right", "100 %");
        self.svg.text(LEFT - 4.0, y + CLIENT, "small right", "0 %");
        let alike = |one: &Second, next: &Second| next.at == one.at + 1 && shares(*one) == shares(*next);
        let runs: Vec<&[Second]> = client.seconds.chunk_by(alike).collect();
        // What went wrong is drawn last, so that nothing lies over it.
        for wrong in [false, true] {
            for run in &runs {
                self.run(client, run, y, wrong);
            }
        }
        let frame = self.area(0.0, self.seconds, y, CLIENT);
        self.svg.rect(frame, Look::Class("frame"), "");
    }

    fn run(&mut self, client: &Client, run: &[Second], y: f64, wrong: bool) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
        let (ok, retried, failed) = shares(*first);
        if wrong != (retried + failed > 0.0) {
            return;
        }
        let seconds = |at: u64| f64::from(u32::try_from(at).unwrap_or(u32::MAX));
        let (from, to) = (seconds(first.at), seconds(last.at) + 1.0);
        let mut area = self.area(from, to, y, 0.0);
        if wrong {
            area.width = area.width.max(THINNEST);
        }
        let about = format!(
            "{}: {:.1} % answered, {} to {}",
            client.client,
            first.success_percent(),
            clock(from),
            clock(to)
        );
        let mut bottom = y + CLIENT;
        for (share, class) in [(ok, "ok"), (retried, "retried"), (failed, "failed")] {
            let height = CLIENT * share;
            if height > 0.0 {
                bottom -= height;
                self.svg.rect(Area { y: bottom, height, ..area }, Look::Class(class), &about);
            }
        }
    }

    fn legend_entries(&self, clients: bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (name, ranks, is_etcd) in
            [("Kubernetes", &self.palette.kubernetes, false), ("etcd", &self.palette.etcd, true)]
        {
            let mut versions: Vec<&String> = ranks.keys().collect();
            versions.sort_by(|one, other| by_number(one, other));
            entries.extend(versions.into_iter().map(|version| Entry {
                look: Swatch::Fill(self.palette.colour(is_etcd, version).0),
                text: format!("{name} {version}"),
            }));
        }
        let class = |class, text: &str| Entry { look: Swatch::Class(class), text: text.to_owned() };
        entries.push(class("away", "does not run"));
        entries.push(class("cordoned", "cordoned"));
        entries.push(class("drained", "drained"));
        if clients {
            entries.push(class("ok", "answered"));
            entries.push(class("retried", "answered at the second try"));
            entries.push(class("failed", "lost"));
        }
        entries
    }

    fn legend(&mut self, entries: &[Entry], top: f64) {
        let (mut x, mut y) = (16.0, top);
        for entry in entries {
            if x + entry.width() > WIDTH - RIGHT {
                (x, y) = (16.0, y + ROW_STEP);
            }
            let area = Area { x, y: y - 9.0, width: SWATCH, height: 11.0 };
            let look = match entry.look {
                Swatch::Class(class) => Look::Class(class),
                Swatch::Fill(fill) => Look::Fill(fill),
            };
            self.svg.rect(area, look, "");
            self.svg.text(x + SWATCH + 5.0, y, "quiet", &entry.text);
            x += entry.width();
        }
    }
}

/// What part of a second's calls was answered at once, at the second try, and never.
fn shares(second: Second) -> (f64, f64, f64) {
    let all = f64::from(second.calls().max(1));
    (f64::from(second.ok) / all, f64::from(second.retried) / all, f64::from(second.failed) / all)
}
