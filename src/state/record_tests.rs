//! Tests of the journal's format.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn journal(events: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut last = Link::FIRST;
    for (index, event) in events.iter().enumerate() {
        let (line, link) = encode(index as u64 + 1, last, event);
        bytes.extend_from_slice(line.as_bytes());
        last = link;
    }
    bytes
}

fn three() -> Vec<u8> {
    journal(&[json!({"a": 1}), json!("two\n"), json!(null)])
}

fn starts(bytes: &[u8]) -> Vec<usize> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(index, _)| index + 1);
    std::iter::once(0).chain(ends).collect()
}

/// Computed by another implementation. Journals of old runs must stay readable.
#[test]
fn the_format_is_what_it_was() {
    let expected = concat!(
        "KW1 1 ccccc1f132cc112a3975f07682ad7a31 00000000000000000000000000000000 7 {\"a\":1}\n",
        "KW1 2 cb9b5a6b2373588910694c6791075191 ccccc1f132cc112a3975f07682ad7a31 5 \"x\\n\"\n",
    );
    let bytes = journal(&[json!({"a": 1}), json!("x\n")]);
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn a_torn_tail_is_left_out() {
    let whole = three();
    let starts = starts(&whole);
    for cut in 0..whole.len() {
        let parsed = parse(&whole[..cut]).unwrap();
        let records = starts.iter().filter(|start| **start <= cut).count() - 1;
        assert_eq!((parsed.records.len(), parsed.length), (records, starts[records]), "cut at {cut}");
    }
    // The file grew but its pages were never written.
    let mut zeros = whole.clone();
    zeros.extend_from_slice(&[0; 700]);
    assert_eq!(parse(&zeros).unwrap().length, whole.len());
    zeros.push(b'\n');
    assert_eq!(parse(&zeros).unwrap().length, whole.len());
}

#[test]
fn damage_in_the_middle_names_the_record() {
    let whole = three();
    let starts = starts(&whole);
    for index in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[index] ^= 0x04;
        let number = starts.iter().filter(|start| **start <= index).count() as u64;
        match parse(&damaged) {
            Err(JournalDamage::Record { number: named, .. } | JournalDamage::Newer { number: named, .. }) => {
                assert_eq!(named, number, "byte {index}");
            }
            // The last line end is gone: that cannot be told from a torn write.
            Ok(parsed) => assert_eq!((index, parsed.records.len()), (whole.len() - 1, 2)),
        }
    }
    let mut zeroed = whole.clone();
    zeroed[starts[1] + 3..starts[1] + 20].fill(0);
    assert_eq!(
        parse(&zeroed),
        Err(JournalDamage::Record {
            number: 2,
            offset: starts[1],
            reason: "it is cut short, and whole records follow"
        })
    );
}

#[test]
fn records_cannot_be_dropped_repeated_or_swapped() {
    let whole = three();
    let s = starts(&whole);
    let (a, b, c) = (&whole[..s[1]], &whole[s[1]..s[2]], &whole[s[2]..]);
    for order in [[a, c, b].concat(), [a, c].concat(), [a, a, b].concat(), [b, c].concat()] {
        assert!(matches!(parse(&order), Err(JournalDamage::Record { .. })));
    }
}

#[test]
fn a_newer_format_is_refused() {
    let mut bytes = three();
    bytes.extend_from_slice(b"KW2 whatever\n");
    assert_eq!(parse(&bytes), Err(JournalDamage::Newer { number: 4, version: 2 }));
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..400) {
        let mut mixed = three();
        mixed.truncate(cut);
        mixed.extend_from_slice(&bytes);
        if let Ok(parsed) = parse(&mixed) {
            prop_assert!(parsed.length <= mixed.len());
            let events: Vec<_> = parsed.records.into_iter().map(|record| record.event).collect();
            prop_assert_eq!(journal(&events), mixed[..parsed.length].to_vec());
        }
    }
}
