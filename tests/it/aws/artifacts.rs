//! Artifacts go into a bucket of moto's S3 once, and machines fetch them from there by their role.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::presigning::PresigningConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8PathBuf;
use http::Method;
use keelwright::cloud::artifacts::{Item, Stock};
use keelwright::cloud::aws::Artifacts;
use keelwright::exec::SystemClock;
use keelwright::inventory::ArtifactBucket;
use keelwright::plan::lower::lower;
use keelwright::plan::{Action, Planned, Reason};
use keelwright::script::{Op, Payload};
use sha2::Digest as _;

use super::commands::{Operator, text};
use super::lifecycle::{PACE, census_of, counts, sdk_config, trouble};
use crate::emulator::Cloud;
use crate::emulator::census::{Census, Kind};
use crate::emulator::client::Client;
use crate::emulator::proxy::{Fault, Faults};
use crate::emulator::service::Service;

const PLACE: &str = "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>";
/// Of no length that a block of SHA-256 has, and with what has to be escaped in an address.
const TOKEN: &str = "IQoJb3JpZ2luX2VjEJr//////////wEaDGV1LWNlbnRyYWwtMSJHMEUCIQ+/a==";

fn sha256(content: &[u8]) -> String {
    hex::encode(sha2::Sha256::digest(content))
}

/// A directory that goes with the test.
struct Directory(Utf8PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = Utf8PathBuf::from_path_buf(std::env::temp_dir()).unwrap();
        let path = path.join(format!("keelwright-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn item(&self, name: &str, content: &[u8]) -> Item {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        let sha256 = sha256(content).parse().unwrap();
        Item { name: name.to_owned(), path, sha256, size: content.len() as u64 }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn make_bucket(cloud: &Cloud, name: &str) -> ArtifactBucket {
    cloud.moto.rest(Service::S3, Method::PUT, &format!("/{name}"), PLACE).await.ok();
    let [name, region, prefix] = [name, "eu-central-1", "kubernetes/files"].map(str::to_owned);
    ArtifactBucket { name, region, prefix }
}

async fn object(moto: &Client, place: &ArtifactBucket, item: &Item) -> Vec<u8> {
    let path = format!("/{}/{}", place.name, place.key(item.sha256.as_str()));
    moto.get(Service::S3, &path).await.ok().body.to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_brought_once_whatever_calls_meet_and_are_what_their_names_say() {
    let Some(cloud) = Cloud::start() else { return };
    let place = make_bucket(&cloud, "artifacts-once").await;
    let directory = Directory::new("artifacts");
    let items = vec![
        directory.item("kubelet", b"one"),
        directory.item("runc", &[7; 100_000]),
        directory.item("empty", b""),
    ];
    let shelf = Artifacts::with(&place, &sdk_config(&cloud));
    let clock = SystemClock::default();
    let stock = Stock { shelf: &shelf, clock: &clock, pace: PACE, seed: 1, events: &|_| {} };
    assert_eq!(stock.missing(items.clone()).await.unwrap(), items);
    cloud.proxy.set_faults(trouble(3));
    stock.bring(&items).await.unwrap();
    cloud.proxy.set_faults(Faults::none());
    for item in &items {
        assert_eq!(
            object(&cloud.moto, &place, item).await,
            std::fs::read(&item.path).unwrap(),
            "{}",
            item.name
        );
    }
    assert_eq!(stock.missing(items.clone()).await.unwrap(), []);

    // Somebody has put something else there, or the same in a way that nobody has checked.
    let path = format!("/{}/{}", place.name, place.key(items[0].sha256.as_str()));
    for content in ["two", "one"] {
        cloud.moto.rest(Service::S3, Method::PUT, &path, content).await.ok();
        assert_eq!(stock.missing(items.clone()).await.unwrap(), items[..1], "{content}");
    }
    stock.bring(&items[..1]).await.unwrap();
    assert_eq!(stock.missing(items.clone()).await.unwrap(), []);

    let gone = Item { path: directory.0.join("gone"), ..items[1].clone() };
    let error = stock.bring(&[gone]).await.unwrap_err();
    assert!(error.source.message.contains("gone"), "{error:?}");
    for denied in ["s3:HeadObject", "s3:HeadBucket"] {
        cloud.proxy.set(|settings| settings.denied = [denied.to_owned()].into());
        let error = stock.missing(items.clone()).await.unwrap_err();
        assert!(error.to_string().contains("s3:GetObject, s3:ListBucket"), "{error}");
    }
    cloud.proxy.set(|settings| settings.denied = Default::default());
    let nowhere = ArtifactBucket { name: "artifacts-nowhere".to_owned(), ..place };
    let shelf = Artifacts::with(&nowhere, &sdk_config(&cloud));
    let error = Stock { shelf: &shelf, ..stock }.missing(items).await.unwrap_err();
    assert!(error.to_string().contains("there is no bucket artifacts-nowhere"), "{error}");
}

/// What answers as the metadata service of a machine with a role.
fn metadata_service() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let asks = |what: &str| request.starts_with(what);
            let has_session =
                head.iter().any(|line| line.to_lowercase() == "x-aws-ec2-metadata-token: session");
            let body = if asks("PUT /latest/api/token ") {
                "session".to_owned()
            } else if !has_session {
                String::new()
            } else if asks("GET /latest/meta-data/iam/security-credentials/ ") {
                "worker".to_owned()
            } else if asks("GET /latest/meta-data/iam/security-credentials/worker ") {
                format!(
                    "{{\n  \"Code\" : \"Success\",\n  \"AccessKeyId\" : \"ASIATEST\",\n  \"SecretAccessKey\" : \"secret/key+1\",\n  \"Token\" : \"{TOKEN}\"\n}}"
                )
            } else {
                String::new()
            };
            let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = (&stream).write_all(format!("{head}{body}").as_bytes());
        }
    });
    url
}

