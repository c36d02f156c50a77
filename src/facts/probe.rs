//! What to look at on a host: questions made from its blueprint, for the one static script.

use crate::blueprint::{Content, FilePolicy, HostBlueprint};
use crate::digest::Digest;
use crate::pki::SecretContent;

/// The read-only script; it is the same for every host.
pub const SCRIPT: &str = include_str!("probe.sh");

/// Programs the preflight wants to know about.
const PROGRAMS: [&str; 8] =
    ["apt-get", "dnf", "mount", "losetup", "sha256sum", "flock", "tar", "systemd-run"];

/// The questions for one host, as the script's standard input.
pub fn questions(blueprint: &HostBlueprint, etcd_data_dir: &str) -> String {
    let mut lines = Vec::new();
    for program in PROGRAMS {
        lines.push(format!("program {program}"));
    }
    for package in &blueprint.packages {
        lines.push(format!("package {package}"));
    }
    for module in &blueprint.modules {
        lines.push(format!("module {module}"));
    }
    for key in blueprint.sysctls.keys() {
        lines.push(format!("sysctl {key}"));
    }
    for unit in blueprint.units.keys() {
        lines.push(format!("unit {unit}"));
    }
    for path in blueprint.directories.keys().chain(blueprint.links.keys()) {
        lines.push(format!("file {path}"));
    }
    for path in blueprint.binaries.keys() {
        lines.push(format!("binary {path}"));
    }
    for (path, file) in &blueprint.files {
        match (&file.content, file.policy) {
            (Content::Text(text), FilePolicy::Exact) => {
                lines.push(format!("text {} {path}", Digest::of(text.as_bytes())));
            }
            (Content::Text(_) | Content::Secret(_), _) => lines.push(format!("file {path}")),
        }
        if path.ends_with(".crt") {
            lines.push(format!("certificate {path}"));
        }
        if let Content::Secret(SecretContent::Kubeconfig { .. }) = &file.content {
            lines.push(format!("kubeconfig {path}"));
        }
    }
    for (pod, paths) in &blueprint.pod_files {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        lines.push(format!("pod {pod} {}", paths.join(" ")));
    }
    lines.push(format!("etcd-data {etcd_data_dir}"));
    lines.push(String::new());
    lines.join("\n")
}
