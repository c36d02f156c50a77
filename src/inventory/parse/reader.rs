//! Typed reading of the tree: each reader gives the value or reports what is wrong with it.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use super::context::Context;
use super::path::Path;
use super::scalar::{Plain, quoted, resolve};
use super::tree::{Entry, Node, Value};
use crate::inventory::diagnostic::{Position, is_invisible};

/// A value and where it is.
#[derive(Clone)]
pub(crate) struct Field<'a> {
    pub context: &'a Context<'a>,
    pub node: &'a Node,
    pub path: Path,
}

impl<'a> Field<'a> {
    /// Reports a problem of this value; always None, so that a reader can end with it.
    pub fn error<T>(&self, message: impl Into<String>, help: impl Into<String>) -> Option<T> {
        self.error_at(self.node.position, message, help)
    }

    pub fn error_at<T>(
        &self,
        position: Position,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        self.context.add_error(Some(position), &self.path, message.into(), Some(help.into()));
        None
    }

    /// What was written, for `got …`.
    pub fn got(&self) -> String {
        match &self.node.value {
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
            Value::Refused => "an alias".into(),
            Value::Scalar { text, plain: false } => format!("the text {}", quoted(text)),
            Value::Scalar { text, plain: true } => match resolve(text) {
                Plain::Null => "nothing".into(),
                Plain::Bool(value) => format!("the boolean {value}"),
                Plain::Integer(value) => format!("the number {value}"),
                Plain::Float => format!("the float {}", quoted(text).trim_matches('"')),
                Plain::OldBool(_) => format!("the word `{text}`, a boolean to some YAML readers"),
                Plain::OddNumber => {
                    format!("{}, a number to some YAML readers", quoted(text).trim_matches('"'))
                }
                Plain::Text => format!("the text {}", quoted(text)),
            },
        }
    }

    fn wants<T>(&self, what: &str, help: impl Into<String>) -> Option<T> {
        if matches!(self.node.value, Value::Refused) {
            return None;
        }
        self.error(format!("want {what}; got {}", self.got()), help)
    }

    pub fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// A plain word or quoted text as it stands, without judgement; None for collections.
    pub fn raw(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar { text, .. } => Some(text),
            Value::List(_) | Value::Map(_) | Value::Refused => None,
        }
    }

    /// Whether this is a plain scalar and what it means.
    pub fn plain(&self) -> Option<Plain> {
        match &self.node.value {
            Value::Scalar { text, plain: true } => Some(resolve(text)),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) | Value::Refused => None,
        }
    }

    /// Text: quoted, or a word that every YAML reader takes for text. Never empty, no control characters.
    pub fn text(&self) -> Option<&'a str> {
        let text = self.text_or_empty()?;
        if text.is_empty() {
            return self.error("is empty", "write a value, or leave the field out");
        }
        Some(text)
    }

    /// As [`Field::text`], `""` allowed.
    pub fn text_or_empty(&self) -> Option<&'a str> {
        let Value::Scalar { text, plain } = &self.node.value else {
            return self.wants("a text", "write one value here");
        };
        if *plain && resolve(text) != Plain::Text {
            let help = match text.is_empty() {
                true => "write a value, or leave the field out".to_owned(),
                false => format!("write {} in quotes", quoted(text)),
            };
            return self.wants("a quoted string", help);
        }
        self.visible(text)
    }

    /// As [`Field::text_or_empty`], and `true`, `false` and plain decimal numbers as they are written.
    pub fn text_or_literal(&self) -> Option<&'a str> {
        match (&self.node.value, self.plain()) {
            (Value::Scalar { text, .. }, Some(Plain::Bool(_) | Plain::Integer(_))) => Some(text),
            _ => self.text_or_empty(),
        }
    }

    fn visible(&self, text: &'a str) -> Option<&'a str> {
        match text.chars().enumerate().find(|(_, c)| is_invisible(*c)) {
            None => Some(text),
            Some((index, character)) => self.error(
                format!(
                    "illegal character {} at column {} of the value",
                    character.escape_default(),
                    index + 1
                ),
                "control and invisible characters are not allowed; remove it",
            ),
        }
    }

    /// A decimal number in `range`.
    pub fn integer(&self, what: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let (low, high) = (*range.start(), *range.end());
        let want = match high {
            i64::MAX => format!("{what} of at least {low}"),
            high => format!("{what} from {low} to {high}"),
        };
        match self.plain() {
            Some(Plain::Integer(value)) if range.contains(&value) => Some(value),
            Some(Plain::OddNumber) => {
                self.wants(&want, "write a decimal number without leading zeros, `_` or a base")
            }
            _ => self.wants(&want, "write the number without quotes or a unit"),
        }
    }

    pub fn port(&self) -> Option<u16> {
        self.integer("a port", 1..=65535).and_then(|port| u16::try_from(port).ok())
    }

    pub fn boolean(&self) -> Option<bool> {
        match self.plain() {
            Some(Plain::Bool(value)) => Some(value),
            Some(Plain::OldBool(value)) => self.wants("true or false", format!("write {value}")),
            _ => self.wants("true or false", "write true or false without quotes"),
        }
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, what: &str, words: &[(&str, T)]) -> Option<T> {
        let names = || words.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let Some(text) = self.raw() else {
            return self.wants(&format!("{what}, one of {}", names()), "write one word");
        };
        if let Some((_, value)) = words.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let help = match closest(text, words.iter().map(|(name, _)| *name)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("use one of {}", names()),
        };
        self.error(format!("unknown {what} {}; want one of {}", quoted(text), names()), help)
    }

    pub fn items(&self) -> Option<Vec<Field<'a>>> {
        match &self.node.value {
            Value::List(items) => Some(self.fields(items)),
            Value::Scalar { .. } | Value::Map(_) | Value::Refused => {
                self.wants("a list", "write `[a, b]`, or one `- a` per line")
            }
        }
    }

    /// A list, or one value that stands for a list of one.
    pub fn items_or_one(&self) -> Vec<Field<'a>> {
        match &self.node.value {
            Value::List(items) => self.fields(items),
            Value::Refused => Vec::new(),
            Value::Scalar { .. } | Value::Map(_) => vec![self.clone()],
        }
    }

    fn fields(&self, items: &'a [Node]) -> Vec<Field<'a>> {
        let field = |(index, node)| Field { context: self.context, node, path: self.path.index(index) };
        items.iter().enumerate().map(field).collect()
    }

    /// The entries of a map whose keys are free.
    pub fn entries(&self) -> Option<Vec<(&'a Entry, Field<'a>)>> {
        let Value::Map(entries) = &self.node.value else {
            return self.wants("a map", "write `key: value` lines, or {}");
        };
        let field = |entry: &'a Entry| {
            (entry, Field { context: self.context, node: &entry.value, path: self.path.key(&entry.key) })
        };
        Some(entries.iter().map(field).collect())
    }

    /// A map whose keys are known.
    pub fn table(&self) -> Option<Table<'a>> {
        match &self.node.value {
            Value::Map(entries) => {
                Some(Table { at: self.clone(), entries, known: RefCell::new(Vec::new()), moved: &[] })
            }
            Value::Scalar { .. } | Value::List(_) | Value::Refused => {
                self.wants("a map", "write `key: value` lines, or {}")
            }
        }
    }
}

