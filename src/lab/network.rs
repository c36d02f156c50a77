//! A lab's network: one bridge, a cable to each machine, and cuts between two of them.

use std::fmt;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::names::{MachineName, mac};
use super::{LabError, tool};

/// Where pods and services of a lab's clusters live: in 198.18.0.0/15 (RFC 2544) like the machines.
pub(crate) const POD_CIDR: &str = "198.19.0.0/17";
pub(crate) const SERVICE_CIDR: &str = "198.19.128.0/17";

/// The octet of the outside's own address in a lab.
const OPERATOR_OCTET: u8 = 1;

/// The name of a lab's bridge.
pub(crate) fn bridge(subnet: u8) -> String {
    format!("kwlab{subnet}")
}

/// An end of a cut: a machine, or the operator on the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum End {
    Operator,
    Machine(MachineName),
}

impl End {
    fn mac(self, subnet: u8) -> String {
        match self {
            End::Operator => mac(subnet, OPERATOR_OCTET),
            End::Machine(machine) => machine.mac(subnet),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Operator => f.pad("operator"),
            End::Machine(machine) => machine.fmt(f),
        }
    }
}

impl FromStr for End {
    type Err = LabError;

    fn from_str(value: &str) -> Result<Self, LabError> {
        if value == "operator" { Ok(End::Operator) } else { value.parse().map(End::Machine) }
    }
}

impl TryFrom<String> for End {
    type Error = LabError;
    fn try_from(value: String) -> Result<Self, LabError> {
        value.parse()
    }
}

impl From<End> for String {
    fn from(end: End) -> String {
        end.to_string()
    }
}

/// Two ends that do not hear each other; the same whichever is named first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cut(End, End);

impl Cut {
    /// Cuts two ends from each other; an end cannot be cut from itself.
    pub fn new(one: End, other: End) -> Result<Self, LabError> {
        match one.cmp(&other) {
            std::cmp::Ordering::Less => Ok(Cut(one, other)),
            std::cmp::Ordering::Greater => Ok(Cut(other, one)),
            std::cmp::Ordering::Equal => Err(LabError::CutFromItself { machine: one.to_string() }),
        }
    }

    /// Both ends.
    pub fn ends(self) -> [End; 2] {
        [self.0, self.1]
    }
}

/// Picks a subnet that no lab has and no route of the outside goes into.
pub(crate) fn free_subnet(taken: &[u8]) -> Result<u8, LabError> {
    let routes = tool::run(&["ip", "-4", "-o", "route", "show", "table", "all"])?;
    choose_subnet(taken, &routes).ok_or(LabError::NoSubnet)
}

/// A wider route (a VPN's, say) is no conflict: the bridge's own is more specific.
fn choose_subnet(taken: &[u8], routes: &str) -> Option<u8> {
    let used: Vec<Ipv4Net> = routes
        .lines()
        .flat_map(|line| line.split_whitespace().take(2))
        .filter_map(|word| word.parse().ok().or_else(|| word.parse::<Ipv4Addr>().ok().map(Ipv4Net::from)))
        .collect();
    (1..=254).find(|subnet| {
        let ours = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, *subnet, 0), 24);
        !taken.contains(subnet) && !used.iter().any(|net| ours.contains(net))
    })
}

/// Makes the bridge, or puts right what is there of it.
pub(crate) fn ensure_bridge(subnet: u8) -> Result<(), LabError> {
    let name = bridge(subnet);
    if tool::run(&["ip", "link", "show", &name]).is_err() {
        // A fixed hardware address: without one the bridge takes that of the lowest cable and
        // changes it when machines come and go.
        let address = mac(subnet, OPERATOR_OCTET);
        tool::run(&[
            "ip",
            "link",
            "add",
            &name,
            "address",
            &address,
            "type",
            "bridge",
            "forward_delay",
            "0",
        ])?;
    }
    let address = format!("198.18.{subnet}.{OPERATOR_OCTET}/24");
    tool::run(&["ip", "address", "replace", &address, "dev", &name])?;
    tool::run(&["ip", "link", "set", &name, "up"])?;
    Ok(())
}

