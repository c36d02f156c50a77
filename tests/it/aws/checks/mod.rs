//! Tests of the harness itself: each fails without the part that it is about.

pub(super) mod fixtures;

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
