//! What a worker of a scaling group does when it boots for the first time: with nothing but this text and its role it
//! becomes a node, from the same blueprint as any other host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use minijinja::context;

use super::name::physical_name;
use super::resource::DRAIN_HOOK;
use crate::blueprint::{
    AWS_CALLS, Binary, ClusterIdentity, Content, File, FileGroup, FilePolicy, HostBlueprint, HostTraits,
    OsFamily, Unit, UnitGroup, UnitState, host_blueprint,
};
use crate::command::quote;
use crate::exec::{HostScript, Layout, RenderError, standalone};
use crate::inventory::{Host, HostName, Inventory, Role, SelfJoin, Ssh, Sudo, WorkerGroup};
use crate::pki::SecretContent;
use crate::plan::lower::lower;
use crate::plan::{Action, MissingArtifact, Planned, new_host};
use crate::release::{BundleManifest, UnsupportedMinor, release_of};
use crate::render::render;

/// Of TEST-NET-1, so nobody's: where a machine's own address belongs.
const OWN_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const DRAIN_SCRIPT: &str = "/etc/keelwright/drain.sh";
const DRAIN_UNIT: &str = "keelwright-drain.service";

/// Why a worker cannot join by itself.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(transparent)]
    Release(#[from] UnsupportedMinor),
    #[error(transparent)]
    Artifact(#[from] MissingArtifact),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("{0} is a secret, and user data is no place for it")]
    Secret(SecretContent),
}

/// The text for machines of `group`, as cloud-init takes it. `inventory` has the control planes at their addresses.
///
/// # Errors
/// [`JoinError`] when the version is not supported or the bundle lacks something.
pub fn first_boot(
    inventory: &Inventory,
    join: &SelfJoin,
    group: &WorkerGroup,
    bundle: &BundleManifest,
) -> Result<String, JoinError> {
    let blueprint = blueprint(inventory, join, group)?;
    let changes = new_host(blueprint, bundle, &inventory.artifacts.delivery)?;
    // Files in which a machine's own values have still to be put, and the start of what reads them.
    let (start, files): (Vec<_>, Vec<_>) =
        changes.start.into_iter().partition(|planned| starts(&planned.action));
    let prepare: Vec<Planned> = changes.uploads.into_iter().chain(changes.prepare).chain(files).collect();
    let labels: String = group.labels.iter().map(|(key, value)| format!(",{key}={value}")).collect();
    let context = context! {
        calls => AWS_CALLS,
        cluster => inventory.name.as_str(),
        domain => join.domain(),
        labels => quote(&labels),
        own_address => OWN_ADDRESS.to_string().replace('.', "\\."),
        parameter => quote(&join.parameter),
        prepare => stage("prepare", &prepare)?,
        region => quote(&join.region),
        start => stage("start", &start)?,
    };
    Ok(render("aws/join.sh", include_str!("../../templates/aws/join.sh"), context))
}

fn starts(action: &Action) -> bool {
    matches!(action, Action::StartUnit { .. } | Action::RestartUnit { .. })
}

fn stage(id: &str, actions: &[Planned]) -> Result<String, JoinError> {
    let secret = |content: &SecretContent| Err(JoinError::Secret(content.clone()));
    let ops = lower(actions, OsFamily::Debian, &secret)?;
    let script = HostScript { id: id.to_owned(), epoch: 0, deadline: 0, ops };
    Ok(standalone(&script, &Layout::default())?)
}

/// A worker's, without what only one host has or only its operator knows, and with what drains it.
fn blueprint(
    inventory: &Inventory,
    join: &SelfJoin,
    group: &WorkerGroup,
) -> Result<HostBlueprint, UnsupportedMinor> {
    let release = release_of(inventory.version)?;
    let host = any_host(group);
    // Both are a control plane's business.
    let identity = ClusterIdentity { uid: "", etcd_token: "" };
    let mut blueprint =
        host_blueprint(inventory, release, identity, &BTreeMap::new(), &host, &HostTraits::default());
    blueprint
        .files
        .retain(|path, file| matches!(file.content, Content::Text(_)) && path != "/etc/keelwright/host.json");
    blueprint.links.clear();
    let kubectl = Binary { artifact: "kubectl".to_owned(), mode: 0o755, restarts: BTreeSet::new() };
    blueprint.binaries.insert("/usr/local/bin/kubectl".to_owned(), kubectl);
    blueprint.packages.insert("curl".to_owned());
    let script = context! {
        calls => AWS_CALLS,
        domain => join.domain(),
        group => quote(&physical_name(inventory.name.as_str(), &group.name)),
        hook => DRAIN_HOOK,
        region => quote(&join.region),
    };
    let script = render("aws/drain.sh", include_str!("../../templates/aws/drain.sh"), script);
    let service = include_str!("../../templates/aws/keelwright-drain.service.j2");
    let service = render(DRAIN_UNIT, service, context! { path => DRAIN_SCRIPT });
    for (path, mode, text) in [
        (DRAIN_SCRIPT.to_owned(), 0o700, script),
        (format!("/etc/systemd/system/{DRAIN_UNIT}"), 0o644, service),
    ] {
        let content = Content::Text(text.into());
        let (group, policy, restarts) = (FileGroup::System, FilePolicy::Exact, BTreeSet::new());
        blueprint.files.insert(path, File { group, mode, content, policy, restarts });
    }
    let unit = Unit { state: UnitState::Running, group: UnitGroup::Kubelet };
    blueprint.units.insert(DRAIN_UNIT.to_owned(), unit);
    Ok(blueprint)
}

/// Any machine of the group; its name is nowhere in what is left of its blueprint.
fn any_host(group: &WorkerGroup) -> Host {
    // invariant: a group's name is a DNS label
    let name = HostName::parse(&group.name).unwrap_or_else(|_| unreachable!("{} is no name", group.name));
    let ssh = Ssh {
        host: OWN_ADDRESS.to_string(),
        port: None,
        user: None,
        keys: Vec::new(),
        bastions: Vec::new(),
        sudo: Sudo::Passwordless,
        host_keys: Vec::new(),
        host_cas: Vec::new(),
    };
    Host {
        name,
        address: OWN_ADDRESS,
        secondary_address: None,
        roles: BTreeSet::from([Role::Worker]),
        arch: group.arch,
        ssh,
        labels: group.labels.clone(),
        taints: group.taints.clone(),
        // It finds out itself, when it boots.
        provider_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::hosts::imagined;
    use crate::cloud::spec::tests::{example, inventory_of};
    use crate::inventory::{Addon, ArtifactBucket, Delivery};
    use crate::release::addons::CLOUD_CONTROLLER;
    use crate::sim::stand_in;

    fn mirror() -> Delivery {
        Delivery::Mirror { url: "https://mirror.example.org/k8s".to_owned() }
    }

    fn bucket() -> Delivery {
        let [name, region, prefix] = ["acme", "eu-west-1", "artifacts"].map(str::to_owned);
        Delivery::Bucket(ArtifactBucket { name, region, prefix })
    }

    fn text() -> String {
        text_with(Vec::new(), mirror())
    }

    fn text_with(addons: Vec<Addon>, delivery: Delivery) -> String {
        let wanted = inventory_of(&example());
        let mut inventory = imagined(&wanted);
        inventory.addons = addons;
        inventory.artifacts.delivery = delivery;
        let mut bundles = BTreeMap::new();
        stand_in(&inventory, &Default::default(), &mut bundles, &mut Default::default()).unwrap();
        let bundle = bundles.values().next().unwrap();
        first_boot(&inventory, &wanted.self_join(), &wanted.aws.worker_groups[0], bundle).unwrap()
    }

    #[test]
    fn a_shell_understands_it() {
        for text in [text(), text_with(Vec::new(), bucket())] {
            let mut shell = std::process::Command::new("sh");
            let child =
                shell.arg("-n").stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            let mut child = child.spawn().unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    /// What fetches, without what it fetches: the hashes of a bundle that consists of its manifest say nothing.
    #[test]
    fn it_fetches_from_a_bucket_as_the_machine_that_it_is() {
        let text = text_with(Vec::new(), bucket());
        assert!(!text.contains("mirror.example.org"));
        let fetches = text.lines().filter(|line| line.contains("from-bucket.sh eu-west-1 ")).count();
        let from_mirror =
            self::text().lines().filter(|line| line.contains("mirror.example.org/k8s/")).count();
        assert_eq!((fetches, fetches > 10), (from_mirror, true));
        let from = text.find("cat >\"$stage/files/").unwrap();
        let to = text[from..].find("\nEND-OF-FILE").unwrap();
        insta::assert_snapshot!(text[from..from + to].to_owned() + "\n");
    }

    #[test]
    fn it_brings_all_that_a_worker_has_and_nothing_that_is_secret() {
        let text = text();
        for part in [
            "https://mirror.example.org/k8s/",
            "/usr/local/bin/kubelet",
            "/etc/containerd/config.toml",
            "/etc/systemd/system/keelwright-apiserver-lb.service",
            "AmazonSSM.$1",
            "/node-token",
            ",pool=workers",
            "-workers\n",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        for part in ["PRIVATE KEY", "client-certificate", "host.json"] {
            assert!(!text.contains(part), "{part} is in\n{text}");
        }
    }

    #[test]
    fn its_kubelet_waits_for_the_cloud_controller_where_there_is_one() {
        assert!(!text().contains("--cloud-provider"));
        let addon = Addon { name: CLOUD_CONTROLLER.to_owned(), source: None, sha256: None };
        assert!(text_with(vec![addon], mirror()).contains("--cloud-provider=external"));
    }

    #[test]
    fn it_fits_into_user_data() {
        // EC2 takes 16 KiB.
        for delivery in [mirror(), bucket()] {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            let text = text_with(Vec::new(), delivery);
            std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
            let size = encoder.finish().unwrap().len();
            assert!(size < 15 * 1024, "{size} bytes");
        }
    }
}
