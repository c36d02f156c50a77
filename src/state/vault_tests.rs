//! Tests of the vault.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use camino::Utf8Path;
use secrecy::ExposeSecret;

use super::*;
use crate::pki::inspect::{CertificateFacts, inspect};
use crate::pki::issue::{PrivateKey, issue_authority};
use crate::pki::spec::certificates;
use crate::pki::spec::tests::{cluster, host};
use crate::state::Share;
use crate::state::files::tests::{Scratch, mode};

const NOW: i64 = 1_767_225_600;

fn name(text: &str) -> ClusterName {
    ClusterName::parse(text).unwrap()
}

fn clock(now: i64) -> Clock {
    Arc::new(move || now)
}

fn vault(scratch: &Scratch, identity: &Identity) -> Vault {
    Vault::open_or_create(&scratch.0, identity, &name("prod"), clock(NOW), None).unwrap()
}

fn wanted(workers: usize) -> BTreeMap<KeyId, CertificateSpec> {
    certificates(&cluster(workers), None)
}

fn serials(vault: &Vault) -> BTreeMap<KeyId, Option<String>> {
    let facts = vault.facts(std::iter::empty());
    facts.entries.into_iter().map(|(id, entry)| (id, entry.serial)).collect()
}

fn bytes(vault: &Vault, content: &SecretContent) -> Vec<u8> {
    vault.resolve(content).unwrap().expose_secret().to_vec()
}

fn text(vault: &Vault, content: &SecretContent) -> String {
    String::from_utf8(bytes(vault, content)).unwrap()
}

fn held_facts(vault: &Vault, id: &KeyId) -> CertificateFacts {
    inspect(&text(vault, &SecretContent::Certificate { key: id.clone() })).unwrap()
}

#[test]
fn what_was_minted_is_never_made_again() {
    let (scratch, identity) = (Scratch::new(), Identity::generate());
    let first = vault(&scratch, &identity);
    first.mint(&wanted(2)).unwrap();
    let before = serials(&first);
    assert_eq!(before.len(), 3 + 2 + 3 * 10 + 2 + 1);
    first.mint(&wanted(2)).unwrap();
    assert_eq!(serials(&first), before);
    // Another process, later.
    let second =
        Vault::open_or_create(&scratch.0, &identity, &name("prod"), clock(NOW + 9999), None).unwrap();
    second.mint(&wanted(3)).unwrap();
    let mut after = serials(&second);
    assert!(after.remove(&KeyId("w-2/kubelet".into())).is_some());
    assert_eq!(after, before);
    let (a, b) = (first.facts(std::iter::empty()), second.facts(std::iter::empty()));
    assert_eq!((a.cluster_uid, a.etcd_token), (b.cluster_uid, b.etcd_token));
}

#[test]
fn only_what_changed_or_expired_is_made_anew() {
    let (scratch, identity) = (Scratch::new(), Identity::generate());
    let vault = vault(&scratch, &identity);
    vault.mint(&wanted(0)).unwrap();
    let before = serials(&vault);
    let mut inventory = cluster(0);
    inventory.api_server.cert_sans = vec!["api.example".into()];
    vault.mint(&certificates(&inventory, None)).unwrap();
    let after = serials(&vault);
    let changed: Vec<&str> =
        before.keys().filter(|id| before[*id] != after[*id]).map(|id| id.0.as_str()).collect();
    assert_eq!(changed, ["cp-1/apiserver", "cp-2/apiserver", "cp-3/apiserver"]);
    drop(vault);

    let later = NOW + 8760 * 3600;
    let vault = Vault::open(&scratch.0, &identity, &name("prod"), clock(later)).unwrap().unwrap();
    let admin = BTreeMap::from([(KeyId::admin(), wanted(0)[&KeyId::admin()].clone())]);
    vault.mint(&admin).unwrap();
    assert_eq!(held_facts(&vault, &KeyId::admin()).not_before, later - 300);
    let kept = held_facts(&vault, &KeyId::ca());
    vault.renew(&wanted(0)).unwrap();
    assert_eq!(held_facts(&vault, &KeyId::ca()), kept);
}

