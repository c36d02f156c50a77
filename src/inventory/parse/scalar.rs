//! What a plain scalar means, in YAML 1.2 and to the YAML 1.1 readers that people also use.

use crate::inventory::diagnostic::is_invisible;

/// The meaning of a scalar without quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    /// Decimal, no leading zero, no underscores; fits i64.
    Integer(i64),
    Float,
    /// `yes`, `no`, `on`, `off`: text in YAML 1.2, a boolean in YAML 1.1.
    OldBool(bool),
    /// `0o22`, `022`, `0x1f`, `1_000`, `+1`, `12:30`: a number to some readers, and not the same one to all.
    OddNumber,
    Text,
}

/// Resolves a plain scalar.
pub(crate) fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Plain::OldBool(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Plain::OldBool(false),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let Some(first) = unsigned.chars().next() else { return Plain::Text };
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Plain::Float;
    }
    if !first.is_ascii_digit() && first != '.' {
        return Plain::Text;
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let canonical = (unsigned == "0" || first != '0') && !text.starts_with('+') && text != "-0";
        return match text.parse() {
            Ok(value) if canonical => Plain::Integer(value),
            Ok(_) | Err(_) => Plain::OddNumber,
        };
    }
    if is_radix(unsigned) || is_underscored(unsigned) || is_sexagesimal(unsigned) {
        return Plain::OddNumber;
    }
    if is_float(unsigned) { Plain::Float } else { Plain::Text }
}

fn is_radix(text: &str) -> bool {
    let digits = |prefix: &[&str], radix: u32| {
        prefix
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c == '_' || c.is_digit(radix)))
    };
    digits(&["0o", "0O"], 8) || digits(&["0x", "0X"], 16) || digits(&["0b", "0B"], 2)
}

fn is_underscored(text: &str) -> bool {
    text.contains('_') && text.bytes().all(|b| b.is_ascii_digit() || b == b'_' || b == b'.')
}

/// `12:30:45`: a number in base 60 to YAML 1.1.
fn is_sexagesimal(text: &str) -> bool {
    let mut parts = text.split(':');
    let first = parts.next().is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let mut rest = parts.peekable();
    first
        && rest.peek().is_some()
        && rest.all(|part| {
            matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit()) && part < "60"
        })
}

fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let exponent_is_fine = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    });
    let mut dots = 0;
    let mut digits = 0;
    for byte in mantissa.bytes() {
        match byte {
            b'.' => dots += 1,
            b'0'..=b'9' => digits += 1,
            _ => return false,
        }
    }
    exponent_is_fine && digits > 0 && dots <= 1
}

/// How much of a value is repeated in a message.
const QUOTE_LIMIT: usize = 60;

/// A value as a message shows it: in backquotes-free double quotes, escaped and cut.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown = String::from("\"");
    for (count, character) in text.chars().enumerate() {
        if count == QUOTE_LIMIT {
            shown.push('…');
            break;
        }
        match character {
            '"' => shown.push_str("\\\""),
            '\\' => shown.push_str("\\\\"),
            c if is_invisible(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown.push('"');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_as_yaml_1_2_and_knows_the_traps_of_1_1() {
        for (text, want) in [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("true", Plain::Bool(true)),
            ("no", Plain::OldBool(false)),
            ("Y", Plain::Text),
            ("0", Plain::Integer(0)),
            ("-7", Plain::Integer(-7)),
            ("1.30", Plain::Float),
            ("1e3", Plain::Float),
            (".5", Plain::Float),
            (".inf", Plain::Float),
            ("0o22", Plain::OddNumber),
            ("022", Plain::OddNumber),
            ("0x1f", Plain::OddNumber),
            ("1_000", Plain::OddNumber),
            ("12:30", Plain::OddNumber),
            ("99999999999999999999", Plain::OddNumber),
            ("v1.37.1", Plain::Text),
            ("1.37.1", Plain::Text),
            ("10.0.0.1", Plain::Text),
            ("10%", Plain::Text),
            ("10s", Plain::Text),
            (".", Plain::Text),
            ("-", Plain::Text),
            ("e5", Plain::Text),
            ("2001:db8::1", Plain::Text),
            ("::1", Plain::Text),
            ("null-device", Plain::Text),
        ] {
            assert_eq!(resolve(text), want, "{text:?}");
        }
    }
}
