//! Names of labs and machines, and the address each name stands for.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::LabError;

/// A lab's name: one to twenty lowercase letters, digits and inner dashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabName(String);

impl LabName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabName {
    type Err = LabError;

    fn from_str(value: &str) -> Result<Self, LabError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let good = (1..=20).contains(&value.len())
            && value.chars().all(allowed)
            && !value.starts_with('-')
            && !value.ends_with('-');
        if good {
            Ok(LabName(value.to_owned()))
        } else {
            Err(LabError::BadName {
                what: "lab name",
                value: value.to_owned(),
                why: "use 1 to 20 lowercase letters, digits and inner dashes",
            })
        }
    }
}

/// What a machine is for. A lab gives no machine anything of its role but a name and an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    ControlPlane,
    Worker,
    Etcd,
    Bastion,
    Spare,
}

impl Role {
    /// Every role, in the order machines are listed.
    pub const ALL: [Role; 5] = [Role::ControlPlane, Role::Worker, Role::Etcd, Role::Bastion, Role::Spare];

    /// What names of such machines begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Role::ControlPlane => "cp",
            Role::Worker => "worker",
            Role::Etcd => "etcd",
            Role::Bastion => "bastion",
            Role::Spare => "spare",
        }
    }

    /// The last octet of machine number 0 of this role (numbers start at 1), and how many there may be.
    /// Fixed by role, so that adding a machine moves no other; link names allow two digits.
    fn range(self) -> (u8, u8) {
        match self {
            Role::Bastion => (1, 8),
            Role::ControlPlane => (10, 29),
            Role::Etcd => (40, 29),
            Role::Worker => (100, 99),
            Role::Spare => (200, 49),
        }
    }

    /// How many machines of this role one lab may have.
    pub fn limit(self) -> u8 {
        self.range().1
    }
}

/// A machine's name: its role and number, `cp-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineName {
    role: Role,
    number: u8,
}

impl MachineName {
    /// Names machine `number` (from 1) of a role; an error beyond the role's limit.
    pub fn new(role: Role, number: u8) -> Result<Self, LabError> {
        let limit = role.limit();
        if (1..=limit).contains(&number) {
            Ok(MachineName { role, number })
        } else {
            Err(LabError::TooMany { role: role.prefix(), limit, asked: number })
        }
    }

    /// The machine's role.
    pub fn role(self) -> Role {
        self.role
    }

    /// The last octet of the machine's address: 2 to 249.
    pub fn octet(self) -> u8 {
        self.role.range().0 + self.number
    }

    /// The address in the lab that has 198.18.`subnet`.0/24.
    pub fn address(self, subnet: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, subnet, self.octet())
    }

    /// The hardware address; fixed, so that a cut holds across reboots.
    pub fn mac(self, subnet: u8) -> String {
        mac(subnet, self.octet())
    }

    /// The outside's end of the machine's cable; at most the 15 bytes Linux allows.
    pub fn link(self, subnet: u8) -> String {
        format!("kw{subnet}-{self}")
    }
}

/// The hardware address that goes with 198.18.`subnet`.`octet`; locally administered.
pub(crate) fn mac(subnet: u8, octet: u8) -> String {
    format!("02:6b:77:12:{subnet:02x}:{octet:02x}")
}

impl fmt::Display for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` so that columns line up when a width is asked for.
        f.pad(&format!("{}-{}", self.role.prefix(), self.number))
    }
}

impl FromStr for MachineName {
    type Err = LabError;

    fn from_str(value: &str) -> Result<Self, LabError> {
        let bad = || LabError::BadName {
            what: "machine name",
            value: value.to_owned(),
            why: "names look like cp-1, worker-1, etcd-1, bastion-1, spare-1",
        };
        let (prefix, number) = value.rsplit_once('-').ok_or_else(bad)?;
        let role = Role::ALL.into_iter().find(|role| role.prefix() == prefix).ok_or_else(bad)?;
        // Digits only and no leading zero: `+1` and `01` would be second names of one machine.
        if number.starts_with('0') || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        MachineName::new(role, number.parse().map_err(|_| bad())?)
    }
}

macro_rules! string_conversions {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = LabError;
            fn try_from(value: String) -> Result<Self, LabError> {
                value.parse()
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.to_string()
            }
        }
    };
}
string_conversions!(LabName);
string_conversions!(MachineName);

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_machine_has_an_address_of_its_own() {
        let mut octets = BTreeSet::from([0, 1, 255]);
        for role in Role::ALL {
            for number in 1..=role.limit() {
                let name = MachineName::new(role, number).unwrap();
                assert!(octets.insert(name.octet()), "{name} shares an address");
                assert!(name.link(255).len() <= 15, "{name}");
                assert_eq!(name.to_string().parse::<MachineName>().unwrap(), name);
            }
        }
    }

    #[test]
    fn addresses_follow_from_names() {
        let name: MachineName = "worker-2".parse().unwrap();
        assert_eq!(name.address(7), Ipv4Addr::new(198, 18, 7, 102));
        assert_eq!(name.mac(7), "02:6b:77:12:07:66");
        assert_eq!(name.link(7), "kw7-worker-2");
    }

    #[test]
    fn refuses_names_that_are_no_machine() {
        for bad in ["", "cp", "cp-", "cp-0", "cp-01", "cp-+1", "cp-30", "node-1", "cp-1-1", "CP-1", "cp-999"]
        {
            assert!(bad.parse::<MachineName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn refuses_lab_names_that_could_leave_their_directory() {
        for bad in ["", ".", "..", "a/b", "-a", "a-", "A", "a b", "aaaaaaaaaaaaaaaaaaaaa"] {
            assert!(bad.parse::<LabName>().is_err(), "{bad}");
        }
        for good in ["lab", "a", "demo-2", "1"] {
            assert!(good.parse::<LabName>().is_ok(), "{good}");
        }
    }
}
