//! What a machine answers to the probe: whatever the bytes, facts that survive a round trip, or an error
//! that is short enough to be shown.

#![no_main]

use keelwright::facts::{HostFacts, parse::host_facts};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| match host_facts(data) {
    Ok(facts) => {
        let json = serde_json::to_string(&facts).expect("facts serialise");
        assert_eq!(serde_json::from_str::<HostFacts>(&json).expect("and are read back"), facts);
    }
    // A character may be escaped to ten.
    Err(error) => assert!(error.to_string().len() < 2000),
});
