//! Any bytes are a journal, a journal with a torn tail, or refused; never a panic, and what is
//! accepted is exactly what was written. (A fuzzer finds no SHA-256: seed the corpus with real journals.)
#![no_main]

use keelwright::state::record::{Link, encode, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = parse(bytes) else { return };
    assert_eq!(parsed.records.is_empty(), parsed.length == 0);
    let mut rest = &bytes[..parsed.length];
    let mut last = Link::FIRST;
    for record in &parsed.records {
        let (line, link) = encode(record.number, last, &record.event);
        rest = rest.strip_prefix(line.as_bytes()).expect("a record that was written as it is read");
        last = link;
    }
    assert!(rest.is_empty());
    assert_eq!(last, parsed.last);
});
