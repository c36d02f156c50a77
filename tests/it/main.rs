//! Integration tests, one binary: each module needs something real around it, and says so when
//! that is missing.

mod arrows;
mod aws;
#[allow(dead_code)]
#[path = "../emulator/mod.rs"]
mod emulator;
mod kube;
mod sim;
mod ssh;
