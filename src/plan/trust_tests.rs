//! Tests of what is accepted on hosts, with real certificates.

use std::sync::Arc;

use super::*;
use crate::blueprint::cluster::Manifests;
use crate::digest::Digest;
use crate::exec::VaultView;
use crate::exec::ports::SecretSource as _;
use crate::facts::{ClusterFacts, FileFact, FileKind, KubeconfigFact, Observed, VaultFacts};
use crate::inventory::{ClusterName, Inventory};
use crate::pki::issue::{Authority, PrivateKey, issue_authority};
use crate::pki::spec::tests::cluster;
use crate::plan::{Goal, blueprints, certificates};
use crate::state::files::tests::Scratch;
use crate::state::{Identity, Vault};

const NOW: i64 = 1_767_225_600;
const DAY: i64 = 86_400;
/// Past two thirds of a leaf's year.
const LATER: i64 = NOW + 270 * DAY;
const APISERVER: &str = "/etc/kubernetes/pki/apiserver.crt";
const SCHEDULER: &str = "/etc/kubernetes/scheduler.conf";

/// A cluster as keelwright left it nine months ago.
struct Case {
    _scratch: Scratch,
    inventory: Inventory,
    wanted: BTreeMap<KeyId, CertificateSpec>,
    ca: (String, PrivateKey),
    facts: ClusterFacts,
    vault: VaultFacts,
    host: HostName,
}

fn file(digest: Digest) -> FileFact {
    FileFact { kind: FileKind::Regular, mode: 0o600, uid: 0, gid: 0, digest: Some(digest), text: None }
}

impl Case {
    fn new() -> Self {
        let scratch = Scratch::new();
        let inventory = cluster(0);
        let wanted = certificates(&inventory).unwrap();
        let name = ClusterName::parse("prod").unwrap();
        let vault =
            Vault::open_or_create(&scratch.0, &Identity::generate(), &name, Arc::new(|| NOW), None).unwrap();
        let ca_key = PrivateKey::generate(inventory.pki.algorithm).unwrap();
        let ca = issue_authority(&wanted[&KeyId::ca()], &ca_key, NOW).unwrap().pem;
        let brought =
            crate::pki::authority::BroughtPair { certificate: Some(ca.clone()), key: ca_key.pem().clone() };
        vault.import(&BTreeMap::from([(KeyId::ca(), brought)])).unwrap();
        vault.mint(&wanted).unwrap();
        let host = inventory.control_planes().next().unwrap().name.clone();
        let facts = ClusterFacts {
            hosts: BTreeMap::from([(host.clone(), Observed::Known(HostFacts::default()))]),
            dropped: BTreeMap::new(),
            api: Observed::Absent,
            etcd: Observed::Absent,
        };
        let mut case = Case {
            _scratch: scratch,
            inventory,
            wanted,
            ca: (ca, ca_key),
            facts,
            vault: VaultFacts::default(),
            host,
        };
        let secrets: Vec<(String, SecretContent)> = case.with(|_, blueprint| {
            let files = blueprint.files.iter();
            files
                .filter_map(|(path, file)| match &file.content {
                    Content::Secret(content) => Some((path.clone(), content.clone())),
                    Content::Text(_) => None,
                })
                .collect()
        });
        let contents: Vec<SecretContent> = secrets.iter().map(|(_, content)| content.clone()).collect();
        case.vault = VaultView::facts(&vault, &contents);
        let digests = case.vault.digests.clone();
        let found = case.found();
        for (path, content) in &secrets {
            found.files.insert(path.clone(), file(Digest::parse(&digests[content]).unwrap()));
        }
        case
    }

    fn found(&mut self) -> &mut HostFacts {
        let Some(Observed::Known(facts)) = self.facts.hosts.get_mut(&self.host) else { panic!() };
        facts
    }

