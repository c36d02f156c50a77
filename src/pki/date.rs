//! Dates of certificates as people read them.

/// Seconds since 1970 as `2026-11-21T15:30:00Z`; the number itself when no calendar has it.
pub fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn seconds_become_a_date() {
        assert_eq!(date(1_767_225_600), "2026-01-01T00:00:00Z");
        assert_eq!(date(i64::MAX), "9223372036854775807");
    }
}