#[test]
fn renewal_makes_new_leaves_and_keeps_authorities_and_sa() {
    let (scratch, identity) = (Scratch::new(), Identity::generate());
    let vault = vault(&scratch, &identity);
    vault.mint(&wanted(0)).unwrap();
    let sa = text(&vault, &SecretContent::PrivateKey { key: KeyId::service_account() });
    let before = serials(&vault);
    vault.renew(&wanted(0)).unwrap();
    let after = serials(&vault);
    let kept: Vec<&str> =
        before.keys().filter(|id| before[*id] == after[*id]).map(|id| id.0.as_str()).collect();
    assert_eq!(kept, ["ca", "etcd/ca", "front-proxy-ca", "sa"]);
    assert_eq!(text(&vault, &SecretContent::PrivateKey { key: KeyId::service_account() }), sa);
}

#[test]
fn resolves_every_kind_of_content() {
    let (scratch, identity) = (Scratch::new(), Identity::generate());
    let vault = vault(&scratch, &identity);
    vault.mint(&wanted(0)).unwrap();
    let kubelet = KeyId("cp-1/kubelet".into());
    let certificate = text(&vault, &SecretContent::Certificate { key: kubelet.clone() });
    let key = text(&vault, &SecretContent::PrivateKey { key: kubelet.clone() });
    assert_eq!(text(&vault, &SecretContent::ClientPem { key: kubelet }), format!("{certificate}{key}"));
    let public = text(&vault, &SecretContent::PublicKey { key: KeyId::service_account() });
    assert!(public.starts_with("-----BEGIN PUBLIC KEY-----"));
    let admin = SecretContent::Kubeconfig {
        key: KeyId::admin(),
        user: "kubernetes-admin".into(),
        cluster: "prod".into(),
        server: "https://127.0.0.1:6445".into(),
    };
    let config: serde_json::Value = serde_yaml::from_str(&text(&vault, &admin)).unwrap();
    let data = config["users"][0]["user"]["client-certificate-data"].as_str().unwrap();
    let embedded = String::from_utf8(STANDARD.decode(data).unwrap()).unwrap();
    assert_eq!(embedded, text(&vault, &SecretContent::Certificate { key: KeyId::admin() }));
    let kubelet_config = SecretContent::KubeletConfig { server: "https://x".into(), pem: "/p".into() };
    assert!(text(&vault, &kubelet_config).contains("client-certificate: /p"));
    let encryption: serde_json::Value =
        serde_yaml::from_str(&text(&vault, &SecretContent::EncryptionConfiguration)).unwrap();
    let secret = &encryption["resources"][0]["providers"][0]["secretbox"]["keys"][0]["secret"];
    assert_eq!(STANDARD.decode(secret.as_str().unwrap()).unwrap().len(), 32);

    let missing = SecretContent::Certificate { key: KeyId("gone/kubelet".into()) };
    let contents = [admin, kubelet_config, SecretContent::EncryptionConfiguration, missing.clone()];
    let facts = vault.facts(contents.iter().chain(&contents));
    assert_eq!(facts.digests.len(), 3);
    for (content, digest) in &facts.digests {
        assert_eq!(*digest, hex::encode(Sha256::digest(bytes(&vault, content))), "{content}");
    }
    let error = vault.resolve(&missing).unwrap_err();
    assert_eq!(error.to_string(), "the vault has no `gone/kubelet`");
}

#[test]
fn a_crash_before_the_rename_leaves_the_vault_as_it_was() {
    let (scratch, identity) = (Scratch::new(), Identity::generate());
    let first = vault(&scratch, &identity);
    first.mint(&wanted(0)).unwrap();
    let before = serials(&first);
    {
        let state = first.lock();
        let mut document = state.document.clone();
        document.entries.clear();
        drop(first.stage(&state, &document).unwrap());
    }
    assert_eq!(serials(&vault(&scratch, &identity)), before);
    // The same vault can go on, and so can a new one: the stray file is overwritten.
    first.mint(&wanted(1)).unwrap();
    assert_eq!(serials(&vault(&scratch, &identity)).len(), before.len() + 1);
    let mut names: Vec<_> = fs::read_dir(&scratch.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["recipients.txt", "vault.age", "vault.age.1"]);
    for file in names {
        assert_eq!(mode(&scratch.0.join(file)), 0o600);
    }
}

