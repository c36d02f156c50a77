//! Tests of the emulator itself: each fails without the part that it is about.

mod clusters;
mod consistency;
mod counting;
mod deletions;
mod faults;
mod launches;
mod lists;
mod missing;
mod passing;
mod permissions;
mod records;
mod repeats;
mod server;
mod states;
mod stops;
mod targets;
