//! Where this system's apt gets Debian from: reads sources.list and deb822 .sources files.

use std::path::Path;

use super::LabError;

/// The Debian release the lab's machines run.
pub(crate) const SUITE: &str = "bookworm";

/// Debian's own keyring, used when a source names none.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A mirror to bootstrap from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub uri: String,
    /// The keyring that signs it; none means debootstrap's own choice.
    pub keyring: Option<String>,
}

/// One line of sources: an archive's address, its suites and components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    uri: String,
    suites: Vec<String>,
    components: Vec<String>,
    keyring: Option<String>,
}

/// Reads the mirror out of apt's configuration directory (`/etc/apt`).
pub(crate) fn find_mirror(apt: &Path) -> Result<Mirror, LabError> {
    let mut sources = Vec::new();
    let mut files = vec![apt.join("sources.list")];
    if let Ok(entries) = std::fs::read_dir(apt.join("sources.list.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    for file in files {
        // apt skips what it cannot read too; a mirror may be in the next file.
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(parse_list(&text)),
            Some("sources") => sources.extend(parse_deb822(&text)),
            Some(_) | None => {}
        }
    }
    let mut mirror = choose(&sources).ok_or(LabError::NoMirror)?;
    if mirror.keyring.is_none() && Path::new(KEYRING).exists() {
        mirror.keyring = Some(KEYRING.to_owned());
    }
    Ok(mirror)
}

/// The archive that has our suite; else the archive of another Debian release, which has ours as well.
fn choose(sources: &[Source]) -> Option<Mirror> {
    let main: Vec<_> = sources.iter().filter(|s| s.components.iter().any(|c| c == "main")).collect();
    main.iter()
        .find(|source| source.suites.iter().any(|suite| suite == SUITE))
        .or_else(|| main.iter().find(|source| source.uri.trim_end_matches('/').ends_with("/debian")))
        .map(|source| Mirror {
            uri: source.uri.trim_end_matches('/').to_owned(),
            keyring: source.keyring.clone(),
        })
}

/// The one-line format: `deb [options] uri suite components...` (sources.list(5)).
fn parse_list(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim().strip_prefix("deb")?;
    if !line.starts_with([' ', '\t']) {
        return None;
    }
    let (options, rest) = match line.trim_start().strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => ("", line),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let keyring = options
        .split_whitespace()
        .find_map(|option| option.strip_prefix("signed-by="))
        .filter(|path| path.starts_with('/'));
    Some(Source {
        uri: words.next()?,
        suites: vec![words.next()?],
        components: words.collect(),
        keyring: keyring.map(str::to_owned),
    })
}

/// The deb822 format: stanzas of `Field: value`, continued by indented lines.
fn parse_deb822(text: &str) -> Vec<Source> {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).flat_map(parse_stanza).collect()
}

fn parse_stanza(lines: &[&str]) -> Vec<Source> {
    let words = |wanted: &str| -> Vec<String> {
        let mut inside = false;
        let mut words = Vec::new();
        for line in lines {
            let value = if line.starts_with([' ', '\t']) {
                line
            } else {
                let Some((field, value)) = line.split_once(':') else { continue };
                inside = field.trim().eq_ignore_ascii_case(wanted);
                value
            };
            if inside {
                words.extend(value.split_whitespace().map(str::to_owned));
            }
        }
        words
    };
    if !words("Types").iter().any(|word| word == "deb") || words("Enabled").iter().any(|word| word == "no") {
        return Vec::new();
    }
    // A key may also be written into the stanza itself; only a path helps debootstrap.
    let keyring = words("Signed-By").into_iter().find(|word| word.starts_with('/'));
    words("URIs")
        .into_iter()
        .map(|uri| Source {
            uri,
            suites: words("Suites"),
            components: words("Components"),
            keyring: keyring.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
Types: deb
# a comment between fields
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb deb-src
URIs: http://mirror.example/debian
 http://second.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

    #[test]
    fn deb822_gives_the_mirror_of_the_suite_and_its_keyring() {
        let mirror = choose(&parse_deb822(DEB822)).unwrap();
        assert_eq!(mirror.uri, "http://mirror.example/debian");
        assert_eq!(mirror.keyring.as_deref(), Some("/usr/share/keyrings/debian-archive-keyring.gpg"));
    }

    #[test]
    fn one_line_format_with_and_without_options() {
        let text = "\
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian/ bookworm main # why
deb http://second.example/debian bookworm contrib
";
        let sources = parse_list(text);
        assert_eq!(sources.len(), 2);
        let mirror = choose(&sources).unwrap();
        assert_eq!(
            mirror,
            Mirror { uri: "http://mirror.example/debian".into(), keyring: Some("/k.gpg".into()) }
        );
    }

    #[test]
    fn a_newer_debian_is_used_for_our_suite() {
        let sources = parse_list("deb http://mirror.example/debian trixie main\n");
        assert_eq!(choose(&sources).unwrap().uri, "http://mirror.example/debian");
    }

    #[test]
    fn other_distributions_and_disabled_stanzas_give_nothing() {
        assert_eq!(choose(&parse_list("deb http://mirror.example/ubuntu noble main\n")), None);
        let disabled =
            "Types: deb\nEnabled: no\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\n";
        assert_eq!(choose(&parse_deb822(disabled)), None);
        assert_eq!(choose(&parse_list("deb\ndeb [x\ndeb http://only.example\n")), None);
    }
}
