//! Tests of what is in a certificate, read back with another library and with openssl.

use std::process::{Command, Stdio};

use x509_parser::extensions::ParsedExtension;

use super::*;
use crate::pki::KeyId;
use crate::pki::inspect::{Mismatch, inspect, satisfies};
use crate::pki::spec::tests::cluster;
use crate::pki::spec::{CA_HOURS, LEAF_HOURS, certificates};

/// 2026-01-01T00:00:00Z
const NOW: i64 = 1_767_225_600;

fn ca_spec(algorithm: KeyAlgorithm) -> CertificateSpec {
    let mut inventory = cluster(0);
    inventory.pki.algorithm = algorithm;
    certificates(&inventory, None).remove(&KeyId::ca()).unwrap()
}

fn ca(algorithm: KeyAlgorithm) -> (Issued, PrivateKey, Authority) {
    let key = PrivateKey::generate(algorithm).unwrap();
    let issued = issue_authority(&ca_spec(algorithm), &key, NOW).unwrap();
    let authority = Authority::open(&issued.pem, key.pem()).unwrap();
    (issued, key, authority)
}

fn der(text: &str) -> Vec<u8> {
    pem::first_certificate(text).unwrap().der.to_vec()
}

const BOTH: [KeyAlgorithm; 2] = [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Rsa2048];

#[test]
fn every_certificate_says_what_its_specification_says() {
    for algorithm in BOTH {
        let (root, _, authority) = ca(algorithm);
        let mut inventory = cluster(1);
        inventory.pki.algorithm = algorithm;
        // RSA keys are slow to make: one serves all.
        let key = PrivateKey::generate(algorithm).unwrap();
        for (id, spec) in certificates(&inventory, Some("kubeadm:cluster-admins")) {
            let (issued, issuer) = if spec.is_authority() {
                let issued = issue_authority(&spec, &key, NOW).unwrap();
                (issued.clone(), issued)
            } else {
                (authority.issue(&spec, &key, NOW).unwrap(), root.clone())
            };
            assert_eq!(satisfies(&issued.facts, &spec, &issuer.facts), Ok(()), "{id}");
            assert_eq!(issued.facts.algorithm, algorithm.as_str());
            assert_eq!(issued.facts, inspect(&issued.pem).unwrap());
            check_common_fields(&issued.pem, &issuer.pem, &spec);
        }
    }
}

/// What kubeadm's certificates have in common.
fn check_common_fields(certificate: &str, issuer: &str, spec: &CertificateSpec) {
    let (der, issuer) = (der(certificate), der(issuer));
    let (_, issuer) = X509Certificate::from_der(&issuer).unwrap();
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    parsed.verify_signature(Some(issuer.public_key())).unwrap();
    assert_eq!(parsed.version().0, 2);
    assert_eq!(parsed.issuer().as_raw(), issuer.subject().as_raw());
    assert_eq!(parsed.validity().not_before.timestamp(), NOW - 300);
    let hours = if spec.is_authority() { CA_HOURS } else { LEAF_HOURS };
    assert_eq!(parsed.validity().not_after.timestamp(), NOW + i64::from(hours) * 3600);
    let serial = parsed.raw_serial();
    assert!(serial.len() <= 8 && serial[0] < 0x80 && serial.iter().any(|byte| *byte != 0));

    let usage = parsed.key_usage().unwrap().unwrap();
    assert!(usage.critical);
    assert!(usage.value.digital_signature() && usage.value.key_encipherment());
    assert_eq!(usage.value.key_cert_sign(), spec.is_authority());
    assert!(!usage.value.crl_sign() && !usage.value.data_encipherment() && !usage.value.key_agreement());
    let basic = parsed.basic_constraints().unwrap().unwrap();
    assert!(basic.critical);
    assert_eq!((basic.value.ca, basic.value.path_len_constraint), (spec.is_authority(), None));

    let has = |wanted: fn(&ParsedExtension<'_>) -> bool| {
        parsed.extensions().iter().any(|extension| wanted(extension.parsed_extension()))
    };
    let has_authority_id = has(|e| matches!(e, ParsedExtension::AuthorityKeyIdentifier(_)));
    assert_eq!(has_authority_id, !spec.is_authority());
    assert_eq!(has(|e| matches!(e, ParsedExtension::ExtendedKeyUsage(_))), !spec.usages.is_empty());
    let names = spec.dns_names.len() + spec.addresses.len();
    assert_eq!(has(|e| matches!(e, ParsedExtension::SubjectAlternativeName(_))), names > 0);
}

#[test]
fn a_certificate_that_differs_says_how() {
    let (root, _, authority) = ca(KeyAlgorithm::EcdsaP256);
    let (other, _, _) = ca(KeyAlgorithm::EcdsaP256);
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let wanted = certificates(&cluster(0), None).remove(&KeyId("cp-1/apiserver".into())).unwrap();
    let facts = authority.issue(&wanted, &key, NOW).unwrap().facts;
    let mismatch = |change: fn(&mut CertificateSpec)| {
        let mut spec = wanted.clone();
        change(&mut spec);
        satisfies(&facts, &spec, &root.facts).unwrap_err()
    };
    assert!(matches!(mismatch(|s| s.common_name = "x".into()), Mismatch::CommonName { .. }));
    assert!(matches!(mismatch(|s| s.organization = Some("x".into())), Mismatch::Organization { .. }));
    assert!(matches!(mismatch(|s| s.dns_names.push("x".into())), Mismatch::Names { .. }));
    assert!(matches!(mismatch(|s| s.addresses.clear()), Mismatch::Names { .. }));
    assert!(matches!(mismatch(|s| s.usages.clear()), Mismatch::Usages { .. }));
    assert_eq!(mismatch(|s| s.issuer = None), Mismatch::Authority { is_ca: false });
    // A CA of the same name, but another key.
    assert_eq!(satisfies(&facts, &wanted, &other.facts), Err(Mismatch::Issuer { have: "kubernetes".into() }));
    let mut reordered = wanted.clone();
    reordered.addresses.reverse();
    assert_eq!(satisfies(&facts, &reordered, &root.facts), Ok(()));
}

