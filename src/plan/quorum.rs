//! etcd's arithmetic of majorities, in one place.

/// How many voters must agree: more than half of all voters in the member list, answering or not.
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// Whether one of the `healthy` of `voters` may be out of service (stopped, upgraded) for a while.
/// A single member has nobody to take over: stopping it is an outage to announce, not a guard to pass.
pub fn may_stop_one(voters: usize, healthy: usize) -> bool {
    healthy <= voters && healthy > majority(voters)
}

/// Whether a voter may be taken out of the member list for good: those left must have a majority of
/// themselves. Taking out one that is down makes the rest safer, never the last one.
pub fn may_remove(voters: usize, healthy: usize, removed_is_healthy: bool) -> bool {
    let left = voters.saturating_sub(1);
    let healthy_left = healthy.saturating_sub(usize::from(removed_is_healthy));
    // The removal itself is a decision of the voters there are now.
    healthy <= voters && healthy >= majority(voters) && left > 0 && healthy_left >= majority(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majorities_of_one_to_seven() {
        assert_eq!((1..=7).map(majority).collect::<Vec<_>>(), [1, 2, 2, 3, 3, 4, 4]);
    }

    /// For each size: how many healthy voters are needed before one may be stopped.
    #[test]
    fn one_may_stop_only_while_a_majority_stays() {
        let needed = |voters: usize| (0..=voters).find(|healthy| may_stop_one(voters, *healthy));
        assert_eq!(
            (1..=7).map(needed).collect::<Vec<_>>(),
            [None, None, Some(3), Some(4), Some(4), Some(5), Some(5)]
        );
    }

    #[test]
    fn a_member_that_is_down_may_be_removed_where_a_healthy_one_may_not() {
        // voters, healthy, a healthy one may go, a dead one may go
        for (voters, healthy, alive, dead) in [
            (1, 1, false, false),
            (2, 2, true, true),
            (2, 1, false, false),
            (3, 3, true, true),
            (3, 2, false, true),
            (3, 1, false, false),
            (4, 3, true, true),
            (5, 5, true, true),
            (5, 3, false, true),
            (5, 2, false, false),
            (7, 4, false, true),
        ] {
            assert_eq!(may_remove(voters, healthy, true), alive, "{voters} {healthy} healthy");
            if healthy < voters {
                assert_eq!(may_remove(voters, healthy, false), dead, "{voters} {healthy} dead");
            }
        }
    }
}
