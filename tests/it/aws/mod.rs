//! Clusters in AWS, against the emulator.

mod checks;
mod commands;
mod lifecycle;
mod migration;
mod rolling;
mod state;
mod terraform;
mod volume;