/// A map with known keys; [`Table::finish`] reports the others.
pub(crate) struct Table<'a> {
    pub at: Field<'a>,
    entries: &'a [Entry],
    known: RefCell<Vec<&'static str>>,
    /// Keys that people write here, and what keelwright calls them.
    moved: &'static [(&'static str, &'static str)],
}

impl<'a> Table<'a> {
    /// The value of a key; None when it is not there, or there without a value (which is reported).
    pub fn get(&self, key: &'static str) -> Option<Field<'a>> {
        self.known.borrow_mut().push(key);
        let entry = self.entries.iter().find(|entry| *entry.key == *key)?;
        let field = Field { context: self.at.context, node: &entry.value, path: self.at.path.key(key) };
        if field.plain() == Some(Plain::Null) {
            let help = "write a value ({} and [] are empty ones), or leave the key out";
            return field.error_at(entry.key_position, format!("`{key}` has no value"), help);
        }
        Some(field)
    }

    /// As [`Table::get`]; a missing key is reported.
    pub fn require(&self, key: &'static str, example: &str) -> Option<Field<'a>> {
        if !self.has(key) {
            self.known.borrow_mut().push(key);
            let path = self.at.path.key(key);
            let help = format!("add `{key}: {example}`");
            let position = Some(self.at.node.position);
            self.at.context.add_error(position, &path, format!("`{key}` is missing"), Some(help));
            return None;
        }
        self.get(key)
    }

    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| *entry.key == *key)
    }

    /// Hints for keys that other tools have here.
    pub fn moved(mut self, moved: &'static [(&'static str, &'static str)]) -> Self {
        self.moved = moved;
        self
    }

    /// Reports the keys nobody asked for.
    pub fn finish(self) {
        let known = self.known.borrow();
        for entry in self.entries {
            if known.contains(&&*entry.key) {
                continue;
            }
            if self.at.context.is_full() {
                self.at.context.add_error(None, &Path::root(), String::new(), None);
                continue;
            }
            let moved = self.moved.iter().find(|(name, _)| *name == &*entry.key);
            let message = match (moved, closest(&entry.key, known.iter().copied())) {
                (Some((_, now)), _) => format!("unknown field {}; use `{now}`", code(&entry.key)),
                (None, Some(name)) => format!("unknown field {}; did you mean `{name}`?", code(&entry.key)),
                (None, None) => format!("unknown field {}", code(&entry.key)),
            };
            let help = format!("fields here: {}", known.join(", "));
            let path = self.at.path.key(&entry.key);
            self.at.context.add_error(Some(entry.key_position), &path, message, Some(help));
        }
    }
}

/// A key in backquotes, escaped and cut.
fn code(key: &str) -> String {
    format!("`{}`", quoted(key).trim_matches('"'))
}

/// The known word that was probably meant.
pub(crate) fn closest<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    /// Longer words are not slips of the finger, and comparing them takes time.
    const LENGTH_LIMIT: usize = 64;
    if text.len() > LENGTH_LIMIT {
        return None;
    }
    let plain = |word: &str| word.to_lowercase().replace(['-', '_', '.'], "");
    let wanted = plain(text);
    words
        .map(|word| (strsim::jaro_winkler(&wanted, &plain(word)), word))
        .filter(|(likeness, _)| *likeness > 0.84)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}
