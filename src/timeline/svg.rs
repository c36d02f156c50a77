//! The little of SVG that our pictures need: numbers that are the same everywhere, and text that is safe.

use std::fmt::Write as _;

/// An SVG that is being written.
#[derive(Debug, Default)]
pub struct Svg(String);

/// What a rectangle covers, in pixels.
#[derive(Debug, Clone, Copy)]
pub struct Area {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Svg {
    /// A rectangle of a class or with a fill of its own; `about` is what a pointer over it is told.
    pub fn rect(&mut self, area: Area, look: Look<'_>, about: &str) {
        let (x, y) = (number(area.x), number(area.y));
        let (width, height) = (number(area.width), number(area.height));
        let look = match look {
            Look::Class(class) => format!("class=\"{}\"", escaped(class)),
            Look::Fill(fill) => format!("fill=\"{}\"", escaped(fill)),
        };
        let _ = write!(self.0, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" {look}");
        if about.is_empty() {
            self.0.push_str("/>\n");
        } else {
            let _ = writeln!(self.0, "><title>{}</title></rect>", escaped(about));
        }
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(number);
        let class = escaped(class);
        let _ = writeln!(self.0, "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" class=\"{class}\"/>");
    }

    /// From point to point; fewer than two are nothing.
    pub fn path(&mut self, points: &[(f64, f64)], class: &str) {
        self.points("polyline", 2, points, class);
    }

    /// What points surround; fewer than three are nothing.
    pub fn shape(&mut self, points: &[(f64, f64)], class: &str) {
        self.points("polygon", 3, points, class);
    }

    fn points(&mut self, element: &str, least: usize, points: &[(f64, f64)], class: &str) {
        if points.len() < least {
            return;
        }
        let texts: Vec<String> =
            points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect();
        let class = escaped(class);
        let _ = writeln!(self.0, "<{element} points=\"{}\" class=\"{class}\"/>", texts.join(" "));
    }

    pub fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let (x, y, class, text) = (number(x), number(y), escaped(class), escaped(text));
        let _ = writeln!(self.0, "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{text}</text>");
    }

    /// The whole picture with what it is called, and definitions that its shapes use.
    pub fn finish(self, width: f64, height: f64, title: &str, definitions: &str) -> String {
        let (width, height, title) = (number(width), number(height), escaped(title));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n\
             <title>{title}</title>\n{definitions}{}</svg>\n",
            self.0
        )
    }
}

/// Where a shape's look comes from.
#[derive(Debug, Clone, Copy)]
pub enum Look<'a> {
    Class(&'a str),
    Fill(&'a str),
}

/// At most one decimal: finer than a pixel is noise, and differs from machine to machine.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    let short = text.strip_suffix(".0").unwrap_or(&text);
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// Text as XML 1.0 may hold it; control characters, which it may not hold at all, are left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' | '\t' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            other if other.is_control() => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_decimal_at_most() {
        for (value, text) in [(1.0, "1"), (1.25, "1.2"), (0.96, "1"), (-0.01, "0"), (1000.0, "1000")] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn points_make_a_line_and_too_few_make_none() {
        let mut svg = Svg::default();
        svg.path(&[(0.0, 1.0)], "one");
        svg.shape(&[(0.0, 1.0), (2.0, 3.0)], "two");
        svg.path(&[(0.0, 1.25), (2.0, 3.0)], "line");
        svg.shape(&[(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)], "triangle");
        assert_eq!(
            svg.0,
            "<polyline points=\"0,1.2 2,3\" class=\"line\"/>\n\
             <polygon points=\"0,0 1,0 0,1\" class=\"triangle\"/>\n"
        );
    }

    #[test]
    fn text_is_safe_wherever_it_is_put() {
        assert_eq!(escaped("a<b>&\"'\u{0}\u{7f}\nä"), "a&lt;b&gt;&amp;&quot;&apos; ä");
    }
}
