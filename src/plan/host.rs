//! One host: what differs between its blueprint and its facts, in the order it is to be mended.

use std::collections::BTreeSet;

use super::model::{Action, Before, Planned, Reason};
use super::pods;
use crate::blueprint::{
    Binary, Content, File, FileGroup, FilePolicy, HostBlueprint, SwapPolicy, UnitGroup, UnitState,
};
use crate::digest::Digest;
use crate::facts::{FileFact, FileKind, HostFacts};
use crate::inventory::Delivery;
use crate::pki::SecretContent;
use crate::release::BundleManifest;

const ETCD_MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";

/// The bundle, the vault and how artifacts travel: what a comparison needs beside the host.
pub(crate) struct Sources<'a> {
    pub bundle: &'a BundleManifest,
    pub secret_digest: &'a dyn Fn(&SecretContent) -> Option<Digest>,
    pub delivery: &'a Delivery,
    /// Files that others renewed and that are fine as they are.
    pub accepted: &'a BTreeSet<String>,
}

/// What one host still needs, by stage.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct HostChanges {
    pub uploads: Vec<Planned>,
    pub prepare: Vec<Planned>,
    pub start: Vec<Planned>,
}

/// An artifact that a blueprint names and the bundle has not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the bundle has no {kind} `{name}`")]
pub struct MissingArtifact {
    pub kind: &'static str,
    pub name: String,
}

/// Compares a host with its blueprint.
pub(crate) fn host_changes(
    blueprint: &HostBlueprint,
    facts: &HostFacts,
    sources: &Sources<'_>,
) -> Result<HostChanges, MissingArtifact> {
    let mut changes = Comparison { facts, sources, uploads: Vec::new(), sent: BTreeSet::new() };
    let mut prepare = changes.system(blueprint);
    let mut restarts = BTreeSet::new();
    prepare.extend(changes.directories(blueprint));
    prepare.extend(changes.binaries(blueprint, &mut restarts)?);
    prepare.extend(changes.files(blueprint, &[FileGroup::System], &mut restarts));
    let sysctls_differ = blueprint
        .sysctls
        .iter()
        .any(|(key, value)| facts.sysctls.get(key).is_none_or(|found| found.trim() != value));
    if sysctls_differ {
        prepare.push(missing(Action::ApplySysctls));
    }
    if writes_unit_files(&prepare) {
        prepare.push(follows(Action::ReloadUnits));
    }
    prepare.extend(changes.units(blueprint, UnitGroup::System, &restarts));
    prepare.extend(changes.images(blueprint)?);

    let mut start = Vec::new();
    let later = [FileGroup::Pki, FileGroup::Kubeconfig, FileGroup::Config];
    start.extend(changes.files(blueprint, &later, &mut restarts));
    start.extend(changes.links(blueprint));
    start.extend(changes.files(blueprint, &[FileGroup::Manifest], &mut restarts));
    if writes_unit_files(&start) {
        start.push(follows(Action::ReloadUnits));
    }
    let restarted = changes.pods(blueprint, &start);
    start.extend(restarted);
    start.extend(changes.units(blueprint, UnitGroup::Kubelet, &restarts));
    Ok(HostChanges { uploads: changes.uploads, prepare, start })
}

fn missing(action: Action) -> Planned {
    Planned { action, reason: Reason::Missing }
}

fn follows(action: Action) -> Planned {
    Planned { action, reason: Reason::Follows }
}

fn differs(action: Action, wanted: impl Into<String>, found: impl Into<String>) -> Planned {
    Planned { action, reason: Reason::Differs { wanted: wanted.into(), found: found.into() } }
}

fn writes_unit_files(actions: &[Planned]) -> bool {
    actions.iter().any(|planned| match &planned.action {
        Action::WriteFile { path, .. } => path.starts_with("/etc/systemd/system/"),
        _other => false,
    })
}

struct Comparison<'a> {
    facts: &'a HostFacts,
    sources: &'a Sources<'a>,
    uploads: Vec<Planned>,
    sent: BTreeSet<Digest>,
}

