//! YAML as a tree whose every node knows its place.
//!
//! Built from the parser's events rather than through serde: all problems are wanted at once, each
//! with its place, and serde stops at the first. Anchors, aliases, tags and directives are refused,
//! so what is read never grows beyond what was written.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};

use super::context::{Context, Document};
use super::path::{Path, Segment};
use super::scalar::quoted;
use crate::inventory::diagnostic::Position;

/// Collections within collections; an inventory needs 6 and free-form kubelet configuration a few more.
const DEPTH_LIMIT: usize = 32;
/// 5,000 hosts with twenty fields each have 200,000.
const NODE_LIMIT: usize = 300_000;

#[derive(Debug)]
pub(crate) struct Node {
    pub position: Position,
    pub value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    /// `plain`: written without quotes, so its type is to be resolved.
    Scalar {
        text: Box<str>,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Already reported (an alias, a tag); readers pass over it in silence.
    Refused,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub key: Box<str>,
    pub key_position: Position,
    pub value: Node,
}

impl Node {
    /// Whether there is a value at `path`.
    pub fn has(&self, path: &Path) -> bool {
        let mut node = self;
        for segment in path.segments() {
            let below = match (&segment, &node.value) {
                (Segment::Key(key), Value::Map(entries)) => {
                    entries.iter().find(|entry| *entry.key == **key).map(|entry| &entry.value)
                }
                (Segment::Index(index), Value::List(items)) => items.get(*index),
                (_, _) => None,
            };
            let Some(below) = below else { return false };
            node = below;
        }
        true
    }

