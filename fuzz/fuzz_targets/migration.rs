//! The parser of migrations: whatever the bytes, a value or problems, and problems that can be shown.

#![no_main]

use camino::Utf8Path;
use keelwright::inventory::{Migration, Origin, parse_migration};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let origin = Origin { file: "fuzz.yaml", base: Utf8Path::new("/srv"), home: Some(Utf8Path::new("/home/me")) };
    match parse_migration(data, &origin) {
        Ok((migration, _)) => {
            let json = serde_json::to_string(&migration).expect("a migration serialises");
            assert_eq!(serde_json::from_str::<Migration>(&json).expect("and is read back"), migration);
        }
        Err(problems) => {
            assert!(problems.error_count() > 0);
            drop(problems.render(&String::from_utf8_lossy(data)));
        }
    }
});
