//! Pattern lists as in ssh_config(5) and sshd(8): `*`, `?`, and `!` for "not".

/// Whether one pattern (without `!`) matches a text.
pub(crate) fn wildcard(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where the last star stood and how much of the text it has taken: one step back is enough.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

/// Whether a list of patterns matches: one does, and none with `!` does.
pub(crate) fn pattern_list<'a>(patterns: impl IntoIterator<Item = &'a str>, text: &str) -> bool {
    let mut matched = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(not) if wildcard(not, text) => return false,
            Some(_) => {}
            None => matched = matched || wildcard(pattern, text),
        }
    }
    matched
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_as_in_the_manual() {
        let cases = [
            ("*", "", true),
            ("*", "a.b", true),
            ("10.0.?.*", "10.0.3.77", true),
            ("10.0.?.*", "10.0.33.77", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("", "a", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(wildcard(pattern, text), expected, "{pattern} {text}");
        }
        assert!(pattern_list(["*.example.com", "!db.example.com"], "web.example.com"));
        assert!(!pattern_list(["*.example.com", "!db.example.com"], "db.example.com"));
        assert!(!pattern_list(["!db"], "web"), "a list of nothing but exceptions matches nothing");
    }

    proptest! {
        #[test]
        fn a_text_matches_itself_and_itself_with_stars(text in "[a-z.]{0,12}", at in 0usize..12) {
            prop_assert!(wildcard(&text, &text));
            let at = at.min(text.len());
            let (head, tail) = text.split_at(at);
            let starred = format!("{head}*{tail}");
            prop_assert!(wildcard(&starred, &text));
        }
    }
}
