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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use crate::facts::parse::host_facts;
    use crate::state::files::tests::Scratch;

    #[test]
    fn of_a_kubeconfig_the_key_is_never_told() {
        let scratch = Scratch::new();
        let path = scratch.0.join("admin.conf");
        let text = "clusters:\n- cluster:\n    certificate-authority-data: Q0E=\n    server: https://192.0.2.11:6443\n\
            users:\n- user:\n    client-certificate-data: Q0VSVA==\n    client-key-data: U0VDUkVU\n";
        std::fs::write(&path, text).unwrap();
        let mut shell = Command::new("sh")
            .args(["-c", super::SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let question = format!("kubeconfig {path}\npod none {path}\n");
        shell.stdin.take().unwrap().write_all(question.as_bytes()).unwrap();
        let answer = shell.wait_with_output().unwrap().stdout;
        assert!(!String::from_utf8_lossy(&answer).contains("U0VDUkVU"));
        let facts = host_facts(&answer).unwrap();
        let found = &facts.kubeconfigs[path.as_str()];
        assert_eq!((found.server.as_str(), found.certificate.as_str()), ("https://192.0.2.11:6443", "CERT"));
    }
}
