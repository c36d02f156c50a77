//! Names as Route 53 writes them: `\052` for a star, a dot at the end, lower case.

/// One way to write a name, so that two can be compared.
pub(super) fn canonical(name: &str) -> String {
    let mut written = String::with_capacity(name.len() + 1);
    let mut rest = name.trim_end_matches('.').as_bytes();
    while let [first, others @ ..] = rest {
        let (byte, escaped) = match octal(rest) {
            Some(byte) => (byte, true),
            None => (*first, false),
        };
        rest = if escaped { others.get(3..).unwrap_or_default() } else { others };
        // A dot that is escaped is part of a label, and parts none.
        if is_plain(byte) || (byte == b'.' && !escaped) {
            written.push(char::from(byte.to_ascii_lowercase()));
        } else {
            written.push_str(&format!("\\{byte:03o}"));
        }
    }
    written.push('.');
    written
}

/// What Route 53 takes without an escape.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*')
}

/// The byte that an escape at the beginning stands for.
fn octal(text: &[u8]) -> Option<u8> {
    let [b'\\', a, b, c, ..] = text else { return None };
    let digit = |byte: &u8| (b'0'..=b'7').contains(byte).then(|| u32::from(byte - b'0'));
    u8::try_from(digit(a)? * 64 + digit(b)? * 8 + digit(c)?).ok()
}

/// Without the dot at its end.
pub(super) fn without_dot(name: &str) -> String {
    name.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_the_same_are_written_alike() {
        for (name, expected) in [
            ("api.example.org", "api.example.org."),
            ("API.Example.org.", "api.example.org."),
            ("*.example.org", "*.example.org."),
            ("\\052.example.org.", "*.example.org."),
            ("\\137dmarc.example.org.", "_dmarc.example.org."),
            ("a\\056b.example.org.", "a\\056b.example.org."),
            ("a b.example.org", "a\\040b.example.org."),
            ("ä.example.org", "\\303\\244.example.org."),
            // No escape of Route 53's: taken as it is.
            ("a\\9.org", "a\\1349.org."),
            ("a\\05", "a\\13405."),
            ("", "."),
        ] {
            assert_eq!(canonical(name), expected, "{name}");
            assert_eq!(canonical(&canonical(name)), expected, "{name}, written twice");
        }
    }
}
