//! Kubeconfigs, as kubeadm's init writes them and as the kubelet writes its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::secret::SecretText;

/// A client-go kubeconfig: one cluster, one user, one context.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kubeconfig {
    #[serde(rename = "apiVersion")]
    pub api_version: String,
    pub kind: String,
    pub clusters: Vec<NamedCluster>,
    pub contexts: Vec<NamedContext>,
    pub current_context: String,
    pub users: Vec<NamedUser>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamedCluster {
    pub name: String,
    pub cluster: Cluster,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cluster {
    pub certificate_authority_data: String,
    pub server: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamedContext {
    pub name: String,
    pub context: Context,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Context {
    pub cluster: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub user: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamedUser {
    pub name: String,
    pub user: User,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum User {
    #[serde(rename_all = "kebab-case")]
    Embedded { client_certificate_data: String, client_key_data: SecretText },
    #[serde(rename_all = "kebab-case")]
    Files { client_certificate: String, client_key: String },
    /// Whoever asks is told by a program.
    Exec { exec: ExecPlugin },
}

/// A program that gives credentials: <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecPlugin {
    pub api_version: String,
    pub command: String,
    pub args: Vec<String>,
    /// Beside the environment of who asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<ExecEnvironment>,
    /// Whether it may use the terminal: `Never`, `IfAvailable`, `Always`.
    pub interactive_mode: String,
    pub provide_cluster_info: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecEnvironment {
    pub name: String,
    pub value: String,
}

/// kubeadm's init style: cluster `<cluster>`, user `<user>`, context `<user>@<cluster>`, data embedded.
pub fn embedded(
    cluster: &str,
    user: &str,
    server: &str,
    ca: &str,
    certificate: &str,
    key: &SecretText,
) -> Kubeconfig {
    let context = format!("{user}@{cluster}");
    let credentials = User::Embedded {
        client_certificate_data: STANDARD.encode(certificate),
        client_key_data: SecretText::new(STANDARD.encode(key.expose())),
    };
    build([cluster, user, &context], server, &STANDARD.encode(ca), None, credentials)
}

/// For a cluster whose users are told by a program. `authority` is PEM in base64 already.
pub fn with_plugin(cluster: &str, server: &str, authority: &str, plugin: ExecPlugin) -> Kubeconfig {
    build([cluster; 3], server, authority, None, User::Exec { exec: plugin })
}

/// As the kubelet writes it after its TLS bootstrap: the pair stays in `pem`, which it rotates.
pub fn kubelet(server: &str, ca: &str, pem: &str) -> Kubeconfig {
    let credentials = User::Files { client_certificate: pem.to_owned(), client_key: pem.to_owned() };
    let names = ["default-cluster", "default-auth", "default-context"];
    build(names, server, &STANDARD.encode(ca), Some("default".to_owned()), credentials)
}

fn build(
    [cluster, user, context]: [&str; 3],
    server: &str,
    authority: &str,
    namespace: Option<String>,
    credentials: User,
) -> Kubeconfig {
    Kubeconfig {
        api_version: "v1".to_owned(),
        kind: "Config".to_owned(),
        clusters: vec![NamedCluster {
            name: cluster.to_owned(),
            cluster: Cluster { certificate_authority_data: authority.to_owned(), server: server.to_owned() },
        }],
        contexts: vec![NamedContext {
            name: context.to_owned(),
            context: Context { cluster: cluster.to_owned(), namespace, user: user.to_owned() },
        }],
        current_context: context.to_owned(),
        users: vec![NamedUser { name: user.to_owned(), user: credentials }],
    }
}

/// A kubeconfig that could not be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("the kubeconfig could not be written: {0}")]
pub struct KubeconfigError(String);

impl Kubeconfig {
    /// The file's text, which holds the private key if it is embedded.
    pub fn to_yaml(&self) -> Result<SecretText, KubeconfigError> {
        // Folded scalars would be read the same, but every tool writes these on one line.
        let options = serde_yaml::ser_options! { prefer_block_scalars: false };
        serde_yaml::to_string_with_options(self, options)
            .map(SecretText::new)
            .map_err(|error| KubeconfigError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(config: &Kubeconfig) -> serde_json::Value {
        serde_yaml::from_str(config.to_yaml().unwrap().expose()).unwrap()
    }

    #[test]
    fn kubeadm_style_names_context_after_user_and_cluster() {
        let key = SecretText::new("KEY\n".into());
        let config =
            embedded("kubernetes", "kubernetes-admin", "https://10.0.0.1:6443", "CA\n", "CERT\n", &key);
        assert_eq!(
            parsed(&config),
            serde_json::json!({
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "kubernetes", "cluster": {
                    "certificate-authority-data": "Q0EK", "server": "https://10.0.0.1:6443"}}],
                "contexts": [{"name": "kubernetes-admin@kubernetes", "context": {
                    "cluster": "kubernetes", "user": "kubernetes-admin"}}],
                "current-context": "kubernetes-admin@kubernetes",
                "users": [{"name": "kubernetes-admin", "user": {
                    "client-certificate-data": "Q0VSVAo=", "client-key-data": "S0VZCg=="}}],
            })
        );
        assert!(!format!("{config:?}").contains("S0VZ"));
    }

    #[test]
    fn kubelet_style_points_at_the_rotating_pair() {
        let pem = "/var/lib/kubelet/pki/kubelet-client-current.pem";
        assert_eq!(
            parsed(&kubelet("https://[fd00::1]:6443", "CA\n", pem)),
            serde_json::json!({
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "default-cluster", "cluster": {
                    "certificate-authority-data": "Q0EK", "server": "https://[fd00::1]:6443"}}],
                "contexts": [{"name": "default-context", "context": {
                    "cluster": "default-cluster", "namespace": "default", "user": "default-auth"}}],
                "current-context": "default-context",
                "users": [{"name": "default-auth", "user": {
                    "client-certificate": pem, "client-key": pem}}],
            })
        );
    }

    proptest! {
        #[test]
        fn any_text_survives_yaml(cluster in "\\PC*", user in "[-: \\n#{}\\[\\]&*!|>'\"%@~?a-z0-9]*", server in any::<String>()) {
            // A NUL cannot be in a YAML stream, escaped or not, and no name may have one.
            prop_assume!(!server.contains('\0'));
            let config = embedded(&cluster, &user, &server, "CA", "CERT", &SecretText::new("KEY".into()));
            let back: Kubeconfig = serde_yaml::from_str(config.to_yaml().unwrap().expose()).unwrap();
            prop_assert_eq!(&back.clusters[0].name, &cluster);
            prop_assert_eq!(&back.clusters[0].cluster.server, &server);
            prop_assert_eq!(&back.users[0].name, &user);
            prop_assert_eq!(back.current_context, format!("{user}@{cluster}"));
        }
    }
}
