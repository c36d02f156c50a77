//! Readers of values that several fields share: addresses, durations, paths, free-form settings.

use std::collections::BTreeMap;
use std::net::IpAddr;

use camino::Utf8PathBuf;
use ipnet::IpNet;

use super::reader::Field;
use super::scalar::{Plain, quoted, resolve};
use super::tree::Value;
use crate::inventory::{CountOrShare, ExtraArg};

impl Field<'_> {
    pub fn address(&self) -> Option<IpAddr> {
        self.address_or("for example 192.0.2.10 or 2001:db8::10; names go to `ssh.host`")
    }

    /// As [`Field::address`]; `help` says what else there is for a text that is none.
    pub fn address_or(&self, help: &str) -> Option<IpAddr> {
        let text = self.text()?;
        if let Ok(address) = text.parse::<IpAddr>() {
            return match address {
                IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => self.error(
                    format!("{text} is an IPv4 address in IPv6 form"),
                    format!("write {}", v6.to_canonical()),
                ),
                IpAddr::V4(_) | IpAddr::V6(_) => Some(address),
            };
        }
        if let Some(decimal) = without_leading_zeros(text)
            && decimal.parse::<IpAddr>().is_ok()
        {
            return self.error(
                format!("{} has leading zeros, which some programs read as octal", quoted(text)),
                format!("write {decimal}"),
            );
        }
        let help = match text.contains('/') {
            true => "leave the prefix length out",
            false => help,
        };
        self.error(format!("{} is not an IP address", quoted(text)), help)
    }

    /// A network whose host bits are zero.
    pub fn network(&self) -> Option<IpNet> {
        let text = self.text()?;
        let example = "for example 10.244.0.0/16 or fd00:10:244::/56";
        let Some((address, prefix)) = text.split_once('/') else {
            return self
                .error(format!("{} is not a CIDR: the prefix length is missing", quoted(text)), example);
        };
        let canonical = without_leading_zeros(address).unwrap_or_else(|| address.to_owned());
        let prefix_text = prefix.trim_start_matches('0');
        let prefix_text = if prefix_text.is_empty() && !prefix.is_empty() { "0" } else { prefix_text };
        let Ok(net) = format!("{canonical}/{prefix_text}").parse::<IpNet>() else {
            return self.error(format!("{} is not a CIDR", quoted(text)), example);
        };
        if canonical != address || prefix_text != prefix {
            return self.error(
                format!("{} has leading zeros, which Kubernetes refuses", quoted(text)),
                format!("write {}", net.trunc()),
            );
        }
        if net.trunc() != net {
            return self.error(
                format!("{net} has host bits set, which Kubernetes refuses"),
                format!("write {}", net.trunc()),
            );
        }
        if let IpNet::V6(v6) = net
            && v6.addr().to_ipv4_mapped().is_some()
        {
            return self.error(format!("{net} is an IPv4 range in IPv6 form"), "write it as IPv4");
        }
        Some(net)
    }

    /// `10s`, `5m`, `1h30m`, in seconds; at most a day.
    pub fn duration(&self) -> Option<u32> {
        self.duration_up_to(24)
    }

    /// As [`Field::duration`], with another limit.
    pub fn duration_up_to(&self, hours: u64) -> Option<u32> {
        let help = "for example 30s, 5m or 1h30m";
        if matches!(self.plain(), Some(Plain::Integer(_) | Plain::Float)) {
            return self.error(format!("want a duration; got {} without a unit", self.got()), help);
        }
        let text = self.text()?;
        match parse_duration(text) {
            Some(seconds) if (1..=hours * 3600).contains(&seconds) => u32::try_from(seconds).ok(),
            Some(_) => self.error(format!("{text} is not between 1s and {hours}h"), help),
            None => self.error(format!("{} is not a duration", quoted(text)), help),
        }
    }

    /// A count of workers, or a percentage of them; none at all is refused.
    pub fn count_or_share(&self) -> Option<CountOrShare> {
        self.count_or_share_from(1)
    }

    /// As [`Field::count_or_share`], 0 and 0% allowed.
    pub fn count_or_share_or_zero(&self) -> Option<CountOrShare> {
        self.count_or_share_from(0)
    }

    fn count_or_share_from(&self, least: u8) -> Option<CountOrShare> {
        let help = "write a number of workers such as 1, or a share such as \"10%\"";
        if self.plain().is_some_and(|plain| plain != Plain::Text) {
            let count = self.integer("a number of workers", i64::from(least)..=100_000)?;
            return u32::try_from(count).ok().map(CountOrShare::Count);
        }
        let text = self.text()?;
        match text.strip_suffix('%').map(parse_percent) {
            Some(Some(percent)) if percent >= least => Some(CountOrShare::Percent(percent)),
            Some(_) => self.error(format!("{} is not a share from {least}% to 100%", quoted(text)), help),
            None => self.error(format!("{} is neither a number nor a percentage", quoted(text)), help),
        }
    }

    /// A share of something, `0%` to `100%`.
    pub fn percent(&self, of: &str) -> Option<u8> {
        if let Some(Plain::Integer(number)) = self.plain() {
            let message = format!("want a share of {of}; got {} without `%`", self.got());
            return self.error(message, format!("write {}%", number.clamp(0, 100)));
        }
        let text = self.text()?;
        match text.strip_suffix('%').and_then(parse_percent) {
            Some(percent) => Some(percent),
            None => self.error(format!("{} is not a share from 0% to 100%", quoted(text)), "for example 50%"),
        }
    }

    /// A path of the operator's machine, made absolute.
    pub fn local_path(&self) -> Option<Utf8PathBuf> {
        let text = self.text()?;
        if text.starts_with('-') {
            return self.error(
                format!("{} starts with `-`: illegal character at column 1", quoted(text)),
                format!("write ./{text}"),
            );
        }
        match self.context.local_path(text) {
            Ok(path) => Some(path),
            Err(message) => {
                let file = self.context.document.noun();
                self.error(message, format!("paths are absolute, relative to the {file}, or start with ~/"))
            }
        }
    }

    /// A list of `{name, value}` as kubeadm's v1beta4 has it, or a map of names to values.
    pub fn extra_args(&self) -> Vec<ExtraArg> {
        if self.is_map() {
            let entries = self.entries().unwrap_or_default();
            return entries
                .iter()
                .filter_map(|(entry, field)| {
                    let value = field.text_or_literal()?.to_owned();
                    Some(ExtraArg { name: entry.key.to_string(), value })
                })
                .collect();
        }
        let mut args = Vec::new();
        for item in self.items().unwrap_or_default() {
            let Some(table) = item.table() else { continue };
            let name = table.require("name", "v").and_then(|field| field.text());
            let value = table.require("value", "\"2\"").and_then(|field| field.text_or_literal());
            table.finish();
            if let (Some(name), Some(value)) = (name, value) {
                args.push(ExtraArg { name: name.into(), value: value.into() });
            }
        }
        args
    }

    /// Free-form settings as JSON.
    pub fn settings(&self) -> BTreeMap<String, serde_json::Value> {
        let entries = self.entries().unwrap_or_default();
        entries
            .into_iter()
            .filter_map(|(entry, field)| Some((entry.key.to_string(), field.json()?)))
            .collect()
    }

    fn json(&self) -> Option<serde_json::Value> {
        match &self.node.value {
            Value::Refused => None,
            Value::List(_) => Some(self.items()?.iter().filter_map(Field::json).collect::<Vec<_>>().into()),
            Value::Map(_) => Some(serde_json::Value::Object(self.settings().into_iter().collect())),
            Value::Scalar { text, plain: false } => Some((**text).into()),
            Value::Scalar { text, plain: true } => match resolve(text) {
                Plain::Bool(value) => Some(value.into()),
                Plain::Integer(value) => Some(value.into()),
                Plain::Text => Some((**text).into()),
                Plain::Float => match text.parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
                    Some(number) => Some(number.into()),
                    None => self.error(format!("got {}", self.got()), "write a finite number"),
                },
                Plain::Null => self.error("has no value", "write a value, or leave the key out"),
                Plain::OldBool(value) => {
                    let help = format!("write {value}, or {} in quotes", quoted(text));
                    self.error(format!("got {}", self.got()), help)
                }
                Plain::OddNumber => {
                    let help = "write a decimal number, or the text in quotes";
                    self.error(format!("got {}", self.got()), help)
                }
            },
        }
    }
}

