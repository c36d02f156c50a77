use russh::keys::PrivateKey;
use russh::keys::ssh_key::certificate::Builder;

use super::*;

const NOW: u64 = 1_800_000_000;
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDUtDEf97q//i02bul6DYCfKThGh01erbkw/sq8vpRQRyXIejgg6T\
    pQAuGJSpg004y32valMXVbjHmgNXIpjp9o9oumhxmZPq+oh8LV5kPcSmExsh18TV3+kE7GM+bdfsQm9qb5B0EbvN2L\
    1rlYQ5+PkQFBDOT5LwfO7Zu2fRVzGQXmNLOsi5WA9C7+u+S/LJC9F2M1ia0+9OBGVmikiHIyevVz2AW3BaqORXUf9I\
    LvdoJImO23Dp+l9Roentq0OUzKimwKiP1c1eiKsL3Pp0wgiIMhFk88Swu82pSn9GYN2weDGTQym8dLZr5QXnhdjr9c\
    WnDUV9O1cUTsoS0TiIEX";

fn private(seed: u8) -> PrivateKey {
    let pair = russh::keys::ssh_key::private::Ed25519Keypair::from_seed(&[seed; 32]);
    PrivateKey::from(pair)
}

fn public(seed: u8) -> PublicKey {
    private(seed).public_key().clone()
}

fn presented(seed: u8) -> PublicKeyOrCertificate {
    PublicKeyOrCertificate::from(public(seed))
}

fn known(text: &str) -> KnownHosts {
    let mut known = KnownHosts::default();
    known.add(text, "known_hosts");
    known
}

fn trust<'a>(known: &'a KnownHosts, port: u16) -> Trust<'a> {
    Trust { pinned: &[], authorities: &[], known, host: "web", port, first_use: false }
}

struct Cert<'a> {
    kind: CertType,
    names: &'a [&'a str],
    from: u64,
    to: u64,
    option: bool,
}

fn certificate(wanted: Cert<'_>) -> PublicKeyOrCertificate {
    let mut builder = Builder::new([7; 16], public(1).key_data().clone(), wanted.from, wanted.to).unwrap();
    builder.cert_type(wanted.kind).unwrap();
    builder.key_id("id").unwrap();
    for name in wanted.names {
        builder.valid_principal(*name).unwrap();
    }
    if wanted.names.is_empty() {
        builder.all_principals_valid().unwrap();
    }
    if wanted.option {
        builder.critical_option("strange", "").unwrap();
    }
    PublicKeyOrCertificate::from(builder.sign(&private(9)).unwrap())
}

fn host_cert<'a>() -> Cert<'a> {
    Cert { kind: CertType::Host, names: &["web"], from: NOW - 10, to: NOW + 10, option: false }
}

#[test]
fn a_known_key_is_trusted_by_the_name_with_its_port_or_without() {
    let line = |name: &str, seed| format!("{name} {}\n", openssh(&public(seed)));
    let both = known(&line("[web]:2222", 1));
    assert_eq!(judge(&trust(&both, 2222), &presented(1), NOW), Ok(Verdict::Trusted));
    assert!(matches!(judge(&trust(&both, 22), &presented(1), NOW), Err(HostKeyError::Unknown { .. })));
    let plain = known(&line("web", 1));
    assert_eq!(judge(&trust(&plain, 2222), &presented(1), NOW), Ok(Verdict::Trusted));
    // Another key under the bare name is no change for the server on this port.
    assert!(matches!(judge(&trust(&plain, 2222), &presented(2), NOW), Err(HostKeyError::Unknown { .. })));
    let Err(HostKeyError::Changed { presented: new, expected, place, .. }) =
        judge(&trust(&plain, 22), &presented(2), NOW)
    else {
        panic!()
    };
    assert_eq!((new, expected), (fingerprint(&public(2)), fingerprint(&public(1))));
    assert_eq!(place, "known_hosts:1");
}