    /// The place of the value at `path`, or of the nearest existing one above it.
    pub fn locate(&self, path: &Path) -> Position {
        let mut node = self;
        let mut position = self.position;
        for segment in path.segments() {
            match (&segment, &node.value) {
                (Segment::Key(key), Value::Map(entries)) => {
                    let Some(entry) = entries.iter().find(|entry| *entry.key == **key) else { break };
                    node = &entry.value;
                    position = match node.value {
                        Value::Scalar { .. } => node.position,
                        Value::List(_) | Value::Map(_) | Value::Refused => entry.key_position,
                    };
                }
                (Segment::Index(index), Value::List(items)) => {
                    let Some(item) = items.get(*index) else { break };
                    node = item;
                    position = item.position;
                }
                (_, _) => break,
            }
        }
        position
    }
}

/// Reads the one document of `text`. None: nothing that could be read further; the reasons are in
/// `context`.
pub(super) fn build(text: &str, context: &Context<'_>) -> Option<Node> {
    let options = granit_parser::options! {
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: DEPTH_LIMIT,
        block_nesting_limit: DEPTH_LIMIT,
    };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder { parser, context, nodes: 0, failed: false };
    builder.document()
}

struct Builder<'a, 'c> {
    parser: Parser<'a, StrInput<'a>>,
    context: &'c Context<'c>,
    nodes: usize,
    failed: bool,
}

impl<'a> Builder<'a, '_> {
    fn document(&mut self) -> Option<Node> {
        let mut root = None;
        while let Some((event, span)) = self.next() {
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::DocumentStart(_, _) => {
                    if root.is_some() {
                        let (what, thing) = match self.context.document {
                            Document::Inventory => ("an inventory", "cluster"),
                            Document::Migration => ("a migration", "migration"),
                        };
                        self.context.add_error(
                            Some(position_of(&span)),
                            &Path::root(),
                            format!("a second document starts here; {what} is one document"),
                            Some(format!("keep one {thing} per file")),
                        );
                        break;
                    }
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, &span, &Path::root(), 0)?);
                }
                _ => return self.syntax(&span.start, "unexpected content"),
            }
        }
        if self.failed {
            return None;
        }
        if root.is_none() {
            let help = match self.context.document {
                Document::Inventory => "keelwright init writes a commented start",
                Document::Migration => "docs/migration-file.md begins with a short one",
            };
            self.context.add_error(None, &Path::root(), "the file is empty".into(), Some(help.to_owned()));
        }
        root
    }

    /// The next event; anchors are reported and skipped, errors end the reading.
    fn next(&mut self) -> Option<(Event<'a>, Span)> {
        loop {
            match self.parser.next_event()? {
                Ok((Event::Anchor(_, name), span)) => {
                    self.refuse(&span, &format!("anchors are not allowed: {}", quoted(&format!("&{name}"))));
                }
                Ok(pair) => return Some(pair),
                Err(error) => {
                    let message = error.kind().to_string();
                    self.syntax::<()>(error.marker(), &message);
                    return None;
                }
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, path: &Path, depth: usize) -> Option<Node> {
        self.nodes += 1;
        let position = position_of(span);
        if self.nodes > NODE_LIMIT || depth > DEPTH_LIMIT {
            let what = if depth > DEPTH_LIMIT { "nested too deeply" } else { "too many values" };
            return self.syntax(
                &span.start,
                &format!("{what}: at most {DEPTH_LIMIT} levels and {NODE_LIMIT} values"),
            );
        }
        if let Some(tag) = event.tag() {
            let at = span.tag_span().map_or(position, |span| position_of(&span));
            self.context.add_error(
                Some(at),
                path,
                format!("tags are not allowed: {}", quoted(&tag.original())),
                Some("leave the tag out".into()),
            );
        }
        let value = match event {
            Event::Scalar(text, style, _, _) => {
                Value::Scalar { text: text.into(), plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(_, _, _) => self.list(path, depth)?,
            Event::MappingStart(_, _, _) => self.map(path, depth)?,
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.refuse(span, "aliases are not allowed");
                Value::Refused
            }
            _ => return self.syntax(&span.start, "a value is missing"),
        };
        Some(Node { position, value })
    }

    fn list(&mut self, path: &Path, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Some(Value::List(items));
            }
            let path = path.index(items.len());
            items.push(self.node(event, &span, &path, depth + 1)?);
        }
    }

    fn map(&mut self, path: &Path, depth: usize) -> Option<Value> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut first_lines: HashMap<Box<str>, u32> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Some(Value::Map(entries));
            }
            let key = self.node(event, &span, path, depth + 1)?;
            let key_position = key.position;
            let key_text: Option<Box<str>> = match key.value {
                Value::Scalar { text, .. } => Some(text),
                Value::List(_) | Value::Map(_) => {
                    let help = Some("write `key: value`".to_owned());
                    self.context.add_error(Some(key_position), path, "a key must be text".into(), help);
                    None
                }
                Value::Refused => None,
            };
            let (event, span) = self.next()?;
            let below = key_text.as_deref().map_or_else(|| path.clone(), |key| path.key(key));
            let value = self.node(event, &span, &below, depth + 1)?;
            let Some(key) = key_text else { continue };
            if &*key == "<<" {
                let help = Some("repeat the values here".to_owned());
                self.context.add_error(Some(key_position), path, "merge keys are not allowed".into(), help);
                continue;
            }
            if let Some(line) = first_lines.insert(key.clone(), key_position.line) {
                self.context.add_error(
                    Some(key_position),
                    &below,
                    format!("key {} given twice (lines {line}, {})", quoted(&key), key_position.line),
                    Some("keep one of them".into()),
                );
                continue;
            }
            entries.push(Entry { key, key_position, value });
        }
    }

    fn refuse(&self, span: &Span, message: &str) {
        self.context.add_error(
            Some(position_of(span)),
            &Path::root(),
            message.to_owned(),
            Some("anchors are not allowed; repeat the value".into()),
        );
    }

    fn syntax<T>(&mut self, marker: &Marker, message: &str) -> Option<T> {
        self.failed = true;
        let position = Position { length: 1, ..position_at(marker) };
        self.context.add_error(Some(position), &Path::root(), format!("not valid YAML: {message}"), None);
        None
    }
}

fn position_at(marker: &Marker) -> Position {
    let count = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Position { line: count(marker.line()).max(1), column: count(marker.col()).saturating_add(1), length: 1 }
}

fn position_of(span: &Span) -> Position {
    let start = position_at(&span.start);
    let end = position_at(&span.end);
    let length = if start.line == end.line { end.column.saturating_sub(start.column).max(1) } else { 1 };
    Position { length, ..start }
}
