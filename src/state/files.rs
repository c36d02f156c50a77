//! Files of the state directory: private, and either old or new, never half.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};

/// A failed file operation, with the file's name.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {path}")]
pub struct FileError {
    pub verb: &'static str,
    pub path: Utf8PathBuf,
    #[source]
    pub source: io::Error,
}

pub(crate) fn failed(verb: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { verb, path, source }
}

/// Makes the directory, and its parents, for the owner only. One that exists is narrowed.
pub fn private_directory(path: &Utf8Path) -> Result<(), FileError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(failed("make", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed("narrow", path))
}

/// Opens a private file for reading and writing, made when absent; never truncates.
pub fn open_private(path: &Utf8Path) -> Result<File, FileError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed("open", path))?;
    // Not left to the umask, which may have taken away even the owner's bits.
    file.set_permissions(Permissions::from_mode(0o600)).map_err(failed("narrow", path))?;
    Ok(file)
}

/// A new content that is durable under a temporary name. Dropped without [`Staged::commit`], it is
/// what a crash would leave: the old file, untouched, and a stray temporary file.
pub struct Staged {
    temporary: Utf8PathBuf,
    target: Utf8PathBuf,
}

/// Writes `content` beside `target` and brings it to the disk.
pub fn stage(target: &Utf8Path, content: &[u8]) -> Result<Staged, FileError> {
    // One fixed name: a later run overwrites what a crash left, so strays do not pile up.
    let name = target.file_name().unwrap_or("file");
    let temporary = target.with_file_name(format!(".{name}.new"));
    let mut file = open_private(&temporary)?;
    file.set_len(0).map_err(failed("truncate", &temporary))?;
    file.write_all(content).map_err(failed("write", &temporary))?;
    file.sync_all().map_err(failed("sync", &temporary))?;
    Ok(Staged { temporary, target: target.to_owned() })
}

impl Staged {
    /// Puts it in the old file's place; durable when this returns.
    pub fn commit(self) -> Result<(), FileError> {
        fs::rename(&self.temporary, &self.target).map_err(failed("replace", &self.target))?;
        sync_directory_of(&self.target)
    }
}

/// [`stage`] and [`Staged::commit`].
pub fn replace(target: &Utf8Path, content: &[u8]) -> Result<(), FileError> {
    stage(target, content)?.commit()
}

/// Makes a new name in a file's directory durable.
pub(crate) fn sync_directory_of(path: &Utf8Path) -> Result<(), FileError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_str().is_empty() => parent,
        Some(_) | None => Utf8Path::new("."),
    };
    File::open(directory).and_then(|file| file.sync_all()).map_err(failed("sync", directory))
}

/// None: there is no such file.
pub(crate) fn read_optional(path: &Utf8Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError { verb: "read", path: path.to_owned(), source }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A directory that goes away with the test.
    pub(crate) struct Scratch(pub Utf8PathBuf);

    impl Scratch {
        pub fn new() -> Self {
            let base = Utf8PathBuf::from_path_buf(std::env::temp_dir()).unwrap();
            let path = base.join(format!("keelwright-test-{}", uuid::Uuid::new_v4()));
            private_directory(&path).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    pub(crate) fn mode(path: &Utf8Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn files_and_directories_are_for_the_owner_only() {
        let scratch = Scratch::new();
        let directory = scratch.0.join("a/b");
        private_directory(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        private_directory(&directory).unwrap();
        replace(&directory.join("f"), b"x").unwrap();
        assert_eq!((mode(&directory), mode(&directory.join("f"))), (0o700, 0o600));
    }

    #[test]
    fn a_crash_before_the_rename_leaves_the_old_content() {
        let scratch = Scratch::new();
        let path = scratch.0.join("f");
        replace(&path, b"a long old content").unwrap();
        drop(stage(&path, b"half").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"a long old content");
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
    }
}
