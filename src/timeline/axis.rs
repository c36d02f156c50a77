//! Time as an axis shows it.

/// More marks than this run into each other.
const MARKS: f64 = 12.0;
/// Seconds between two marks that people find easy to read.
const STEPS: [u32; 18] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400];

/// Seconds between two marks on an axis of so many.
pub fn step(seconds: f64) -> f64 {
    let fits = |step: &f64| seconds / step <= MARKS;
    STEPS.into_iter().map(f64::from).find(fits).unwrap_or(seconds / MARKS)
}

/// Where the marks are.
pub fn marks(seconds: f64) -> impl Iterator<Item = f64> {
    let step = step(seconds);
    (0_u32..).map(move |number| f64::from(number) * step).take_while(move |at| *at <= seconds)
}

/// Minutes and seconds: `12:05`
pub fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    format!("{}:{:02}", whole / 60, whole % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_easy_to_read_and_not_too_many() {
        for (seconds, expected) in [(0.5, 1.0), (12.0, 1.0), (13.0, 2.0), (3600.0, 300.0), (86_400.0, 7200.0)]
        {
            assert_eq!(step(seconds), expected, "{seconds}");
        }
        // However long it took.
        for exponent in 0..12 {
            let seconds = 10_f64.powi(exponent);
            assert!((1..=13).contains(&marks(seconds).count()), "{seconds}");
        }
        assert_eq!(marks(5.0).collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn a_clock_has_minutes_and_seconds() {
        for (seconds, text) in [(0.0, "0:00"), (59.6, "1:00"), (725.0, "12:05"), (-3.0, "0:00")] {
            assert_eq!(clock(seconds), text);
        }
    }
}
