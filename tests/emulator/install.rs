//! moto in a Python environment of its own, made once below keelwright's cache directory.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};

pub const MOTO_VERSION: &str = "5.2.5";

/// The Python that has moto; or why there is none, found out once in a run.
pub fn python() -> Result<Utf8PathBuf, String> {
    static PYTHON: OnceLock<Result<Utf8PathBuf, String>> = OnceLock::new();
    PYTHON.get_or_init(|| install(&cache_directory()?, fill)).clone()
}

/// Has the environment below `cache` filled unless it is there, while others that want it wait.
fn install(
    cache: &Utf8Path,
    fill: impl FnOnce(&Utf8Path) -> Result<(), String>,
) -> Result<Utf8PathBuf, String> {
    let ready = cache.join(format!("moto-{MOTO_VERSION}"));
    let python = ready.join("bin/python");
    if python.exists() {
        return Ok(python);
    }
    let lock = lock(cache)?;
    // Somebody else may have made it while this one waited.
    if !python.exists() {
        // One name for all attempts: the lock says that nobody else is at it, and what a killed one left goes.
        let partial = cache.join(format!("moto-{MOTO_VERSION}.partial"));
        let _ = fs::remove_dir_all(&partial);
        let made =
            fill(&partial).and_then(|()| fs::rename(&partial, &ready).map_err(|error| error.to_string()));
        if let Err(reason) = made {
            let _ = fs::remove_dir_all(&partial);
            return Err(reason);
        }
    }
    drop(lock);
    Ok(python)
}

fn cache_directory() -> Result<Utf8PathBuf, String> {
    let home = || Some(Utf8PathBuf::from(std::env::var("HOME").ok()?).join(".cache/keelwright"));
    let set = std::env::var("KEELWRIGHT_CACHE").ok().map(Utf8PathBuf::from);
    set.or_else(home).ok_or_else(|| "neither KEELWRIGHT_CACHE nor HOME is set".into())
}

fn lock(cache: &Utf8Path) -> Result<File, String> {
    let path = cache.join(format!("moto-{MOTO_VERSION}.lock"));
    let locked = fs::create_dir_all(cache).and_then(|()| {
        let file = File::create(&path)?;
        file.lock()?;
        Ok(file)
    });
    locked.map_err(|error| format!("cannot lock {path}: {error}"))
}

fn fill(directory: &Utf8Path) -> Result<(), String> {
    run(Command::new("python3").args(["-m", "venv"]).arg(directory))
        .map_err(|reason| format!("python3 -m venv: {reason} (apt-get install python3-venv)"))?;
    let python = directory.join("bin/python");
    let package = format!("moto[server]=={MOTO_VERSION}");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"];
    run(Command::new(&python).args(pip).arg(&package))
        .map_err(|reason| format!("pip install {package}: {reason}"))?;
    // The scripts in bin/ name the directory they were made in, so nothing but Python itself is used.
    run(Command::new(&python).args(["-c", "import moto.server"]))
        .map_err(|reason| format!("{package} does not load: {reason}"))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Err(said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it failed").to_owned())
}

mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// What filling comes to, without a network.
    fn touch(directory: &Utf8Path) -> Result<(), String> {
        fs::create_dir_all(directory.join("bin")).unwrap();
        fs::write(directory.join("bin/python"), "").map_err(|error| error.to_string())
    }

    fn scratch() -> Utf8PathBuf {
        let path = std::env::temp_dir().join(format!("keelwright-it-{}", uuid::Uuid::new_v4()));
        path.try_into().unwrap()
    }

    #[test]
    fn an_environment_is_made_once_and_only_whole() {
        let (cache, made) = (scratch(), AtomicUsize::new(0));
        let left = cache.join(format!("moto-{MOTO_VERSION}.partial/bin"));
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("half"), "").unwrap();
        let failed = install(&cache, |directory| touch(directory).and(Err("no network".into())));
        assert_eq!(failed, Err("no network".into()));
        assert!(!left.exists());
        let once = |directory: &Utf8Path| {
            made.fetch_add(1, Ordering::SeqCst);
            touch(directory)
        };
        let pythons = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| install(&cache, once).unwrap()));
            threads.map(|thread| thread.join().unwrap())
        });
        assert!(pythons.iter().all(|python| python.exists() && *python == pythons[0]));
        assert_eq!(made.into_inner(), 1);
        fs::remove_dir_all(cache).unwrap();
    }
}
