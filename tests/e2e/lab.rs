//! The lab itself: machines boot, break in every way there is a command for, and leave nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use keelwright::lab::{End, Lab, LabName, LabSpec, MachineName, Progress, Role, Status};

/// Where the root file system is shared with the command line's own labs.
pub(crate) fn cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    set("KEELWRIGHT_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|caches| caches.join("keelwright")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/keelwright")))
        .expect("HOME is set")
}

/// Why machines cannot be made here, if they cannot.
pub(crate) fn skip_reason() -> Option<String> {
    if !keelwright::lab::is_root() {
        return Some("lab machines take root on Linux".to_owned());
    }
    let missing = keelwright::lab::missing_tools();
    let names: Vec<_> = missing.iter().map(|missing| missing.tool).collect();
    (!names.is_empty()).then(|| format!("missing {}", names.join(", ")))
}

fn run(argv: &[&str]) -> String {
    let output = Command::new(argv[0]).args(&argv[1..]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everything on this system that belongs to a lab. Other labs may run beside, so it looks for what
/// bears this one's marks: its directory, its name, its subnet.
fn traces(name: &LabName, directory: &Path, subnet: u8) -> BTreeSet<String> {
    let directory = directory.to_str().unwrap();
    let mut found = BTreeSet::new();
    let mut keep = |kind: &str, text: &str, marks: &[&str]| {
        for line in text.lines().filter(|line| marks.iter().any(|mark| line.contains(mark))) {
            found.insert(format!("{kind}: {}", line.trim()));
        }
    };
    // A network, mount or control group namespace lives only as long as a process or a mount in it.
    keep("process", &run(&["ps", "-eo", "args"]), &[directory]);
    keep("mount", &std::fs::read_to_string("/proc/self/mountinfo").unwrap(), &[directory]);
    keep("link", &run(&["ip", "-o", "link"]), &[&format!("kwlab{subnet}:"), &format!(" kw{subnet}-")]);
    keep("address", &run(&["ip", "-o", "-4", "address"]), &[&format!("198.18.{subnet}.")]);
    keep("table", &run(&["nft", "list", "tables"]), &[&format!("keelwright_lab_{subnet}")]);
    let group = format!("keelwright-lab-{name}");
    keep("group", &run(&["find", "/sys/fs/cgroup", "-type", "d", "-name", &group]), &[&group]);
    keep("file", &run(&["find", "/run", "-maxdepth", "3", "-path", "*keelwright-lab*"]), &["/"]);
    keep("file", &run(&["find", "/tmp", "-maxdepth", "1", "-path", "*keelwright-lab*"]), &["/"]);
    if Path::new(directory).exists() {
        found.insert(format!("file: {directory}"));
    }
    found
}

fn limits() -> String {
    run(&["sysctl", "fs.inotify", "kernel.pid_max", "net.netfilter.nf_conntrack_max"])
}

fn ssh(lab: &Lab, machine: MachineName, user: &str, script: &str) -> Output {
    lab.ssh(machine, user).unwrap().arg("--").arg(script).output().unwrap()
}

/// Runs a script as root and returns what it printed; it must succeed.
fn ask(lab: &Lab, machine: MachineName, script: &str) -> String {
    let output = ssh(lab, machine, "root", script);
    assert!(output.status.success(), "{machine}: {script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn hears(lab: &Lab, machine: MachineName, address: std::net::Ipv4Addr) -> bool {
    ssh(lab, machine, "root", &format!("timeout 1 bash -c '</dev/tcp/{address}/22'")).status.success()
}

fn subnet(lab: &Lab) -> u8 {
    lab.machines()[0].address.octets()[2]
}

#[test]
fn a_lab_boots_breaks_on_command_and_leaves_nothing() {
    if let Some(reason) = skip_reason() {
        eprintln!("skipped: {reason}");
        return;
    }
    let name: LabName = "e2e-lab".parse().unwrap();
    let alone = Lab::names(&cache()).unwrap().iter().all(|other| *other == name);
    let _ = Lab::remove(&cache(), &name, &Progress::none()); // of a run that was interrupted
    let limits_before = limits();

    let mut spec = LabSpec::new(cache(), name.clone(), 1, 1);
    let mut lab = Lab::up(&spec, &Progress::none()).unwrap();
    let cp: MachineName = "cp-1".parse().unwrap();
    let worker: MachineName = "worker-1".parse().unwrap();
    let [cp_address, worker_address] = [lab.machines()[0].address, lab.machines()[1].address];
    let (directory, subnet) = (lab.directory().to_owned(), subnet(&lab));
    assert!(traces(&name, &directory, subnet).len() > 10, "the search for traces finds a running lab");

    looks_like_a_machine(&lab, cp);
    users_get_the_rights_they_are_said_to_have(&lab, cp);

    // A cut is between two, both ways, and the operator still hears both; it outlives a reboot.
    lab.cut(End::Machine(cp), End::Machine(worker)).unwrap();
    assert!(!hears(&lab, cp, worker_address) && !hears(&lab, worker, cp_address));
    lab.reboot(worker, true).unwrap();
    assert!(!hears(&lab, worker, cp_address));
    lab.mend(End::Machine(worker), End::Machine(cp)).unwrap();
    assert!(hears(&lab, cp, worker_address) && hears(&lab, worker, cp_address));

    // Frozen, a machine holds its connections and answers nothing.
    lab.pause(cp).unwrap();
    assert_eq!(lab.status(cp).unwrap(), Status::Paused);
    assert!(!hears_answer(cp_address), "a paused machine must not greet");
    Lab::up(&spec, &Progress::none()).unwrap();
    assert_eq!(lab.status(cp).unwrap(), Status::Paused, "`up` leaves what was paused");
    lab.resume(cp).unwrap();
    assert_eq!(ask(&lab, cp, "hostname"), "cp-1");

    // A power cut takes all processes and no file that was synced.
    ask(&lab, cp, "echo kept > /root/file && sync");
    lab.kill(cp).unwrap();
    assert_eq!(lab.status(cp).unwrap(), Status::Off);
    assert_eq!(lab.status(worker).unwrap(), Status::Running);
    let worker_boot = ask(&lab, worker, "cat /proc/sys/kernel/random/boot_id");
    spec.counts.insert(Role::Spare, 1);
    lab = Lab::up(&spec, &Progress::none()).unwrap();
    assert_eq!(ask(&lab, cp, "cat /root/file"), "kept");
    assert_eq!(ask(&lab, "spare-1".parse().unwrap(), "hostname"), "spare-1");
    assert_eq!(ask(&lab, worker, "cat /proc/sys/kernel/random/boot_id"), worker_boot, "`up` left it alone");

    // A clean reboot runs shutdown, and nothing in the kernel stays of the boot before.
    ask(
        &lab,
        worker,
        "nft add table ip leftover; systemd-run --quiet --property=ExecStop='touch /root/stopped' sleep 999",
    );
    lab.reboot(worker, false).unwrap();
    assert_ne!(ask(&lab, worker, "cat /proc/sys/kernel/random/boot_id"), worker_boot);
    assert_eq!(ask(&lab, worker, "test -e /root/stopped && nft list tables"), "");

    // Frozen or not, `down` removes everything.
    lab.pause(worker).unwrap();
    lab.down().unwrap();
    assert_eq!(traces(&name, &directory, subnet), BTreeSet::new());
    if alone && Lab::names(&cache()).unwrap().is_empty() {
        assert_eq!(limits(), limits_before);
    }
}

/// Connects and waits for a greeting, as `up` does.
fn hears_answer(address: std::net::Ipv4Addr) -> bool {
    use std::io::Read;
    let Ok(mut stream) = std::net::TcpStream::connect_timeout(&(address, 22).into(), Duration::from_secs(1))
    else {
        return false;
    };
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    stream.read_exact(&mut [0; 4]).is_ok()
}

fn looks_like_a_machine(lab: &Lab, machine: MachineName) {
    // "running" also says that no unit failed.
    assert_eq!(ask(lab, machine, "systemctl is-system-running --wait"), "running");
    assert_eq!(ask(lab, machine, "ip route show default"), "", "nothing leaves the lab");
    assert_eq!(ask(lab, machine, "modprobe overlay && modprobe br_netfilter && echo yes"), "yes");
    // What containerd, kubelet and kube-proxy do.
    ask(lab, machine, "mkdir /sys/fs/cgroup/memory/x 2>/dev/null || mkdir /sys/fs/cgroup/x");
    ask(lab, machine, "sysctl -w net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1");
    ask(lab, machine, "iptables -t nat -N X && iptables -t nat -X X");
    ask(
        lab,
        machine,
        "cd /var/lib/containerd && mkdir l u w m && mount -t overlay o -olowerdir=l,upperdir=u,workdir=w m && umount m",
    );
    ask(lab, machine, "dd if=/dev/kmsg bs=8192 count=1 2>/dev/null");
    assert_eq!(ask(lab, machine, "command -v runc haproxy conntrack socat ethtool ebtables | wc -l"), "6");
    assert_eq!(ask(lab, machine, "command -v containerd || echo none"), "none");
    assert_eq!(ask(lab, machine, "systemctl is-enabled haproxy || true"), "masked");
}

fn users_get_the_rights_they_are_said_to_have(lab: &Lab, machine: MachineName) {
    let admin = ssh(lab, machine, "admin", "sudo -n id -un");
    assert_eq!(String::from_utf8_lossy(&admin.stdout), "root\n");
    let deploy = lab.users().iter().find(|user| user.name == "deploy").unwrap();
    assert!(!ssh(lab, machine, "deploy", "sudo -n true").status.success());
    let script = format!("echo {} | sudo -S -p '' id -un", deploy.sudo_password.as_ref().unwrap());
    assert_eq!(String::from_utf8_lossy(&ssh(lab, machine, "deploy", &script).stdout), "root\n");
}

#[test]
fn an_up_that_was_killed_anywhere_goes_on_or_goes_away() {
    if let Some(reason) = skip_reason() {
        eprintln!("skipped: {reason}");
        return;
    }
    let name: LabName = "e2e-crash".parse().unwrap();
    let _ = Lab::remove(&cache(), &name, &Progress::none());
    let directory = cache().join("labs").join(name.as_str());
    let spec = LabSpec::new(cache(), name.clone(), 1, 1);
    // The first makes the root file system if need be; the second says how long a whole one takes,
    // so that the kills are spread over it.
    Lab::up(&spec, &Progress::none()).unwrap().down().unwrap();
    let begin = Instant::now();
    let lab = Lab::up(&spec, &Progress::none()).unwrap();
    let (whole, subnet) = (begin.elapsed(), subnet(&lab));
    lab.down().unwrap();
    for part in 0..8 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_keelwright"))
            .args(["lab", "up", "--name", name.as_str(), "--cache"])
            .arg(cache())
            .spawn()
            .unwrap();
        std::thread::sleep(whole * part / 8);
        child.kill().unwrap();
        child.wait().unwrap();
        if part % 2 == 1 {
            let lab = Lab::up(&spec, &Progress::none()).unwrap();
            for machine in lab.machines() {
                assert_eq!(ask(&lab, machine.name, "hostname"), machine.name.to_string());
            }
        }
        // Killed before it made its directory, there is nothing to remove.
        if directory.exists() {
            Lab::remove(&cache(), &name, &Progress::none()).unwrap();
        }
        assert_eq!(traces(&name, &directory, subnet), BTreeSet::new(), "after {part}/8 of an up");
    }
}