/// A machine as far as fetching goes: the script that a stage brings, the metadata service, and no time to wait.
struct Machine {
    directory: Directory,
    metadata: String,
    ops: Vec<Op>,
}

impl Machine {
    fn new(name: &str, place: &ArtifactBucket, item: &Item) -> Machine {
        let directory = Directory::new(name);
        let action = Action::FetchObject {
            name: item.name.clone(),
            bucket: place.clone(),
            sha256: keelwright::digest::Digest::parse(item.sha256.as_str()).unwrap(),
            size: item.size,
        };
        let planned = Planned { action, reason: Reason::Missing };
        let no_secret = |_: &keelwright::pki::SecretContent| Err(());
        let ops = lower(&[planned], keelwright::blueprint::OsFamily::Debian, &no_secret).unwrap();
        let text = ops.iter().find_map(|op| match op {
            Op::WriteFile { payload: Payload::Text(text), .. } => Some(text.to_string()),
            _ => None,
        });
        // Where this machine's endpoints are is said in the environment.
        std::fs::write(directory.0.join("from-bucket.sh"), text.unwrap()).unwrap();
        let sleep = directory.0.join("sleep");
        std::fs::write(&sleep, "#!/bin/sh\necho slept >>\"$0.log\"\n").unwrap();
        std::fs::set_permissions(&sleep, std::fs::Permissions::from_mode(0o755)).unwrap();
        Machine { directory, metadata: metadata_service(), ops }
    }

