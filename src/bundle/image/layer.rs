//! One image layer: a tar whose bytes depend on its content alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};

use camino::{Utf8Path, Utf8PathBuf};

use super::super::hash;

/// A file's bytes.
#[derive(Debug, Clone)]
pub enum Content {
    Bytes(Vec<u8>),
    /// Read when the layer is written; a binary of a hundred megabytes is never held in memory.
    File(Utf8PathBuf),
}

#[derive(Debug, Clone)]
enum Node {
    Directory { mode: u32 },
    File { mode: u32, content: Content },
    Link { target: String },
}

/// The entries of a layer, by path; all of them belong to root and are from the epoch.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    nodes: BTreeMap<Utf8PathBuf, Node>,
}

impl Layer {
    /// Adds a directory and, with mode 0755, its parents.
    pub fn directory(&mut self, path: &str, mode: u32) -> &mut Self {
        self.insert(path, Node::Directory { mode })
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, mode: u32, content: Content) -> &mut Self {
        self.insert(path, Node::File { mode, content })
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.insert(path, Node::Link { target: target.to_owned() })
    }

    fn insert(&mut self, path: &str, node: Node) -> &mut Self {
        let path = Utf8Path::new(path.trim_start_matches('/'));
        for parent in path.ancestors().skip(1).filter(|parent| !parent.as_str().is_empty()) {
            self.nodes.entry(parent.to_owned()).or_insert(Node::Directory { mode: 0o755 });
        }
        self.nodes.insert(path.to_owned(), node);
        self
    }

    /// Writes the uncompressed tar. Parents sort before what is in them.
    pub fn write(&self, writer: &mut dyn Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(writer);
        for (path, node) in &self.nodes {
            match node {
                Node::Directory { mode } => {
                    let mut header = header(tar::EntryType::Directory, *mode, 0);
                    tar.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                Node::File { mode, content } => append_file(&mut tar, path.as_str(), *mode, content)?,
                Node::Link { target } => {
                    let mut header = header(tar::EntryType::Symlink, 0o777, 0);
                    tar.append_link(&mut header, path, target)?;
                }
            }
        }
        tar.finish()
    }
}

/// Appends one regular file with normalised metadata.
pub(super) fn append_file<W: Write>(
    tar: &mut tar::Builder<W>,
    path: &str,
    mode: u32,
    content: &Content,
) -> io::Result<()> {
    match content {
        Content::Bytes(bytes) => {
            let mut header = header(tar::EntryType::Regular, mode, bytes.len() as u64);
            tar.append_data(&mut header, path, bytes.as_slice())
        }
        Content::File(source) => {
            let file = File::open(source)?;
            let size = file.metadata()?.len();
            let mut header = header(tar::EntryType::Regular, mode, size);
            let exactly = ExactSize { reader: file, left: size };
            tar.append_data(&mut header, path, io::BufReader::with_capacity(256 * 1024, exactly))
        }
    }
}

/// Metadata that says nothing of where and when it was made.
pub(super) fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// A file that must still have the size its header promised: a shorter one would shift all that follows.
struct ExactSize<R> {
    reader: R,
    left: u64,
}

impl<R: io::Read> io::Read for ExactSize<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(buffer)?;
        match (self.left.checked_sub(got as u64), got, self.left) {
            (None, _, _) => Err(io::Error::other("the file grew while it was read")),
            (Some(_), 0, left) if left > 0 && !buffer.is_empty() => {
                Err(io::Error::other("the file shrank while it was read"))
            }
            (Some(left), got, _) => {
                self.left = left;
                Ok(got)
            }
        }
    }
}

/// Size and hash of a layer without keeping it.
pub fn fingerprint(layer: &Layer) -> io::Result<hash::Fingerprint> {
    let mut hashing = hash::Hashing::new(io::sink());
    layer.write(&mut hashing)?;
    Ok(hashing.finish().1)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::bundle::testing::Scratch;

    fn bytes(layer: &Layer) -> Vec<u8> {
        let mut bytes = Vec::new();
        layer.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn lists_parents_first_with_normalised_metadata() {
        let mut layer = Layer::default();
        layer.file("/usr/bin/x", 0o755, Content::Bytes(b"x".to_vec()));
        layer.link("bin", "usr/bin");
        layer.directory("tmp", 0o1777);
        let bytes = bytes(&layer);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
            let (mode, path) = (header.mode().unwrap(), entry.path().unwrap().display().to_string());
            let link = entry.link_name().unwrap().map(|link| link.display().to_string());
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            seen.push(format!("{path} {mode:o} {content}{}", link.unwrap_or_default()));
        }
        assert_eq!(seen, ["bin 777 usr/bin", "tmp/ 1777 ", "usr/ 755 ", "usr/bin/ 755 ", "usr/bin/x 755 x"]);
    }

    #[test]
    fn bytes_depend_on_content_alone() {
        let scratch = Scratch::new();
        let (one, two) = (scratch.path().join("one"), scratch.path().join("two"));
        std::fs::write(&one, b"same").unwrap();
        std::fs::write(&two, b"same").unwrap();
        let layer = |path: &Utf8Path| {
            let mut layer = Layer::default();
            layer.file("a", 0o644, Content::File(path.to_owned()));
            bytes(&layer)
        };
        assert_eq!(layer(&one), layer(&two));
        let mut inline = Layer::default();
        inline.file("a", 0o644, Content::Bytes(b"same".to_vec()));
        assert_eq!(layer(&one), bytes(&inline));
        assert_eq!(fingerprint(&inline).unwrap(), hash::fingerprint(bytes(&inline).as_slice()).unwrap());
    }

    #[test]
    fn refuses_a_file_that_changes_size_under_it() {
        let mut short = ExactSize { reader: b"ab".as_slice(), left: 3 };
        assert!(short.read_to_end(&mut Vec::new()).is_err());
        let mut long = ExactSize { reader: b"abcd".as_slice(), left: 3 };
        assert!(long.read_to_end(&mut Vec::new()).is_err());
    }
}