impl Comparison<'_> {
    fn system(&self, blueprint: &HostBlueprint) -> Vec<Planned> {
        let mut actions = Vec::new();
        let absent: Vec<String> =
            blueprint.packages.iter().filter(|name| !self.facts.packages.contains(*name)).cloned().collect();
        if !absent.is_empty() {
            actions.push(missing(Action::InstallPackages { names: absent }));
        }
        if blueprint.swap == SwapPolicy::Off && !self.facts.swap.is_empty() {
            actions.push(differs(Action::SwapOff, "no swap", self.facts.swap.join(", ")));
        }
        for name in &blueprint.modules {
            if !self.facts.modules.contains(name) {
                actions.push(missing(Action::LoadModule { name: name.clone() }));
            }
        }
        actions
    }

    fn directories(&self, blueprint: &HostBlueprint) -> Vec<Planned> {
        let mut actions = Vec::new();
        for (path, directory) in &blueprint.directories {
            let action = Action::MakeDirectory { path: path.clone(), mode: directory.mode };
            match self.facts.files.get(path) {
                Some(fact) if fact.kind == FileKind::Directory && fact.mode == directory.mode => {}
                Some(fact) => actions.push(differs(
                    action,
                    format!("{:04o}", directory.mode),
                    format!("{:04o}", fact.mode),
                )),
                None => actions.push(missing(action)),
            }
        }
        actions
    }

    fn binaries(
        &mut self,
        blueprint: &HostBlueprint,
        restarts: &mut BTreeSet<String>,
    ) -> Result<Vec<Planned>, MissingArtifact> {
        let mut actions = Vec::new();
        for (path, binary) in &blueprint.binaries {
            let Binary { artifact, mode, restarts: units } = binary;
            let file = self
                .sources
                .bundle
                .file(artifact)
                .ok_or_else(|| MissingArtifact { kind: "file", name: artifact.clone() })?;
            let Ok(sha256) = Digest::parse(file.sha256.as_str()) else { continue };
            let fact = self.facts.files.get(path);
            let same = fact.is_some_and(|fact| fact.digest == Some(sha256) && fact.mode == *mode);
            if same {
                continue;
            }
            self.bring(artifact, file.path.as_str(), sha256, file.size);
            let action = Action::InstallBinary {
                path: path.clone(),
                mode: *mode,
                artifact: artifact.clone(),
                version: file.version.clone(),
                sha256,
            };
            match fact {
                None => actions.push(missing(action)),
                Some(fact) => {
                    restarts.extend(units.iter().cloned());
                    actions.push(differs(action, file.version.clone(), describe(fact)));
                }
            }
        }
        Ok(actions)
    }

    /// Plans an upload unless the host has the artifact or already gets it in this plan.
    fn bring(&mut self, name: &str, path: &str, sha256: Digest, size: u64) {
        if self.facts.artifacts.contains(&sha256) || !self.sent.insert(sha256) {
            return;
        }
        let name = name.to_owned();
        self.uploads.push(missing(match self.sources.delivery {
            Delivery::Upload => Action::Upload {
                name,
                release: self.sources.bundle.kubernetes_version,
                path: path.to_owned(),
                sha256,
                size,
            },
            Delivery::Mirror { url } => {
                Action::Fetch { name, url: format!("{}/{sha256}", url.trim_end_matches('/')), sha256, size }
            }
            Delivery::Bucket(bucket) => Action::FetchObject { name, bucket: bucket.clone(), sha256, size },
        }));
    }

    fn images(&mut self, blueprint: &HostBlueprint) -> Result<Vec<Planned>, MissingArtifact> {
        let mut actions = Vec::new();
        for reference in &blueprint.images {
            if self.facts.images.as_ref().is_some_and(|images| images.contains(reference)) {
                continue;
            }
            let image = self
                .sources
                .bundle
                .image(reference)
                .ok_or_else(|| MissingArtifact { kind: "image", name: reference.clone() })?;
            let Ok(sha256) = Digest::parse(image.sha256.as_str()) else { continue };
            self.bring(reference, image.path.as_str(), sha256, image.size);
            actions.push(missing(Action::ImportImage { reference: reference.clone(), sha256 }));
        }
        if !actions.is_empty() {
            actions.insert(0, follows(Action::AwaitRuntime));
        }
        Ok(actions)
    }

    fn files(
        &self,
        blueprint: &HostBlueprint,
        groups: &[FileGroup],
        restarts: &mut BTreeSet<String>,
    ) -> Vec<Planned> {
        let mut actions = Vec::new();
        for group in groups {
            for (path, file) in blueprint.files.iter().filter(|(_, file)| file.group == *group) {
                if let Some((planned, existed)) = self.file(path, file) {
                    if existed {
                        restarts.extend(file.restarts.iter().cloned());
                    }
                    actions.push(planned);
                }
            }
        }
        actions
    }

    fn file(&self, path: &str, file: &File) -> Option<(Planned, bool)> {
        let fact = self.facts.files.get(path);
        if file.policy == FilePolicy::CreateOnly && fact.is_some() {
            return None;
        }
        let digest = match &file.content {
            Content::Text(text) => Some(Digest::of(text.as_bytes())),
            Content::Secret(content) => (self.sources.secret_digest)(content),
        };
        let same = fact.is_some_and(|fact| {
            let access = fact.mode == file.mode && fact.uid == 0 && fact.gid == 0;
            let equal = digest.is_some() && fact.digest == digest;
            access && (equal || self.sources.accepted.contains(path) || self.same_pod(path, file, fact))
        });
        if same {
            return None;
        }
        let action = Action::WriteFile {
            path: path.to_owned(),
            mode: file.mode,
            content: file.content.clone(),
            digest,
            before: fact.map(|fact| Before { digest: fact.digest, mode: fact.mode, text: fact.text.clone() }),
        };
        let planned = match fact {
            None => missing(action),
            Some(fact) => {
                let wanted = digest.map_or("new content".to_owned(), |digest| digest.short());
                differs(action, format!("{wanted} {:04o}", file.mode), describe(fact))
            }
        };
        Some((planned, fact.is_some()))
    }

    /// Pods that run with what a file held before: it changes in this plan, or did after they started.
    fn pods(&self, blueprint: &HostBlueprint, start: &[Planned]) -> Vec<Planned> {
        let writes = |wanted: &str| {
            start.iter().any(|planned| match &planned.action {
                Action::WriteFile { path, .. } => path == wanted,
                _other => false,
            })
        };
        let mut actions = Vec::new();
        for (pod, files) in &blueprint.pod_files {
            let manifest = format!("/etc/kubernetes/manifests/{pod}.yaml");
            // A new manifest starts the pod anew anyway, and before there is one nothing runs.
            if writes(&manifest) || !self.facts.files.contains_key(&manifest) {
                continue;
            }
            let changes = files.iter().find(|path| writes(path)).or(self.facts.stale_pods.get(pod));
            if let Some(path) = changes {
                let reason = Reason::Changed { what: path.clone() };
                actions.push(Planned { action: Action::RestartPod { pod: pod.clone() }, reason });
            }
        }
        actions
    }

    /// Whether a manifest is only written differently.
    fn same_pod(&self, path: &str, file: &File, fact: &FileFact) -> bool {
        let founded = path == ETCD_MANIFEST && self.facts.etcd.has_data;
        match (&file.content, &fact.text) {
            (Content::Text(wanted), Some(found)) if file.group == FileGroup::Manifest => {
                pods::same_pod(wanted, found, founded)
            }
            (Content::Text(_) | Content::Secret(_), Some(_) | None) => false,
        }
    }

    fn links(&self, blueprint: &HostBlueprint) -> Vec<Planned> {
        let mut actions = Vec::new();
        for (path, link) in &blueprint.links {
            let fact = self.facts.files.get(path);
            let right = fact.is_some_and(|fact| fact.kind == FileKind::Link(link.target.clone()));
            if right || (fact.is_some() && link.policy == FilePolicy::CreateOnly) {
                continue;
            }
            actions.push(missing(Action::MakeLink { path: path.clone(), link: link.target.clone() }));
        }
        actions
    }

    /// Whether this plan installs the package that a unit is named after.
    fn installs(&self, blueprint: &HostBlueprint, unit: &str) -> bool {
        let package = unit.strip_suffix(".service").unwrap_or(unit);
        blueprint.packages.contains(package) && !self.facts.packages.contains(package)
    }

    fn units(
        &self,
        blueprint: &HostBlueprint,
        group: UnitGroup,
        restarts: &BTreeSet<String>,
    ) -> Vec<Planned> {
        let mut actions = Vec::new();
        for (name, unit) in blueprint.units.iter().filter(|(_, unit)| unit.group == group) {
            let fact = self.facts.units.get(name).cloned().unwrap_or_default();
            let unit_name = name.clone();
            match unit.state {
                UnitState::Running if !(fact.active && fact.enabled) => {
                    let found = if fact.exists { "stopped" } else { "absent" };
                    actions.push(differs(Action::StartUnit { unit: unit_name }, "running", found));
                }
                UnitState::Running if restarts.contains(name) => actions.push(Planned {
                    action: Action::RestartUnit { unit: unit_name },
                    reason: Reason::Changed { what: "a file it reads".to_owned() },
                }),
                // A package starts its unit as soon as it is installed.
                UnitState::Stopped if self.installs(blueprint, name) => {
                    actions.push(follows(Action::StopUnit { unit: unit_name }));
                }
                UnitState::Stopped if fact.active || (fact.enabled && !fact.masked) => {
                    actions.push(differs(Action::StopUnit { unit: unit_name }, "stopped", "running"));
                }
                UnitState::Running | UnitState::Stopped => {}
            }
        }
        actions
    }
}

fn describe(fact: &FileFact) -> String {
    let content = fact.digest.map_or("another kind of file".to_owned(), |digest| digest.short());
    format!("{content} {:04o}", fact.mode)
}
