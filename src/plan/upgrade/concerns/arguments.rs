//! Arguments in the inventory that a program of the upgrade does not start with.

use super::{Concern, Prospect};
use crate::inventory::ExtraArg;
use crate::release::Minor;
use crate::release::gates::{GateTrouble, gate_trouble};
use crate::release::removals::{Program, added_flag, removed_apis, removed_flag};

const GATES: &str = "feature-gates";

/// Where the inventory has a program's arguments, and the minors it is run at.
struct Place<'a> {
    program: Program,
    key: &'static str,
    arguments: &'a [ExtraArg],
    first: Minor,
    last: Minor,
}

pub(super) fn concerns(prospect: &Prospect<'_>) -> Vec<Concern> {
    let inventory = prospect.inventory;
    let (first, last) = prospect.control_plane_minors();
    // Kubelets go to the target in one step.
    let place = |program, key, arguments, first| Place { program, key, arguments, first, last };
    let places = [
        place(Program::ApiServer, "apiServer.extraArgs", inventory.api_server.extra_args.as_slice(), first),
        place(
            Program::ControllerManager,
            "controllerManager.extraArgs",
            &inventory.controller_manager.extra_args,
            first,
        ),
        place(Program::Scheduler, "scheduler.extraArgs", &inventory.scheduler.extra_args, first),
        place(Program::Kubelet, "kubelet.extraArgs", &inventory.kubelet.extra_args, last),
        place(Program::Etcd, "etcd.extraArgs", &inventory.etcd.extra_args, first),
    ];
    let mut found: Vec<Concern> = places.iter().flat_map(of_program).collect();
    for (program, key, config) in [
        (Program::Kubelet, "kubelet.config.featureGates", &inventory.kubelet.config),
        (Program::KubeProxy, "kubeProxy.config.featureGates", &inventory.kube_proxy.config),
    ] {
        let gates = config.get("featureGates").and_then(|gates| gates.as_object());
        let gates = gates.into_iter().flat_map(|gates| gates.keys());
        found.extend(gates.filter_map(|gate| gate_concern(program, key, gate, last, last)));
    }
    found.extend(runtime_config(prospect));
    found
}

fn of_program(place: &Place<'_>) -> Vec<Concern> {
    let mut found = Vec::new();
    for argument in place.arguments {
        found.extend(flag_concern(place, &argument.name));
        // etcd's gates are its own.
        if argument.name == GATES && place.program != Program::Etcd {
            let gates = argument.value.split(',').filter_map(gate_name);
            found
                .extend(gates.filter_map(|gate| {
                    gate_concern(place.program, place.key, gate, place.first, place.last)
                }));
        }
    }
    found
}

/// The name in `Gate=true` or `component:Gate=true`.
fn gate_name(text: &str) -> Option<&str> {
    let name = text.split_once('=').map_or(text, |(name, _)| name);
    let name = name.rsplit_once(':').map_or(name, |(_, name)| name).trim();
    (!name.is_empty()).then_some(name)
}

fn flag_concern(place: &Place<'_>, flag: &str) -> Option<Concern> {
    let program = place.program;
    if let Some(removed) = removed_flag(program, flag, place.last) {
        let what = match program {
            Program::Etcd => format!("the etcd of {} does not start with --{flag}", removed.gone),
            Program::ApiServer
            | Program::ControllerManager
            | Program::Scheduler
            | Program::Kubelet
            | Program::KubeProxy => {
                format!("{program} {} does not start with --{flag}", removed.gone.max(place.first))
            }
        };
        return Some(Concern::blocks(place.key, what, removed.remedy));
    }
    let since = added_flag(program, flag, place.first)?;
    Some(too_new(place.key, program, &format!("--{flag}"), since, place.first, place.last))
}

fn gate_concern(program: Program, key: &str, gate: &str, first: Minor, last: Minor) -> Option<Concern> {
    Some(match gate_trouble(gate, first, last)? {
        GateTrouble::Removed(gone) => Concern::blocks(
            key,
            format!("{program} {} does not start with feature gate {gate}", gone.max(first)),
            "remove it: what it switched is so for good, or gone",
        ),
        GateTrouble::NotYet(since) => {
            too_new(key, program, &format!("feature gate {gate}"), since, first, last)
        }
    })
}

/// Every version that is run has to know what the inventory says.
fn too_new(key: &str, program: Program, what: &str, since: Minor, first: Minor, last: Minor) -> Concern {
    let remedy = if since <= last {
        "remove it for the upgrade, and add it when that is done"
    } else {
        "remove it; it belongs to a later version"
    };
    Concern::blocks(
        key,
        format!("{program} {first} does not start with {what}, which is new in {since}"),
        remedy,
    )
}

/// Not an error for the API server, but what was asked for is no longer there.
fn runtime_config(prospect: &Prospect<'_>) -> Vec<Concern> {
    let (from, to) = (prospect.from.minor(), prospect.target.minor());
    let arguments = prospect.inventory.api_server.extra_args.iter();
    let asked = arguments.filter(|argument| argument.name == "runtime-config");
    let items = asked.flat_map(|argument| argument.value.split(','));
    let mut found = Vec::new();
    for item in items.map(|item| item.trim().trim_end_matches("=true")) {
        let goes = removed_apis(from, to).find(|api| {
            let version = api.api_version();
            item == version || item == format!("{version}/{}", api.resource)
        });
        if let Some(api) = goes {
            found.push(Concern::notice(
                "apiServer.extraArgs",
                format!("runtime-config asks for {item}, which {} does not serve", api.gone),
                "remove it",
            ));
        }
    }
    found
}
