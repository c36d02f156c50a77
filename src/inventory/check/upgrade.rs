//! `policy.upgrade`: canaries are workers of this inventory, and a pause has something to watch.

use std::collections::BTreeSet;

use super::Rules;
use crate::inventory::parse::closest;
use crate::inventory::parse::draft::Provider;
use crate::inventory::parse::path::Path;
use crate::inventory::parse::scalar::quoted;
use crate::inventory::{Canary, HostName, Role};

impl Rules<'_> {
    pub(super) fn upgrade(&self) {
        let upgrade = &self.draft.policy.upgrade;
        let path = Path::root().key("policy").key("upgrade");
        if let Canary::Hosts(names) = &upgrade.canary {
            self.canaries(&path.key("canary"), names);
        }
        if upgrade.pause_between_waves.is_some() && !upgrade.health_gate {
            let message = "pauseBetweenWaves watches what the health gate looks at, and healthGate is off";
            self.error(&path.key("pauseBetweenWaves"), message, "leave one of the two out");
        }
    }

    fn canaries(&self, list: &Path, names: &[HostName]) {
        let mut seen = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            let path = list.index(index);
            if !seen.insert(name) {
                self.error(&path, format!("{name} is given twice"), "remove one of the two");
                continue;
            }
            let Some(host) = self.known_host(&path, name) else { continue };
            if host.has(Role::ControlPlane) || host.has(Role::Etcd) {
                let message = format!("{name} is no mere worker: it has its turn before the first wave");
                self.error(&path, message, "canaries are hosts whose only role is worker");
            }
        }
    }

    /// The host of that name, or an error that suggests another one.
    pub(super) fn known_host(
        &self,
        path: &Path,
        name: &HostName,
    ) -> Option<&crate::inventory::parse::draft::DraftHost> {
        if self.draft.provider == Provider::Aws {
            let message =
                format!("{} names a host, and machines in AWS are made, not named", quoted(name.as_str()));
            self.error(path, message, "write a number of workers, or roles");
            return None;
        }
        let found = self.draft.hosts.iter().find(|host| host.name.as_ref() == Some(name));
        if found.is_none() {
            let known = self.draft.hosts.iter().map(|host| host.raw_name.as_str());
            let help = match closest(name.as_str(), known) {
                Some(close) => format!("did you mean `{close}`?"),
                None => "write a name of `hosts`".to_owned(),
            };
            self.error(path, format!("no host is called {}", quoted(name.as_str())), help);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::inventory::check::rows::{fine, one, problems, with_hosts};

    #[test]
    fn waves_of_workers() {
        let upgrade = |text: &str| {
            let hosts = with_hosts(&[
                "name: cp, address: 192.0.2.1, roles: [control-plane]",
                "name: worker-1, address: 192.0.2.2",
            ]);
            format!("{hosts}policy: {{upgrade: {{{text}}}}}\n")
        };
        for good in ["", "canary: 0", "canary: 3", "canary: [worker-1]", "batchSize: 5", "batchSize: 10%"] {
            fine(&upgrade(good));
        }
        fine(&upgrade("canary: 1, batchSize: 2, pauseBetweenWaves: 5m, healthGate: true"));
        fine(&upgrade("healthGate: false"));
        for (text, key, parts) in [
            ("canary: -1", "canary", ["want a number of workers from 0", "without quotes"]),
            (
                "canary: worker-1",
                "canary",
                ["or a list of their names; got the text \"worker-1\"", "[worker-1]"],
            ),
            ("canary: {}", "canary", ["want a list; got a map", "[a, b]"]),
            ("canary: [node-2]", "canary[0]", ["no host is called \"node-2\"", "write a name of `hosts`"]),
            (
                "canary: [wroker-1]",
                "canary[0]",
                ["no host is called \"wroker-1\"", "did you mean `worker-1`?"],
            ),
            ("canary: [worker-1, worker-1]", "canary[1]", ["worker-1 is given twice", "remove one"]),
            ("canary: [cp]", "canary[0]", ["cp is no mere worker", "only role is worker"]),
            ("canary: [W_1]", "canary[0]", ["\"W_1\" is not a host's name", "a name of `hosts`"]),
            ("batchSize: 0", "batchSize", ["a number of workers from 1", "without quotes"]),
            ("batchSize: 0%", "batchSize", ["is not a share from 1% to 100%", "such as 1"]),
            ("pauseBetweenWaves: 300", "pauseBetweenWaves", ["the number 300 without a unit", "5m"]),
            ("pauseBetweenWaves: 2d", "pauseBetweenWaves", ["is not a duration", "5m"]),
            (
                "pauseBetweenWaves: 1m, healthGate: false",
                "pauseBetweenWaves",
                ["healthGate is off", "leave one"],
            ),
            ("healthGate: on", "healthGate", ["want true or false", "write true"]),
            ("canaries: 1", "canaries", ["unknown field `canaries`", "did you mean `canary`?"]),
            ("maxUnavailable: 1", "maxUnavailable", ["use `policy.maxUnavailable`", "fields here: canary"]),
        ] {
            one(&upgrade(text), &format!("policy.upgrade.{key}"), &parts);
        }
        let all = problems(&upgrade("canary: [cp, node-2], batchSize: x, pauseBetweenWaves: 1"));
        assert_eq!(all.len(), 4, "{all:#?}");
    }
}