/// The same IPv4 text in decimal without leading zeros; None for anything else.
fn without_leading_zeros(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('.').collect();
    let fits = |part: &&str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if parts.len() != 4 || !parts.iter().all(fits) {
        return None;
    }
    let decimal = |part: &&str| {
        let digits = part.trim_start_matches('0');
        if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
    };
    Some(parts.iter().map(decimal).collect::<Vec<_>>().join("."))
}

/// 0 to 100 in decimal, without leading zeros or signs.
fn parse_percent(text: &str) -> Option<u8> {
    let percent = text.parse::<u8>().ok().filter(|percent| *percent <= 100)?;
    (percent.to_string() == text).then_some(percent)
}

pub(super) fn parse_duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        let unit = match rest.as_bytes().get(digits)? {
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        if unit >= last_unit {
            return None;
        }
        last_unit = unit;
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = rest.get(digits + 1..)?;
    }
    (last_unit != u64::MAX).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos_without_fractions() {
        for (text, want) in [
            ("10s", Some(10)),
            ("5m", Some(300)),
            ("1h30m", Some(5400)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("s", None),
            ("5m5m", None),
            ("1s1h", None),
            ("-1s", None),
            ("1.5h", None),
            ("99999999999999999999h", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(parse_duration(text), want, "{text:?}");
        }
    }

    #[test]
    fn shares_have_one_spelling_each() {
        for (text, want) in [("0", Some(0)), ("1", Some(1)), ("33", Some(33)), ("100", Some(100))] {
            assert_eq!(parse_percent(text), want, "{text:?}");
        }
        for text in ["", "00", "01", "+1", "-1", "101", "256", "1.5", " 1", "x"] {
            assert_eq!(parse_percent(text), None, "{text:?}");
        }
    }

    #[test]
    fn leading_zeros_are_found_in_ipv4_only() {
        assert_eq!(without_leading_zeros("010.001.0.00").as_deref(), Some("10.1.0.0"));
        assert_eq!(without_leading_zeros("10.0.0"), None);
        assert_eq!(without_leading_zeros("fe80::1"), None);
    }
}
