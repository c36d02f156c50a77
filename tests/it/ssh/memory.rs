//! An upload holds a few pieces of a file, not the file.

use std::process::Command;

use keelwright::exec::Remote;
use sha2::{Digest, Sha256};

use super::sshd::{Fleet, Sshd, host};

const SIZE: usize = 50 << 20;
/// Well under the file, well over the window and the pieces under way.
const ALLOWED_KIB: u64 = 12 << 10;

#[test]
fn an_upload_of_50_mb_takes_a_few_mb_of_memory() {
    // In a process of its own: peak memory is the process's.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ssh::memory::upload_alone", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[tokio::test]
#[ignore = "started by the test above"]
async fn upload_alone() {
    let Some(server) = Sshd::start() else { return };
    let fleet = Fleet::new(&[("a", server.ssh())]);
    let source = fleet.scratch.0.join("artifact");
    let mut hash = Sha256::new();
    {
        let mut file = std::io::BufWriter::new(std::fs::File::create(&source).unwrap());
        for number in 0..SIZE / 64 {
            let line = format!("{number:063}\n");
            hash.update(&line);
            std::io::Write::write_all(&mut file, line.as_bytes()).unwrap();
        }
    }
    fleet.remote.probe(&host("a"), "true", b"").await.unwrap();
    let before = peak_kib();
    fleet.remote.upload(&host("a"), &source, &hex::encode(hash.finalize()), &|_| {}).await.unwrap();
    let grown = peak_kib() - before;
    println!("peak memory grew by {grown} KiB");
    assert!(grown < ALLOWED_KIB, "{grown} KiB");
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
