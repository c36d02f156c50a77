//! Executables built from pinned Go modules: where the lab's come from.
//!
//! Each is cached under a hash of all that goes into it, `go/<hash>/<name>`, and appears there whole, so a
//! run that was interrupted goes on with the next executable.

mod command;
mod sets;

use std::fs::{self, File};
use std::process::Stdio;
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::process::Command;
use tokio::sync::OnceCell;

pub use command::{GoCommand, go_command};

use super::hash::{Staged, fingerprint_bytes, write_file};
use super::{BundleError, Event, Report, elf};
use crate::release::artifact::Arch;

/// Lines of go's output shown when it fails.
const SHOWN_LINES: usize = 20;

/// Builds and remembers.
pub struct GoBuilder {
    cache: Utf8PathBuf,
    arch: Arch,
    go_version: OnceCell<String>,
}

/// An executable in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    pub path: Utf8PathBuf,
    /// What it was made from, ending in the hash that names it.
    pub source: String,
}

impl GoBuilder {
    /// `cache` is keelwright's cache directory.
    pub fn new(cache: &Utf8Path, arch: Arch) -> Self {
        GoBuilder { cache: cache.join("go"), arch, go_version: OnceCell::new() }
    }

    /// Where the executable is or will be, without building it.
    pub async fn locate(&self, command: &GoCommand) -> Result<Built, BundleError> {
        let go = self.go_version.get_or_try_init(go_version).await?;
        let key = key(command, self.arch, go);
        Ok(Built {
            path: self.cache.join(&key).join(&command.name),
            source: format!("{}, {go}, {key}", command.describe()),
        })
    }

    /// The executable; built if it is not in the cache.
    pub async fn build(&self, command: &GoCommand, report: Report<'_>) -> Result<Built, BundleError> {
        let built = self.locate(command).await?;
        if built.path.exists() {
            return Ok(built);
        }
        // Another keelwright may be building the same: wait for it rather than do it twice.
        let _lock = lock(&built.path).await?;
        if built.path.exists() {
            return Ok(built);
        }
        report(Event::Building { name: command.name.clone(), set: command.set.name });
        let start = Instant::now();
        self.run_go(command, &built.path).await?;
        report(Event::Built { name: command.name.clone(), elapsed: start.elapsed() });
        Ok(built)
    }

    async fn run_go(&self, command: &GoCommand, target: &Utf8Path) -> Result<(), BundleError> {
        let directory = self.unpack_set(command)?;
        let mut staged = Staged::create(target)?;
        staged.close();
        let output = Command::new("go")
            .current_dir(&directory)
            // -mod=readonly: whatever go.sum does not name is refused, not looked up.
            .env("GOFLAGS", "-mod=readonly -buildvcs=false")
            .env("GOWORK", "off")
            .env("GO111MODULE", "on")
            .env("CGO_ENABLED", "0")
            .env("GOOS", "linux")
            .env("GOARCH", self.arch.as_str())
            // A fifth less of the compiler's time, for memory: it collects its own garbage less often, and makes no
            // debug information that the linker (`-s -w`) would throw away.
            .env("GOGC", "400")
            .args(["build", "-trimpath", "-gcflags=all=-dwarf=false", "-tags", command.tags])
            .args(["-ldflags", &command.linker_flags, "-o"])
            .args([staged.path().as_str(), &command.package])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|source| BundleError::NoGo { source })?;
        if !output.status.success() {
            return Err(BundleError::GoBuild {
                name: command.name.clone(),
                status: output.status.to_string(),
                output: last_lines(&String::from_utf8_lossy(&output.stderr)),
            });
        }
        elf::check_arch(staged.path(), self.arch)?;
        staged.commit(true)
    }

    /// Writes the set's files under a name made of their content: a later release with other files of the
    /// same set does not disturb a build that runs.
    fn unpack_set(&self, command: &GoCommand) -> Result<Utf8PathBuf, BundleError> {
        let digest = set_digest(command);
        let directory = self.cache.join("sets").join(format!("{}-{}", command.set.name, short(&digest)));
        for (name, content) in command.set.files {
            let path = directory.join(name);
            if fs::read_to_string(&path).ok().as_deref() != Some(*content) {
                write_file(&path, content.as_bytes())?;
            }
        }
        Ok(directory)
    }
}

async fn lock(path: &Utf8Path) -> Result<File, BundleError> {
    let path = path.with_extension("lock");
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(BundleError::io("create directory", directory))?;
    }
    let file = File::create(&path).map_err(BundleError::io("create", &path))?;
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    locked.map_err(std::io::Error::other).and_then(|result| result).map_err(BundleError::io("lock", &path))
}

async fn go_version() -> Result<String, BundleError> {
    let output = Command::new("go").args(["env", "GOVERSION"]).env("GOWORK", "off").output().await;
    let output = output.map_err(|source| BundleError::NoGo { source })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A hash of all that decides what the executable does.
fn key(command: &GoCommand, arch: Arch, go_version: &str) -> String {
    let inputs = [
        set_digest(command).as_str(),
        &command.package,
        command.tags,
        &command.linker_flags,
        arch.as_str(),
        go_version,
    ]
    .join("\n");
    short(fingerprint_bytes(inputs.as_bytes()).sha256.as_str()).to_owned()
}

fn set_digest(command: &GoCommand) -> String {
    let mut bytes = Vec::new();
    for (name, content) in command.set.files {
        bytes.extend(format!("{name} {}\n", content.len()).bytes());
        bytes.extend(content.bytes());
    }
    fingerprint_bytes(&bytes).sha256.as_str().to_owned()
}

/// 64 bits name a cache entry well enough.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("go: downloading")).collect();
    lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::request::Request;

    fn kubelet() -> GoCommand {
        go_command("kubelet", &Request::for_test("v1.37.1".parse().unwrap())).unwrap().unwrap()
    }

    #[test]
    fn the_key_changes_with_every_input() {
        let base = key(&kubelet(), Arch::Amd64, "go1.26.8");
        assert_eq!(base, key(&kubelet(), Arch::Amd64, "go1.26.8"));
        assert_ne!(base, key(&kubelet(), Arch::Arm64, "go1.26.8"));
        assert_ne!(base, key(&kubelet(), Arch::Amd64, "go1.26.9"));
        let change = |edit: fn(&mut GoCommand)| {
            let mut command = kubelet();
            edit(&mut command);
            key(&command, Arch::Amd64, "go1.26.8")
        };
        assert_ne!(base, change(|command| command.package.push('x')));
        assert_ne!(base, change(|command| command.tags = "x"));
        assert_ne!(base, change(|command| command.linker_flags.push('x')));
        assert_ne!(base, change(|command| command.set = &sets::SETS[0]));
    }

    #[test]
    fn a_failed_build_shows_its_last_lines_without_the_downloads() {
        let text: String = (0..30).map(|line| format!("line {line}\ngo: downloading x v1\n")).collect();
        let shown = last_lines(&text);
        assert_eq!(shown.lines().count(), SHOWN_LINES);
        assert!(shown.starts_with("line 10\n") && shown.ends_with("line 29"), "{shown}");
    }
}
