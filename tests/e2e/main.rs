//! Tests on real machines: they make labs, so they need root on Linux and skip themselves elsewhere.

mod aws;
mod clients;
mod cluster;
#[allow(dead_code, unused_imports, reason = "the emulator's own tests use the rest")]
#[path = "../emulator/mod.rs"]
mod emulator;
mod faults;
mod install;
mod lab;
mod life;
mod migrate;
mod timeline;
mod upgrade;
