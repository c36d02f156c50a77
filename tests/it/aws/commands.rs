//! The commands as an operator runs them, on an account in moto's AWS. Machines there do not boot, so nobody gets
//! further than to wait for one.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use http::Method;
use keelwright::cloud::artifacts::{Item, items};
use keelwright::inventory::{Origin, parse};
use keelwright::release::BundleManifest;
use keelwright::release::artifact::MANIFEST_NAME;
use keelwright::sim::stand_in;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use sha2::Digest as _;

use super::lifecycle::{KEY, census_of, counts, whole};
use crate::emulator::Cloud;
use crate::emulator::census::{Census, Kind};
use crate::emulator::fixtures;
use crate::emulator::service::Service;

/// Machines that keelwright did not make.
const HOSTS: &str = "apiVersion: keelwright.dev/v1
kind: Cluster
metadata: {name: test}
kubernetes: {version: v1.37.1}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
";
/// A host key that nobody has.
const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKh5ZT3Pk6CcF0vNQGAm0nVd2mJ4zYTHEbdRWnYgkJ9x";

pub(super) struct Operator {
    pub(super) cloud: Cloud,
    pub(super) home: PathBuf,
}

impl Operator {
    pub(super) async fn new(name: &str, more: &str) -> Option<Operator> {
        let cloud = Cloud::start()?;
        let zone = fixtures::zone(&cloud.moto, name).await;
        let home = std::env::temp_dir().join(format!("keelwright-commands-{}-{name}", std::process::id()));
        std::fs::create_dir_all(home.join(".ssh")).unwrap();
        std::fs::write(home.join("key.pub"), KEY).unwrap();
        // Addresses of a fake account are somebody's: whoever is called there is nobody here.
        let nobody = "Host *\n  HostName 127.0.0.1\n  Port 1\n  UserKnownHostsFile none\n";
        std::fs::write(home.join(".ssh/config"), nobody).unwrap();
        let operator = Operator { cloud, home };
        operator.write(&zone, more);
        operator.bundle();
        Some(operator)
    }

    fn write(&self, zone: &str, more: &str) {
        let text = format!(
            "apiVersion: keelwright.dev/v1
kind: Cluster
metadata: {{name: prod}}
kubernetes: {{version: v1.37.1}}
provider: aws
network: {{plugin: none}}
artifacts: {{bundle: bundle}}
aws:
  region: eu-central-1
  zones: 3
  access: {{ssh: [203.0.113.0/24], api: [203.0.113.0/24], ingress: [0.0.0.0/0]}}
  sshKey: key.pub
  image: {}
  bastion: {{instanceType: t3.micro, user: admin}}
  controlPlanes: {{count: 3, user: admin}}
  workerGroups: [{{name: workers, min: 1, max: 5}}]
  api: {{record: {{name: api.example.org, hostedZone: {zone}}}}}
  ingress: [{{port: 443, nodePort: 30443}}]
{more}",
            fixtures::IMAGE,
        );
        std::fs::write(self.home.join("inventory.yaml"), text).unwrap();
    }

    /// One that consists of its manifest.
    fn bundle(&self) {
        let origin = Origin { file: "x", base: camino::Utf8Path::new("/"), home: None };
        let (inventory, _) = parse(HOSTS.as_bytes(), &origin).unwrap();
        let mut bundles = BTreeMap::new();
        stand_in(&inventory, &Default::default(), &mut bundles, &mut Default::default()).unwrap();
        std::fs::create_dir_all(self.home.join("bundle")).unwrap();
        let bundle = bundles.values().next().unwrap();
        std::fs::write(self.home.join("bundle").join(MANIFEST_NAME), bundle.to_json()).unwrap();
    }

    /// On their consoles.
    pub(super) fn machines_say_their_keys(&self) {
        let console = format!(
            "-----BEGIN SSH HOST KEY KEYS-----\n{HOST_KEY} root@x\n-----END SSH HOST KEY KEYS-----\n"
        );
        self.cloud.proxy.set(|settings| settings.console = Box::new(move |_| Some(console.clone())));
    }

