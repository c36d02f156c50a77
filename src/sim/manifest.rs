//! What the simulator has to know of a static pod: its image and its flags.

use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    pub image: String,
    /// Flags without their dashes; the last one given counts.
    pub arguments: BTreeMap<String, String>,
}

/// Reads the YAML that the blueprint writes: one container, one flag a line.
pub fn parse(text: &str) -> Manifest {
    let mut manifest = Manifest::default();
    for line in text.lines() {
        let line = line.trim();
        if let Some(image) = line.trim_start_matches("- ").strip_prefix("image: ") {
            manifest.image = unquoted(image).to_owned();
        } else if let Some(item) = line.strip_prefix("- ")
            && let Some((name, value)) =
                unquoted(item).strip_prefix("--").and_then(|flag| flag.split_once('='))
        {
            manifest.arguments.insert(name.to_owned(), value.to_owned());
        }
    }
    manifest
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix(['"', '\'']).and_then(|text| text.strip_suffix(['"', '\''])).unwrap_or(text)
}
