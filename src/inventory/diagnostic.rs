//! What is wrong with an inventory: every problem with its place, its key and a way to mend it.

use std::fmt::{self, Write as _};

/// Problems beyond this many are counted, not shown: nobody reads them, and a hostile file could
/// have millions.
pub(crate) const SHOWN_LIMIT: usize = 100;

/// Source lines longer than this are cut in excerpts.
const EXCERPT_WIDTH: usize = 160;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// A place in the file; lines and columns count from 1, columns and length in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    pub line: u32,
    pub column: u32,
    /// Characters to underline, at least 1.
    pub length: u32,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// None: the file as a whole.
    pub position: Option<Position>,
    /// The key path, as `hosts[2].ssh.port`; empty for the file as a whole.
    pub path: String,
    /// A lower-case fragment: what is wrong and what was got.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// One line: `file:line:column: key: message`.
    pub fn headline(&self, file: &str) -> String {
        let mut text = file.to_owned();
        if let Some(position) = self.position {
            let _ = write!(text, ":{}:{}", position.line, position.column);
        }
        text.push_str(match self.severity {
            Severity::Error => ": error: ",
            Severity::Warning => ": warning: ",
        });
        if !self.path.is_empty() {
            let _ = write!(text, "{}: ", self.path);
        }
        text.push_str(&self.message);
        text
    }

    /// The headline, the source line with a caret under the place, and the help.
    pub fn render(&self, file: &str, source: &str) -> String {
        let mut text = self.headline(file);
        if let Some(position) = self.position {
            let line = source.lines().nth(position.line.saturating_sub(1) as usize);
            if let Some(line) = line {
                text.push_str(&excerpt(line, position));
            }
        }
        if let Some(help) = &self.help {
            let _ = write!(text, "\n   help: {help}");
        }
        text
    }
}

/// The line and a row of carets under `position`; tabs and control characters become one blank, so
/// that the carets stay in step and a terminal cannot be written to.
fn excerpt(line: &str, position: Position) -> String {
    let number = position.line.to_string();
    let gutter = " ".repeat(number.len());
    let column = position.column.saturating_sub(1) as usize;
    let skipped = if column + 20 > EXCERPT_WIDTH { column.saturating_sub(40) } else { 0 };
    let shown: String = line
        .chars()
        .skip(skipped)
        .take(EXCERPT_WIDTH)
        .map(|c| if is_invisible(c) { ' ' } else { c })
        .collect();
    let before = column - skipped;
    let room = shown.chars().count().saturating_sub(before).max(1);
    let carets = "^".repeat((position.length.max(1) as usize).min(room));
    format!("\n {number} | {}\n {gutter} | {}{carets}", shown.trim_end(), " ".repeat(before))
}

/// Control characters and those that change how their neighbours are shown.
pub(crate) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// All problems of one file; at least one of them is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    pub file: String,
    /// In the order of the file; warnings too.
    pub list: Vec<Diagnostic>,
    /// Problems found beyond those listed.
    pub omitted: usize,
}

impl Diagnostics {
    /// How many of the problems are errors, those not listed included.
    pub fn error_count(&self) -> usize {
        self.list.iter().filter(|problem| problem.severity == Severity::Error).count() + self.omitted
    }

    /// All problems with their source lines, separated by empty lines.
    pub fn render(&self, source: &str) -> String {
        let mut text = String::new();
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                text.push_str("\n\n");
            }
            text.push_str(&problem.render(&self.file, source));
        }
        if self.omitted > 0 {
            let _ = write!(text, "\n\nand {} more", self.omitted);
        }
        text
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            f.write_str(&problem.headline(&self.file))?;
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_line_with_carets_under_the_place() {
        let problem = Diagnostic {
            severity: Severity::Error,
            position: Some(Position { line: 2, column: 9, length: 5 }),
            path: "ssh.port".into(),
            message: "got 70000; want a port from 1 to 65535".into(),
            help: Some("the default is 22".into()),
        };
        assert_eq!(
            problem.render("a.yaml", "ssh:\n  port: 70000\n"),
            "a.yaml:2:9: error: ssh.port: got 70000; want a port from 1 to 65535\n 2 |   port: 70000\n   |         ^^^^^\n   help: the default is 22"
        );
    }

    #[test]
    fn excerpts_of_odd_lines_neither_panic_nor_reach_the_terminal() {
        for (line, column) in [("", 9), ("\u{1b}[2J", 1), ("x", 100_000), ("äöü", 3)] {
            let text = excerpt(line, Position { line: 1, column, length: u32::MAX });
            assert!(!text.contains('\u{1b}'));
        }
        let long = "a".repeat(100_000);
        let text = excerpt(&long, Position { line: 1, column: 90_000, length: 1 });
        assert!(text.len() < 1000);
    }
}
