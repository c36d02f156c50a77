//! Which module may use which: the arrows of the design, read from the sources themselves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What each module may import beside itself. Tests inside a module may import anything.
const ARROWS: [(&str, &[&str]); 21] = [
    ("release", &[]),
    ("digest", &[]),
    ("command", &[]),
    ("render", &[]),
    ("script", &["command"]),
    ("inventory", &["release"]),
    ("pki", &["inventory", "release"]),
    ("blueprint", &["command", "digest", "inventory", "pki", "release", "render"]),
    ("facts", &["blueprint", "digest", "inventory", "pki", "release"]),
    ("timeline", &["facts", "inventory"]),
    ("plan", &["blueprint", "command", "digest", "facts", "inventory", "pki", "release", "render", "script"]),
    (
        "exec",
        &[
            "blueprint",
            "command",
            "digest",
            "facts",
            "inventory",
            "pki",
            "plan",
            "release",
            "render",
            "script",
        ],
    ),
    ("ssh", &["command", "digest", "exec", "inventory", "script"]),
    ("migrate", &["blueprint", "exec", "inventory", "timeline"]),
    ("kube", &["blueprint", "exec", "facts", "inventory", "migrate"]),
    ("bundle", &["blueprint", "digest", "release"]),
    ("state", &["digest", "exec", "facts", "inventory", "pki", "release"]),
    ("lab", &["inventory", "release"]),
    // A worker that joins by itself gets its blueprint as a script.
    (
        "cloud",
        &[
            "blueprint",
            "command",
            "exec",
            "inventory",
            "migrate",
            "pki",
            "plan",
            "release",
            "render",
            "state",
        ],
    ),
    (
        "sim",
        &[
            "blueprint",
            "command",
            "digest",
            "exec",
            "facts",
            "inventory",
            "pki",
            "plan",
            "release",
            "script",
            "timeline",
        ],
    ),
    // Puts everything together.
    (
        "cli",
        &[
            "blueprint",
            "bundle",
            "cloud",
            "command",
            "digest",
            "exec",
            "facts",
            "inventory",
            "kube",
            "lab",
            "migrate",
            "pki",
            "plan",
            "release",
            "render",
            "script",
            "sim",
            "ssh",
            "state",
            "timeline",
        ],
    ),
];

/// Modules that decide: equal inputs, equal outputs, and nothing waits.
const PURE: [&str; 10] = [
    "release",
    "digest",
    "command",
    "render",
    "script",
    "inventory",
    "blueprint",
    "facts",
    "timeline",
    "plan",
];

/// What would make them impure.
const IMPURE: [&str; 16] = [
    "tokio",
    "futures",
    "russh",
    "kube",
    "reqwest",
    "oci_client",
    "hyper",
    "rand",
    "nix",
    "std::fs",
    "std::env",
    "std::process",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::thread",
    "async fn",
];

/// Modules that exist in tests only.
const TEST_MODULES: [&str; 5] = ["golden", "hostile", "rows", "testing", "tests"];

struct Source {
    path: PathBuf,
    module: String,
    text: String,
}

/// All sources of the library without their tests.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut left = vec![root.clone()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let inside = path.strip_prefix(&root).unwrap().to_owned();
        if inside.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let first = inside.iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs").to_owned();
        let text = without_tests(&std::fs::read_to_string(&path).unwrap());
        found.push(Source { path: inside, module, text });
    }
    found.retain(|source| {
        let stem = source.path.file_stem().unwrap().to_str().unwrap();
        !matches!(source.module.as_str(), "lib" | "main")
            && !stem.ends_with("tests")
            && !source
                .path
                .iter()
                .any(|part| TEST_MODULES.contains(&part.to_str().unwrap().trim_end_matches(".rs")))
    });
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 150, "only {} sources were found", found.len());
    found
}

/// The text up to the tests at its end, without comments.
fn without_tests(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end]
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// `NAME` of every `crate::NAME`.
fn imports(text: &str) -> BTreeSet<&str> {
    let word = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let after = text
        .match_indices("crate::")
        .filter(|(at, _)| !text[..*at].ends_with(['_', '$']))
        .map(|(at, it)| &text[at + it.len()..]);
    after.map(|rest| &rest[..word(rest)]).filter(|name| !name.is_empty()).collect()
}

#[test]
fn modules_import_only_what_the_design_lets_them() {
    let mut wrong = Vec::new();
    for source in sources() {
        let arrows = ARROWS.iter().find(|(module, _)| *module == source.module);
        let (_, allowed) = arrows.unwrap_or_else(|| panic!("module {} has no arrows yet", source.module));
        for import in imports(&source.text) {
            if import != source.module && !allowed.contains(&import) {
                wrong.push(format!("{}: crate::{import}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn arrows_make_no_circle() {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for (module, allowed) in ARROWS {
        for name in allowed {
            assert!(known.contains(name), "{module} may use {name}, which comes after it");
        }
        known.insert(module);
    }
}

#[test]
fn modules_that_decide_neither_wait_nor_look() {
    let mut wrong = Vec::new();
    for source in sources().into_iter().filter(|source| PURE.contains(&source.module.as_str())) {
        for impure in IMPURE {
            let import = format!("use {impure}");
            let used =
                source.text.contains(&format!("{impure}::")) || source.text.contains(&format!("{import};"));
            // `crate::kube` and the like are the other test's matter.
            let ours = source.text.contains(&format!("crate::{impure}::"));
            if (used && !ours) || (impure.contains(' ') && source.text.contains(impure)) {
                wrong.push(format!("{}: {impure}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_command_line_reads_the_environment() {
    let reads = ["env::var(", "env::vars(", "env::home_dir(", "env::args("];
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|source| source.module != "cli" && reads.iter().any(|read| source.text.contains(read)))
        .map(|source| source.path.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
