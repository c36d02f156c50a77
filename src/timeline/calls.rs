//! Reads what clients wrote down about their calls.

use std::collections::BTreeMap;

use super::model::{Client, Outcome};

/// Reads lines of `SECOND CLIENT OUTCOME`: seconds since 1970 when the call ended, one word for who called,
/// and `ok`, `retried` or `failed`. A line that is not whole, as the last one of a client that still runs
/// may be, is left out.
pub fn outcomes(text: &str) -> Vec<(u64, &str, Outcome)> {
    text.split_inclusive('\n').filter_map(|line| one(line.strip_suffix('\n')?)).collect()
}

fn one(line: &str) -> Option<(u64, &str, Outcome)> {
    let mut words = line.split(' ');
    let (at, client, outcome) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let outcome = match outcome {
        "ok" => Outcome::Ok,
        "retried" => Outcome::Retried,
        "failed" => Outcome::Failed,
        _ => return None,
    };
    (words.next().is_none() && !client.is_empty()).then_some((at, client, outcome))
}

/// The clients of a log, of a run that began at `begin` (seconds since 1970) and took `seconds`; calls
/// before and after it are not the run's.
pub fn calls(text: &str, begin: f64, seconds: f64) -> Vec<Client> {
    let mut all: BTreeMap<&str, Vec<(u64, Outcome)>> = BTreeMap::new();
    // A log has whole seconds, so the run's first one is counted from where it began.
    let begin = begin.max(0.0).floor() as u64;
    let last = seconds.max(0.0).ceil() as u64;
    for (at, client, outcome) in outcomes(text) {
        if let Some(at) = at.checked_sub(begin).filter(|at| *at <= last) {
            all.entry(client).or_default().push((at, outcome));
        }
    }
    all.into_iter().map(|(client, outcomes)| Client::of(client, outcomes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Second;

    #[test]
    fn lines_that_are_not_whole_are_left_out() {
        for line in [
            "",
            "\n",
            "100 write",
            "100 write \n",
            "100 write done\n",
            "x write ok\n",
            "100 write ok",
            "100 write ok more\n",
            "100  ok\n",
        ] {
            assert_eq!(outcomes(line), [], "{line:?}");
        }
        assert_eq!(
            outcomes("100 write retried\n101 read failed\n10"),
            [(100, "write", Outcome::Retried), (101, "read", Outcome::Failed)]
        );
    }

    #[test]
    fn calls_are_counted_by_client_and_second_of_the_run() {
        let log = "99 write ok\n100 write ok\n100 read ok\n101 write ok\n101 write retried\n103 write failed\n104 write ok\n";
        let clients = calls(log, 100.7, 2.5);
        let second = |at, ok, retried, failed| Second { at, ok, retried, failed };
        assert_eq!(
            clients,
            [
                Client { client: "read".to_owned(), seconds: vec![second(0, 1, 0, 0)] },
                Client {
                    client: "write".to_owned(),
                    seconds: vec![second(0, 1, 0, 0), second(1, 1, 1, 0), second(3, 0, 0, 1)]
                },
            ]
        );
    }
}
