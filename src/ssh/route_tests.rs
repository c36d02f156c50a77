use super::*;
use crate::inventory::Sudo;

fn environment() -> SshEnvironment {
    SshEnvironment::new("/home/op", "op")
}

fn config(text: &str) -> SshConfig {
    let mut config = SshConfig::default();
    config.add(text, &|_| Vec::new());
    config
}

fn ssh(host: &str) -> Ssh {
    Ssh {
        host: host.into(),
        port: None,
        user: None,
        keys: Vec::new(),
        bastions: Vec::new(),
        sudo: Sudo::Passwordless,
        host_keys: Vec::new(),
        host_cas: Vec::new(),
    }
}

fn labels(ssh: &Ssh, text: &str) -> Vec<String> {
    let route = resolve_route(ssh, &config(text), &environment()).unwrap();
    route.iter().map(Hop::label).collect()
}

#[test]
fn the_inventory_wins_over_the_configuration_over_the_defaults() {
    let text = "Host web\n  HostName 10.0.0.5\n  User admin\n  Port 2200\n  IdentityFile ~/.ssh/web\n";
    assert_eq!(labels(&ssh("web"), text), ["admin@10.0.0.5:2200"]);
    assert_eq!(labels(&ssh("db"), text), ["op@db:22"]);
    let own = Ssh { port: Some(22), user: Some("root".into()), keys: vec!["~/k".into()], ..ssh("web") };
    assert_eq!(labels(&own, text), ["root@10.0.0.5:22"]);
    let route = resolve_route(&own, &config(text), &environment()).unwrap();
    assert_eq!(route[0].keys, ["/home/op/k"]);
    assert!(!route[0].agent_keys, "named keys are the only ones offered");
}

#[test]
fn a_jump_host_is_reached_through_its_own_jump_host() {
    let text = "Host inner\n  ProxyJump outer\nHost web\n  ProxyJump u@inner:2,second\nHost second\n  ProxyJump unused\n";
    assert_eq!(labels(&ssh("web"), text), ["op@outer:22", "u@inner:2", "op@second:22", "op@web:22"]);
}

#[test]
fn bastions_of_the_inventory_replace_the_configured_jump() {
    let text = "Host web\n  ProxyJump other\nHost b1\n  HostName 192.0.2.1\n";
    let bastion = |host: &str| Bastion {
        host: host.into(),
        port: None,
        user: Some("jump".into()),
        keys: Vec::new(),
        host_keys: Vec::new(),
        host_cas: Vec::new(),
    };
    let own = Ssh { bastions: vec![bastion("b1"), bastion("b2")], ..ssh("web") };
    assert_eq!(labels(&own, text), ["jump@192.0.2.1:22", "jump@b2:22", "op@web:22"]);
}

#[test]
fn jumps_in_a_circle_are_an_error() {
    let text = "Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n";
    let error = resolve_route(&ssh("a"), &config(text), &environment()).unwrap_err();
    assert!(error.to_string().contains("never ends"), "{error}");
    assert_eq!(labels(&ssh("x"), "Host *\n  ProxyJump hop\n"), ["op@hop:22", "op@x:22"]);
}

#[test]
fn a_pinned_key_that_is_none_is_named() {
    let own = Ssh { host_keys: vec!["ssh-ed25519 nonsense".into()], ..ssh("web") };
    let error = resolve_route(&own, &config(""), &environment()).unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
}
