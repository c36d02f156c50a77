//! The picture of a migration: the share that green was to have, the shares that it had with everybody who asked, and
//! under them each one's answers by the side that gave them. It has a background of its own and dashes beside colours, as
//! timelines have.

use jiff::tz::TimeZone;

use super::{Event, Report, Seen};
use crate::timeline::axis::{clock, marks};
use crate::timeline::svg::{Area, Look, Svg};

const WIDTH: f64 = 1000.0;
/// Where names end and time begins.
const LEFT: f64 = 176.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 58.0;
/// A lane for the numbers of events, and how many there are.
const LANE: f64 = 17.0;
const LANES: usize = 3;
const BADGE: f64 = 18.0;
const SHARES: f64 = 230.0;
const ROW: f64 = 36.0;
const ROW_STEP: f64 = 50.0;
const LINE: f64 = 18.0;
const SWATCH: f64 = 26.0;
/// A letter of the legend's font.
const DIGIT: f64 = 6.1;
/// So many parts of time are drawn at most: finer is noise.
const COLUMNS: usize = 240;
/// What failed is never drawn lower than this, however little it is.
const LOWEST: f64 = 2.0;
/// From here on the axis has hours.
const HOURS: f64 = 3.0 * 3600.0;

const DEFINITIONS: &str = r##"<style>
text { font-family: Helvetica, Arial, sans-serif; font-size: 11px; fill: #1f2328; }
.title { font-size: 16px; font-weight: bold; }
.who { font-weight: bold; }
.quiet { fill: #59636e; }
.small { font-size: 10px; fill: #59636e; }
.right { text-anchor: end; }
.mark { text-anchor: middle; fill: #59636e; }
.number { text-anchor: middle; font-size: 10px; fill: #ffffff; }
.page { fill: #ffffff; stroke: #d1d9e0; }
.grid { stroke: #e6eaef; }
.frame { fill: none; stroke: #8c959f; }
.badge { fill: #59636e; }
.event { stroke: #59636e; stroke-dasharray: 2 3; }
.wanted { fill: #d4ecd2; }
.step { fill: none; stroke: #2c7a37; stroke-width: 1.5; }
.seen-0 { fill: none; stroke: #1f2328; stroke-width: 1.5; }
.seen-1 { fill: none; stroke: #b35900; stroke-width: 1.5; stroke-dasharray: 6 3; }
.seen-2 { fill: none; stroke: #8250df; stroke-width: 1.5; stroke-dasharray: 2 2; }
.seen-3 { fill: none; stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 8 3 2 3; }
.blue { fill: #6aa6d3; shape-rendering: crispEdges; }
.green { fill: #7bbd73; shape-rendering: crispEdges; }
.failed { fill: url(#failed); stroke: #a40e26; stroke-width: 0.5; }
</style>
<defs>
<pattern id="failed" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="4" height="4" fill="#d1242f"/><rect width="1" height="4" fill="#ffffff"/></pattern>
</defs>
"##;
/// Of the lines above.
const LOOKS: usize = 4;

/// Draws a report; the same report is the same text.
pub fn draw(report: &Report) -> String {
    let mut chart = Chart { svg: Svg::default(), seconds: report.seconds().max(1.0) };
    let totals = report.totals();
    let lanes = lanes(&report.events, &chart);
    let used = lanes.iter().map(|lane| lane + 1).max().unwrap_or(0);
    let shares = TOP + count(used) * LANE;
    let rows = shares + SHARES + 18.0;
    let axis = rows + ROW_STEP * count(totals.len());
    let legend = axis + 40.0;
    let entries = entries(&totals.keys().copied().collect::<Vec<_>>());
    let events = legend + LINE * entries.last().map_or(1.0, |last| count(last.line + 1)) + 6.0;
    let height = events + LINE * count(report.events.len());

    let page = Area { x: 0.5, y: 0.5, width: WIDTH - 1.0, height: height - 1.0 };
    chart.svg.rect(page, Look::Class("page"), "");
    chart.svg.text(16.0, 26.0, "title", &report.title);
    chart.svg.text(16.0, 43.0, "small", &subtitle(report));
    chart.grid(shares, axis - 10.0);
    chart.wanted(report, shares);
    let columns = Columns::of(report, chart.seconds);
    for (number, who) in totals.keys().enumerate() {
        chart.share(&columns.of_one(who), &format!("seen-{}", number % LOOKS), shares);
    }
    chart.frame(shares, SHARES);
    for (number, (who, total)) in totals.iter().enumerate() {
        chart.answers(who, total, &columns.of_one(who), rows + ROW_STEP * count(number));
    }
    chart.events(&report.events, &lanes, axis - 10.0);
    chart.legend(&entries, legend);
    for (number, event) in report.events.iter().enumerate() {
        let y = events + LINE * count(number);
        chart.svg.text(40.0, y, "quiet right", &(number + 1).to_string());
        chart.svg.text(LEFT - 84.0, y, "quiet right", &time(event.at, chart.seconds));
        chart.svg.text(LEFT - 72.0, y, "", &event.label);
    }
    chart.svg.finish(WIDTH, height, &report.title, DEFINITIONS)
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Minutes and seconds, or hours and minutes of what took long.
fn time(at: f64, seconds: f64) -> String {
    if seconds < HOURS { clock(at) } else { clock(at / 60.0) }
}

fn subtitle(report: &Report) -> String {
    let began = report.began.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC");
    let seconds = report.seconds();
    let unit = if seconds < HOURS { "minutes:seconds" } else { "hours:minutes" };
    let total = report.totals().values().fold(Seen::default(), |all, seen| all.plus(seen)).total();
    format!(
        "from {began}, {} ({unit}); {} questions, {} without a good answer",
        time(seconds, seconds),
        total.asked,
        total.failed
    )
}

/// The lane of each event's number, so that none lies over another where there is room.
fn lanes(events: &[Event], chart: &Chart) -> Vec<usize> {
    let mut ends = [f64::NEG_INFINITY; LANES];
    let mut lanes = Vec::new();
    for event in events {
        let left = chart.x(event.at) - BADGE / 2.0;
        let free = ends.iter().position(|end| *end <= left).unwrap_or(LANES - 1);
        if let Some(end) = ends.get_mut(free) {
            *end = left + BADGE + 1.0;
        }
        lanes.push(free);
    }
    lanes
}

/// What a look means, and where that is told.
struct Entry {
    class: String,
    is_line: bool,
    text: String,
    x: f64,
    line: usize,
}

fn entries(who: &[&str]) -> Vec<Entry> {
    let (mut x, mut line) = (16.0, 0);
    let mut entries = Vec::new();
    let mut add = |class: String, is_line: bool, text: String| {
        let width = SWATCH + 5.0 + DIGIT * count(text.chars().count()) + 16.0;
        if x > 16.0 && x + width > WIDTH - RIGHT {
            (x, line) = (16.0, line + 1);
        }
        entries.push(Entry { class, is_line, text, x, line });
        x += width;
    };
    add("wanted".to_owned(), false, "share wanted".to_owned());
    for (number, who) in who.iter().enumerate() {
        add(format!("seen-{}", number % LOOKS), true, format!("seen by {who}"));
    }
    for (class, text) in [("blue", "answered by blue"), ("green", "by green"), ("failed", "failed")] {
        add(class.to_owned(), false, text.to_owned());
    }
    entries
}

/// The time in parts, and what everybody saw in each.
struct Columns<'a> {
    report: &'a Report,
    /// Seconds of each.
    width: f64,
    number: usize,
}

/// From a second to a second.
struct Column {
    from: f64,
    to: f64,
    seen: Seen,
}

impl<'a> Columns<'a> {
    fn of(report: &'a Report, seconds: f64) -> Self {
        let number = report.samples.len().clamp(1, COLUMNS);
        Columns { report, width: seconds / count(number), number }
    }

    /// Those in which one of them asked anything, in order.
    fn of_one(&self, who: &str) -> Vec<Column> {
        let mut columns: Vec<Seen> = vec![Seen::default(); self.number];
        for sample in &self.report.samples {
            let Some(seen) = sample.seen.get(who) else { continue };
            // By its middle, so that rounding moves none to its neighbour.
            let at = ((sample.at + sample.seconds / 2.0) / self.width).max(0.0) as usize;
            if let Some(column) = columns.get_mut(at.min(self.number - 1)) {
                *column = column.plus(seen);
            }
        }
        let column = |(at, seen): (usize, Seen)| Column {
            from: count(at) * self.width,
            to: count(at + 1) * self.width,
            seen,
        };
        columns.into_iter().enumerate().filter(|(_, seen)| seen.total().asked > 0).map(column).collect()
    }
}

struct Chart {
    svg: Svg,
    seconds: f64,
}

impl Chart {
    fn x(&self, at: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (at / self.seconds).clamp(0.0, 1.0)
    }

    fn area(&self, from: f64, to: f64, y: f64, height: f64) -> Area {
        let x = self.x(from);
        Area { x, y, width: self.x(to) - x, height }
    }

    fn frame(&mut self, y: f64, height: f64) {
        let area = self.area(0.0, self.seconds, y, height);
        self.svg.rect(area, Look::Class("frame"), "");
    }

    fn grid(&mut self, top: f64, bottom: f64) {
        for at in marks(self.seconds) {
            let x = self.x(at);
            self.svg.line((x, top), (x, bottom + 4.0), "grid");
            self.svg.text(x, bottom + 16.0, "mark", &time(at, self.seconds));
        }
        for percent in [0, 25, 50, 75, 100] {
            let y = top + SHARES * (1.0 - f64::from(percent) / 100.0);
            self.svg.line((LEFT, y), (WIDTH - RIGHT, y), "grid");
            self.svg.text(LEFT - 6.0, y + 4.0, "small right", &format!("{percent} %"));
        }
        self.svg.text(16.0, top + 10.0, "who", "green's share");
    }

    /// What the records say, as steps.
    fn wanted(&mut self, report: &Report, top: f64) {
        let changes = report.weights();
        let y = |share: f64| top + SHARES * (1.0 - share);
        let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([self.seconds]);
        let mut steps = Vec::new();
        for ((from, weights), to) in changes.iter().zip(ends) {
            let (share, area) = (weights.green_share(), self.area(*from, to, 0.0, 0.0));
            let about =
                format!("{:.0} % wanted ({weights}) from {}", share * 100.0, time(*from, self.seconds));
            let area = Area { y: y(share), height: SHARES * share, ..area };
            if area.height > 0.0 {
                self.svg.rect(area, Look::Class("wanted"), &about);
            }
            steps.extend([(area.x, area.y), (area.x + area.width, area.y)]);
        }
        self.svg.path(&steps, "step");
    }

    /// A line through what was seen, with a gap where nobody asked.
    fn share(&mut self, columns: &[Column], class: &str, top: f64) {
        let follows = |one: &Column, next: &Column| next.from - one.to < (one.to - one.from) / 2.0;
        for run in columns.chunk_by(follows) {
            let point = |column: &Column| {
                let share = column.seen.green_share()?;
                Some((self.x((column.from + column.to) / 2.0), top + SHARES * (1.0 - share)))
            };
            let points: Vec<_> = run.iter().filter_map(point).collect();
            self.svg.path(&points, class);
        }
    }

    /// Whose answers they were, and what failed on top.
    fn answers(&mut self, who: &str, total: &Seen, columns: &[Column], y: f64) {
        self.svg.text(16.0, y + 14.0, "who", who);
        let counts = format!("{} asked, {} failed", total.total().asked, total.total().failed);
        self.svg.text(16.0, y + 28.0, "small", &counts);
        // Parts that are alike are one shape.
        let alike = |one: &Column, next: &Column| one.seen == next.seen && next.from <= one.to;
        for run in columns.chunk_by(alike) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let seen = run.iter().fold(Seen::default(), |all, column| all.plus(&column.seen));
            let column = Column { from: first.from, to: last.to, seen };
            let all = seen.total();
            let about = format!(
                "{who}, {} to {}: {} by blue, {} by green, {} failed",
                time(column.from, self.seconds),
                time(column.to, self.seconds),
                column.seen.blue.fine(),
                column.seen.green.fine(),
                all.failed
            );
            let asked = f64::from(all.asked.max(all.failed).max(1));
            let failed =
                if all.failed == 0 { 0.0 } else { (ROW * f64::from(all.failed) / asked).max(LOWEST) };
            let each = (ROW - failed) / f64::from(all.fine().max(1));
            let [green, blue] = [column.seen.green, column.seen.blue].map(|of| each * f64::from(of.fine()));
            let area = self.area(column.from, column.to, y, 0.0);
            let mut bottom = y + ROW;
            for (height, class) in [(green, "green"), (blue, "blue"), (failed, "failed")] {
                if height > 0.0 {
                    bottom -= height;
                    self.svg.rect(Area { y: bottom, height, ..area }, Look::Class(class), &about);
                }
            }
        }
        self.frame(y, ROW);
    }

    /// Lines through everything, with numbers on top.
    fn events(&mut self, events: &[Event], lanes: &[usize], bottom: f64) {
        for (number, (event, lane)) in events.iter().zip(lanes).enumerate() {
            let (x, y) = (self.x(event.at), TOP + count(*lane) * LANE);
            self.svg.line((x, y + LANE - 3.0), (x, bottom), "event");
            let badge = Area { x: x - BADGE / 2.0, y, width: BADGE, height: LANE - 3.0 };
            let about = format!("{} {}", time(event.at, self.seconds), event.label);
            self.svg.rect(badge, Look::Class("badge"), &about);
            self.svg.text(x, y + 10.5, "number", &(number + 1).to_string());
        }
    }

    fn legend(&mut self, entries: &[Entry], top: f64) {
        for entry in entries {
            let (x, y) = (entry.x, top + LINE * count(entry.line));
            if entry.is_line {
                self.svg.path(&[(x, y - 4.0), (x + SWATCH, y - 4.0)], &entry.class);
            } else {
                let area = Area { x, y: y - 9.0, width: SWATCH, height: 11.0 };
                self.svg.rect(area, Look::Class(&entry.class), "");
            }
            self.svg.text(x + SWATCH + 5.0, y, "quiet", &entry.text);
        }
    }
}
