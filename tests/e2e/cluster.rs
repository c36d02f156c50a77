//! A cluster under test: a lab, a bundle, and the keelwright binary at work on them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use keelwright::lab::{Lab, LabName, LabSpec, MachineName, Progress, Role};

use crate::lab::cache;

/// What a cluster is made of, with kubeadm and the workload of tests.
const WHOLE: &[&str] = &["--with", "agnhost,kubeadm"];
/// What control planes need of a minor that an upgrade only passes.
const PASSED: &[&str] = &["--only", "control-plane"];

/// Collects a version's artifacts.
pub fn collect(version: &str, what: &[&str]) {
    let source = std::env::var("BUNDLE_FROM").unwrap_or_else(|_| "go-modules".to_owned());
    let mut command = keelwright();
    command.args(["bundle", "--kubernetes-version", version, "--from", &source]).args(what);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The program under test.
fn keelwright() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keelwright"));
    command.env("KEELWRIGHT_CACHE", cache()).stdin(Stdio::null());
    command
}

pub struct Cluster {
    pub lab: Lab,
    pub version: &'static str,
    spec: LabSpec,
    /// Given to every command that works on the cluster.
    extra: Vec<String>,
}

impl Cluster {
    /// Makes the bundle and the machines; an earlier lab of the same name goes first.
    pub fn new(name: &str, version: &'static str, counts: &[(Role, u8)]) -> Self {
        Self::with_bundles(name, version, &[(version, WHOLE)], counts)
    }

