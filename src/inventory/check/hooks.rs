//! `hooks`: names of their own, hosts that exist, and a place that makes sense.

use std::collections::BTreeMap;

use super::Rules;
use crate::inventory::parse::draft::Provider;
use crate::inventory::parse::path::Path;
use crate::inventory::{Hook, HookHosts, HookPlace, Role};

impl Rules<'_> {
    pub(super) fn hooks(&self) {
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, hook) in self.draft.hooks.iter().enumerate() {
            let Some(hook) = hook else { continue };
            let path = Path::root().key("hooks").index(index);
            if let Some(earlier) = first.insert(&hook.name, index) {
                let other = Path::root().key("hooks").index(earlier).key("name");
                let lines = self.lines(&other, &path.key("name"));
                let message = format!("two hooks are called `{}` ({lines})", hook.name);
                self.error(&path.key("name"), message, "each hook needs a name of its own: errors say it");
            }
            if hook.when.is_of_host() {
                self.hosts_of_hook(&path, hook);
            } else {
                self.of_many_hosts(&path, hook);
            }
        }
    }

    /// A wave and a hop are many hosts: on which of them, and what if one of them has failed?
    fn of_many_hosts(&self, path: &Path, hook: &Hook) {
        let when = hook.when.as_str();
        let (what, instead) = when.split_once('-').map_or((when, "host"), |(moment, what)| {
            (what, if moment == "before" { "before-host" } else { "after-host" })
        });
        if hook.place == HookPlace::Host {
            let message = format!("{when} is about a whole {what}, so there is no one host to run it on");
            self.error(&path.key("where"), message, format!("write where: local, or when: {instead}"));
        }
        let key = match hook.hosts {
            HookHosts::All => return,
            HookHosts::Names(_) => "hosts",
            HookHosts::Roles(_) => "roles",
        };
        let message = format!("{when} is about a whole {what}, not about some hosts");
        self.error(&path.key(key), message, format!("leave it out, or write when: {instead}"));
    }

    fn hosts_of_hook(&self, path: &Path, hook: &Hook) {
        match &hook.hosts {
            HookHosts::All => {}
            HookHosts::Names(names) => {
                for name in names {
                    self.known_host(&path.key("hosts"), name);
                }
            }
            HookHosts::Roles(roles) => {
                let any = match self.draft.provider {
                    Provider::Hosts => {
                        self.draft.hosts.iter().any(|host| roles.iter().any(|role| host.has(*role)))
                    }
                    // Always both, and never hosts for etcd alone.
                    Provider::Aws => roles.iter().any(|role| *role != Role::Etcd),
                };
                if !any {
                    let message = format!("no host has a role of hook `{}`: it never runs", hook.name);
                    self.warning(&path.key("roles"), message, "name another role");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::inventory::check::rows::{fine, one, problems, warns, with};

    const GOOD: &str = "name: h, when: before-host, command: [./h.sh, a, 1]";

    fn hooks(text: &str) -> String {
        with(&format!("hooks: [{{{text}}}]\n"))
    }

    #[test]
    fn hooks_that_can_run() {
        for good in [
            GOOD,
            "name: h, when: after-hop, where: local, command: [sh, -c, \"a; b\"], timeout: 1m",
            "name: h, when: before-wave, command: [/usr/bin/true]",
            "name: h, when: after-host, where: host, command: [/opt/h, \"\"], hosts: [cp-1]",
            "name: h, when: after-host, where: host, command: [true-ish], roles: [control-plane, worker]",
            "name: h, when: after-host, command: [h], roles: worker, timeout: 24h",
        ] {
            let text = hooks(good);
            if good.contains("roles: worker") {
                warns(&text, "hooks[0].roles", "no host has a role of hook `h`");
            } else {
                fine(&text);
            }
        }
    }

    #[test]
    fn hooks_that_cannot() {
        let name = |name: &str| format!("name: {name}, when: before-host, command: [h]");
        let command = |place: &str, command: &str| {
            format!("name: h, when: before-host, where: {place}, command: {command}")
        };
        let when = |when: &str, more: &str| format!("name: h, when: {when}, command: [h]{more}");
        for (text, key, parts) in [
            ("when: before-host, command: [h]".to_owned(), "name", ["`name` is missing", "leave-balancer"]),
            ("name: h, command: [h]".to_owned(), "when", ["`when` is missing", "before-host"]),
            ("name: h, when: before-host".to_owned(), "command", ["`command` is missing", "[./leave.sh]"]),
            (name("My_hook"), "name", ["illegal character at column 1", "lower-case"]),
            (name("h-"), "name", ["is not the name of a hook", "no `-`"]),
            (
                when("before-hosts", ""),
                "when",
                ["unknown moment \"before-hosts\"", "did you mean `before-host`?"],
            ),
            (when("before-host", ", where: there"), "where", ["unknown place \"there\"", "`local`"]),
            (when("before-host", ", timeout: 5"), "timeout", ["without a unit", "5m"]),
            (when("before-host", ", hosts: []"), "hosts", ["is empty", "leave it out for all"]),
            (when("before-host", ", hosts: [cp-11]"), "hosts", ["no host is called", "did you mean `cp-1`?"]),
            (when("before-host", ", roles: [master]"), "roles[0]", ["unknown role", "`control-plane`"]),
            (
                when("before-wave", ", where: host"),
                "where",
                ["before-wave is about a whole wave", "when: before-host"],
            ),
            (when("after-hop", ", where: host"), "where", ["no one host to run it on", "when: after-host"]),
            (when("after-hop", ", roles: [worker]"), "roles", ["not about some hosts", "when: after-host"]),
            (command("local", "./h.sh a"), "command", ["want a list of words; got \"./h.sh a\"", "\"-c\""]),
            (command("local", "[]"), "command", ["has no program", "as a list"]),
            (command("local", "[\"\"]"), "command[0]", ["is empty", "write a value"]),
            (command("host", "[./h.sh]"), "command[0]", ["is relative", "absolute path of the host"]),
            (command("host", "[A=b, h]"), "command[0]", ["is not a program", "come after"]),
            (command("local", "[-h]"), "command[0]", ["starts with `-`", "come after"]),
            (command("local", "[h, \"a\\nb\"]"), "command[1]", ["illegal character", "control"]),
            (command("local", "[h, [a]]"), "command[1]", ["want a text; got a list", "one value"]),
            (when("before-host", ", run: x"), "run", ["use `command`", "fields here: name, when"]),
        ] {
            one(&hooks(&text), &format!("hooks[0].{key}"), &parts);
        }
        let both = when("before-host", ", hosts: [cp-1], roles: [worker]");
        one(&hooks(&both), "hooks[0]", &["want one of hosts, roles"]);
        let twice = with(&format!("hooks:\n- {{{GOOD}}}\n- {{{GOOD}}}\n"));
        one(&twice, "hooks[1].name", &["two hooks are called `h` (lines 8, 9)"]);
        let many = with("hooks:\n- {name: H, when: now}\n- {when: after-hop, where: host, command: []}\n");
        assert_eq!(problems(&many).len(), 5, "{:#?}", problems(&many));
    }
}