    /// Writes the inventory as it would be after this change.
    pub(super) fn edit(&self, change: impl FnOnce(String) -> String) {
        let path = self.home.join("inventory.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, change(text)).unwrap();
    }

    /// Gives the bundle files, whose contents are their names.
    pub(super) fn real_bundle(&self) -> Vec<Item> {
        let directory = Utf8PathBuf::from_path_buf(self.home.join("bundle")).unwrap();
        let manifest = directory.join(MANIFEST_NAME);
        let mut bundle = BundleManifest::from_json(&std::fs::read(&manifest).unwrap()).unwrap();
        let content = |name: &str, path: &Utf8Path| {
            let path = directory.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
            (hex::encode(sha2::Sha256::digest(name)).parse().unwrap(), name.len() as u64)
        };
        for file in &mut bundle.files {
            (file.sha256, file.size) = content(&file.name, &file.path);
        }
        for image in &mut bundle.images {
            (image.sha256, image.size) = content(&image.reference, &image.path);
        }
        std::fs::write(manifest, bundle.to_json()).unwrap();
        items([(&bundle, directory.as_path())])
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keelwright"));
        command.args(args).current_dir(&self.home).env_clear();
        command.env("HOME", &self.home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("AWS_ENDPOINT_URL", self.cloud.proxy.url());
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command.stdin(Stdio::null());
        command
    }

    pub(super) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command and ends it when it says this.
    pub(super) fn until(&self, args: &[&str], what: &str) -> String {
        let mut child = self.command(args).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            said += &(line.unwrap() + "\n");
            if said.contains(what) {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(said.contains(what), "{said}");
        said
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_planned_made_and_destroyed() {
    let Some(operator) = Operator::new("commands", "").await else { return };
    operator.machines_say_their_keys();

    let planned = operator.run(&["plan", "--check"]);
    let said = text(&planned.stdout);
    assert_eq!(planned.status.code(), Some(3), "{said}{}", text(&planned.stderr));
    assert!(said.contains("+ instance/cp-1\n") && said.contains("0 to change, 0 to take away"), "{said}");
    assert_eq!(census_of(&operator.cloud).await, Census::new(), "a plan makes nothing");
    assert!(!operator.home.join(".keelwright").exists(), "not even on the operator's machine");

    let forbidden = ["ec2:CreateNatGateway".to_owned(), "iam:PassRole".to_owned()];
    operator.cloud.proxy.set(|settings| settings.denied = forbidden.into());
    let refused = operator.run(&["apply", "--yes"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("lack 2 of the permissions") && said.contains("allow iam:PassRole on *"), "{said}");
    assert_eq!(census_of(&operator.cloud).await, Census::new(), "what is lacking is told beforehand");
    operator.cloud.proxy.set(|settings| settings.denied = Default::default());

    let refused = operator.run(&["apply"]);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    assert_eq!(census_of(&operator.cloud).await, Census::new(), "nobody agreed");
    let status = operator.run(&["status"]);
    assert_eq!(status.status.code(), Some(4));
    assert!(text(&status.stderr).contains("cluster prod has no machines in eu-central-1"));

    let said = operator.until(&["apply", "--yes"], "waiting for cp-");
    assert_eq!(counts(&census_of(&operator.cloud).await), whole(1), "{said}");
    let keys = std::fs::read_to_string(operator.home.join(".keelwright/prod/host-keys.json")).unwrap();
    assert_eq!(keys.matches(HOST_KEY).count(), 4, "{keys}");
    let again = operator.run(&["plan"]);
    assert!(text(&again.stdout).starts_with("Nothing to do in the cloud.\n"), "{}", text(&again.stdout));

    for (args, code, what) in [
        (&["destroy"][..], 4, "keelwright destroy --confirm prod"),
        (&["destroy", "--confirm", "test"], 4, "does not name cluster prod"),
    ] {
        let refused = operator.run(args);
        assert_eq!(refused.status.code(), Some(code));
        assert!(text(&refused.stderr).contains(what), "{}", text(&refused.stderr));
        assert_eq!(counts(&census_of(&operator.cloud).await), whole(1));
    }
    // The control planes put it there, so nothing in the plan made it; the next cluster's workers would join with it.
    let join = json!({"Name": "/keelwright/prod/node-token", "Value": "x", "Type": "SecureString"});
    operator.cloud.moto.in_region("eu-central-1").parameters("PutParameter", &join).await.ok();
    let destroyed = operator.run(&["destroy", "--confirm", "prod"]);
    assert_eq!(destroyed.status.code(), Some(0), "{}", text(&destroyed.stderr));
    assert_eq!(census_of(&operator.cloud).await, Census::new());
    assert!(!operator.home.join(".keelwright/prod/host-keys.json").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_protected_or_not_made_by_keelwright_is_not_destroyed() {
    let Some(operator) = Operator::new("protected", "  deletionProtection: true\n").await else { return };
    let refused = operator.run(&["destroy", "--confirm", "prod"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(text(&refused.stderr).contains("protected against being destroyed"));
    std::fs::write(operator.home.join("inventory.yaml"), HOSTS).unwrap();
    let refused = operator.run(&["destroy", "--confirm", "test"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("not made by keelwright"));
    assert_eq!(operator.cloud.proxy.calls(), Vec::<String>::new());
}

/// Two operators, one state: the second waits until the first has said nothing for a minute, and the first, when it
/// wakes up, can do nothing any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for more than a minute: make e2e"]
async fn an_operator_who_was_paused_changes_nothing_when_it_wakes_up() {
    let state = "state: {bucket: state-paused}\n";
    let Some(operator) = Operator::new("paused", state).await else { return };
    let moto = operator.cloud.moto.in_region("eu-central-1");
    let place = "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>";
    moto.rest(Service::S3, Method::PUT, "/state-paused", place).await.ok();
    let mut first = operator.command(&["apply", "--yes"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(first.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("waiting for ")), "its machines are made");
    let refused = operator.run(&["destroy", "--confirm", "prod"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("another run is going on: "), "{said}");
    assert!(said.contains(&format!("process {}", first.id())), "{said}");

    let process = Pid::from_raw(first.id().try_into().unwrap());
    kill(process, Signal::SIGSTOP).unwrap();
    let second = operator.run(&["destroy", "--confirm", "prod"]);
    assert_eq!(second.status.code(), Some(0), "{}", text(&second.stderr));
    let document = async || moto.get(Service::S3, "/state-paused/prod/state.json").await.ok().body;
    let after = document().await;

    // Its machines say their keys now, so it would go on to make the keys of a cluster.
    operator.machines_say_their_keys();
    kill(process, Signal::SIGCONT).unwrap();
    let said: Vec<String> = lines.collect();
    assert!(!first.wait().unwrap().success());
    assert!(said.iter().any(|line| line.contains("this run has lost its lock to")), "{said:#?}");
    assert_eq!(document().await, after, "what the second has written is there");
    let mut left = census_of(&operator.cloud).await;
    left.remove(&Kind::Bucket);
    assert_eq!(left, Census::new());
}

/// A cluster that has lived in a directory, and whose inventory then says a bucket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_moves_from_its_directory_into_the_bucket_and_nobody_goes_on_with_the_directory() {
    let Some(operator) = Operator::new("moves", "").await else { return };
    let moto = operator.cloud.moto.in_region("eu-central-1");
    let place = "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>";
    moto.rest(Service::S3, Method::PUT, "/state-moves", place).await.ok();
    let hosts = format!("{HOSTS}artifacts: {{bundle: bundle}}\n");
    std::fs::write(operator.home.join("inventory.yaml"), &hosts).unwrap();
    // Nobody answers at its host's address, so it gets as far as its keys.
    assert!(!operator.run(&["apply", "--yes"]).status.success());
    let directory = operator.home.join(".keelwright/test");
    let vault = std::fs::read(directory.join("vault.age")).unwrap();

    let shared = format!("{hosts}state: {{bucket: state-moves, region: eu-central-1}}\n");
    std::fs::write(operator.home.join("inventory.yaml"), &shared).unwrap();
    let said = text(&operator.run(&["apply", "--yes"]).stderr);
    assert!(said.contains("has moved from .keelwright/test to s3://state-moves/test"), "{said}");
    let body = moto.get(Service::S3, "/state-moves/test/state.json").await.ok().body;
    let state: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let there = STANDARD.decode(state["files"]["vault.age"].as_str().unwrap()).unwrap();
    assert!(there == vault, "the same vault");
    assert!(
        state["epoch"].as_u64().unwrap() > 2,
        "hosts have seen the numbers of the directory: {}",
        state["epoch"]
    );
    assert!(!directory.join("vault.age").exists());

    // A second command finds nothing to move, and one with the old inventory is told.
    let said = text(&operator.run(&["apply", "--yes"]).stderr);
    assert!(!said.contains("has moved"), "{said}");
    std::fs::write(operator.home.join("inventory.yaml"), &hosts).unwrap();
    let said = text(&operator.run(&["apply", "--yes"]).stderr);
    assert!(said.contains("vault.age is gone but vault.age.1 is here"), "{said}");
}