    /// The same for a cluster that will be upgraded: by then its machines share the processors, so all that is
    /// built is built before.
    pub fn to_upgrade(
        name: &str,
        from: &'static str,
        passing: &[&'static str],
        to: &'static str,
        counts: &[(Role, u8)],
    ) -> Self {
        let mut bundles = vec![(from, WHOLE), (to, WHOLE)];
        bundles.extend(passing.iter().map(|version| (*version, PASSED)));
        Self::with_bundles(name, from, &bundles, counts)
    }

    fn with_bundles(
        name: &str,
        version: &'static str,
        bundles: &[(&str, &[&str])],
        counts: &[(Role, u8)],
    ) -> Self {
        bundles.iter().for_each(|(version, what)| collect(version, what));
        let name: LabName = name.parse().unwrap();
        let _ = Lab::remove(&cache(), &name, &Progress::none());
        let mut spec = LabSpec::new(cache(), name, 0, 0);
        spec.counts.extend(counts.iter().copied());
        spec.kubernetes_version = Some(version.to_owned());
        let lab = Lab::up(&spec, &Progress::none()).unwrap();
        Cluster { lab, version, spec, extra: Vec::new() }
    }

    /// Writes another version into the inventory.
    pub fn upgrade_to(&mut self, version: &'static str) {
        let old = self.version;
        self.edit(|text| text.replace(old, version));
        self.version = version;
    }

    /// Adds machines; the inventory names them too.
    pub fn grow(&mut self, counts: &[(Role, u8)]) {
        self.spec.counts.extend(counts.iter().copied());
        self.lab = Lab::up(&self.spec, &Progress::none()).unwrap();
    }

    /// Takes a host out of the inventory.
    pub fn drop_host(&self, host: &str) {
        let marker = format!("- name: {host}\n");
        self.edit(|text| {
            let start = text.find(&marker).unwrap();
            let rest = &text[start + marker.len()..];
            // The next host, or the next key of the whole.
            let ends = |line: &str| !line.starts_with(' ');
            let length: usize = rest.split_inclusive('\n').take_while(|line| !ends(line)).map(str::len).sum();
            format!("{}{}", &text[..start], &rest[length..])
        });
    }

    /// Works as the user who has to type a password for sudo.
    pub fn as_deploy(&mut self) {
        let deploy = self.lab.users().iter().find(|user| user.sudo_password.is_some()).unwrap();
        let file = self.lab.directory().join("sudo-password");
        std::fs::write(&file, deploy.sudo_password.as_ref().unwrap()).unwrap();
        let name = deploy.name.clone();
        self.edit(|text| {
            text.replace(
                "  ssh:\n    user: root\n",
                &format!("  ssh:\n    user: {name}\n    sudo: password\n"),
            )
        });
        self.extra = vec!["--sudo-password-file".to_owned(), file.to_str().unwrap().to_owned()];
    }

    pub fn inventory(&self) -> PathBuf {
        self.lab.directory().join("inventory.yaml")
    }

    pub fn bundle(&self) -> PathBuf {
        cache().join("bundles").join(format!("{}-amd64", self.version))
    }

    /// Changes the text of the inventory.
    pub fn edit(&self, change: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(self.inventory()).unwrap();
        std::fs::write(self.inventory(), change(text)).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = keelwright();
        command.args(args).env("KEELWRIGHT_AGE_IDENTITY", self.lab.directory().join("identity.txt"));
        command
    }

    /// Runs keelwright; its errors are the test's.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        self.expect(args, &output);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn expect(&self, args: &[&str], output: &Output) {
        assert!(
            output.status.success(),
            "keelwright {args:?}: {}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// `keelwright VERB -i INVENTORY ARGS`.
    pub fn on(&self, verb: &str, args: &[&str]) -> String {
        let inventory = self.inventory();
        let mut all = vec![verb, "-i", inventory.to_str().unwrap()];
        all.extend(self.extra.iter().map(String::as_str));
        all.extend(args);
        self.ok(&all)
    }

    /// What an apply says that must fail.
    pub fn apply_fails(&self) -> String {
        let mut apply = self.start_apply();
        let status = apply.child.wait().unwrap();
        assert!(!status.success(), "the apply did not fail:\n{}", apply.text());
        apply.text()
    }

    /// Starts an apply and kills it with SIGKILL a while after it has done so many steps; None when it
    /// ended before that, else the steps it had done.
    pub fn apply_and_kill(&self, steps: usize, after: Duration) -> Option<usize> {
        let mut apply = self.start_apply();
        if let Some(status) = apply.get_to(steps, after) {
            assert!(status.success(), "apply: {status}\n{}", apply.text());
            return None;
        }
        apply.kill();
        Some(apply.done())
    }

    /// An apply that something is done to while it runs.
    pub fn start_apply(&self) -> Apply {
        let inventory = self.inventory();
        let mut all = vec!["apply", "-i", inventory.to_str().unwrap(), "--yes"];
        all.extend(self.extra.iter().map(String::as_str));
        let log = self.lab.directory().join("apply.log");
        let errors = std::fs::File::create(&log).unwrap();
        let child = self.command(&all).stderr(errors).stdout(Stdio::null()).spawn().unwrap();
        Apply { child, log, begun: 0 }
    }

    /// As [`Cluster::on`], and how long it took.
    pub fn on_timed(&self, verb: &str, args: &[&str]) -> Duration {
        let began = Instant::now();
        self.on(verb, args);
        began.elapsed()
    }

    pub fn apply(&self) -> Duration {
        self.on_timed("apply", &["--yes"])
    }

    /// The next kubectl asks another control plane when the first is another one now.
    pub fn forget_kubeconfig(&self) {
        let _ = std::fs::remove_file(self.lab.directory().join("kubeconfig"));
    }

    /// Runs a script as root on a machine.
    pub fn run(&self, machine: &str, script: &str) -> Output {
        let machine: MachineName = machine.parse().unwrap();
        self.lab.ssh(machine, "root").unwrap().arg("--").arg(script).output().unwrap()
    }

    /// The same; it must succeed.
    pub fn ask(&self, machine: &str, script: &str) -> String {
        let output = self.run(machine, script);
        assert!(
            output.status.success(),
            "{machine}: {script}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The full reference of an image in the bundle.
    pub fn image(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.bundle().join("bundle.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        let images = manifest["images"].as_array().unwrap();
        let mut references = images.iter().map(|image| image["reference"].as_str().unwrap());
        references.rfind(|reference| reference.contains(name)).unwrap().to_owned()
    }

    /// The address of a machine.
    pub fn address(&self, machine: &str) -> String {
        let name: MachineName = machine.parse().unwrap();
        let machine = self.lab.machines().iter().find(|machine| machine.name == name);
        machine.unwrap().address.to_string()
    }

    /// Puts an executable onto a machine.
    pub fn put(&self, machine: &str, source: &Path, path: &str) {
        let name: MachineName = machine.parse().unwrap();
        let mut command = self.lab.ssh(name, "root").unwrap();
        command.arg("--").arg(format!("cat > {path} && chmod 755 {path}"));
        command.stdin(std::fs::File::open(source).unwrap());
        assert!(command.status().unwrap().success(), "{machine}: {path}");
    }

    /// Copies trees from one machine to another.
    pub fn copy(&self, from: &str, to: &str, paths: &str) {
        let ssh = |machine: &str| self.lab.ssh(machine.parse().unwrap(), "root").unwrap();
        let mut read = ssh(from);
        read.arg("--").arg(format!("tar -C / -cf - {paths}")).stdout(Stdio::piped());
        let mut read = read.spawn().unwrap();
        let mut write = ssh(to);
        write.arg("--").arg("tar -C / -xf -").stdin(read.stdout.take().unwrap());
        assert!(write.status().unwrap().success(), "{from} to {to}: {paths}");
        assert!(read.wait().unwrap().success(), "{from} to {to}: {paths}");
    }

    /// The file of an administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        let kubeconfig = self.lab.directory().join("kubeconfig");
        if !kubeconfig.exists() {
            self.on("kubeconfig", &["--output", kubeconfig.to_str().unwrap()]);
        }
        kubeconfig
    }

    /// kubectl with an administrator's kubeconfig, from outside.
    pub fn kubectl(&self, args: &[&str]) -> String {
        let output = Command::new(self.bundle().join("bin/kubectl"))
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(args)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "kubectl {args:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Steps that a plan made now would have.
    pub fn steps_left(&self) -> Vec<String> {
        let plan: serde_json::Value = serde_json::from_str(&self.on("plan", &["--output", "json"])).unwrap();
        plan["steps"].as_array().unwrap().iter().map(|step| step["id"].to_string()).collect()
    }

    /// The names of the nodes that are Ready.
    pub fn ready_nodes(&self) -> Vec<String> {
        let nodes = self.kubectl(&["get", "nodes", "--no-headers"]);
        let ready = |line: &&str| line.split_whitespace().nth(1) == Some("Ready");
        nodes
            .lines()
            .filter(ready)
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect()
    }

    pub fn directory(&self) -> &Path {
        self.lab.directory()
    }
}

/// Longer than any one step may take.
const STEP_DEADLINE: Duration = Duration::from_secs(600);

/// An apply that runs.
pub struct Apply {
    child: Child,
    log: PathBuf,
    /// The steps that had begun when [`Apply::begin_more`] was asked last.
    begun: usize,
}

impl Apply {
    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The third words of the lines whose second word is this.
    fn steps(&self, what: &str) -> Vec<String> {
        let text = self.text();
        let words = text.lines().map(|line| line.split_whitespace().skip(1));
        words
            .filter_map(
                |mut words| if words.next()? == what { words.next().map(str::to_owned) } else { None },
            )
            .collect()
    }

    /// The step that was begun last.
    pub fn running(&self) -> String {
        self.steps("start").pop().unwrap_or_else(|| "nothing".to_owned())
    }

    /// The steps that are done.
    pub fn done(&self) -> usize {
        self.steps("done").len()
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) -> ExitStatus {
        self.child.kill().unwrap();
        self.child.wait().unwrap()
    }

    /// Waits until so many more steps have begun than when this was asked before, and a while longer; Some: it has
    /// ended before.
    pub fn begin_more(&mut self, steps: usize, after: Duration) -> Option<ExitStatus> {
        let wanted = self.begun + steps;
        let ended = self.wait_until(|apply| apply.steps("start").len() >= wanted, after);
        self.begun = self.steps("start").len();
        ended
    }

    /// Waits until so many steps are done, and a while longer; Some: it has ended before.
    pub fn get_to(&mut self, steps: usize, after: Duration) -> Option<ExitStatus> {
        self.wait_until(|apply| apply.done() >= steps, after)
    }

    fn wait_until(&mut self, wanted: impl Fn(&Self) -> bool, after: Duration) -> Option<ExitStatus> {
        let mut deadline = None;
        let limit = Instant::now() + STEP_DEADLINE;
        while deadline.is_none_or(|deadline| Instant::now() < deadline) {
            assert!(Instant::now() < limit, "apply stands still:\n{}", self.text());
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            if deadline.is_none() && wanted(self) {
                deadline = Some(Instant::now() + after);
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("KEELWRIGHT_KEEP_LAB").is_some() {
            eprintln!("lab {} is kept", self.spec.name);
            return;
        }
        let _ = Lab::remove(&cache(), &self.spec.name, &Progress::none());
    }
}