    /// The stage's own command, with the paths of this machine.
    fn fetch(&self, endpoint: &str) -> Output {
        let argv = self.ops.iter().find_map(|op| match op {
            Op::Run { command, .. } if command.argv[1].ends_with("/from-bucket.sh") => Some(&command.argv),
            _ => None,
        });
        let [shell, _, rest @ .., _] = argv.unwrap().as_slice() else { panic!() };
        let path = format!("{}:{}", self.directory.0, std::env::var("PATH").unwrap());
        let mut command = Command::new(shell);
        command.arg(self.directory.0.join("from-bucket.sh")).args(rest).arg(self.fetched());
        command.env("PATH", path).env("AWS_ENDPOINT_URL_S3", endpoint);
        command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &self.metadata);
        command.output().unwrap()
    }

    fn fetched(&self) -> Utf8PathBuf {
        self.directory.0.join("fetched")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_fetches_by_its_role_with_a_request_that_is_signed_as_the_sdk_would() {
    let Some(cloud) = Cloud::start() else { return };
    let place = make_bucket(&cloud, "artifacts-fetch").await;
    let directory = Directory::new("fetch");
    let item = directory.item("kubelet", &[42; 70_000]);
    let shelf = Artifacts::with(&place, &sdk_config(&cloud));
    let clock = SystemClock::default();
    let stock = Stock { shelf: &shelf, clock: &clock, pace: PACE, seed: 1, events: &|_| {} };
    stock.bring(std::slice::from_ref(&item)).await.unwrap();

    let machine = Machine::new("machine", &place, &item);
    let output = machine.fetch(&cloud.proxy.url());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(std::fs::read(machine.fetched()).unwrap(), std::fs::read(&item.path).unwrap());
    let entries = cloud.proxy.journal();
    let asked = entries.iter().rfind(|entry| entry.name == "S3.GetObject").expect("it was asked for");
    let params = &asked.params;
    assert_eq!(params["X-Amz-Security-Token"], TOKEN);

    // What the SDK makes of the same question at the same second.
    let began = params["X-Amz-Date"].as_str();
    let began = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", began).unwrap();
    let began = began.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second();
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs(began.try_into().unwrap());
    let keys =
        aws_credential_types::Credentials::new("ASIATEST", "secret/key+1", Some(TOKEN.into()), None, "x");
    let config = sdk_config(&cloud)
        .into_builder()
        .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(keys))
        .build();
    let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
    let presigning = PresigningConfig::builder().start_time(began).expires_in(Duration::from_secs(900));
    let request = aws_sdk_s3::Client::from_conf(config).get_object();
    let request = request.bucket(&place.name).key(place.key(item.sha256.as_str()));
    let wanted = request.presigned(presigning.build().unwrap()).await.unwrap();
    let wanted = reqwest::Url::parse(wanted.uri()).unwrap();
    let wanted: BTreeMap<String, String> = wanted.query_pairs().into_owned().collect();
    let asked: BTreeMap<String, String> = params
        .iter()
        .filter(|(name, _)| name.to_lowercase().starts_with("x-"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    assert_eq!(asked, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_is_not_known_everywhere_yet_is_waited_for_and_one_that_may_not_is_told() {
    let Some(cloud) = Cloud::start() else { return };
    let place = make_bucket(&cloud, "artifacts-denied").await;
    let directory = Directory::new("denied");
    let item = directory.item("kubelet", b"content");
    let shelf = Artifacts::with(&place, &sdk_config(&cloud));
    let clock = SystemClock::default();
    let stock = Stock { shelf: &shelf, clock: &clock, pace: PACE, seed: 1, events: &|_| {} };
    stock.bring(std::slice::from_ref(&item)).await.unwrap();
    let machine = Machine::new("late", &place, &item);
    let mut refusals = 2;
    cloud.proxy.set_faults(Faults::new(1, move |_, call, _| {
        let refused = call == "S3.GetObject" && refusals > 0;
        refusals -= u32::from(refused);
        if refused { Fault::CutBefore } else { Fault::None }
    }));
    let output = machine.fetch(&cloud.proxy.url());
    assert!(output.status.success(), "{}", text(&output.stderr));

    cloud.proxy.set(|settings| settings.denied = ["s3:GetObject".to_owned()].into());
    let output = machine.fetch(&cloud.proxy.url());
    let said = text(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("403") && said.contains("of bucket artifacts-denied cannot be fetched"), "{said}");
    assert!(!said.contains("secret/key") && !said.contains(TOKEN), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_fills_the_bucket_before_it_makes_machines_and_their_roles_may_read_it() {
    let Some(operator) = Operator::new("stocks", "").await else { return };
    let place = make_bucket(&operator.cloud, "artifacts-apply").await;
    let delivery = "{bundle: bundle, delivery: {bucket: {name: artifacts-apply, prefix: kubernetes/files}}}";
    operator.edit(|text| text.replace("{bundle: bundle}", delivery));
    let items = operator.real_bundle();
    let number = items.len();
    let planned = text(&operator.run(&["plan"]).stdout);
    let line = format!(
        "! s3://artifacts-apply/kubernetes/files: {number} files of the bundle, 0 MiB, are brought there first\n"
    );
    assert!(planned.contains(&line), "{planned}");

    // A bucket that cannot be filled is told before anything is made.
    operator.cloud.proxy.set(|settings| settings.denied = ["s3:PutObject".to_owned()].into());
    let refused = operator.run(&["apply", "--yes"]);
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("s3:PutObject on s3://artifacts-apply"), "{said}");
    let mut there = census_of(&operator.cloud).await;
    there.remove(&Kind::Bucket);
    assert_eq!(there, Census::new());

    operator.cloud.proxy.set(|settings| settings.denied = Default::default());
    operator.machines_say_their_keys();
    let said = operator.until(&["apply", "--yes"], "waiting for cp-");
    assert_eq!(said.matches("\nsent ").count() + usize::from(said.starts_with("sent ")), number, "{said}");
    let mut there = counts(&census_of(&operator.cloud).await);
    there.retain(|(kind, _)| *kind != Kind::Bucket);
    assert_eq!(there, super::lifecycle::whole(1));
    for item in &items {
        assert_eq!(object(&operator.cloud.moto, &place, item).await, std::fs::read(&item.path).unwrap());
    }
    let role = [("RoleName", "keelwright-prod-worker-role"), ("PolicyName", "artifacts")];
    let policy = operator.cloud.moto.iam("GetRolePolicy", &role).await.ok().one("PolicyDocument");
    assert!(policy.contains("artifacts-apply"), "{policy}");

    // Nothing is brought twice, and a plan has nothing to say.
    let planned = text(&operator.run(&["plan"]).stdout);
    assert!(planned.starts_with("Nothing to do in the cloud.\n") && !planned.contains("s3://"), "{planned}");
    let bytes = first_boot(&operator.cloud).await;
    assert!(
        bytes.contains("from-bucket.sh eu-central-1 amazonaws.com artifacts-apply kubernetes/files/"),
        "{bytes}"
    );
}

/// What machines of the group do when they boot.
async fn first_boot(cloud: &Cloud) -> String {
    let moto = &cloud.moto;
    let templates = moto.ec2("DescribeLaunchTemplates", &[]).await.ok();
    let id = templates.one("launchTemplateId");
    let versions =
        cloud.proxy.client().ec2("DescribeLaunchTemplateVersions", &[("LaunchTemplateId", &id)]).await;
    let data = STANDARD.decode(versions.ok().one("userData")).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(data.as_slice()), &mut text).unwrap();
    text
}
