//! Certificates, keys and kubeconfigs of a host, at kubeadm's paths and modes.
//!
//! `super-admin.conf` is not among them: it bypasses RBAC, kubeadm needs it on no host once the binding of
//! `kubeadm:cluster-admins` exists, and the operator's vault can make it when that binding is lost.

use super::files::Files;
use super::model::{Content, FileGroup, FilePolicy};
use super::{KUBERNETES_DIRECTORY, PKI_DIRECTORY, api_server_port, runs_etcd, socket_address};
use crate::inventory::{EtcdPlacement, Host, Inventory};
use crate::pki::{KeyId, SecretContent};

pub(super) fn add_files(files: &mut Files, inventory: &Inventory, host: &Host) {
    files.directory(PKI_DIRECTORY, 0o755);
    if host.is_node() {
        certificate(files, "ca", KeyId::shared("ca"));
    }
    if host.is_control_plane() {
        control_plane(files, inventory, host);
    }
    if runs_etcd(inventory, host) {
        etcd_member(files, host);
    }
}

fn control_plane(files: &mut Files, inventory: &Inventory, host: &Host) {
    let stacked = inventory.etcd.placement == EtcdPlacement::Stacked;
    files.directory(&format!("{PKI_DIRECTORY}/etcd"), 0o755);
    certificate(files, "front-proxy-ca", KeyId::shared("front-proxy-ca"));
    certificate(files, "etcd/ca", KeyId::shared("etcd/ca"));
    if !inventory.pki.external_ca {
        private_key(files, "ca", KeyId::shared("ca"));
        private_key(files, "front-proxy-ca", KeyId::shared("front-proxy-ca"));
        if stacked {
            // A control plane that joins by kubeadm brings a member whose certificates it signs itself.
            private_key(files, "etcd/ca", KeyId::shared("etcd/ca"));
        }
    }
    private_key(files, "sa", KeyId::shared("sa"));
    let public = Content::Secret(SecretContent::PublicKey { key: KeyId::shared("sa") });
    let path = format!("{PKI_DIRECTORY}/sa.pub");
    files.file(&path, FileGroup::Pki, 0o600, public, FilePolicy::Exact);
    for name in ["apiserver", "apiserver-kubelet-client", "front-proxy-client", "apiserver-etcd-client"] {
        pair(files, host, name);
    }

    let everyone = inventory.control_plane_endpoint();
    let own = socket_address(host.address, api_server_port(inventory));
    kubeconfig(files, inventory, "admin", KeyId::shared("admin"), "kubernetes-admin", &everyone);
    for component in ["controller-manager", "scheduler"] {
        let key = KeyId::of_host(&host.name, component);
        kubeconfig(files, inventory, component, key, &format!("system:kube-{component}"), &own);
    }
}

fn etcd_member(files: &mut Files, host: &Host) {
    files.directory(&format!("{PKI_DIRECTORY}/etcd"), 0o755);
    certificate(files, "etcd/ca", KeyId::shared("etcd/ca"));
    for name in ["etcd/server", "etcd/peer", "etcd/healthcheck-client"] {
        pair(files, host, name);
    }
}

fn pair(files: &mut Files, host: &Host, name: &str) {
    certificate(files, name, KeyId::of_host(&host.name, name));
    private_key(files, name, KeyId::of_host(&host.name, name));
}

fn certificate(files: &mut Files, name: &str, key: KeyId) {
    let path = format!("{PKI_DIRECTORY}/{name}.crt");
    let content = Content::Secret(SecretContent::Certificate { key });
    files.file(&path, FileGroup::Pki, 0o644, content, FilePolicy::Exact);
}

fn private_key(files: &mut Files, name: &str, key: KeyId) {
    let path = format!("{PKI_DIRECTORY}/{name}.key");
    let content = Content::Secret(SecretContent::PrivateKey { key });
    files.file(&path, FileGroup::Pki, 0o600, content, FilePolicy::Exact);
}

fn kubeconfig(files: &mut Files, inventory: &Inventory, name: &str, key: KeyId, user: &str, server: &str) {
    let content = Content::Secret(SecretContent::Kubeconfig {
        key,
        user: user.to_owned(),
        cluster: inventory.name.to_string(),
        server: format!("https://{server}"),
    });
    let path = format!("{KUBERNETES_DIRECTORY}/{name}.conf");
    files.file(&path, FileGroup::Kubeconfig, 0o600, content, FilePolicy::Exact);
}
