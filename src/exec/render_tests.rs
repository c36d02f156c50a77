//! The generated shell is run for real, under the shells that `sh` is on Debian (dash) and on the
//! RHEL family (bash in POSIX mode).

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use proptest::prelude::*;

use super::*;

/// A machine that is a directory.
struct Machine {
    root: PathBuf,
    shell: &'static [&'static str],
}

#[derive(Debug, PartialEq)]
struct Ended {
    status: String,
    completed: usize,
    changed: Vec<usize>,
    output: String,
}

impl Machine {
    fn new() -> Machine {
        let root = std::env::temp_dir().join(format!("keelwright-render-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(root.join("target")).unwrap();
        Machine { root, shell: &["sh"] }
    }

    fn layout(&self) -> Layout {
        Layout {
            run: self.path("run"),
            state: self.path("state"),
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.root.join(name).to_str().unwrap().to_owned()
    }

    /// Everything the launcher says when it is given these bytes.
    fn launch(&self, stage: &RenderedStage, stdin: &[u8]) -> String {
        let shell = self.shell.join(" ");
        // On a machine with systemd these tests start no units of it: they test the text.
        let text = stage
            .launcher(true, None)
            .replace("/bin/sh \"$D/script\"", &format!("{shell} \"$D/script\""))
            .replace("[ -d /run/systemd/system ]", "false");
        let mut child = Process::new(self.shell[0])
            .args(&self.shell[1..])
            .args(["-c", &text])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The launcher may stop reading early: it is then refusing, and says why.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
    }

    fn try_run(&self, id: &str, epoch: u64, deadline: u32, ops: &[Op]) -> String {
        let script = HostScript { id: id.into(), epoch, deadline, ops: ops.to_vec() };
        let stage = render_stage(&script, &self.layout()).unwrap();
        let stdin = [&stage.payload[..], b"ack\n"].concat();
        self.launch(&stage, &stdin)
    }

    fn run(&self, ops: &[Op]) -> Ended {
        let id = uuid::Uuid::new_v4().to_string();
        let said = self.try_run(&id, 1, 30, ops);
        assert!(!Path::new(&self.path("run")).join(id).exists(), "an acknowledged stage is removed: {said}");
        ended(&said)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

fn ended(said: &str) -> Ended {
    let line = said.lines().find_map(|line| line.strip_prefix("keelwright: result "));
    let mut words = line.unwrap_or_else(|| panic!("no result in {said:?}")).split(' ');
    let status = words.next().unwrap().to_owned();
    let completed = words.next().unwrap().parse().unwrap();
    let changed = words.map(|word| word.parse().unwrap()).collect();
    let (_, tail) = said.split_once("keelwright: output ").unwrap();
    let (length, raw) = tail.split_once('\n').unwrap();
    Ended { status, completed, changed, output: raw[..length.parse().unwrap()].to_owned() }
}

fn file(path: impl Into<String>, mode: u32, text: &str) -> Op {
    Op::WriteFile { path: path.into(), mode, payload: Payload::Text(text.into()) }
}

fn sh(text: &str) -> Op {
    Op::Run { command: Command::new(["sh", "-c", text]), because: "test".into() }
}

fn mode(path: &str) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn leftovers(root: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(root).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            count += leftovers(&entry.path());
        } else if entry.file_name().to_string_lossy().starts_with(".keelwright") {
            count += 1;
        }
    }
    count
}

#[test]
fn files_and_directories_are_made_once_and_mended_when_they_differ() {
    let machine = Machine::new();
    let at = |name: &str| machine.path(&format!("target/{name}"));
    let ops = [
        Op::Directory { path: at("d"), mode: 0o2750 },
        file(at("d/a"), 0o640, "a"),
        file(at("new/deep/b"), 0o4755, "b\n"),
        file(at("d/c"), 0o600, ""),
    ];
    let first = machine.run(&ops);
    assert_eq!((first.status.as_str(), first.completed, first.changed), ("0", 4, vec![0, 1, 2, 3]));
    assert_eq!((mode(&at("d")), mode(&at("d/a")), mode(&at("new/deep/b"))), (0o2750, 0o640, 0o4755));
    assert_eq!(mode(&at("new/deep")), 0o755, "parents nobody asked for are open, whatever the umask");
    assert_eq!(machine.run(&ops).changed, [0; 0]);
    std::fs::write(at("d/a"), "A").unwrap();
    std::fs::remove_file(at("d/c")).unwrap();
    symlink("a", at("d/c")).unwrap();
    assert_eq!(machine.run(&ops).changed, [1, 3]);
    assert!(std::fs::symlink_metadata(at("d/c")).unwrap().is_file());
    assert_eq!(std::fs::read_to_string(at("d/a")).unwrap(), "a", "the link's target was not written to");
    Process::new("chmod").args(["0700", &at("d"), &at("d/a")]).status().unwrap();
    assert_eq!(machine.run(&ops).changed, [0, 1]);
}

#[test]
fn a_failure_among_files_leaves_those_before_it_done_and_those_after_it_untouched() {
    let machine = Machine::new();
    let at = |name: &str| machine.path(&format!("target/{name}"));
    std::fs::write(at("plain"), "").unwrap();
    let ops = [file(at("a"), 0o644, "a"), file(at("plain/b"), 0o644, "b"), file(at("c"), 0o644, "c")];
    let result = machine.run(&ops);
    assert_eq!((result.status.as_str(), result.completed, &result.changed[..]), ("1", 1, &[0][..]));
    assert!(result.output.contains("plain"), "{}", result.output);
    assert!(Path::new(&at("a")).exists() && !Path::new(&at("c")).exists());
    // The same when the name is taken by a directory, which shows at the rename.
    std::fs::create_dir(at("taken")).unwrap();
    let result =
        machine.run(&[file(at("x"), 0o644, "x"), file(at("taken"), 0o644, "b"), file(at("y"), 0o644, "y")]);
    assert_eq!((result.status.as_str(), result.completed), ("1", 1));
    assert!(!Path::new(&at("y")).exists());
    std::fs::write(at(".keelwright.7.tmp"), "half").unwrap();
    assert_eq!(machine.run(&[file(at("z"), 0o644, "z")]).status, "0");
    assert_eq!(leftovers(&machine.root), 0, "what a killed run left half written is swept");
}

#[test]
fn a_path_that_comes_twice_is_compared_twice() {
    let machine = Machine::new();
    let at = machine.path("target/a");
    std::fs::write(&at, "two").unwrap();
    let result = machine.run(&[file(at.as_str(), 0o644, "one"), file(at.as_str(), 0o644, "two")]);
    assert_eq!(result.changed, [0, 1]);
    assert_eq!(std::fs::read_to_string(at).unwrap(), "two");
}

#[test]
fn sixty_unchanged_files_cost_two_processes() {
    let machine = Machine::new();
    let ops: Vec<Op> = (0..60).map(|n| file(machine.path(&format!("target/{n}")), 0o644, "same")).collect();
    assert_eq!(machine.run(&ops).changed.len(), 60);
    let script = HostScript { id: "trace".into(), epoch: 1, deadline: 30, ops: ops.clone() };
    let text = script_text(&script, &machine.layout()).unwrap();
    // Counts what the shell starts by hiding every tool behind a function that says so.
    let counted = ["stat", "sha256sum", "install", "mv", "sync", "mkdir", "rm"].map(|tool| {
        format!("{tool}() {{ echo {tool} >>{}; command {tool} \"$@\"; }}\n", machine.path("count"))
    });
    std::fs::create_dir_all(machine.path("run/trace")).unwrap();
    let text = text.replace("\nbegin\n", &format!("\nbegin\n{}", counted.concat()));
    Process::new("sh").args(["-c", &text]).status().unwrap();
    assert_eq!(std::fs::read_to_string(machine.path("count")).unwrap(), "stat\nsha256sum\nrm\n");
}

#[test]
fn links_replace_links_and_never_files() {
    let machine = Machine::new();
    let at = |name: &str| machine.path(&format!("target/{name}"));
    let link = |target: &str| Op::Link { path: at("l"), target: target.into() };
    assert_eq!(machine.run(&[link("-x y\n")]).changed, [0]);
    assert_eq!(machine.run(&[link("-x y\n")]).changed, [0; 0]);
    assert_eq!(machine.run(&[link("-x y")]).changed, [0], "a newline at the end is part of a target");
    std::fs::create_dir(at("dir")).unwrap();
    assert_eq!(machine.run(&[link("dir")]).changed, [0]);
    assert_eq!(machine.run(&[link("elsewhere")]).changed, [0], "a link to a directory is itself replaced");
    assert_eq!(std::fs::read_link(at("l")).unwrap(), Path::new("elsewhere"));
    std::fs::write(at("f"), "").unwrap();
    let result = machine.run(&[Op::Link { path: at("f"), target: "x".into() }]);
    assert_eq!(result.status, "1");
    assert!(result.output.contains("is not a link"));
}

#[test]
fn removing_takes_trees_only_when_asked_and_never_what_is_mounted() {
    let machine = Machine::new();
    let at = |name: &str| machine.path(&format!("target/{name}"));
    let remove = |name: &str, recursive| Op::Remove { path: at(name), recursive };
    std::fs::create_dir_all(at("tree/in side")).unwrap();
    std::fs::write(at("tree/in side/f"), "").unwrap();
    assert_eq!(machine.run(&[remove("tree", false)]).status, "1");
    let bound = Process::new("mount").args(["--bind", &at("tree"), &at("tree/in side")]).status();
    if bound.is_ok_and(|status| status.success()) {
        let result = machine.run(&[remove("tree", true)]);
        Process::new("umount").arg(at("tree/in side")).status().unwrap();
        assert_eq!(result.status, "1");
        assert!(result.output.contains("something is mounted on"), "{}", result.output);
        assert!(Path::new(&at("tree/in side/f")).exists());
    } else {
        eprintln!("skipped in part: mounting is not allowed here");
    }
    symlink("tree", at("to-tree")).unwrap();
    assert_eq!(machine.run(&[remove("to-tree", true), remove("none", true)]).changed, [0]);
    assert!(Path::new(&at("tree")).exists(), "of a link only the link goes");
    assert_eq!(machine.run(&[remove("tree", true)]).changed, [0]);
    assert!(!Path::new(&at("tree")).exists());
}

#[test]
fn artifacts_are_checked_before_anything_is_installed() {
    let machine = Machine::new();
    let store = machine.root.join("state/artifacts");
    std::fs::create_dir_all(&store).unwrap();
    let packed = Process::new("sh")
        .args([
            "-c",
            "cd \"$0\" && mkdir bin && echo one >bin/one && tar -czf t.tgz bin/one",
            store.to_str().unwrap(),
        ])
        .status();
    assert!(packed.unwrap().success());
    let content = std::fs::read(store.join("t.tgz")).unwrap();
    let sum = hex::encode(Sha256::digest(&content));
    std::fs::rename(store.join("t.tgz"), store.join(&sum)).unwrap();
    let at = |name: &str| machine.path(&format!("target/{name}"));
    let install = |member: Option<&str>, name: &str| Op::Install {
        sha256: sum.clone(),
        member: member.map(str::to_owned),
        path: at(name),
        mode: 0o755,
    };
    let ops = [install(Some("bin/one"), "one"), install(None, "whole")];
    let first = machine.run(&ops);
    assert_eq!((first.status.as_str(), &first.changed[..]), ("0", &[0, 1][..]), "{}", first.output);
    assert_eq!(machine.run(&ops).changed, [0; 0]);
    assert_eq!(std::fs::read_to_string(at("one")).unwrap(), "one\n");
    let record = std::fs::read_to_string(machine.path(&format!("state/installed{}", at("one")))).unwrap();
    let expected = format!("{} ", hex::encode(Sha256::digest(b"one\n")));
    assert!(record.starts_with(&expected) && record.split_whitespace().count() == 5, "{record}");
    assert_eq!(machine.run(&[install(Some("bin/two"), "two")]).status, "1");
    assert!(!Path::new(&at("two")).exists());
    std::fs::write(store.join(&sum), "damaged").unwrap();
    std::fs::remove_file(at("one")).unwrap();
    let result = machine.run(&ops);
    assert!(result.output.contains("is damaged"), "{}", result.output);
    assert!(!Path::new(&at("one")).exists());
    assert_eq!(leftovers(&machine.root), 0);
}

#[test]
fn a_command_is_a_program_and_never_a_word_of_our_shell() {
    let machine = Machine::new();
    for word in ["finish", "exit", "files", "if", "cd", "-n"] {
        let run = Op::Run { command: Command::new([word, "0"]), because: "test".into() };
        let status = machine.run(&[run, sh("true")]).status;
        assert!(["127", "125"].contains(&status.as_str()), "{word}: {status}");
    }
    let result = machine.run(&[sh("exit 0"), sh("kill -9 $$")]);
    assert_eq!((result.status.as_str(), result.completed), ("137", 1));
}

#[test]
fn waiting_ends_with_success_or_at_its_deadline() {
    let machine = Machine::new();
    let counter = machine.path("counter");
    let wait = |text: String, deadline| Op::Await {
        command: Command::new(["sh".to_owned(), "-c".to_owned(), text]),
        what: "the third try".into(),
        deadline,
    };
    let third = format!("echo x >>{counter}; [ $(wc -l <{counter}) -ge 3 ]");
    let result = machine.run(&[wait(third, 20)]);
    assert_eq!((result.status.as_str(), result.completed, &result.changed[..]), ("0", 1, &[][..]));
    let result = machine.run(&[wait("echo no; sleep 9".into(), 1)]);
    assert_eq!(result.status, "124");
    assert!(result.output.ends_with("waited 1 s for the third try\n"), "{}", result.output);
    let result = machine.run(&[wait("echo it is gone; exit 69".into(), 20)]);
    assert_eq!((result.status.as_str(), result.output.as_str()), ("69", "it is gone\n"));
}

#[test]
fn a_lower_epoch_is_refused_and_a_running_stage_of_it_stops_between_operations() {
    let machine = Machine::new();
    let marker = machine.path("target/after");
    let take_over = format!("echo 9 >{}", machine.path("state/epoch"));
    let said = machine.try_run("old", 3, 30, &[sh(&take_over), sh(&format!("touch {marker}"))]);
    assert_eq!(
        ended(&said),
        Ended { status: "fenced-9".into(), completed: 1, changed: vec![0], output: "".into() }
    );
    let said = machine.try_run("older", 3, 30, &[sh(&format!("touch {marker}"))]);
    assert!(said.contains("keelwright: fenced 9\n"), "{said}");
    assert!(!Path::new(&marker).exists());
    assert_eq!(ended(&machine.try_run("new", 10, 30, &[])).status, "0");
    assert_eq!(std::fs::read_to_string(machine.path("state/epoch")).unwrap(), "10\n");
}

#[test]
fn a_stage_that_takes_too_long_is_ended_by_the_machine() {
    let machine = Machine::new();
    let said = machine.try_run("slow", 1, 1, &[sh("true"), sh("sleep 30")]);
    assert_eq!((ended(&said).status.as_str(), ended(&said).completed), ("deadline", 1));
}

#[test]
fn many_launchers_of_one_stage_start_it_once_and_all_get_its_result() {
    let machine = Machine::new();
    let counter = machine.path("counter");
    let ops = [sh(&format!("echo x >>{counter}; sleep 0.3"))];
    let script = HostScript { id: "same".into(), epoch: 1, deadline: 30, ops: ops.to_vec() };
    let stage = render_stage(&script, &machine.layout()).unwrap();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|_| scope.spawn(|| machine.launch(&stage, &stage.payload))).collect();
        for one in all {
            assert_eq!(ended(&one.join().unwrap()).status, "0");
        }
    });
    // One more, long after the end and after the result was taken.
    let stdin = [&stage.payload[..], b"ack\n"].concat();
    assert_eq!(ended(&machine.launch(&stage, &stdin)).status, "0");
    assert!(machine.launch(&stage, &stdin).contains("keelwright: gone"));
    assert_eq!(std::fs::read_to_string(counter).unwrap(), "x\n");
}

