//! The operator's own CAs: read, checked, and taken into the vault before anything is signed.

use camino::Utf8Path;

use super::{CommandError, ErrorKind};
use crate::facts::Origin;
use crate::inventory::Pki;
use crate::pki::authority::{AuthorityError, load};
use crate::state::{Vault, VaultError};

/// Takes in what `pki.bringYourOwn` names. Once the vault has it, the directory may go: a CA that is kept
/// offline is then only warned about.
///
/// # Errors
/// Of kind [`ErrorKind::Usage`] when what is there cannot sign, and [`ErrorKind::Refused`] when the cluster
/// already has another CA.
pub(super) fn take_in(pki: &Pki, vault: &Vault, now: i64) -> Result<(), CommandError> {
    let Some(directory) = &pki.bring_your_own else { return Ok(()) };
    let pairs = match load(directory, now) {
        Ok(pairs) => pairs,
        Err(error) if has_brought(vault) => {
            eprintln!("warning: {}", unusable(directory, error));
            return Ok(());
        }
        Err(error) => return Err(unusable(directory, error)),
    };
    vault.import(&pairs).map_err(|error| match error {
        VaultError::Differs { .. } => CommandError::new(ErrorKind::Refused, error).hint(format!(
            "put the cluster's own CA into {directory}, or take pki.bringYourOwn out of the inventory; nothing was touched"
        )),
        other => CommandError::new(ErrorKind::Failed, other),
    })
}

fn has_brought(vault: &Vault) -> bool {
    vault.facts(std::iter::empty()).entries.values().any(|entry| entry.origin == Origin::Brought)
}

fn unusable(directory: &Utf8Path, error: AuthorityError) -> CommandError {
    let hint = match &error {
        AuthorityError::Read { .. } | AuthorityError::Empty { .. } | AuthorityError::Half { .. } => {
            format!("pki.bringYourOwn names {directory}; see what is there with\n    ls -lR {directory}")
        }
        AuthorityError::Unusable { path, .. } | AuthorityError::Expired { path, .. } => {
            let certificate = path.with_extension("crt");
            format!(
                "see what it says with\n    openssl x509 -noout -subject -dates -ext basicConstraints -in {certificate}"
            )
        }
    };
    CommandError::new(ErrorKind::Usage, error).hint(hint)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use camino::Utf8PathBuf;

    use super::*;
    use crate::inventory::{ClusterName, KeyAlgorithm};
    use crate::pki::KeyId;
    use crate::pki::issue::{Authority, PrivateKey, issue_authority};
    use crate::pki::spec::certificates;
    use crate::pki::spec::tests::cluster;
    use crate::state::Identity;
    use crate::state::files::tests::Scratch;

    const NOW: i64 = 1_767_225_600;

    struct Case {
        scratch: Scratch,
        vault: Vault,
    }

    impl Case {
        fn new() -> Self {
            let scratch = Scratch::new();
            let name = ClusterName::parse("prod").unwrap();
            let state = scratch.0.join("state");
            let identity = Identity::generate();
            let vault = Vault::open_or_create(&state, &identity, &name, Arc::new(|| NOW), None).unwrap();
            Case { scratch, vault }
        }

        fn directory(&self) -> Utf8PathBuf {
            self.scratch.0.join("pki")
        }

        fn put(&self, certificate: &str, key: &PrivateKey) {
            std::fs::create_dir_all(self.directory()).unwrap();
            std::fs::write(self.directory().join("ca.crt"), certificate).unwrap();
            std::fs::write(self.directory().join("ca.key"), key.pem().expose()).unwrap();
        }

        fn take_in(&self) -> Result<(), CommandError> {
            let bring_your_own = Some(self.directory());
            let pki = Pki { algorithm: KeyAlgorithm::EcdsaP256, external_ca: true, bring_your_own };
            take_in(&pki, &self.vault, NOW)
        }

        #[track_caller]
        fn refused(&self, kind: ErrorKind, parts: &[&str]) {
            let error = self.take_in().unwrap_err();
            assert_eq!(error.kind, kind);
            for part in parts {
                assert!(error.to_string().contains(part), "{part:?} is not in {error}");
            }
        }
    }

    fn authority(made: i64) -> (String, PrivateKey) {
        let spec = certificates(&cluster(0), None).remove(&KeyId::ca()).unwrap();
        let key = PrivateKey::generate(spec.algorithm).unwrap();
        (issue_authority(&spec, &key, made).unwrap().pem, key)
    }

    #[test]
    fn what_was_brought_signs_the_cluster() {
        let case = Case::new();
        let (certificate, key) = authority(NOW);
        case.put(&certificate, &key);
        case.take_in().unwrap();
        use crate::exec::ports::SecretSource as _;
        case.vault.mint(&certificates(&cluster(1), None)).unwrap();
        let entries = case.vault.facts(std::iter::empty()).entries;
        assert_eq!(entries[&KeyId::ca()].origin, Origin::Brought);
        assert!(entries[&KeyId::admin()].issuer_current);
        // The directory may go offline afterwards, and what it held may run out.
        std::fs::remove_dir_all(case.directory()).unwrap();
        case.take_in().unwrap();
    }

    #[test]
    fn a_certificate_that_is_no_ca_is_refused() {
        let case = Case::new();
        let (certificate, key) = authority(NOW);
        let spec = certificates(&cluster(0), None).remove(&KeyId::admin()).unwrap();
        let leaf = PrivateKey::generate(spec.algorithm).unwrap();
        let issued = Authority::open(&certificate, key.pem()).unwrap().issue(&spec, &leaf, NOW).unwrap();
        case.put(&issued.pem, &leaf);
        case.refused(ErrorKind::Usage, &["ca.crt cannot be used", "Caused by: ", "not a CA", "openssl x509"]);
    }

    #[test]
    fn an_expired_ca_is_refused_with_its_dates() {
        let case = Case::new();
        let (certificate, key) = authority(NOW - 88_000 * 3600);
        case.put(&certificate, &key);
        case.refused(ErrorKind::Usage, &["ca.crt is not valid now", "2015-12-", "2025-12-", "Hint: "]);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let case = Case::new();
        case.put(&authority(NOW).0, &authority(NOW).1);
        case.refused(ErrorKind::Usage, &["ca.crt cannot be used", "Caused by: ", "key"]);
        assert!(case.vault.facts(std::iter::empty()).entries.is_empty());
    }

    #[test]
    fn another_ca_for_a_cluster_that_has_one_is_refused() {
        let case = Case::new();
        let (certificate, key) = authority(NOW);
        case.put(&certificate, &key);
        case.take_in().unwrap();
        let (certificate, key) = authority(NOW);
        case.put(&certificate, &key);
        case.refused(ErrorKind::Refused, &["another `ca`", "rotation", "nothing was touched"]);
    }

    #[test]
    fn a_directory_without_cas_is_named() {
        Case::new().refused(ErrorKind::Usage, &["has none of ca.crt", "ls -lR"]);
    }
}
