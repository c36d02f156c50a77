//! The API server's EncryptionConfiguration: which keys Secrets are sealed with in etcd.

use serde::{Deserialize, Serialize};

use super::secret::SecretText;

/// One secretbox key. The name is part of what etcd stores: it never changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EncryptionKey {
    pub name: String,
    /// 32 bytes, base64.
    pub secret: SecretText,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EncryptionConfiguration<'a> {
    api_version: &'static str,
    kind: &'static str,
    resources: [Resources<'a>; 1],
}

#[derive(Serialize)]
struct Resources<'a> {
    resources: [&'static str; 1],
    providers: [Provider<'a>; 2],
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Provider<'a> {
    Secretbox { keys: &'a [EncryptionKey] },
    Identity {},
}

/// The file's text. The first key writes, all keys read; `identity` comes last, so that what was
/// stored before encryption was switched on can still be read. Secrets only: that is what the CIS
/// benchmark asks for, and every further resource costs each of its reads.
pub fn encryption_configuration(keys: &[EncryptionKey]) -> Result<SecretText, serde_yaml::SerializeError> {
    let configuration = EncryptionConfiguration {
        api_version: "apiserver.config.k8s.io/v1",
        kind: "EncryptionConfiguration",
        resources: [Resources {
            resources: ["secrets"],
            providers: [Provider::Secretbox { keys }, Provider::Identity {}],
        }],
    };
    serde_yaml::to_string(&configuration).map(SecretText::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_with_the_first_key_and_reads_plain_text_last() {
        let key =
            |name: &str| EncryptionKey { name: name.into(), secret: SecretText::new("c2VjcmV0".into()) };
        let text = encryption_configuration(&[key("key-1"), key("key-2")]).unwrap();
        let value: serde_json::Value = serde_yaml::from_str(text.expose()).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "EncryptionConfiguration",
                "resources": [{"resources": ["secrets"], "providers": [
                    {"secretbox": {"keys": [
                        {"name": "key-1", "secret": "c2VjcmV0"}, {"name": "key-2", "secret": "c2VjcmV0"}]}},
                    {"identity": {}},
                ]}],
            })
        );
    }
}
