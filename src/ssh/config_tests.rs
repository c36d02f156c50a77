use super::*;
use proptest::prelude::*;

fn parsed(text: &str) -> SshConfig {
    let mut config = SshConfig::default();
    config.add(text, &|pattern| match pattern {
        "conf.d/*" => vec!["Host web\n  Port 2201\nHost *\n  User fromfile\n".into()],
        _ => Vec::new(),
    });
    config
}

#[test]
fn the_first_value_counts_and_identities_add_up() {
    let config = parsed(
        "IdentityFile ~/.ssh/all\nHost web db\n  HostName=%h.example.com\n  User \"the admin\"\n  \
         IdentityFile ~/.ssh/web\nHost *\n  User other\n  Port 2222\n",
    );
    let web = config.lookup("web");
    assert_eq!(web.host_name.as_deref(), Some("web.example.com"));
    assert_eq!(web.user.as_deref(), Some("the admin"));
    assert_eq!(web.port, Some(2222));
    assert_eq!(web.identity_files, ["~/.ssh/all", "~/.ssh/web"]);
    assert_eq!(config.lookup("cache").user.as_deref(), Some("other"));
}

#[test]
fn a_negated_pattern_excludes_a_host() {
    let config = parsed("Host *.example.com !db.example.com\n  ProxyJump hop1,me@hop2:2200\n");
    let web = config.lookup("web.example.com");
    let expected = [
        Jump { host: "hop1".into(), user: None, port: None },
        Jump { host: "hop2".into(), user: Some("me".into()), port: Some(2200) },
    ];
    assert_eq!(web.proxy_jump, expected);
    assert!(config.lookup("db.example.com").proxy_jump.is_empty());
}

#[test]
fn an_included_file_holds_only_under_the_host_line_it_stands_in() {
    let config = parsed("Host web*\n  Include conf.d/*\n  Port 22\nHost *\n  User last\n");
    assert_eq!(config.lookup("web").port, Some(2201));
    assert_eq!(config.lookup("web").user.as_deref(), Some("fromfile"));
    assert_eq!(config.lookup("web2").port, Some(22));
    assert_eq!(config.lookup("db").user.as_deref(), Some("last"));
}

#[test]
fn match_blocks_are_skipped_and_noted() {
    let config = parsed("Match exec \"true\"\n  User wrong\nMatch all\n  Port 99\nHost *\n  User right\n");
    assert_eq!(config.lookup("a").user.as_deref(), Some("right"));
    assert_eq!(config.lookup("a").port, Some(99));
    assert_eq!(config.notes.len(), 1);
}

#[test]
fn proxy_jump_none_ends_the_search() {
    let config = parsed("Host a\n  ProxyJump none\nHost *\n  ProxyJump hop\n");
    assert!(config.lookup("a").proxy_jump.is_empty());
    assert_eq!(config.lookup("b").proxy_jump.len(), 1);
}

#[test]
fn jumps_read_every_spelling_of_a_host() {
    let jump = |text: &str| Jump::parse(text).map(|j| (j.user, j.host, j.port));
    assert_eq!(jump("ssh://u@h:1/"), Some((Some("u".into()), "h".into(), Some(1))));
    assert_eq!(jump("[fd00::1]:2"), Some((None, "fd00::1".into(), Some(2))));
    assert_eq!(jump("fd00::1"), Some((None, "fd00::1".into(), None)));
    assert_eq!(jump("h:no"), None);
    assert_eq!(jump(""), None);
}

#[test]
fn a_recursive_include_ends() {
    let mut config = SshConfig::default();
    config.add("Include me\n", &|_| vec!["Include me\nUser x\n".into()]);
    assert_eq!(config.lookup("a").user.as_deref(), Some("x"));
}

#[test]
fn paths_expand_tokens_once() {
    let path = expand_path("~/.ssh/%r@%h-%u%%h", "/home/op".into(), "op", "web", "admin");
    assert_eq!(path, "/home/op/.ssh/admin@web-op%h");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(Host|Match|Include|Port|ProxyJump|\"|=|!|\\*|[a-z ]|\n){0,40}") {
        let config = parsed(&text);
        config.lookup("web");
    }
}
