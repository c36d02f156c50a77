//! Reads `~/.ssh/config` and what it includes.

use camino::{Utf8Path, Utf8PathBuf};

use super::config::SshConfig;
use super::config_match::wildcard;
use super::environment::SshEnvironment;

/// Reads the configuration files that exist.
pub(crate) fn read_config(environment: &SshEnvironment) -> SshConfig {
    let mut config = SshConfig::default();
    for file in &environment.config_files {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        // A relative Include is relative to ~/.ssh in a user's file and to /etc/ssh in the system's.
        let base = file.parent().unwrap_or(Utf8Path::new("/")).to_owned();
        config.add(&text, &|pattern| included(pattern, &base, &environment.home));
    }
    config
}

fn included(pattern: &str, base: &Utf8Path, home: &Utf8Path) -> Vec<String> {
    let pattern = match pattern.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => base.join(pattern),
    };
    matching_files(&pattern).into_iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect()
}

/// Files for a pattern whose components may have wildcards, in order of their names.
fn matching_files(pattern: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut found = vec![Utf8PathBuf::from("/")];
    for component in pattern.components().skip(1).map(|component| component.as_str()) {
        let step = |directory: Utf8PathBuf| -> Vec<Utf8PathBuf> {
            if !component.contains(['*', '?']) {
                return vec![directory.join(component)];
            }
            let entries = directory.read_dir_utf8().into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name().to_owned());
            let mut names: Vec<_> = names
                .filter(|name| {
                    wildcard(component, name) && (component.starts_with('.') || !name.starts_with('.'))
                })
                .collect();
            names.sort();
            names.into_iter().map(|name| directory.join(name)).collect()
        };
        found = found.into_iter().flat_map(step).collect();
    }
    found
}
