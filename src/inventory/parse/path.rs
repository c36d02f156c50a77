//! Key paths such as `hosts[2].ssh.port`.

use std::fmt;
use std::rc::Rc;

/// The way from the top of the file to a value. A linked list, because every value read has one
/// and few are ever shown.
#[derive(Debug, Clone)]
pub(crate) struct Path(Option<Rc<Link>>);

#[derive(Debug)]
struct Link {
    parent: Path,
    segment: Segment,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Key(Rc<str>),
    Index(usize),
}

impl Path {
    pub fn root() -> Self {
        Path(None)
    }

    /// The path of a key below this one.
    pub fn key(&self, key: &str) -> Self {
        Path(Some(Rc::new(Link { parent: self.clone(), segment: Segment::Key(key.into()) })))
    }

    /// The path of a list's item, from 0.
    pub fn index(&self, index: usize) -> Self {
        Path(Some(Rc::new(Link { parent: self.clone(), segment: Segment::Index(index) })))
    }

    /// From the top down.
    pub fn segments(&self) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut path = self;
        while let Some(link) = &path.0 {
            segments.push(link.segment.clone());
            path = &link.parent;
        }
        segments.reverse();
        segments
    }
}

/// Whether a key can stand in a path without quotes.
fn is_simple(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.segments().iter().enumerate() {
            match segment {
                Segment::Key(key) if is_simple(key) && position == 0 => f.write_str(key)?,
                Segment::Key(key) if is_simple(key) => write!(f, ".{key}")?,
                Segment::Key(key) => write!(f, "[{}]", super::scalar::quoted(key))?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_keys_as_people_write_them() {
        let path = Path::root().key("hosts").index(2).key("labels").key("example.org/disk");
        assert_eq!(path.to_string(), "hosts[2].labels[\"example.org/disk\"]");
        assert_eq!(Path::root().to_string(), "");
    }
}
