use super::sshd::{Fleet, Sshd, host, script};
use keelwright::exec::Remote;
use std::time::Instant;
fn cpu() -> f64 {
    let u = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).unwrap();
    (u.user_time().tv_sec() + u.system_time().tv_sec()) as f64 * 1e3
        + (u.user_time().tv_usec() + u.system_time().tv_usec()) as f64 / 1e3
}
fn kib(n: &str) -> u64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    s.lines().find_map(|l| l.strip_prefix(n)).unwrap().trim().trim_end_matches(" kB").parse().unwrap()
}
#[tokio::test(flavor = "multi_thread")]
#[ignore]
async fn measure() {
    let n: usize = std::env::var("N").unwrap().parse().unwrap();
    let servers: Vec<Sshd> = (0..n).map(|_| Sshd::start().unwrap()).collect();
    let names: Vec<String> = (0..n).map(|i| format!("n{i}")).collect();
    let m: Vec<_> = names.iter().zip(&servers).map(|(a, s)| (a.as_str(), s.ssh())).collect();
    for round in 0..3 {
        let fleet = Fleet::new(&m);
        let (c, r, t) = (cpu(), kib("VmRSS:"), Instant::now());
        let all = names.iter().map(|name| {
            let f = fleet.remote.clone();
            let h = host(name);
            tokio::spawn(async move {
                f.probe(&h, "uname -n; test -d /etc", b"").await.unwrap();
            })
        });
        futures::future::join_all(all).await;
        println!(
            "round {round}: probe {n} hosts cold: {:.2} s wall, {:.2} ms cpu/host, {} KiB rss/host",
            t.elapsed().as_secs_f64(),
            (cpu() - c) / n as f64,
            (kib("VmRSS:").saturating_sub(r)) / n as u64
        );
        let (c, t) = (cpu(), Instant::now());
        let all = names.iter().map(|name| {
            let f = fleet.remote.clone();
            let h = host(name);
            tokio::spawn(async move {
                f.probe(&h, "uname -n; test -d /etc", b"").await.unwrap();
            })
        });
        futures::future::join_all(all).await;
        println!(
            "  again warm: {:.2} s wall, {:.2} ms cpu/host",
            t.elapsed().as_secs_f64(),
            (cpu() - c) / n as f64
        );
        let (c, t) = (cpu(), Instant::now());
        let all = names.iter().map(|name| {
            let f = fleet.remote.clone();
            let h = host(name);
            tokio::spawn(async move {
                f.run(&h, &script("x", vec![])).await.unwrap();
            })
        });
        futures::future::join_all(all).await;
        println!(
            "  empty stage: {:.2} s wall, {:.2} ms cpu/host",
            t.elapsed().as_secs_f64(),
            (cpu() - c) / n as f64
        );
    }
    let t = Instant::now();
    let children: Vec<_> = servers
        .iter()
        .map(|s| {
            std::process::Command::new("ssh")
                .args([
                    "-c",
                    "aes128-gcm@openssh.com",
                    "-o",
                    "KexAlgorithms=curve25519-sha256",
                    "-o",
                    "StrictHostKeyChecking=no",
                    "-o",
                    "LogLevel=ERROR",
                    "-o",
                    "UserKnownHostsFile=/dev/null",
                    "-i",
                    s.client_key().as_str(),
                    "-p",
                    &s.port.to_string(),
                    "root@127.0.0.1",
                    "sh -c 'uname -n; test -d /etc'",
                ])
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut c in children {
        assert!(c.wait().unwrap().success());
    }
    println!("ssh, same script: {:.2} s", t.elapsed().as_secs_f64());
    println!("peak {} KiB", kib("VmHWM:"));
}
#[tokio::test(flavor = "multi_thread")]
#[ignore]
async fn measure_upload() {
    let n = 10;
    let servers: Vec<Sshd> = (0..n).map(|_| Sshd::start().unwrap()).collect();
    let names: Vec<String> = (0..n).map(|i| format!("n{i}")).collect();
    let m: Vec<_> = names.iter().zip(&servers).map(|(a, s)| (a.as_str(), s.ssh())).collect();
    let fleet = Fleet::new(&m);
    let source = fleet.scratch.0.join("artifact");
    std::process::Command::new("sh")
        .args(["-c", &format!("head -c 50000000 /dev/urandom >{source}")])
        .status()
        .unwrap();
    let sum =
        String::from_utf8(std::process::Command::new("sha256sum").arg(&source).output().unwrap().stdout)
            .unwrap()[..64]
            .to_owned();
    let (c, r, t) = (cpu(), kib("VmHWM:"), Instant::now());
    let all = names.iter().map(|name| {
        let f = fleet.remote.clone();
        let h = host(name);
        let (s, x) = (source.clone(), sum.clone());
        tokio::spawn(async move {
            f.upload(&h, &s, &x, &|_| {}).await.unwrap();
        })
    });
    futures::future::join_all(all).await;
    println!(
        "upload 50 MB to {n}: {:.2} s wall, {:.0} ms cpu, peak +{} KiB",
        t.elapsed().as_secs_f64(),
        cpu() - c,
        kib("VmHWM:") - r
    );
    let t = Instant::now();
    let children: Vec<_> = servers
        .iter()
        .map(|s| {
            std::process::Command::new("scp")
                .args([
                    "-O",
                    "-q",
                    "-c",
                    "aes128-gcm@openssh.com",
                    "-o",
                    "KexAlgorithms=curve25519-sha256",
                    "-o",
                    "StrictHostKeyChecking=no",
                    "-o",
                    "UserKnownHostsFile=/dev/null",
                    "-i",
                    s.client_key().as_str(),
                    "-P",
                    &s.port.to_string(),
                    source.as_str(),
                    &format!("root@127.0.0.1:{}/copy", s.scratch.0),
                ])
                .spawn()
                .unwrap()
        })
        .collect();
    for mut c in children {
        assert!(c.wait().unwrap().success());
    }
    println!("scp: {:.2} s", t.elapsed().as_secs_f64());
}
