//! Whether green's share is what the weights say, or further off than chance explains. Decides only.

/// An answer of a name server, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// Made with this one answer. They all go to the same side, so they are no more than one throw of the dice.
    pub requests: u32,
    pub is_green: bool,
}

/// So many standard deviations may a share be off: with twenty shares, chance alone is further off in one run of 800.
pub const BOUND: f64 = 4.0;

/// How many standard deviations the requests that went to green are off from a share of all; each throw of the dice weighs
/// as much as requests were made with it.
pub fn deviation(draws: &[Draw], share: f64) -> f64 {
    let off: f64 = draws
        .iter()
        .map(|draw| f64::from(draw.requests) * (f64::from(u8::from(draw.is_green)) - share))
        .sum();
    let variance: f64 =
        share * (1.0 - share) * draws.iter().map(|draw| f64::from(draw.requests).powi(2)).sum::<f64>();
    match (off == 0.0, variance == 0.0) {
        (true, _) => 0.0,
        // None may be of the other side.
        (false, true) => f64::INFINITY,
        (false, false) => off / variance.sqrt(),
    }
}

mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    /// So many answers, each used between one and nine times.
    fn thrown(seed: u64, number: usize, share: f64) -> Vec<Draw> {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut draw = || Draw { requests: dice.random_range(1..10), is_green: dice.random_bool(share) };
        (0..number).map(|_| draw()).collect()
    }

    #[test]
    fn what_chance_makes_is_within_the_bound() {
        for share in [0.01, 0.1, 0.25, 0.5, 0.9] {
            let all = (0..200).map(|seed| deviation(&thrown(seed, 1000, share), share));
            let worst = all.map(f64::abs).fold(0.0, f64::max);
            // Of 200, the worst is beyond two and within four, or the bound would be no measure.
            assert!((2.0..BOUND).contains(&worst), "{share}: {worst}");
        }
    }

    #[test]
    fn another_share_is_found() {
        for (real, said) in [(0.15, 0.1), (0.42, 0.5), (0.0, 0.05), (1.0, 0.9)] {
            let off = deviation(&thrown(1, 1000, real), said);
            assert!(off.abs() > BOUND, "{real} for {said}: {off}");
            assert_eq!(off > 0.0, real > said);
        }
    }

    #[test]
    fn nothing_and_all_are_meant_exactly() {
        let draw = |is_green| Draw { requests: 1, is_green };
        assert_eq!(deviation(&[draw(false); 9], 0.0), 0.0);
        assert_eq!(deviation(&[draw(true); 9], 1.0), 0.0);
        assert_eq!(deviation(&[draw(false), draw(true)], 0.0), f64::INFINITY);
        assert!(deviation(&[draw(false), draw(true)], 1.0).is_infinite());
    }
}
