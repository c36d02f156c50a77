//! containerd 2: its configuration, unit and registry mirrors, and crictl's settings.

use minijinja::context;
use serde_json::json;

use super::CONTAINERD_UNIT;
use super::files::{Files, text_file};
use super::kubelet::uses_systemd_cgroups;
use super::model::FileGroup;
use crate::inventory::Inventory;
use crate::release::MinorRelease;
use crate::release::catalog::Image;
use crate::render::{render, to_yaml};

const CERTS_DIRECTORY: &str = "/etc/containerd/certs.d";

pub(super) fn add_files(files: &mut Files, inventory: &Inventory, release: &MinorRelease) {
    files.directory("/etc/containerd", 0o755);
    let config = render(
        "config.toml",
        include_str!("../../templates/containerd/config.toml.j2"),
        context! {
            sandbox_image => release.image(Image::Pause, inventory.version),
            systemd_cgroup => uses_systemd_cgroups(inventory),
            restrict_oom_score_adj => inventory.containerd.restrict_oom_score_adj,
            certs_directory => CERTS_DIRECTORY,
        },
    );
    let config = text_file(FileGroup::System, 0o644, config);
    files.add_for("/etc/containerd/config.toml", config, CONTAINERD_UNIT);
    let unit = render(
        "containerd.service",
        include_str!("../../templates/containerd/containerd.service.j2"),
        context! {},
    );
    let unit = text_file(FileGroup::System, 0o644, unit);
    files.add_for("/etc/systemd/system/containerd.service", unit, CONTAINERD_UNIT);

    // Read at every pull: nothing has to restart for a mirror.
    files.directory(CERTS_DIRECTORY, 0o755);
    for (registry, mirrors) in &inventory.containerd.registry_mirrors {
        let directory = format!("{CERTS_DIRECTORY}/{registry}");
        let hosts = render(
            "hosts.toml",
            include_str!("../../templates/containerd/hosts.toml.j2"),
            context! { server => upstream(registry), mirrors => mirrors },
        );
        files.directory(&directory, 0o755);
        files.add(&format!("{directory}/hosts.toml"), text_file(FileGroup::System, 0o644, hosts));
    }

    let socket = "unix:///run/containerd/containerd.sock";
    let crictl = json!({ "runtime-endpoint": socket, "image-endpoint": socket, "timeout": 10 });
    files.add("/etc/crictl.yaml", text_file(FileGroup::System, 0o644, to_yaml(&crictl)));
}

/// Where a registry's images come from when no mirror has them. The name `docker.io` is not where that
/// registry answers.
fn upstream(registry: &str) -> String {
    match registry {
        "docker.io" => "https://registry-1.docker.io".to_owned(),
        other => format!("https://{other}"),
    }
}
