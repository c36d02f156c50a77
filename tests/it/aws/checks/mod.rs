//! Tests of the harness itself: each fails without the part that it is about.

mod fixtures;

mod consistency;
mod counting;
mod deletions;
mod faults;
mod passing;
mod permissions;
mod server;
mod states;
mod stops;
mod targets;
