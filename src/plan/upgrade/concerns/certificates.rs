//! Certificates that run out soon: an upgrade is no time for that to happen.

use std::collections::BTreeSet;

use super::{Concern, Prospect};
use crate::facts::Observed;
use crate::pki::date::date;
use crate::pki::inspect::inspect;

/// Days. As long as most leave between the decision for an upgrade and the next look.
const SOON_DAYS: i64 = 30;
const SECONDS_PER_DAY: i64 = 86_400;
/// Where the kubelet keeps what it renews itself.
const KUBELET: &str = "/var/lib/kubelet/pki/";

/// When something runs out.
struct Ending {
    at: i64,
    name: String,
}

pub(super) fn concerns(prospect: &Prospect<'_>) -> Vec<Concern> {
    let limit = prospect.now + SOON_DAYS * SECONDS_PER_DAY;
    let mut found = Vec::new();
    let mut leaves = Vec::new();
    let mut known = BTreeSet::new();
    for (key, entry) in &prospect.vault.entries {
        known.extend(entry.serial.clone());
        let Some(at) = entry.not_after.filter(|at| *at < limit) else { continue };
        let is_authority =
            entry.authority.is_some() || entry.spec.as_ref().is_some_and(|spec| spec.is_authority());
        if is_authority {
            let remedy =
                "a CA is not renewed by `apply`: nothing it signed is trusted after that; replace it before";
            found.push(Concern::notice(format!("CA {key}"), ends(prospect, at), remedy));
        } else {
            leaves.push(Ending { at, name: key.to_string() });
        }
    }
    found.extend(together(
        prospect,
        "certificates",
        leaves,
        "`apply` renews them, one control plane at a time",
    ));
    for (host, facts) in &prospect.facts.hosts {
        let Observed::Known(facts) = facts else { continue };
        let (mut ours, mut kubelets) = (Vec::new(), Vec::new());
        for (path, pem) in &facts.certificates {
            let Ok(certificate) = inspect(pem) else { continue };
            if certificate.not_after >= limit || known.contains(&certificate.serial) || certificate.is_ca {
                continue;
            }
            let ending = Ending { at: certificate.not_after, name: path.clone() };
            if path.starts_with(KUBELET) { kubelets.push(ending) } else { ours.push(ending) }
        }
        let host = host.as_str();
        found.extend(together(prospect, host, ours, "`apply` renews what keelwright made"));
        found.extend(together(
            prospect,
            host,
            kubelets,
            "the kubelet renews it by itself; if it has not by now, its log says why",
        ));
    }
    found
}

fn ends(prospect: &Prospect<'_>, at: i64) -> String {
    let verb = if at <= prospect.now { "ran out at" } else { "runs out at" };
    format!("{verb} {}", date(at))
}

/// One concern for all, by the first of them.
fn together(prospect: &Prospect<'_>, about: &str, endings: Vec<Ending>, remedy: &str) -> Option<Concern> {
    let first = endings.iter().min_by_key(|ending| (ending.at, &ending.name))?;
    let others = match endings.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more soon"),
    };
    Some(Concern::notice(about, format!("{} {}{others}", first.name, ends(prospect, first.at)), remedy))
}
