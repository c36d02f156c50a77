//! Text from templates and YAML from values.
//!
//! Templates are embedded and an undefined variable is an error. They are for what is text by nature (units,
//! haproxy, nft); YAML is always a typed value that is serialised.

use std::sync::LazyLock;

use serde::Serialize;

/// A value as a YAML document.
pub fn to_yaml<T: Serialize>(value: &T) -> String {
    // invariant: the values given are our own plain data with string keys, which always serialise
    serde_yaml::to_string_with_options(value, yaml_options()).expect("plain data serialises")
}

/// Every value on one line: the folded style that is the default for long strings is legal but easy to
/// misread in a diff of flags.
fn yaml_options() -> serde_yaml::SerializerOptions {
    serde_yaml::ser_options! { prefer_block_scalars: false }
}

/// Renders an embedded template; `name` is for error messages.
///
/// # Panics
/// When the template is wrong. Templates are part of the program and every one is rendered by tests.
pub fn render(name: &'static str, template: &'static str, context: minijinja::Value) -> String {
    match ENVIRONMENT.render_named_str(name, template, context) {
        Ok(text) => text,
        // invariant: see above
        Err(error) => unreachable!("template {name}: {error:#}"),
    }
}

/// Made once: with its filters and tests it takes longer than most templates.
static ENVIRONMENT: LazyLock<minijinja::Environment<'static>> = LazyLock::new(|| {
    let mut environment = minijinja::Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let syntax = minijinja::syntax::SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build();
    // invariant: the delimiters are the default ones
    environment.set_syntax(syntax.expect("default delimiters are valid"));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    // Its own way of writing a boolean is Python's.
    environment.set_formatter(|output, state, value| match value.kind() {
        minijinja::value::ValueKind::Bool => {
            Ok(output.write_str(if value.is_true() { "true" } else { "false" })?)
        }
        _ => minijinja::escape_formatter(output, state, value),
    });
    environment.add_filter("toml", toml_string);
    environment
});

/// A TOML basic string with its quotes. It is JSON's, except that DEL needs an escape too.
pub fn toml_string(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    #[test]
    fn booleans_are_written_as_configuration_files_want_them() {
        assert_eq!(
            render("t", "a = {{ a }}, b = {{ b }}", context! { a => true, b => 1 }),
            "a = true, b = 1"
        );
    }

    #[test]
    #[should_panic(expected = "template t: undefined value")]
    fn an_undefined_variable_is_an_error() {
        render("t", "{{ nobody }}", context! {});
    }

    #[test]
    fn toml_strings_hold_anything() {
        assert_eq!(toml_string("a\"b\\c\nd\u{7f}"), "\"a\\\"b\\\\c\\nd\\u007f\"");
    }

    #[test]
    fn yaml_quotes_what_yaml_1_1_would_read_as_something_else() {
        for text in [
            "true",
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "n",
            "null",
            "~",
            "",
            "0",
            "1e3",
            "0x1F",
            "0o17",
            "017",
            "1_000",
            "1:30",
            "12:30:45",
            ".5",
            "1.",
            "+1",
            "-0",
            ".inf",
            "-.Inf",
            ".nan",
            "2001-01-01",
            "=",
            "<<",
            "- a",
            "a: b",
            "a #b",
            "!x",
            "&x",
            "*x",
            "?",
            "|",
            ">",
            "%a",
            "@a",
            "`a",
            "[",
            "{",
            "]",
            "}",
            ",",
            "---",
            "...",
            " a",
            "a ",
            "a\nb",
            "\"",
            "'",
            "1e+3",
            "1E5",
            "0b11",
            "1.5",
            "Null",
            "TRUE",
            "5",
            "-5",
        ] {
            let yaml = to_yaml(&serde_json::json!({ "key": text }));
            let value = yaml.trim_end().strip_prefix("key: ").unwrap();
            assert!(value.starts_with(['"', '\'']), "{text:?} is written {value}");
            let read: serde_json::Value = serde_yaml::from_str(&yaml).unwrap();
            assert_eq!(read["key"], text);
        }
    }
}