#[test]
fn the_previous_version_is_kept_and_can_be_opened() {
    let (scratch, identity) = (Scratch::new(), Identity::generate());
    let vault = vault(&scratch, &identity);
    vault.mint(&wanted(0)).unwrap();
    let before = serials(&vault);
    vault.mark_etcd_established().unwrap();
    assert!(vault.facts(std::iter::empty()).etcd_established);
    fs::rename(scratch.0.join(PREVIOUS_FILE), scratch.0.join(VAULT_FILE)).unwrap();
    let old = Vault::open(&scratch.0, &identity, &name("prod"), clock(NOW)).unwrap().unwrap();
    assert_eq!(serials(&old), before);
    assert!(!old.facts(std::iter::empty()).etcd_established);
    // The one in memory must not write over what it has not read.
    assert!(matches!(vault.renew_etcd_token(), Err(VaultError::ChangedOnDisk)));
}

#[test]
fn a_vault_that_vanished_is_not_made_anew() {
    let (scratch, identity) = (Scratch::new(), Identity::generate());
    vault(&scratch, &identity).mint(&wanted(0)).unwrap();
    fs::remove_file(scratch.0.join(VAULT_FILE)).unwrap();
    let error = Vault::open_or_create(&scratch.0, &identity, &name("prod"), clock(NOW), None).err().unwrap();
    assert!(matches!(error, VaultError::Vanished { .. }), "{error}");
}