#[test]
fn first_use_helps_the_unknown_and_never_the_changed() {
    let plain = known(&format!("web {}\n", openssh(&public(1))));
    let empty = KnownHosts::default();
    let first_use = |known| Trust { first_use: true, ..trust(known, 22) };
    assert_eq!(judge(&first_use(&empty), &presented(2), NOW), Ok(Verdict::FirstUse));
    assert!(matches!(judge(&first_use(&plain), &presented(2), NOW), Err(HostKeyError::Changed { .. })));
    let pinned = [public(3)];
    let pinned = Trust { pinned: &pinned, ..first_use(&empty) };
    assert!(matches!(judge(&pinned, &presented(2), NOW), Err(HostKeyError::Changed { .. })));
}

#[test]
fn a_pinned_key_is_the_only_one_and_a_revoked_one_is_none() {
    let plain = known(&format!("web {}\n@revoked * {}\n", openssh(&public(1)), openssh(&public(4))));
    let pinned = [public(2), public(4)];
    let trust = Trust { pinned: &pinned, ..trust(&plain, 22) };
    assert_eq!(judge(&trust, &presented(2), NOW), Ok(Verdict::Trusted));
    assert!(matches!(judge(&trust, &presented(1), NOW), Err(HostKeyError::Changed { .. })));
    assert!(matches!(judge(&trust, &presented(4), NOW), Err(HostKeyError::Revoked { .. })));
}

#[test]
fn certificates_hold_for_their_kind_names_and_time() {
    let empty = KnownHosts::default();
    let authorities = [public(9)];
    let trusting = Trust { authorities: &authorities, ..trust(&empty, 22) };
    assert_eq!(judge(&trusting, &certificate(host_cert()), NOW), Ok(Verdict::Trusted));
    let wild = Cert { names: &["w*"], ..host_cert() };
    assert_eq!(judge(&trusting, &certificate(wild), NOW), Ok(Verdict::Trusted));
    let refused = [
        Cert { kind: CertType::User, ..host_cert() },
        Cert { names: &["db"], ..host_cert() },
        Cert { names: &[], ..host_cert() },
        Cert { to: NOW, ..host_cert() },
        Cert { from: NOW + 1, ..host_cert() },
        Cert { option: true, ..host_cert() },
    ];
    for (index, wanted) in refused.into_iter().enumerate() {
        let result = judge(&trusting, &certificate(wanted), NOW);
        assert!(matches!(result, Err(HostKeyError::Certificate { .. })), "{index}: {result:?}");
    }
    let listed = known(&format!("@cert-authority w?b {}\n", openssh(&public(9))));
    assert_eq!(judge(&trust(&listed, 22), &certificate(host_cert()), NOW), Ok(Verdict::Trusted));
    let revoked = known(&format!("@revoked * {}\n", openssh(&public(9))));
    let revoked = Trust { authorities: &authorities, ..trust(&revoked, 22) };
    assert!(matches!(judge(&revoked, &certificate(host_cert()), NOW), Err(HostKeyError::Revoked { .. })));
    // Signed by somebody else, it is only as good as the key in it.
    assert!(matches!(
        judge(&trust(&empty, 22), &certificate(host_cert()), NOW),
        Err(HostKeyError::Unknown { .. })
    ));
    let pinned = [public(1)];
    let pinned = Trust { pinned: &pinned, ..trust(&empty, 22) };
    assert_eq!(judge(&pinned, &certificate(host_cert()), NOW), Ok(Verdict::Trusted));
}

#[test]
fn what_is_known_is_asked_for_first() {
    let listed = known(&format!(
        "web {RSA}
"
    ));
    let order = preferred_algorithms(&trust(&listed, 22));
    assert!(matches!(order[0], Algorithm::Rsa { hash: Some(_) }), "{order:?}");
    assert_eq!(preferred_algorithms(&trust(&KnownHosts::default(), 22))[0], Algorithm::Ed25519);
    assert!(certificate_algorithms(&trust(&listed, 22)).is_empty());
    assert!(!order.contains(&Algorithm::Rsa { hash: None }) && !order.contains(&Algorithm::Dsa));
}
