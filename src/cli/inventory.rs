//! How a command gets its inventory, or its migration: the file is read, checked, and all its problems are shown at
//! once with the lines they are in.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::error::{CommandError, ErrorKind};
use crate::cloud::hosts::imagined;
use crate::inventory::{
    Diagnostic, Diagnostics, Inventory, Migration, Origin, SIZE_LIMIT, Wanted, parse_migration, parse_wanted,
};

/// The flag every command that reads an inventory has.
#[derive(Debug, Clone, clap::Args)]
pub struct InventoryArg {
    /// Read the cluster's inventory from FILE
    #[arg(short, long, value_name = "FILE", default_value = "inventory.yaml")]
    pub inventory: Utf8PathBuf,
}

impl InventoryArg {
    /// As [`wanted`].
    pub fn wanted(&self) -> Result<Wanted, CommandError> {
        wanted(&self.inventory)
    }

    /// Where the inventory is, absolute: relative paths start there.
    pub fn directory(&self) -> Result<Utf8PathBuf, CommandError> {
        directory_of(&self.inventory)
            .ok_or_else(|| CommandError::new(ErrorKind::Usage, LoadError::WorkingDirectory))
    }
}

/// What a file is to be, and what is said when it is not there or not right.
struct Wish {
    noun: &'static str,
    missing: &'static str,
    invalid: &'static str,
}

const INVENTORY: Wish = Wish {
    noun: "inventory",
    missing: "name the file with --inventory FILE, or write one with\n    keelwright init",
    invalid: "nothing on any machine has changed; docs/inventory.md describes every field",
};

const MIGRATION: Wish = Wish {
    noun: "migration",
    missing: "name the migration's file; docs/migration-file.md begins with a short one",
    invalid: "no record and no balancer has changed; docs/migration-file.md describes every field",
};

#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("cannot read {noun} {path}")]
    Read { noun: &'static str, path: Utf8PathBuf, source: std::io::Error },
    #[error("cannot read {noun} {path}: it is a {kind}, not a regular file")]
    NotAFile { noun: &'static str, path: Utf8PathBuf, kind: &'static str },
    #[error("{path}: {noun} is {size} bytes, limit 4 MiB")]
    TooLarge { noun: &'static str, path: Utf8PathBuf, size: u64 },
    #[error("the working directory is not known, or not UTF-8")]
    WorkingDirectory,
    #[error("{headline}\n\n{report}\n")]
    Invalid { headline: String, report: String },
}

/// The cluster of the inventory at `path`, for who touches no machine: those that are still to be made are
/// imagined. As [`wanted`].
pub fn load(path: &Utf8Path) -> Result<Inventory, CommandError> {
    Ok(match wanted(path)? {
        Wanted::Hosts(inventory) => *inventory,
        Wanted::Aws(inventory) => imagined(&inventory),
    })
}

/// Reads and checks the inventory at `path`. Warnings go to stderr.
///
/// # Errors
/// Of kind [`ErrorKind::Usage`], when the file cannot be read or is not a valid inventory.
pub fn wanted(path: &Utf8Path) -> Result<Wanted, CommandError> {
    checked(path, &INVENTORY, parse_wanted)
}

/// Reads and checks the migration at `path`. Warnings go to stderr.
///
/// # Errors
/// As [`wanted`].
pub fn load_migration(path: &Utf8Path) -> Result<Migration, CommandError> {
    checked(path, &MIGRATION, parse_migration)
}

fn checked<T>(
    path: &Utf8Path,
    wish: &Wish,
    parse: impl Fn(&[u8], &Origin<'_>) -> Result<(T, Vec<Diagnostic>), Diagnostics>,
) -> Result<T, CommandError> {
    let bytes = read(path, wish)?;
    let base =
        directory_of(path).ok_or_else(|| CommandError::new(ErrorKind::Usage, LoadError::WorkingDirectory))?;
    let home = std::env::home_dir().and_then(|home| Utf8PathBuf::from_path_buf(home).ok());
    let origin = Origin { file: path.as_str(), base: &base, home: home.as_deref() };
    match parse(&bytes, &origin) {
        Ok((wanted, warnings)) => {
            let source = shown(&bytes);
            for warning in warnings {
                eprintln!("{}", warning.render(path.as_str(), &source));
            }
            Ok(wanted)
        }
        Err(problems) => {
            Err(CommandError::new(ErrorKind::Usage, invalid(path, &problems, &bytes)).hint(wish.invalid))
        }
    }
}

fn invalid(path: &Utf8Path, problems: &Diagnostics, bytes: &[u8]) -> LoadError {
    let count = problems.error_count();
    let headline = format!("{path} has {count} {}", if count == 1 { "problem" } else { "problems" });
    LoadError::Invalid { headline, report: problems.render(&shown(bytes)) }
}

/// The text that excerpts are taken from; columns count from after a byte order mark.
fn shown(bytes: &[u8]) -> String {
    let bytes = bytes.get(..SIZE_LIMIT).unwrap_or(bytes);
    String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).into_owned()
}

/// The bytes of a regular file of at most 4 MiB.
fn read(path: &Utf8Path, wish: &Wish) -> Result<Vec<u8>, CommandError> {
    let noun = wish.noun;
    let usage = |error: LoadError| CommandError::new(ErrorKind::Usage, error);
    let unreadable = |source: std::io::Error| {
        let missing = source.kind() == std::io::ErrorKind::NotFound;
        let error = usage(LoadError::Read { noun, path: path.to_owned(), source });
        match missing {
            true => error.hint(wish.missing),
            false => error,
        }
    };
    // Without O_NONBLOCK, opening a FIFO waits for a writer for ever.
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC)
        .open(path)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        let kind = kind_of(metadata.file_type());
        return Err(usage(LoadError::NotAFile { noun, path: path.to_owned(), kind }));
    }
    let limit = SIZE_LIMIT as u64;
    if metadata.len() > limit {
        return Err(usage(LoadError::TooLarge { noun, path: path.to_owned(), size: metadata.len() }));
    }
    let mut bytes = Vec::new();
    // One byte more, so that a file that grows meanwhile is refused by the parser.
    file.by_ref().take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn kind_of(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    if kind.is_dir() {
        "directory"
    } else if kind.is_fifo() {
        "FIFO"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    }
}

