//! A state that changes shows another one for so many looks first.

use std::collections::BTreeMap;

/// What is seen on the way to a state, from the one before (None: it was not there); None: nothing.
pub type Passing = fn(from: Option<&str>, to: &str) -> Option<&'static str>;

#[derive(Debug, Default)]
pub struct Settling(BTreeMap<String, Seen>);

#[derive(Debug)]
struct Seen {
    settled: Option<String>,
    /// Where it is going, and how many looks that takes yet.
    toward: Option<(String, u32)>,
}

impl Settling {
    /// The state to show of what is in truth in `actual`.
    pub fn look(&mut self, id: &str, actual: &str, looks: u32, passing: Passing) -> String {
        self.see(id, actual, looks, passing, true)
    }

    /// The same for the answer to the call that changes the state, which is not a look.
    pub fn begin(&mut self, id: &str, actual: &str, looks: u32, passing: Passing) -> String {
        self.see(id, actual, looks, passing, false)
    }

    fn see(&mut self, id: &str, actual: &str, looks: u32, passing: Passing, counts: bool) -> String {
        let seen = self.0.entry(id.to_owned()).or_insert(Seen { settled: None, toward: None });
        if seen.settled.as_deref() == Some(actual) {
            seen.toward = None;
            return actual.to_owned();
        }
        let left = match seen.toward.take() {
            Some((state, left)) if state == actual => left,
            // What is stopped on its way up has been up as far as its way down is concerned.
            Some((state, _)) => {
                seen.settled = Some(state);
                looks
            }
            None => looks,
        };
        match passing(seen.settled.as_deref(), actual) {
            Some(state) if left > 0 => {
                seen.toward = Some((actual.to_owned(), left - u32::from(counts)));
                state.to_owned()
            }
            Some(_) | None => {
                seen.settled = Some(actual.to_owned());
                actual.to_owned()
            }
        }
    }
}

#[test]
fn a_state_is_shown_after_so_many_looks() {
    let passing: Passing = |from, to| match (from, to) {
        (_, "up") => Some("rising"),
        (Some(_), "down") => Some("falling"),
        _ => None,
    };
    let mut settling = Settling::default();
    assert_eq!(settling.begin("a", "up", 2, passing), "rising");
    let looks = |settling: &mut Settling, state| [0; 3].map(|_| settling.look("a", state, 2, passing));
    assert_eq!(looks(&mut settling, "up"), ["rising", "rising", "up"]);
    assert_eq!(looks(&mut settling, "down"), ["falling", "falling", "down"]);
    assert_eq!(settling.look("b", "down", 2, passing), "down", "what was never seen up does not fall");
    settling.begin("c", "up", 2, passing);
    assert_eq!(settling.look("c", "down", 2, passing), "falling");
}
