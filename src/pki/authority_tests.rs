//! Tests of CAs that the operator brings.

use std::process::Command;

use super::*;
use crate::pki::issue::issue_authority;
use crate::pki::spec::certificates;
use crate::pki::spec::tests::cluster;
use crate::state::files::tests::Scratch;

/// 2026-01-01T00:00:00Z
const NOW: i64 = 1_767_225_600;

fn write(directory: &Utf8Path, name: &str, text: &str) {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn make(name: &str) -> (String, PrivateKey) {
    let spec = certificates(&cluster(0), None).remove(&KeyId::shared(name)).unwrap();
    let key = PrivateKey::generate(spec.algorithm).unwrap();
    (issue_authority(&spec, &key, NOW).unwrap().pem, key)
}

#[test]
fn loads_what_is_there() {
    let scratch = Scratch::new();
    for name in ["ca", "etcd/ca"] {
        let (certificate, key) = make(name);
        // Comments, EC PARAMETERS and further certificates do no harm.
        write(&scratch.0, &format!("{name}.crt"), &format!("# ours\n{certificate}{certificate}"));
        let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        write(&scratch.0, &format!("{name}.key"), &format!("{parameters}{}", key.pem().expose()));
    }
    write(&scratch.0, "sa.key", make("ca").1.pem().expose());
    let found = load(&scratch.0, NOW).unwrap();
    let ids: Vec<&str> = found.keys().map(|id| id.0.as_str()).collect();
    assert_eq!(ids, ["ca", "etcd/ca", "sa"]);
    assert!(found[&KeyId::ca()].certificate.as_ref().unwrap().starts_with("# ours"));
    assert!(found[&KeyId::ca()].key.expose().starts_with("-----BEGIN EC PRIVATE KEY-----"));
}

#[test]
fn refuses_what_cannot_sign() {
    let (certificate, key) = make("ca");
    let (_, other) = make("ca");
    let case = |files: &[(&str, &str)], now: i64| {
        let scratch = Scratch::new();
        for (name, text) in files {
            write(&scratch.0, name, text);
        }
        load(&scratch.0, now).unwrap_err()
    };
    let key = key.pem().expose();
    assert!(matches!(case(&[], NOW), AuthorityError::Empty { .. }));
    assert!(matches!(case(&[("ca.crt", &certificate)], NOW), AuthorityError::Half { .. }));
    assert!(matches!(case(&[("ca.key", key)], NOW), AuthorityError::Half { .. }));
    let pair = [("ca.crt", certificate.as_str()), ("ca.key", key)];
    assert!(matches!(case(&pair, NOW - 301), AuthorityError::Expired { .. }));
    assert!(matches!(case(&pair, NOW + 87_600 * 3600), AuthorityError::Expired { .. }));
    for files in [
        [("ca.crt", certificate.as_str()), ("ca.key", other.pem().expose())],
        [("ca.crt", certificate.as_str()), ("ca.key", "nonsense")],
        [("ca.crt", key), ("ca.key", key)],
    ] {
        assert!(matches!(case(&files, NOW), AuthorityError::Unusable { .. }));
    }
}

/// Runs openssl; false when it is not installed.
fn openssl(arguments: &[&str]) -> bool {
    match Command::new("openssl").args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            true
        }
        Err(_) => {
            eprintln!("skipped: openssl is not installed");
            false
        }
    }
}

/// A CA as a company's PKI would hand it out, signing one of ours; openssl checks the result.
#[test]
fn signs_with_cas_that_openssl_made() {
    for (subject, key_arguments, convert) in [
        ("/C=SE/O=Exämple AB/OU=IT/CN=Corp CA", vec!["-newkey", "rsa:2048"], vec!["rsa", "-traditional"]),
        ("/DC=org/DC=example/CN=corp-DC1-CA", vec!["-newkey", "rsa:3072"], vec!["pkey"]),
        ("/CN=kubernetes", vec!["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], vec!["ec"]),
        (
            "/OU=a+CN=two parts in one",
            vec!["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
            vec!["pkey"],
        ),
    ] {
        let scratch = Scratch::new();
        let path = |name: &str| scratch.0.join(name).into_string();
        let (raw, key, certificate) = (path("raw"), path("ca.key"), path("ca.crt"));
        let mut make =
            vec!["req", "-x509", "-nodes", "-days", "3650", "-subj", subject, "-multivalue-rdn", "-utf8"];
        make.extend(key_arguments);
        make.extend(["-keyout", &raw, "-out", &certificate]);
        if !openssl(&make) {
            return;
        }
        let mut arguments = convert;
        arguments.extend(["-in", &raw, "-out", &key]);
        openssl(&arguments);
        let not_before =
            crate::pki::inspect::inspect(&std::fs::read_to_string(&certificate).unwrap()).unwrap().not_before;
        let now = NOW.max(not_before) + 60;
        let pair = load(&scratch.0, now).unwrap().remove(&KeyId::ca()).unwrap();
        let authority = Authority::open(pair.certificate.as_ref().unwrap(), &pair.key).unwrap();
        let spec = certificates(&cluster(0), None).remove(&KeyId::admin()).unwrap();
        let leaf_key = PrivateKey::generate(spec.algorithm).unwrap();
        let leaf = authority.issue(&spec, &leaf_key, now).unwrap();
        let leaf_path = path("leaf.crt");
        std::fs::write(&leaf_path, leaf.pem).unwrap();
        let at = now.to_string();
        openssl(&["verify", "-attime", &at, "-purpose", "sslclient", "-CAfile", &certificate, &leaf_path]);
    }
}

#[test]
fn refuses_keys_that_kubernetes_cannot_use() {
    for (subject, key_arguments) in
        [("/CN=Corp CA", vec!["-newkey", "ed25519"]), ("/CN=Corp CA", vec!["-newkey", "rsa:1024"])]
    {
        let scratch = Scratch::new();
        let (key, certificate) = (scratch.0.join("ca.key"), scratch.0.join("ca.crt"));
        let mut make = vec!["req", "-x509", "-nodes", "-days", "3650", "-subj", subject];
        make.extend(key_arguments);
        make.extend(["-keyout", key.as_str(), "-out", certificate.as_str()]);
        if !openssl(&make) {
            return;
        }
        let now =
            crate::pki::inspect::inspect(&std::fs::read_to_string(&certificate).unwrap()).unwrap().not_before;
        let error = load(&scratch.0, now).unwrap_err();
        assert!(matches!(error, AuthorityError::Unusable { .. }), "{subject}: {error}");
    }
}
