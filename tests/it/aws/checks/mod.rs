//! Tests of the harness itself: each fails without the part that it is about.

mod fixtures;

mod counting;
mod server;
