//! YAML in the style of the Go tools, for documents that live as text inside a ConfigMap.
//!
//! kubeadm signs such documents with a hash over their text, so equal data must also be equal text:
//! lists are not indented, plain scalars are not quoted, keys come in the order of the value.

use serde_json::Value;

/// The value with all object keys sorted, as Go's encoders write maps and converted structs.
pub fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            Value::Object(keys.into_iter().map(|key| (key.clone(), sorted(&map[key]))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Writes one document, with a newline at its end.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut out),
        Value::Array(items) if !items.is_empty() => block(value, 0, &mut out),
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => {
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) => {
            for (index, (key, child)) in map.iter().enumerate() {
                // The first key of a list item stands behind its dash.
                if index > 0 || out.is_empty() || out.ends_with('\n') {
                    out.extend(std::iter::repeat_n(' ', indent));
                }
                out.push_str(&text(key));
                out.push(':');
                match child {
                    Value::Object(inner) if !inner.is_empty() => {
                        out.push('\n');
                        block(child, indent + 2, out);
                    }
                    Value::Array(inner) if !inner.is_empty() => {
                        out.push('\n');
                        block(child, indent, out);
                    }
                    Value::Object(_)
                    | Value::Array(_)
                    | Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_) => {
                        out.push(' ');
                        out.push_str(&scalar(child));
                        out.push('\n');
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                out.extend(std::iter::repeat_n(' ', indent));
                out.push_str("- ");
                match item {
                    Value::Object(inner) if !inner.is_empty() => block(item, indent + 2, out),
                    Value::Object(_)
                    | Value::Array(_)
                    | Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_) => {
                        out.push_str(&scalar(item));
                        out.push('\n');
                    }
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => out.push_str(&scalar(value)),
    }
}

/// Scalars, and what is written in flow style: JSON is YAML.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

fn text(string: &str) -> String {
    if string.chars().any(|c| c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}'))
    {
        return Value::from(string).to_string();
    }
    if looks_like_another_type(string) {
        return format!("\"{string}\"");
    }
    if needs_quotes(string) {
        return format!("'{}'", string.replace('\'', "''"));
    }
    string.to_owned()
}

/// What a YAML 1.1 or 1.2 reader would take for a number, a truth value, nothing or a date.
fn looks_like_another_type(string: &str) -> bool {
    const WORDS: [&str; 14] =
        ["null", "~", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf", "-.inf", "+.inf"];
    let numeric_start = string.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    let numeric =
        |c: char| c.is_ascii_hexdigit() || matches!(c, '_' | '.' | ':' | '-' | '+' | 'x' | 'o' | 'T' | 'Z');
    let number = string.replace('_', "");
    string.is_empty()
        || WORDS.contains(&string.to_ascii_lowercase().as_str())
        || (numeric_start
            && (number.parse::<f64>().is_ok()
                || number.trim_start_matches(['-', '+']).starts_with("0x")
                || number.trim_start_matches(['-', '+']).starts_with("0o")
                || sexagesimal_or_date(string))
            && string.chars().all(|c| numeric(c) || c == ' '))
}

/// `12:30:45` is base 60 and `2026-01-02` a date to YAML 1.1. An address with its port is neither.
fn sexagesimal_or_date(string: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    let unsigned = string.trim_start_matches(['-', '+']);
    let sexagesimal = unsigned.split_once(':').is_some_and(|(first, rest)| {
        let sixtieth = |part: &str| digits(part) && part.len() <= 2;
        let fraction = |part: &str| part.chars().all(|c| c.is_ascii_digit());
        let (whole, after_point) = rest.split_once('.').unwrap_or((rest, ""));
        digits(first) && whole.split(':').all(sixtieth) && fraction(after_point)
    });
    let date = string.matches('-').count() == 2 && string.len() >= 8 && unsigned.split('-').all(digits);
    sexagesimal || date
}

fn needs_quotes(string: &str) -> bool {
    let starts_badly = string.starts_with([
        ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', ' ', '=',
    ]) || ["- ", "? ", ": "].iter().any(|start| string.starts_with(start))
        || matches!(string, "-" | "?" | ":" | "<<")
        || string.starts_with("---")
        || string.starts_with("...");
    starts_badly || string.ends_with([' ', ':']) || string.contains(": ") || string.contains(" #")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn writes_like_go() {
        let value = json!({
            "a": {}, "b": [], "list": ["x", {"k": 1, "l": null}], "map": {"inner": {"deep": "0"}},
            "star": "*,a", "no": "no", "duration": "0s", "url": "https://a:6443", "endpoint": "192.0.2.11:6443", "empty": "", "time": "10:20",
            "long": "87600h0m0s", "cidr": "10.96.0.0/12", "version": "v1.37.1",
        });
        insta::assert_snapshot!(write(&value), @r#"
        a: {}
        b: []
        list:
        - x
        - k: 1
          l: null
        map:
          inner:
            deep: "0"
        star: '*,a'
        "no": "no"
        duration: 0s
        url: https://a:6443
        endpoint: 192.0.2.11:6443
        empty: ""
        time: "10:20"
        long: 87600h0m0s
        cidr: 10.96.0.0/12
        version: v1.37.1
        "#);
    }

    proptest! {
        #[test]
        fn every_string_reads_back(string in "\\PC{0,24}", hard in "[-?:,\\[\\]{}#&*!|>'\"%@`~=<+_.0-9a-fxoTZny \\n\\t]{0,8}") {
            for string in [string, hard] {
                let value = json!({"key": string, "list": [string, {string.clone(): string}]});
                let read: Value = serde_yaml::from_str(&write(&value)).unwrap();
                prop_assert_eq!(read, value);
            }
        }
    }
}
