//! Looks once a second what every host runs while something is done to a cluster, and writes it down as
//! JSON and as a picture. What a listing means, and what comes of it, is [`keelwright::timeline`]'s matter.

use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use keelwright::timeline::{Recorder, Timeline, calls, sample_of};

use crate::cluster::Cluster;
use crate::lab::cache;

/// More often, and kubectl itself takes a noticeable part of a small machine.
const INTERVAL: Duration = Duration::from_secs(1);

/// One that samples until it is stopped, or dropped.
pub struct Sampler {
    began: SystemTime,
    clock: Instant,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<Recorder>>,
}

/// Asks one API server after another, each with a kubectl of its own.
struct Asker {
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    servers: Vec<String>,
}

impl Asker {
    /// What the first API server says that answers. None: a sample that failed is a gap in the picture.
    fn listing(&mut self) -> Option<Vec<u8>> {
        for _ in 0..self.servers.len() {
            let server = self.servers.first()?;
            let output = Command::new(&self.kubectl)
                .arg("--kubeconfig")
                .arg(&self.kubeconfig)
                .args(["--server", server, "--request-timeout=2s"])
                .args(["get", "nodes,pods", "--all-namespaces", "--output", "json"])
                .output()
                .ok()?;
            if output.status.success() {
                return Some(output.stdout);
            }
            // The one that answered last is asked first.
            self.servers.rotate_left(1);
        }
        None
    }
}

impl Sampler {
    pub fn start(cluster: &Cluster, control_planes: &[&str]) -> Self {
        let mut asker = Asker {
            kubectl: cluster.bundle().join("bin/kubectl"),
            kubeconfig: cluster.kubeconfig(),
            servers: control_planes
                .iter()
                .map(|host| format!("https://{}:6443", cluster.address(host)))
                .collect(),
        };
        let (began, clock) = (SystemTime::now(), Instant::now());
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut recorder = Recorder::default();
            loop {
                // What a slow answer says was so when it was asked for.
                let at = clock.elapsed();
                if let Some(sample) = asker.listing().and_then(|listing| sample_of(&listing).ok()) {
                    recorder.add(at.as_secs_f64(), sample);
                }
                let left = (at + INTERVAL).saturating_sub(clock.elapsed());
                match stopped.recv_timeout(left) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                        // How it ended.
                        let at = clock.elapsed().as_secs_f64();
                        if let Some(sample) = asker.listing().and_then(|listing| sample_of(&listing).ok()) {
                            recorder.add(at, sample);
                        }
                        return recorder;
                    }
                }
            }
        });
        Sampler { began, clock, stop: Some(stop), thread: Some(thread) }
    }

    pub fn stop(mut self) -> Recorded {
        drop(self.stop.take());
        let recorder = self.thread.take().unwrap().join().unwrap();
        let seconds = self.clock.elapsed().as_secs_f64();
        let began = self.began.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        Recorded { recorder, began, seconds }
    }
}

/// What a sampler saw.
pub struct Recorded {
    recorder: Recorder,
    /// Seconds since 1970.
    began: f64,
    seconds: f64,
}

impl Recorded {
    /// With what clients wrote down meanwhile, in lines that [`calls`] reads.
    pub fn timeline(self, title: &str, log: &str) -> Timeline {
        self.recorder.timeline(title, self.seconds, calls(log, self.began, self.seconds))
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // A test that fails must not leave a thread that asks a cluster which is gone.
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Writes `NAME.json` and `NAME.svg`, and says where.
pub fn write(name: &str, timeline: &Timeline) {
    let directory =
        std::env::var_os("KEELWRIGHT_TIMELINES").map_or_else(|| cache().join("timelines"), PathBuf::from);
    std::fs::create_dir_all(&directory).unwrap();
    let json = serde_json::to_string_pretty(timeline).unwrap() + "\n";
    for (ending, text) in [("json", json), ("svg", timeline.svg())] {
        let path = directory.join(format!("{name}.{ending}"));
        std::fs::write(&path, text).unwrap();
        eprintln!("timeline: {}", path.display());
    }
}
