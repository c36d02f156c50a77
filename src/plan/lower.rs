//! The only place where actions become commands: host actions into the operations of one script.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretSlice;

use super::model::{Action, Planned};
use crate::blueprint::{AWS_CALLS, Content, OsFamily};
use crate::command::Command;
use crate::inventory::{ArtifactBucket, HookPlace, aws_domain};
use crate::pki::SecretContent;
use crate::render::render;
use crate::script::{Op, Payload, WILL_NOT_COME};

/// Seconds a host waits for containerd to answer after starting it.
const RUNTIME_DEADLINE: u32 = 60;
/// A pod's terminationGracePeriodSeconds by default; what still runs then is killed.
const POD_STOP_SECONDS: u32 = 30;
/// Seconds a static pod has to start and to become ready: kubeadm's.
const POD_DEADLINE: u32 = 300;
/// Seconds between the polite and the last signal to a hook whose time is over.
const HOOK_GRACE: &str = "5";
/// A container that has ended so often is not waited for any longer: the kubelet would start it again after
/// ten seconds, twenty, forty.
const CRASHES: u32 = 3;
/// These end whenever they find no API server, and one may be starting beside them.
const BESIDE_THE_API_SERVER: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];
/// How many more ends that may take.
const PATIENCE: u32 = 3;
/// When the kubelet that runs now was started, in nanoseconds since 1970.
const KUBELET_STARTED: &str = "started=$(systemctl show -p ActiveEnterTimestamp --value kubelet.service)
started=$(date -d \"$started\" +%s%N)";
/// Where the host keeps artifacts, by hash.
pub const ARTIFACT_STORE: &str = "/var/lib/keelwright/artifacts";
/// What fetches an object of S3, on hosts that do that.
const FROM_BUCKET: &str = "/var/lib/keelwright/from-bucket.sh";

/// Resolves a secret at the last moment, so that no plan ever holds one.
pub type Resolve<'a, E> = dyn Fn(&SecretContent) -> Result<Arc<SecretSlice<u8>>, E> + Send + Sync + 'a;

/// Whether an action is carried out on the host itself by a script.
pub fn runs_on_host(action: &Action) -> bool {
    match action {
        Action::InstallPackages { .. }
        | Action::SwapOff
        | Action::LoadModule { .. }
        | Action::ApplySysctls
        | Action::MakeDirectory { .. }
        | Action::InstallBinary { .. }
        | Action::WriteFile { .. }
        | Action::MakeLink { .. }
        | Action::RemovePath { .. }
        | Action::ReloadUnits
        | Action::StartUnit { .. }
        | Action::RestartUnit { .. }
        | Action::StopUnit { .. }
        | Action::RestartPod { .. }
        | Action::PauseKubelet
        | Action::AwaitPod { .. }
        | Action::AwaitEndpoint { .. }
        | Action::AwaitLogSnapshot { .. }
        | Action::ImportImage { .. }
        | Action::AwaitRuntime
        | Action::Fetch { .. }
        | Action::FetchObject { .. }
        | Action::CleanMachine { .. } => true,
        Action::RunHook { place, .. } => *place == HookPlace::Host,
        Action::Mint { .. }
        | Action::Snapshot { .. }
        | Action::Upload { .. }
        | Action::AwaitApi { .. }
        | Action::ApplyObjects { .. }
        | Action::PatchNode { .. }
        | Action::AwaitNode { .. }
        | Action::AwaitServing
        | Action::AwaitSpareVoter
        | Action::AwaitWave { .. }
        | Action::WatchWave { .. }
        | Action::AddLearner { .. }
        | Action::PromoteLearner { .. }
        | Action::RemoveMember { .. }
        | Action::Drain { .. }
        | Action::Uncordon { .. }
        | Action::DeleteNode { .. } => false,
    }
}

/// Lowers the host actions of a step; the result is in the same order.
pub fn lower<E>(actions: &[Planned], os: OsFamily, resolve: &Resolve<'_, E>) -> Result<Vec<Op>, E> {
    let mut ops = Vec::new();
    let is_object = |planned: &Planned| matches!(planned.action, Action::FetchObject { .. });
    let is_fetched = |planned: &Planned| matches!(planned.action, Action::Fetch { .. });
    if actions.iter().any(|planned| is_object(planned) || is_fetched(planned)) {
        ops.push(has_curl(os));
    }
    if actions.iter().any(is_object) {
        ops.extend([store(), bucket_script()]);
    }
    for planned in actions {
        lower_action(&planned.action, os, resolve, &mut ops)?;
    }
    Ok(ops)
}

fn lower_action<E>(
    action: &Action,
    os: OsFamily,
    resolve: &Resolve<'_, E>,
    ops: &mut Vec<Op>,
) -> Result<(), E> {
    match action {
        Action::InstallPackages { names } => ops.extend(install_packages(names, os)),
        Action::SwapOff => {
            // The lasting half first: active swap is what the next look can see, so a run that ends between
            // the two is taken up again.
            let expression = r"/^[^#].*\sswap\s/s/^/# /";
            ops.push(run(["sed", "-i", "-E", expression, "/etc/fstab"], "swap stays off after a reboot"));
            ops.push(run(["swapoff", "-a"], "the kubelet is not configured for swap"));
        }
        Action::LoadModule { name } => ops.push(run(["modprobe", name], "Kubernetes networking needs it")),
        Action::ApplySysctls => {
            ops.push(run(["sysctl", "-q", "-p", "/etc/sysctl.d/99-keelwright.conf"], "settings take effect"))
        }
        Action::MakeDirectory { path, mode } => ops.push(Op::Directory { path: path.clone(), mode: *mode }),
        Action::InstallBinary { path, mode, sha256, artifact: _, version: _ } => ops.push(Op::Install {
            sha256: sha256.to_string(),
            member: None,
            path: path.clone(),
            mode: *mode,
        }),
        Action::WriteFile { path, mode, content, .. } => {
            let payload = match content {
                Content::Text(text) => Payload::Text(Arc::clone(text)),
                Content::Secret(secret) => Payload::Secret(resolve(secret)?),
            };
            ops.push(Op::WriteFile { path: path.clone(), mode: *mode, payload });
        }
        Action::MakeLink { path, link } => ops.push(Op::Link { path: path.clone(), target: link.clone() }),
        Action::RemovePath { path, recursive } => {
            ops.push(Op::Remove { path: path.clone(), recursive: *recursive })
        }
        Action::ReloadUnits => ops.push(run(["systemctl", "daemon-reload"], "unit files changed")),
        Action::StartUnit { unit } => {
            ops.push(run(["systemctl", "enable", "--quiet", unit], "it starts at boot"));
            ops.push(run(["systemctl", "restart", unit], "it runs now"));
        }
        Action::RestartUnit { unit } => {
            ops.push(run(["systemctl", "reload-or-restart", unit], "it reads its files anew"))
        }
        Action::StopUnit { unit } => {
            ops.push(run(["systemctl", "disable", "--quiet", "--now", unit], "another unit does its work"))
        }
        Action::AwaitRuntime => ops.push(Op::Await {
            command: Command::new(["ctr", "version"]),
            what: "containerd".to_owned(),
            deadline: RUNTIME_DEADLINE,
        }),
        Action::RestartPod { pod } => {
            // Moving the manifest away and back, as kubeadm documents, would lose it to a crash in between.
            let script = format!(
                "ids=$(crictl ps -q --name '^{pod}$') && {{ [ -z \"$ids\" ] || crictl stop --timeout {POD_STOP_SECONDS} $ids; }}"
            );
            ops.push(run(["sh", "-c", &script], "it read its certificates when it started"));
        }
        Action::PauseKubelet => ops.push(run(["systemctl", "stop", "kubelet.service"], "it is exchanged")),
        Action::AwaitPod { pod } => ops.push(await_pod(pod)),
        Action::AwaitEndpoint { component, url } => ops.push(await_endpoint(component, url)),
        Action::AwaitLogSnapshot { data_dir } => ops.push(await_log_snapshot(data_dir)),
        Action::ImportImage { sha256, .. } => {
            let archive = format!("{ARTIFACT_STORE}/{sha256}");
            ops.push(run(
                ["ctr", "-n", "k8s.io", "images", "import", "--no-unpack", &archive],
                "static pods start from it",
            ));
        }
        Action::Fetch { name, url, sha256, .. } => {
            ops.extend(fetch(name, &sha256.to_string(), |part| from_mirror(url, part)));
        }
        Action::FetchObject { name, bucket, sha256, .. } => {
            let sha256 = sha256.to_string();
            ops.extend(fetch(name, &sha256, |part| from_bucket(bucket, &sha256, part)));
        }
        Action::RunHook { place: HookPlace::Host, command, environment, timeout, .. } => {
            ops.push(hook(command, environment, *timeout));
        }
        Action::RunHook { place: HookPlace::Local, .. } => {}
        Action::CleanMachine { etcd_data_dir } => ops.extend(super::clean::operations(etcd_data_dir)),
        Action::Mint { .. }
        | Action::Snapshot { .. }
        | Action::Upload { .. }
        | Action::AwaitApi { .. }
        | Action::ApplyObjects { .. }
        | Action::PatchNode { .. }
        | Action::AwaitNode { .. }
        | Action::AwaitServing
        | Action::AwaitSpareVoter
        | Action::AwaitWave { .. }
        | Action::WatchWave { .. }
        | Action::AddLearner { .. }
        | Action::PromoteLearner { .. }
        | Action::RemoveMember { .. }
        | Action::Drain { .. }
        | Action::Uncordon { .. }
        | Action::DeleteNode { .. } => {}
    }
    Ok(())
}

/// The command with its environment, ended by the host itself when its time is over.
fn hook(command: &[String], environment: &BTreeMap<String, String>, timeout: u32) -> Op {
    let limit = ["timeout", "--kill-after", HOOK_GRACE, &timeout.to_string(), "env"].map(str::to_owned);
    let variables = environment.iter().map(|(name, value)| format!("{name}={value}"));
    let argv = limit.into_iter().chain(variables).chain(command.iter().cloned());
    Op::Run { command: Command::new(argv), because: "the operator's own".to_owned() }
}

/// A container that is older than its manifest, or than the kubelet, is about to be replaced.
fn await_pod(pod: &str) -> Op {
    let check = format!(
        "written=$(stat -c %.9Y /etc/kubernetes/manifests/{pod}.yaml | tr -d .)
{KUBELET_STARTED}
made=$(crictl ps --name '^{pod}$' -o json | sed -n 's/.*\"createdAt\": *\"\\([0-9]*\\)\".*/\\1/p' | sort -n | tail -n1)
[ -n \"$made\" ] && [ \"$made\" -gt \"$written\" ] && [ \"$made\" -gt \"$started\" ] && exit"
    );
    await_container(pod, &check)
}

/// Where every static etcd tells its metrics, kubeadm's as ours.
const ETCD_METRICS: &str = "http://127.0.0.1:2381/metrics";
/// The place in its log that a member has come to.
const ETCD_APPLIED: &str = "etcd_server_proposals_applied_total";

/// Waits until a component says on its own endpoint that it is ready.
fn await_endpoint(component: &str, url: &str) -> Op {
    // The endpoint's certificate is its own; nothing secret is said to it, and it is this host.
    let check = format!("curl -fsk --max-time 5 -o /dev/null -- {} && exit", crate::command::quote(url));
    await_container(component, &check)
}

/// The first look notes how much etcd has applied; its snapshots' names end with what they hold, in hexadecimal.
fn await_log_snapshot(data_dir: &str) -> Op {
    let directory = crate::command::quote(&format!("{data_dir}/member/snap"));
    let script = format!(
        "id=$(crictl ps -q --name '^etcd$' | head -n1)
[ -n \"$id\" ] || exit 1
note=/run/keelwright-etcd-applied-$id
[ -s \"$note\" ] || curl -fs --max-time 5 {ETCD_METRICS} | awk '$1 == \"{ETCD_APPLIED}\" {{ printf \"%.0f\", $2 }}' >\"$note\"
newest=$(ls {directory} | sed -n 's/^[0-9a-f]*-\\([0-9a-f]*\\)\\.snap$/\\1/p' | sort | tail -n1)
[ -s \"$note\" ] && [ -n \"$newest\" ] && [ $((0x$newest)) -ge \"$(cat \"$note\")\" ] && rm -f \"$note\""
    );
    let command = Command::new(["sh", "-c", &script]);
    Op::Await { command, what: "a snapshot of etcd's log".to_owned(), deadline: POD_DEADLINE }
}

/// Repeats a check, and gives up on a container of a new pod that ends again and again: it never will be ready.
/// What was made before the kubelet started, or long ago, is of another story.
fn await_container(pod: &str, check: &str) -> Op {
    let often = CRASHES + if BESIDE_THE_API_SERVER.contains(&pod) { PATIENCE } else { 0 };
    let script = format!(
        "{check}
born=$(crictl pods --namespace kube-system --name '^{pod}-' -o json | sed -n 's/.*\"createdAt\": *\"\\([0-9]*\\).*/\\1/p' | sort -n | tail -n1)
[ $((${{born:-0}} + {POD_DEADLINE}000000000)) -gt \"$(date +%s%N)\" ] || exit 1
{KUBELET_STARTED}
[ \"$born\" -gt \"$started\" ] || exit 1
newest=$(crictl ps -a -q --name '^{pod}$' | head -n1)
[ -n \"$newest\" ] || exit 1
state=$(crictl inspect \"$newest\")
case $state in *CONTAINER_EXITED*) ;; *) exit 1 ;; esac
made=$(printf %s \"$state\" | sed -n 's/.*\"createdAt\": *\"\\([^\"]*\\)\".*/\\1/p' | head -n1)
[ \"$(date -d \"$made\" +%s%N)\" -gt \"$started\" ] || exit 1
ended=$(printf %s \"$state\" | sed -n 's/.*\"attempt\": *\\([0-9]*\\).*/\\1/p' | head -n1)
[ $((${{ended:-0}} + 1)) -ge {often} ] || exit 1
echo \"{pod} ended again and again; what was said last:\"
printf %s \"$state\" | sed -n 's/.*\"message\": *\"\\(..*\\)\".*/\\1/p' | head -n1
crictl logs --tail 3 \"$newest\" 2>&1
exit {WILL_NOT_COME}"
    );
    let command = Command::new(["sh", "-c", &script]);
    Op::Await { command, what: pod.to_owned(), deadline: POD_DEADLINE }
}

pub(super) fn run<const N: usize>(argv: [&str; N], because: &str) -> Op {
    Op::Run { command: Command::new(argv), because: because.to_owned() }
}

fn install_packages(names: &[String], os: OsFamily) -> Vec<Op> {
    let words: &[&str] = match os {
        OsFamily::Debian => &[
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "install",
            "-y",
            "-q",
            "--no-install-recommends",
        ],
        OsFamily::RedHat => &["dnf", "install", "-y", "-q"],
    };
    let argv = words.iter().map(|word| (*word).to_owned()).chain(names.iter().cloned());
    let install =
        Op::Run { command: Command::new(argv), because: "what runs on the node needs them".to_owned() };
    match os {
        OsFamily::Debian => vec![run(["apt-get", "update", "-q"], "package lists may be old"), install],
        OsFamily::RedHat => vec![install],
    }
}

/// What brings a file of this hash is told where to put it.
fn fetch(name: &str, sha256: &str, bring: impl FnOnce(&str) -> Vec<String>) -> Vec<Op> {
    let part = format!("{ARTIFACT_STORE}/.{sha256}.part");
    let whole = format!("{ARTIFACT_STORE}/{sha256}");
    let check = format!("echo {sha256}  {part} | sha256sum -c --status");
    vec![
        store(),
        Op::Run { command: Command::new(bring(&part)), because: name.to_owned() },
        run(["sh", "-c", &check], "only what the bundle lists is installed"),
        run(["mv", "-T", "--", &part, &whole], name),
    ]
}

/// Fetching comes before packages, and not every image has it.
fn has_curl(os: OsFamily) -> Op {
    let install = match os {
        OsFamily::Debian => {
            "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends curl ca-certificates"
        }
        OsFamily::RedHat => "dnf install -y -q curl",
    };
    let script = format!("command -v curl >/dev/null || {{ {install}; }}");
    run(["sh", "-c", &script], "artifacts are fetched with it")
}

fn store() -> Op {
    Op::Directory { path: ARTIFACT_STORE.to_owned(), mode: 0o700 }
}

fn from_mirror(url: &str, part: &str) -> Vec<String> {
    ["curl", "-fsS", "--retry", "3", "-o", part, "--", url].map(str::to_owned).into()
}

fn from_bucket(bucket: &ArtifactBucket, sha256: &str, part: &str) -> Vec<String> {
    let ArtifactBucket { name, region, .. } = bucket;
    let key = bucket.key(sha256);
    ["sh", FROM_BUCKET, region, aws_domain(region), name, &key, part].map(str::to_owned).into()
}

/// Requests to S3 are signed, which takes more than a line.
fn bucket_script() -> Op {
    let template = include_str!("../../templates/aws/from-bucket.sh");
    let script = render("aws/from-bucket.sh", template, minijinja::context! { calls => AWS_CALLS });
    Op::WriteFile { path: FROM_BUCKET.to_owned(), mode: 0o700, payload: Payload::Text(script.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Reason;

    fn planned(action: Action) -> Planned {
        Planned { action, reason: Reason::Missing }
    }

    #[test]
    fn objects_are_fetched_by_a_script_that_comes_first_and_once() {
        let bucket = ArtifactBucket {
            name: "acme".to_owned(),
            region: "cn-north-1".to_owned(),
            prefix: "kubernetes/files".to_owned(),
        };
        let fetch = |text: &str| {
            let sha256 = crate::digest::Digest::of(text.as_bytes());
            planned(Action::FetchObject { name: text.to_owned(), bucket: bucket.clone(), sha256, size: 1 })
        };
        let resolve = |_: &SecretContent| Err(());
        let ops = lower(&[fetch("a"), fetch("b")], OsFamily::Debian, &resolve).unwrap();
        let words = |op: &Op| match op {
            Op::Run { command, .. } => command.argv.join(" "),
            Op::WriteFile { path, .. } => format!("write {path}"),
            other => format!("{other:?}").split(' ').next().unwrap().to_owned(),
        };
        let a = crate::digest::Digest::of(b"a").to_string();
        let said: Vec<String> = ops.iter().map(words).collect();
        assert!(said[0].starts_with("sh -c command -v curl >/dev/null || { apt-get update"), "{}", said[0]);
        assert_eq!(said[1..3], ["Directory".to_owned(), format!("write {FROM_BUCKET}")]);
        let store = ARTIFACT_STORE;
        assert_eq!(
            said[3..7],
            [
                "Directory".to_owned(),
                format!(
                    "sh {FROM_BUCKET} cn-north-1 amazonaws.com.cn acme kubernetes/files/{a} {store}/.{a}.part"
                ),
                format!("sh -c echo {a}  {store}/.{a}.part | sha256sum -c --status"),
                format!("mv -T -- {store}/.{a}.part {store}/{a}"),
            ]
        );
        assert_eq!(said.iter().filter(|words| words.starts_with("write")).count(), 1);
        // Nothing of it where nothing is fetched from a bucket.
        let none = lower(&[planned(Action::SwapOff)], OsFamily::Debian, &resolve).unwrap();
        assert!(none.iter().all(|op| !matches!(op, Op::WriteFile { .. })));
    }

    #[test]
    fn a_hook_on_a_host_gets_its_environment_and_a_limit() {
        let environment = [("KEELWRIGHT_HOST".to_owned(), "w 1".to_owned())].into();
        let script = "echo \"$KEELWRIGHT_HOST\"; [ $# = 0 ] || exec tail -f /dev/null";
        let run = |timeout: u32, more: &[&str]| {
            let mut command: Vec<String> = ["sh", "-c", script, "sh"].map(str::to_owned).into();
            command.extend(more.iter().map(|word| (*word).to_owned()));
            let Op::Run { command, .. } = hook(&command, &environment, timeout) else { panic!("no command") };
            let (program, arguments) = command.argv.split_first().unwrap();
            let output = std::process::Command::new(program).args(arguments).output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        assert_eq!(run(60, &[]), (Some(0), "w 1\n".to_owned()));
        assert_eq!(run(1, &["stay"]), (Some(124), "w 1\n".to_owned()));
    }
}
