//! Clusters in AWS, against the emulator.

mod checks;
mod commands;
mod cutover;
mod lifecycle;
mod rolling;
mod state;
mod terraform;
mod volume;