/// The absolute directory of a file.
fn directory_of(path: &Utf8Path) -> Option<Utf8PathBuf> {
    let here = Utf8PathBuf::from_path_buf(std::env::current_dir().ok()?).ok()?;
    Some(here.join(path).parent()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(Utf8PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("keelwright-load-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Scratch(Utf8PathBuf::from_path_buf(path).unwrap())
        }

        fn file(&self, content: &[u8]) -> Utf8PathBuf {
            let path = self.0.join("inventory.yaml");
            std::fs::write(&path, content).unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[track_caller]
    fn refused(path: &Utf8Path, parts: &[&str]) {
        let error = load(path).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Usage);
        for part in parts {
            assert!(error.to_string().contains(part), "{part:?} is not in {error}");
        }
    }

    #[test]
    fn row_01_missing_or_a_directory() {
        let scratch = Scratch::new("row-01");
        refused(&scratch.0.join("none.yaml"), &["cannot read inventory", "No such file", "keelwright init"]);
        refused(&scratch.0, &["it is a directory, not a regular file"]);
    }

    #[test]
    fn row_02_too_large_or_not_a_regular_file() {
        let scratch = Scratch::new("row-02");
        let path = scratch.file(&vec![b' '; SIZE_LIMIT + 1]);
        refused(&path, &["inventory is 4194305 bytes, limit 4 MiB"]);
        let fifo = scratch.0.join("fifo");
        nix::unistd::mkfifo(fifo.as_std_path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        refused(&fifo, &["it is a FIFO"]);
        refused(Utf8Path::new("/dev/zero"), &["it is a device"]);
    }

    #[test]
    fn row_03_encodings() {
        let scratch = Scratch::new("row-03");
        refused(&scratch.file(b"kind: \xff\n"), &["not valid UTF-8 at byte 6", ":1:7"]);
        refused(&scratch.file(b"\xff\xfek\0"), &["UTF-16"]);
        refused(&scratch.file(b"kind: a\nb: \0\n"), &["NUL character at byte 11", ":2:4"]);
        let text = format!("\u{feff}{}", crate::inventory::MINIMAL);
        assert!(load(&scratch.file(text.as_bytes())).is_ok());
    }

    #[test]
    fn a_migration_is_read_under_the_same_limits() {
        let scratch = Scratch::new("migration");
        let no = |path: &Utf8Path, parts: &[&str]| {
            let error = load_migration(path).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Usage);
            for part in parts {
                assert!(error.to_string().contains(part), "{part:?} is not in {error}");
            }
        };
        no(
            &scratch.0.join("none.yaml"),
            &["cannot read migration", "No such file", "name the migration's file"],
        );
        no(&scratch.0, &["cannot read migration", "it is a directory"]);
        no(Utf8Path::new("/dev/zero"), &["it is a device"]);
        let fifo = scratch.0.join("fifo");
        nix::unistd::mkfifo(fifo.as_std_path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        no(&fifo, &["it is a FIFO"]);
        no(&scratch.file(&vec![b' '; SIZE_LIMIT + 1]), &["migration is 4194305 bytes, limit 4 MiB"]);
        let small = crate::inventory::SMALL_MIGRATION;
        no(
            &scratch.file(small.replace("metadata:", "metadate:").as_bytes()),
            &[
                "has 2 problems",
                "did you mean `metadata`?",
                " 3 | metadate",
                "Hint: no record and no balancer",
            ],
        );
        no(&scratch.file(crate::inventory::MINIMAL.as_bytes()), &["this file is an inventory"]);
        refused(&scratch.file(small.as_bytes()), &["has 1 problem", "this file is a migration"]);
        let path = scratch.file(
            small
                .replace("name: shop-new", "name: shop-new}, inventory: x.yaml")
                .replace("yaml}}", "yaml}")
                .as_bytes(),
        );
        let migration = load_migration(&path).unwrap();
        assert_eq!(migration.green.inventory, Some(scratch.0.join("x.yaml")), "it starts at the file");
    }

    #[test]
    fn problems_are_shown_with_their_lines() {
        let scratch = Scratch::new("shown");
        let path = scratch.file(crate::inventory::MINIMAL.replace("roles:", "rolls:").as_bytes());
        refused(
            &path,
            &[
                "has 1 problem",
                "did you mean `roles`?",
                " 6 |   - {name: node-1",
                "^^^^^",
                "Hint: nothing on any machine",
            ],
        );
    }
}