#[test]
fn refuses_strangers_damage_newer_formats_and_other_clusters() {
    let (scratch, identity) = (Scratch::new(), Identity::generate());
    let made = vault(&scratch, &identity);
    let open = |identity: &Identity, cluster: &str| {
        Vault::open(&scratch.0, identity, &name(cluster), clock(NOW)).err().unwrap()
    };
    let stranger = Identity::generate();
    let error = open(&stranger, "prod");
    assert!(matches!(error, VaultError::NotRecipient { .. }));
    assert!(error.to_string().contains(&stranger.recipient()));
    assert!(matches!(open(&identity, "test"), VaultError::OtherCluster { .. }));

    let path = scratch.0.join(VAULT_FILE);
    let good = fs::read(&path).unwrap();
    let mut document = made.lock().document.clone();
    document.version = VERSION + 1;
    let recipients = identity::recipients(&Home::local(&scratch.0), &identity).unwrap();
    fs::write(&path, document.seal(&recipients).unwrap()).unwrap();
    assert!(matches!(open(&identity, "prod"), VaultError::Newer { version: 2 }));
    for damaged in [&good[..good.len() - 1], &good[..40], b"", b"hello"] {
        fs::write(&path, damaged).unwrap();
        let error = open(&identity, "prod");
        assert!(matches!(error, VaultError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_team_shares_a_vault_by_its_recipients() {
    let (scratch, ann, bob) = (Scratch::new(), Identity::generate(), Identity::generate());
    let hers = vault(&scratch, &ann);
    let path = scratch.0.join(identity::RECIPIENTS_FILE);
    let list = fs::read_to_string(&path).unwrap() + &bob.recipient() + "\n";
    fs::write(&path, list).unwrap();
    hers.reseal().unwrap();
    // Bob writes; Ann can still read.
    vault(&scratch, &bob).mint(&wanted(0)).unwrap();
    assert_eq!(serials(&vault(&scratch, &ann)).len(), 36);
}

#[test]
fn brought_authorities_sign_and_are_not_replaced() {
    let (scratch, identity) = (Scratch::new(), Identity::generate());
    let vault = vault(&scratch, &identity);
    let bring = |common_name: &str| {
        let mut spec = wanted(0)[&KeyId::ca()].clone();
        spec.common_name = common_name.into();
        let key = PrivateKey::generate(spec.algorithm).unwrap();
        let certificate = Some(issue_authority(&spec, &key, NOW).unwrap().pem);
        BTreeMap::from([(KeyId::ca(), BroughtPair { certificate, key: key.pem().clone() })])
    };
    let ours = bring("Corp CA");
    vault.import(&ours).unwrap();
    vault.import(&ours).unwrap();
    vault.mint(&wanted(0)).unwrap();
    assert_eq!(held_facts(&vault, &KeyId::ca()).common_name, "Corp CA");
    assert_eq!(held_facts(&vault, &KeyId::admin()).issuer_common_name, "Corp CA");
    let before = serials(&vault);
    vault.mint(&wanted(0)).unwrap();
    assert_eq!(serials(&vault), before);
    assert!(matches!(vault.import(&bring("Corp CA")), Err(VaultError::Differs { .. })));
}

#[test]
fn no_secret_is_in_files_facts_or_debug_output() {
    let (scratch, identity) = (Scratch::new(), Identity::generate());
    let vault = vault(&scratch, &identity);
    vault.mint(&wanted(0)).unwrap();
    let key = text(&vault, &SecretContent::PrivateKey { key: KeyId::ca() });
    let canary = key.lines().nth(1).unwrap();
    let contents = [SecretContent::PrivateKey { key: KeyId::ca() }];
    let facts = serde_json::to_string(&vault.facts(contents.iter())).unwrap();
    let debug = format!("{:?}", vault.lock().document);
    assert!(!facts.contains(canary) && !debug.contains(canary) && debug.contains("[redacted]"));
    for entry in fs::read_dir(&scratch.0).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(canary));
    }
}

#[test]
fn a_removed_host_stays_in_the_vault_until_it_is_wanted_again() {
    let (scratch, identity) = (Scratch::new(), Identity::generate());
    let vault = vault(&scratch, &identity);
    vault.mint(&wanted(1)).unwrap();
    let before = serials(&vault);
    vault.mint(&wanted(0)).unwrap();
    vault.mint(&wanted(1)).unwrap();
    assert_eq!(serials(&vault), before);
    let mut moved = cluster(0);
    let other = host("w-0", "10.9.9.9", &[crate::inventory::Role::Worker]);
    moved.hosts.insert(other.name.clone(), other);
    // A kubelet's client certificate says nothing of addresses.
    vault.mint(&certificates(&moved, None)).unwrap();
    assert_eq!(serials(&vault), before);
}

#[test]
fn steps_that_mint_at_once_get_the_same_keys() {
    let (scratch, identity) = (Scratch::new(), Identity::generate());
    let vault = vault(&scratch, &identity);
    let wanted = wanted(0);
    let seen: Vec<_> = std::thread::scope(|scope| {
        let mint = || {
            vault.mint(&wanted).unwrap();
            serials(&vault)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(mint)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(seen.iter().all(|serials| *serials == seen[0]));
}

/// Other operators, whom nothing reaches while the first field is set.
#[derive(Default)]
struct Others(Mutex<(bool, BTreeMap<String, Vec<u8>>)>);

impl Share for Others {
    fn save(&self, changes: &[(&str, Option<&[u8]>)]) -> Result<(), ShareError> {
        let mut others = self.0.lock().unwrap();
        if others.0 {
            return Err(ShareError { address: "others".into(), reason: "nobody answers".into() });
        }
        for (name, content) in changes {
            others.1.insert((*name).to_owned(), content.unwrap_or_default().to_vec());
        }
        Ok(())
    }

    fn upload(&self, _: &str, _: &Utf8Path) -> Result<(), ShareError> {
        Ok(())
    }

    fn remove(&self, _: &str) -> Result<(), ShareError> {
        Ok(())
    }

    fn list(&self, _: &str) -> Result<Vec<(String, u64)>, ShareError> {
        Ok(Vec::new())
    }

    fn note(&self, _: &str) {}

    fn address(&self) -> String {
        "others".into()
    }
}

#[test]
fn a_key_that_others_could_not_be_given_is_none() {
    let scratch = Scratch::new();
    let others = Arc::new(Others::default());
    let home = Home::shared(&scratch.0, Arc::clone(&others) as _);
    let identity = Identity::generate();
    let vault = Vault::open_or_create(&home, &identity, &name("prod"), clock(NOW), None).unwrap();
    let shared = |name: &str| others.0.lock().unwrap().1.get(name).cloned();
    let here = || std::fs::read(scratch.0.join(VAULT_FILE)).unwrap();
    assert_eq!(shared(VAULT_FILE), Some(here()));
    assert!(shared("recipients.txt").is_some() && shared(PREVIOUS_FILE).is_none());
    let first = here();
    others.0.lock().unwrap().0 = true;
    let wanted = wanted(1);
    let error = vault.mint(&wanted).unwrap_err();
    assert!(error.to_string().contains("others: nobody answers"), "{error}");
    assert!(vault.facts(std::iter::empty()).entries.is_empty());
    assert_eq!(here(), first);
    others.0.lock().unwrap().0 = false;
    vault.mint(&wanted).unwrap();
    assert_eq!((shared(VAULT_FILE), shared(PREVIOUS_FILE)), (Some(here()), Some(first)));
}
