//! Opening a vault only to look: nothing is made, narrowed or written, not even an identity.

use camino::Utf8Path;

use super::home::Home;
use super::identity::Identity;
use super::vault::{Access, Clock, VAULT_FILE, Vault, VaultError};
use crate::inventory::ClusterName;

impl Vault {
    /// Opens the vault at `home` with the identity at `identity`. Where there is none yet, the answer
    /// is the empty vault that a first `apply` would begin with, in memory.
    pub fn observe(
        home: impl Into<Home>,
        identity: &Utf8Path,
        cluster: &ClusterName,
        clock: Clock,
    ) -> Result<Self, VaultError> {
        let home = home.into();
        let known =
            if home.read(VAULT_FILE)?.is_some() { Identity::load(identity)? } else { Identity::generate() };
        let (mut vault, access) = match Self::open(&home, &known, cluster, Clock::clone(&clock))? {
            Some(vault) => (vault, Access::Look),
            None => (Self::unwritten(home, &known, cluster, clock)?, Access::Proposal),
        };
        vault.access = access;
        Ok(vault)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use camino::Utf8PathBuf;

    use super::*;
    use crate::exec::ports::SecretSource as _;
    use crate::facts::vault::Founding;
    use crate::pki::spec::certificates;
    use crate::pki::spec::tests::cluster;
    use crate::state::files::tests::Scratch;

    fn clock() -> Clock {
        Arc::new(|| 1_767_225_600)
    }

    fn name() -> ClusterName {
        ClusterName::parse("prod").unwrap()
    }

    /// Every path below, with when it was last changed.
    fn tree(directory: &Utf8Path) -> BTreeMap<Utf8PathBuf, std::time::SystemTime> {
        let entries = directory.read_dir_utf8().unwrap().map(Result::unwrap);
        entries
            .map(|entry| (entry.path().to_owned(), entry.metadata().unwrap().modified().unwrap()))
            .collect()
    }

    #[test]
    fn looking_at_a_new_cluster_leaves_nothing_behind() {
        let scratch = Scratch::new();
        let state = scratch.0.join("state");
        let vault = Vault::observe(&state, &scratch.0.join("identity.txt"), &name(), clock()).unwrap();
        let facts = vault.facts(std::iter::empty());
        assert!(facts.proposed && facts.entries.is_empty());
        assert!(vault.mint(&certificates(&cluster(1), None)).is_err());
        assert!(matches!(vault.mark_etcd_established(), Err(VaultError::ReadOnly)));
        assert_eq!(tree(&scratch.0), BTreeMap::new());
    }

    #[test]
    fn looking_at_a_vault_reads_it_and_no_more() {
        let scratch = Scratch::new();
        let identity_file = scratch.0.join("identity.txt");
        let identity = Identity::load_or_create(&identity_file).unwrap();
        let state = scratch.0.join("state");
        let made = Vault::open_or_create(&state, &identity, &name(), clock(), None).unwrap();
        made.mint(&certificates(&cluster(1), None)).unwrap();
        let before = tree(&state);
        let seen = Vault::observe(&state, &identity_file, &name(), clock()).unwrap();
        assert_eq!(seen.facts(std::iter::empty()), made.facts(std::iter::empty()));
        assert!(matches!(seen.renew_etcd_token(), Err(VaultError::ReadOnly)));
        assert_eq!(tree(&state), before);
        let elsewhere = scratch.0.join("none.txt");
        let error = Vault::observe(&state, &elsewhere, &name(), clock()).err().unwrap();
        assert!(error.to_string().contains("none.txt"), "{error}");
    }

    #[test]
    fn an_apply_founds_the_cluster_that_its_saved_plan_was_made_for() {
        let scratch = Scratch::new();
        let state = scratch.0.join("state");
        let identity_file = scratch.0.join("identity.txt");
        let seen = Vault::observe(&state, &identity_file, &name(), clock()).unwrap();
        let founding = seen.facts(std::iter::empty()).founding().unwrap();
        let identity = Identity::load_or_create(&identity_file).unwrap();
        let made = Vault::open_or_create(&state, &identity, &name(), clock(), Some(&founding)).unwrap();
        let facts = made.facts(std::iter::empty());
        assert_eq!(
            (facts.cluster_uid.as_deref(), facts.founding()),
            (Some(founding.cluster_uid.as_str()), None)
        );
        assert_eq!(facts.etcd_token, Some(founding.etcd_token));
        // Never over one that is there.
        let other = Founding { cluster_uid: uuid::Uuid::new_v4().to_string(), etcd_token: "t".into() };
        let again = Vault::open_or_create(&state, &identity, &name(), clock(), Some(&other)).unwrap();
        assert_eq!(again.facts(std::iter::empty()), facts);
    }

    #[test]
    fn row_39_a_vault_that_is_gone_or_damaged_or_anothers_is_not_looked_past() {
        let scratch = Scratch::new();
        let identity_file = scratch.0.join("identity.txt");
        let identity = Identity::load_or_create(&identity_file).unwrap();
        let state = scratch.0.join("state");
        let vault = Vault::open_or_create(&state, &identity, &name(), clock(), None).unwrap();
        vault.mark_etcd_established().unwrap();
        let look = |cluster: &str| {
            let cluster = ClusterName::parse(cluster).unwrap();
            Vault::observe(&state, &identity_file, &cluster, clock()).err().unwrap().to_string()
        };
        assert!(look("other").contains("belongs to cluster `prod`"));
        let path = state.join(VAULT_FILE);
        let sealed = std::fs::read(&path).unwrap();
        std::fs::write(&path, &sealed[..sealed.len() - 9]).unwrap();
        assert!(look("prod").contains("damaged"), "{}", look("prod"));
        std::fs::remove_file(&path).unwrap();
        assert!(look("prod").contains("vault.age is gone but vault.age.1 is here"));
    }
}