#[test]
fn a_payload_cut_anywhere_starts_nothing_and_a_whole_one_after_it_does() {
    let machine = Machine::new();
    let marker = machine.path("target/ran");
    let script = HostScript {
        id: "cut".into(),
        epoch: 1,
        deadline: 30,
        ops: vec![file(machine.path("target/f"), 0o600, "f"), sh(&format!("echo x >>{marker}"))],
    };
    let stage = render_stage(&script, &machine.layout()).unwrap();
    let complete = stage.payload.len() - 1024 - 512;
    for length in (0..=complete).step_by(512).chain([1, 511, 1000, complete + 100]) {
        let said = machine.launch(&stage, &stage.payload[..length]);
        assert!(said.contains("keelwright: error the payload did not arrive whole"), "{length}: {said}");
        assert!(!Path::new(&marker).exists());
    }
    assert_eq!(std::fs::read_dir(machine.path("run")).unwrap().count(), 1, "only the lock file is left");
    assert_eq!(ended(&machine.launch(&stage, &stage.payload)).status, "0");
}

#[test]
fn what_cannot_be_run_is_refused_before_it_is_sent() {
    let render = |id: &str, op: Op| {
        let script = HostScript { id: id.into(), epoch: 1, deadline: 1, ops: vec![op] };
        render_stage(&script, &Layout::default()).map(|_| ()).unwrap_err()
    };
    for id in ["", "../x", "a b", ".in", "-a", "a\n"] {
        assert!(matches!(render(id, sh("true")), RenderError::Id(_)), "{id:?}");
    }
    for path in ["", "a", "/", "/a/../b", "/a//b", "/a/./b", "/a/", "/a\nb", "/a\0"] {
        assert!(matches!(render("a", file(path, 0o600, "")), RenderError::Path { .. }), "{path:?}");
    }
    assert!(matches!(render("a", file("/a", 0o10000, "")), RenderError::Mode { .. }));
    for argv in [&[][..], &[""][..], &["A=b"][..], &["a", "\0"][..]] {
        let run = Op::Run { command: Command::new(argv.iter().copied()), because: "".into() };
        assert!(matches!(render("a", run), RenderError::Command { .. }), "{argv:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever a name or a content holds, the file has that name and that content, nothing else
    /// appears, and a second run finds nothing to do.
    #[test]
    fn hostile_names_and_contents_arrive_as_they_are(
        names in proptest::collection::btree_set("[-a$`\"'\\\\*?\\[~#;&|<>(){}! \t=%éß]{1,12}", 1..5),
        content in proptest::collection::vec(any::<u8>(), 0..2000),
        bash in any::<bool>(),
    ) {
        let mut machine = Machine::new();
        if bash && Path::new("/bin/bash").exists() {
            machine.shell = &["bash", "--posix"];
        }
        let secret = std::sync::Arc::new(secrecy::SecretSlice::from(content.clone()));
        let directory = machine.path("target/-dir 'of' $(touch x)");
        let names: Vec<&String> = names.iter().collect();
        let mut ops: Vec<Op> = names.iter().map(|name| Op::WriteFile {
            path: format!("{directory}/{name}"),
            mode: 0o600,
            payload: Payload::Secret(secret.clone()),
        }).collect();
        ops.push(Op::Run { command: Command::new(["test".to_owned(), "-e".into(), format!("{directory}/{}", names[0])]), because: "".into() });
        ops.push(Op::Link { path: machine.path("target/link"), target: names[0].clone() });
        let first = machine.run(&ops);
        prop_assert_eq!((first.status.as_str(), first.completed), ("0", ops.len()), "{}", first.output);
        prop_assert_eq!(std::fs::read_dir(&directory).unwrap().count(), names.len());
        for name in &names {
            prop_assert_eq!(std::fs::read(format!("{directory}/{name}")).unwrap(), content.clone());
        }
        prop_assert_eq!(std::fs::read_dir(machine.path("target")).unwrap().count(), 2);
        prop_assert_eq!(machine.run(&ops).changed, [names.len()]);
        let removals: Vec<Op> = names.iter().map(|name| Op::Remove { path: format!("{directory}/{name}"), recursive: true }).collect();
        prop_assert_eq!(machine.run(&removals).changed.len(), names.len());
        prop_assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    }
}
