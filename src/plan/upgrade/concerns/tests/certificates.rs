//! Certificates that run out.

use super::*;
use crate::facts::{HostFacts, Origin, VaultEntryFacts};
use crate::pki::issue::{Authority, PrivateKey, issue_authority};
use crate::pki::spec::certificates;
use crate::pki::{CertificateSpec, KeyId};

const DAY: i64 = 86_400;

fn entry(spec: &CertificateSpec, serial: &str, days: i64) -> VaultEntryFacts {
    VaultEntryFacts {
        origin: Origin::Made,
        spec: Some(spec.clone()),
        not_before: Some(NOW - DAY),
        not_after: Some(NOW + days * DAY),
        serial: Some(serial.to_owned()),
        issuer_current: true,
        authority: None,
    }
}

#[test]
fn certificates_that_run_out_soon_are_listed() {
    let wanted = certificates(&cluster(1), None);
    let entries = |list: &[(KeyId, i64)]| -> BTreeMap<KeyId, VaultEntryFacts> {
        list.iter().map(|(id, days)| (id.clone(), entry(&wanted[id], &id.0, *days))).collect()
    };
    let (ca, admin, kubelet) = (KeyId::ca(), KeyId::admin(), KeyId("cp-1/kubelet".to_owned()));
    check(
        |setup| {
            setup.vault.entries = entries(&[(ca.clone(), 31), (admin.clone(), 31), (kubelet.clone(), 365)])
        },
        &[],
    );
    check(
        |setup| setup.vault.entries = entries(&[(ca, 29), (admin, 29), (kubelet, -1)]),
        &[
            "CA ca: runs out at 2026-01-30T00:00:00Z",
            "certificates: cp-1/kubelet ran out at 2025-12-31T00:00:00Z, and 1 more soon",
        ],
    );

    // On hosts: what the vault has is not told twice, and the kubelet's own renewals are.
    let ca_key = PrivateKey::generate(wanted[&KeyId::ca()].algorithm).unwrap();
    let ca = issue_authority(&wanted[&KeyId::ca()], &ca_key, NOW).unwrap();
    let authority = Authority::open(&ca.pem, ca_key.pem()).unwrap();
    let issue = |hours: u32| {
        let spec = CertificateSpec { valid_hours: hours, ..wanted[&KeyId::admin()].clone() };
        let key = PrivateKey::generate(spec.algorithm).unwrap();
        authority.issue(&spec, &key, NOW).unwrap().pem
    };
    let (soon, later) = (issue(24 * 10), issue(24 * 100));
    let serial = crate::pki::inspect::inspect(&soon).unwrap().serial;
    let host = HostFacts {
        certificates: [
            ("/etc/kubernetes/pki/apiserver.crt", soon.clone()),
            ("/etc/kubernetes/pki/front-proxy-client.crt", later.clone()),
            ("/var/lib/kubelet/pki/kubelet-client-current.pem", soon.clone()),
        ]
        .map(|(path, pem)| (path.to_owned(), pem))
        .into(),
        ..HostFacts::default()
    };
    let on_host =
        |setup: &mut Setup| drop(setup.facts.hosts.insert(name("cp-1"), Observed::Known(host.clone())));
    check(
        on_host,
        &[
            "cp-1: /etc/kubernetes/pki/apiserver.crt runs out at 2026-01-11",
            "cp-1: /var/lib/kubelet/pki/kubelet-client-current.pem runs out at 2026-01-11",
        ],
    );
    check(
        |setup| {
            on_host(setup);
            let known = entry(&wanted[&KeyId::admin()], &serial, 365);
            setup.vault.entries = BTreeMap::from([(KeyId::admin(), known)]);
        },
        &[],
    );
}