/// Removes the bridge, the cuts on it and cables that are still plugged in.
pub(crate) fn remove_bridge(subnet: u8) -> Result<(), LabError> {
    apply_cuts(subnet, std::iter::empty())?;
    remove_link(&bridge(subnet))
}

/// Removes a network device; one that is not there is fine.
pub(crate) fn remove_link(name: &str) -> Result<(), LabError> {
    match tool::run(&["ip", "link", "del", name]) {
        Err(error) if tool::run(&["ip", "link", "show", name]).is_ok() => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Makes these the lab's cuts, all at once.
pub(crate) fn apply_cuts(subnet: u8, cuts: impl Iterator<Item = Cut>) -> Result<(), LabError> {
    tool::run_with_input(&["nft", "--file", "-"], &cut_rules(subnet, cuts)).map(|_| ())
}

/// The rules that drop what goes between two ends. They match hardware addresses, not IP ones, so
/// that they also cut what pods on the two machines say to each other.
fn cut_rules(subnet: u8, cuts: impl Iterator<Item = Cut>) -> String {
    let table = format!("table bridge keelwright_lab_{subnet}");
    let mut drops = String::new();
    for cut in cuts {
        let [one, other] = cut.ends().map(|end| end.mac(subnet));
        for (from, to) in [(&one, &other), (&other, &one)] {
            let _ = writeln!(drops, "        ether saddr {from} ether daddr {to} drop");
        }
    }
    // Declaring the table first makes deleting it right whether it is there or not.
    let mut rules = format!("{table}\ndelete {table}\n");
    if drops.is_empty() {
        return rules;
    }
    let _ = writeln!(rules, "{table} {{");
    // forward: between machines; input and output: to and from the operator.
    for hook in ["forward", "input", "output"] {
        let _ = writeln!(rules, "    chain {hook} {{");
        let _ = writeln!(rules, "        type filter hook {hook} priority -300;");
        let _ = writeln!(rules, "{drops}    }}");
    }
    rules.push_str("}\n");
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(one: &str, other: &str) -> Cut {
        Cut::new(one.parse().unwrap(), other.parse().unwrap()).unwrap()
    }

    #[test]
    fn first_subnet_without_a_lab_or_a_route() {
        assert_eq!(choose_subnet(&[], "default via 192.0.2.1 dev eth0\n"), Some(1));
        assert_eq!(choose_subnet(&[1, 2], ""), Some(3));
        assert_eq!(choose_subnet(&[], "198.18.1.0/24 dev kwlab1 scope link\n198.18.2.7 dev tun0\n"), Some(3));
        assert_eq!(choose_subnet(&[], "local 198.18.1.1 dev x table local\n"), Some(2));
        assert_eq!(choose_subnet(&[], "198.18.0.0/15 dev tun0\n"), Some(1));
        assert_eq!(choose_subnet(&(1..=254).collect::<Vec<_>>(), ""), None);
    }

    #[test]
    fn a_cut_is_the_same_both_ways_and_never_of_one_end() {
        assert_eq!(cut("cp-1", "worker-1"), cut("worker-1", "cp-1"));
        assert!(Cut::new(End::Operator, End::Operator).is_err());
    }

    #[test]
    fn cut_rules_drop_both_directions_everywhere() {
        let rules = cut_rules(1, [cut("cp-1", "operator")].into_iter());
        let one_way = "ether saddr 02:6b:77:12:01:01 ether daddr 02:6b:77:12:01:0b drop";
        let other_way = "ether saddr 02:6b:77:12:01:0b ether daddr 02:6b:77:12:01:01 drop";
        assert_eq!(rules.matches(one_way).count(), 3);
        assert_eq!(rules.matches(other_way).count(), 3);
    }

    #[test]
    fn without_cuts_no_table_stays() {
        assert_eq!(
            cut_rules(1, std::iter::empty()),
            "table bridge keelwright_lab_1\ndelete table bridge keelwright_lab_1\n"
        );
    }
}
