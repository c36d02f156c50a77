//! SHA-256 and size of what passes through, and files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};

use aws_lc_rs::digest;
use camino::{Utf8Path, Utf8PathBuf};

use super::BundleError;
use crate::release::artifact::Sha256;

/// Enough to keep the hash busy between reads, small beside any artifact.
const BUFFER: usize = 256 * 1024;

/// Between a file's name and the process that writes it.
const PARTIAL: &str = ".partial-";

/// What a stream of bytes amounted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    pub sha256: Sha256,
    pub size: u64,
}

/// A writer that hashes and counts what it passes on.
pub struct Hashing<W> {
    inner: W,
    context: digest::Context,
    size: u64,
}

impl<W: Write> Hashing<W> {
    pub fn new(inner: W) -> Self {
        Hashing { inner, context: digest::Context::new(&digest::SHA256), size: 0 }
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The inner writer, and what went through.
    pub fn finish(self) -> (W, Fingerprint) {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.context.finish().as_ref());
        (self.inner, Fingerprint { sha256: Sha256::from_bytes(&bytes), size: self.size })
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        let passed = bytes.get(..written).unwrap_or(bytes);
        self.context.update(passed);
        self.size += passed.len() as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The fingerprint of a reader's remaining bytes.
pub fn fingerprint(mut reader: impl Read) -> io::Result<Fingerprint> {
    let mut hashing = Hashing::new(io::sink());
    copy(&mut reader, &mut hashing)?;
    Ok(hashing.finish().1)
}

/// The fingerprint of bytes in memory.
pub fn fingerprint_bytes(bytes: &[u8]) -> Fingerprint {
    let mut hashing = Hashing::new(io::sink());
    // invariant: a sink takes everything
    hashing.write_all(bytes).expect("a sink never fails");
    hashing.finish().1
}

/// The fingerprint of a file.
pub fn fingerprint_file(path: &Utf8Path) -> Result<Fingerprint, BundleError> {
    File::open(path).and_then(fingerprint).map_err(BundleError::io("read", path))
}

/// `io::copy` with a buffer that suits files of a hundred megabytes.
pub fn copy(reader: &mut impl Read, writer: &mut impl Write) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    io::copy(&mut reader, writer)
}

/// A file under a temporary name beside its target: renamed onto it by `commit`, removed when dropped.
pub struct Staged {
    file: Option<File>,
    temporary: Utf8PathBuf,
    target: Utf8PathBuf,
}

impl Staged {
    /// Starts a file that will be `target`; its directory is made if need be.
    pub fn create(target: &Utf8Path) -> Result<Self, BundleError> {
        if let Some(directory) = target.parent() {
            fs::create_dir_all(directory).map_err(BundleError::io("create directory", directory))?;
        }
        let name = target.file_name().unwrap_or("file");
        let temporary = target.with_file_name(format!(".{name}{PARTIAL}{}", std::process::id()));
        let file = File::create(&temporary).map_err(BundleError::io("create", &temporary))?;
        Ok(Staged { file: Some(file), temporary, target: target.to_owned() })
    }

    /// Where the bytes are until `commit`.
    pub fn path(&self) -> &Utf8Path {
        &self.temporary
    }

    /// Lets another program write the file at `path` instead.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Makes it durable and puts it in place, readable by all and writable by the owner.
    pub fn commit(mut self, executable: bool) -> Result<(), BundleError> {
        use std::os::unix::fs::PermissionsExt;
        let mut finish = || -> io::Result<()> {
            let file = match self.file.take() {
                Some(file) => file,
                None => File::open(&self.temporary)?,
            };
            let mode = if executable { 0o755 } else { 0o644 };
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()?;
            fs::rename(&self.temporary, &self.target)
        };
        let target = self.target.clone();
        finish().map_err(BundleError::io("write", &target))
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::Error::other("the staged file is closed")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already after a rename; otherwise what is left is of no use to anyone.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Removes what killed runs left in `directory`; files of runs that are under way stay.
pub fn remove_leftovers(directory: &Utf8Path) -> Result<(), BundleError> {
    let Ok(entries) = directory.read_dir_utf8() else { return Ok(()) };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let process = name.strip_prefix('.').and_then(|name| name.rsplit_once(PARTIAL)).map(|(_, pid)| pid);
        let dead = process.is_some_and(|pid| !Utf8Path::new("/proc").join(pid).exists());
        if dead {
            fs::remove_file(entry.path()).map_err(BundleError::io("remove", entry.path()))?;
        }
    }
    Ok(())
}

/// Writes a small file atomically.
pub fn write_file(target: &Utf8Path, bytes: &[u8]) -> Result<(), BundleError> {
    let mut staged = Staged::create(target)?;
    staged.write_all(bytes).map_err(BundleError::io("write", target))?;
    staged.commit(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::testing::Scratch;

    #[test]
    fn hashes_and_counts_what_passes() {
        let mut hashing = Hashing::new(Vec::new());
        hashing.write_all(b"ab").unwrap();
        hashing.write_all(b"c").unwrap();
        let (inner, print) = hashing.finish();
        assert_eq!((inner.as_slice(), print.size), (b"abc".as_slice(), 3));
        assert_eq!(print.sha256.as_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(fingerprint(b"abc".as_slice()).unwrap(), print);
    }

    #[test]
    fn a_staged_file_that_is_not_committed_leaves_nothing() {
        let scratch = Scratch::new();
        let target = scratch.path().join("deep/file");
        let mut staged = Staged::create(&target).unwrap();
        staged.write_all(b"half").unwrap();
        drop(staged);
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 0);

        // No process has this number: the largest there can be is below it.
        let left = target.with_file_name(".file.partial-4194305");
        fs::write(&left, b"half").unwrap();
        let mut running = Staged::create(&target).unwrap();
        remove_leftovers(target.parent().unwrap()).unwrap();
        assert!(!left.exists());
        running.write_all(b"x").unwrap();
        running.commit(false).unwrap();

        write_file(&target, b"whole").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
    }
}