    fn with<T>(&self, f: impl FnOnce(&PlanInput<'_>, &HostBlueprint) -> T) -> T {
        let (bundles, objects, manifests) = (BTreeMap::new(), BTreeMap::new(), Manifests::default());
        let input = PlanInput {
            inventory: &self.inventory,
            facts: &self.facts,
            vault: &self.vault,
            bundles: &bundles,
            passing: &BTreeMap::new(),
            manifests: &manifests,
            objects: &objects,
            goal: Goal::Converge,
            now: LATER,
        };
        let blueprint = blueprints(&input).unwrap().remove(&self.host).unwrap();
        f(&input, &blueprint)
    }

    fn trust(&self) -> Trust {
        self.with(|input, _| trust(input, &self.wanted, &blueprints(input).unwrap()))
    }

    fn accepts(&self, path: &str) -> bool {
        self.trust().accepted[&self.host].contains(path)
    }

    fn key(&self, name: &str) -> KeyId {
        KeyId::of_host(&self.host, name)
    }

    fn issue(&self, spec: &CertificateSpec, made: i64) -> String {
        let key = PrivateKey::generate(spec.algorithm).unwrap();
        let authority = Authority::open(&self.ca.0, self.ca.1.pem()).unwrap();
        authority.issue(spec, &key, made).unwrap().pem
    }

    /// What `kubeadm certs renew apiserver` leaves, with `pem` as the certificate.
    fn renewed(&mut self, pem: String) {
        let found = self.found();
        found.files.insert(APISERVER.to_owned(), file(Digest::of(pem.as_bytes())));
        found.files.insert(APISERVER.replace(".crt", ".key"), file(Digest::of(b"a new key")));
        found.certificates.insert(APISERVER.to_owned(), pem);
    }
}

#[test]
fn a_certificate_that_kubeadm_renewed_stays() {
    let mut case = Case::new();
    let key = case.key("apiserver");
    assert_eq!(case.trust().due.get(&key), Some(&MintReason::Expired), "the vault's own is old");
    let pem = case.issue(&case.wanted[&key], LATER - DAY);
    case.renewed(pem);
    assert!(case.accepts(APISERVER) && case.accepts("/etc/kubernetes/pki/apiserver.key"));
    let due = case.trust().due;
    assert!(!due.contains_key(&key), "nobody needs a new one");
    assert!(due.contains_key(&case.key("etcd/server")) && due.contains_key(&KeyId::admin()));
}

#[test]
fn a_certificate_that_is_not_as_good_as_ours_is_replaced() {
    let case = || Case::new();
    let spec = |case: &Case| case.wanted[&case.key("apiserver")].clone();
    let judged = |mut case: Case, pem: String| {
        case.renewed(pem);
        case.accepts(APISERVER)
    };
    let old = case();
    let pem = old.issue(&spec(&old), NOW - DAY);
    assert!(!judged(old, pem), "older than the vault's");
    let soon = case();
    let pem = soon.issue(&spec(&soon), LATER - 250 * DAY);
    assert!(!judged(soon, pem), "about to run out itself");
    let other_names = case();
    let mut names = spec(&other_names);
    names.dns_names.pop();
    let pem = other_names.issue(&names, LATER);
    assert!(!judged(other_names, pem), "a name is missing");
    let other_usage = case();
    let mut usages = spec(&other_usage);
    usages.usages = vec![crate::pki::Usage::ClientAuth];
    let pem = other_usage.issue(&usages, LATER);
    assert!(!judged(other_usage, pem), "for clients only");
    let (other_ca, stranger) = (case(), case());
    let pem = stranger.issue(&spec(&other_ca), LATER);
    assert!(!judged(other_ca, pem), "another CA of the same name");
    assert!(!judged(case(), "no certificate".to_owned()));
}

#[test]
fn half_a_renewal_is_not_accepted() {
    let mut case = Case::new();
    let key = case.key("apiserver");
    let ours = case.vault.digests[&SecretContent::PrivateKey { key: key.clone() }].clone();
    let pem = case.issue(&case.wanted[&key], LATER);
    case.renewed(pem);
    let path = APISERVER.replace(".crt", ".key");
    case.found().files.insert(path, file(Digest::parse(&ours).unwrap()));
    assert!(!case.accepts(APISERVER));
}

#[test]
fn a_kubeconfig_that_kubeadm_renewed_stays_only_with_our_ca_and_server() {
    let mut case = Case::new();
    let server = case.with(|_, blueprint| match &blueprint.files[SCHEDULER].content {
        Content::Secret(SecretContent::Kubeconfig { server, .. }) => server.clone(),
        other => panic!("{other:?}"),
    });
    let certificate = case.issue(&case.wanted[&case.key("scheduler")], LATER);
    let good = KubeconfigFact { server, authority: case.ca.0.clone(), certificate };
    let elsewhere = KubeconfigFact { server: "https://192.0.2.99:6443".into(), ..good.clone() };
    let stranger = KubeconfigFact { authority: Case::new().ca.0, ..good.clone() };
    for (found, accepted) in [(good, true), (elsewhere, false), (stranger, false)] {
        case.found().kubeconfigs.insert(SCHEDULER.to_owned(), found);
        assert_eq!(case.accepts(SCHEDULER), accepted);
    }
}

#[test]
fn the_pair_that_a_kubelet_rotates_is_not_renewed_for_it() {
    let mut case = Case::new();
    let key = case.key("kubelet");
    assert!(!case.trust().due.contains_key(&key));
    case.found().files.retain(|path, _| !path.ends_with("kubelet-client-keelwright.pem"));
    assert!(case.trust().due.contains_key(&key), "a host that lost it gets a fresh one");
    case.inventory.pki.external_ca = true;
    assert!(Case::new().trust().due.len() < case.trust().due.len());
}
