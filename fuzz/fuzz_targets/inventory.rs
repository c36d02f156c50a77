//! The inventory parser: whatever the bytes, a value or problems, and problems that can be shown.

#![no_main]

use camino::Utf8Path;
use keelwright::inventory::{Aws, Inventory, Origin, Wanted, parse_wanted};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let origin = Origin { file: "fuzz.yaml", base: Utf8Path::new("/srv"), home: Some(Utf8Path::new("/home/me")) };
    match parse_wanted(data, &origin) {
        Ok((Wanted::Hosts(inventory), _)) => {
            let json = serde_json::to_string(&inventory).expect("an inventory serialises");
            assert_eq!(serde_json::from_str::<Inventory>(&json).expect("and is read back"), *inventory);
        }
        Ok((Wanted::Aws(inventory), _)) => {
            let json = serde_json::to_string(&inventory.aws).expect("what is wanted in AWS serialises");
            assert_eq!(serde_json::from_str::<Aws>(&json).expect("and is read back"), inventory.aws);
        }
        Err(problems) => {
            assert!(problems.error_count() > 0);
            drop(problems.render(&String::from_utf8_lossy(data)));
        }
    }
});
