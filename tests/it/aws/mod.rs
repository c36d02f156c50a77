//! Clusters in AWS, against the emulator.

mod artifacts;
mod checks;
mod commands;
mod cutover;
mod destroy;
mod lifecycle;
mod rolling;
mod state;
mod terraform;
mod volume;