/// Clusters that began before 1.36 have it with the organization, and renewals keep that.
#[test]
fn the_api_servers_client_certificate_is_right_with_and_without_its_organization() {
    let (root, _, authority) = ca(KeyAlgorithm::EcdsaP256);
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let of = |organization| {
        certificates(&cluster(0), organization)
            .remove(&KeyId("cp-1/apiserver-kubelet-client".into()))
            .unwrap()
    };
    let (old, new) = (of(Some("kubeadm:cluster-admins")), of(None));
    for (made, wanted) in [(&old, &new), (&new, &old), (&old, &old), (&new, &new)] {
        let facts = authority.issue(made, &key, NOW).unwrap().facts;
        assert_eq!(satisfies(&facts, wanted, &root.facts), Ok(()));
    }
    let facts = authority.issue(&of(Some("system:masters")), &key, NOW).unwrap().facts;
    assert!(matches!(satisfies(&facts, &new, &root.facts), Err(Mismatch::Organization { .. })));
    let mut other = new.clone();
    other.common_name = "somebody".into();
    let facts = authority.issue(&other, &key, NOW).unwrap().facts;
    other.organization = Some("kubeadm:cluster-admins".into());
    assert!(matches!(satisfies(&facts, &other, &root.facts), Err(Mismatch::Organization { .. })));
}

#[test]
fn keys_are_in_kubeadms_form_and_are_read_back() {
    for (algorithm, label) in BOTH.into_iter().zip(["EC PRIVATE KEY", "RSA PRIVATE KEY"]) {
        let key = PrivateKey::generate(algorithm).unwrap();
        assert!(key.pem().expose().starts_with(&format!("-----BEGIN {label}-----\n")));
        let again = PrivateKey::parse(key.pem().expose()).unwrap();
        assert_eq!(again.pem().expose(), key.pem().expose());
        assert_eq!(again.public_pem(), key.public_pem());
        assert!(!format!("{key:?}").contains("BEGIN"));
    }
}

#[test]
fn a_ca_needs_its_own_key_and_the_right_to_sign() {
    let (root, _, authority) = ca(KeyAlgorithm::EcdsaP256);
    let other = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    assert!(matches!(Authority::open(&root.pem, other.pem()), Err(IssueError::KeyMismatch { .. })));
    let leaf = certificates(&cluster(0), None).remove(&KeyId::admin()).unwrap();
    let leaf = authority.issue(&leaf, &other, NOW).unwrap();
    assert!(matches!(Authority::open(&leaf.pem, other.pem()), Err(IssueError::NotAuthority { .. })));
}

/// `openssl` reads and checks what we made; None when it is not installed.
fn openssl(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    use std::io::Write;
    let child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: openssl is not installed");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8(text).unwrap()))
}

#[test]
fn openssl_agrees() {
    let scratch = crate::state::files::tests::Scratch::new();
    for algorithm in BOTH {
        let (root, root_key, authority) = ca(algorithm);
        let key = PrivateKey::generate(algorithm).unwrap();
        let wanted = certificates(&cluster(0), None);
        let leaf = authority.issue(&wanted[&KeyId("cp-1/apiserver".into())], &key, NOW).unwrap();
        let Some((ok, text)) = openssl(&["x509", "-noout", "-text"], &leaf.pem) else { return };
        assert!(ok, "{text}");
        for part in [
            "Subject: CN = kube-apiserver",
            "Digital Signature, Key Encipherment",
            "TLS Web Server Authentication",
            "CA:FALSE",
            "DNS:cp-1, DNS:kubernetes,",
            "IP Address:10.96.0.1, IP Address:10.0.0.1, IP Address:127.0.0.1",
        ] {
            // OpenSSL 3.2 and later leave the spaces around = out.
            let loose = |text: &str| text.replace(" = ", "=");
            assert!(loose(&text).contains(&loose(part)), "{part}\n{text}");
        }
        let ca_file = scratch.0.join("ca.crt");
        std::fs::write(&ca_file, &root.pem).unwrap();
        let at = (NOW + 10).to_string();
        let verify =
            ["verify", "-x509_strict", "-attime", &at, "-purpose", "sslserver", "-CAfile", ca_file.as_str()];
        let (ok, text) = openssl(&verify, &leaf.pem).unwrap();
        assert!(ok, "{text}");
        for key in [&key, &root_key] {
            let (ok, text) = openssl(&["pkey", "-check", "-noout"], key.pem().expose()).unwrap();
            assert!(ok, "{text}");
            let (_, public) = openssl(&["pkey", "-pubout"], key.pem().expose()).unwrap();
            assert_eq!(public, key.public_pem());
        }
    }
}
