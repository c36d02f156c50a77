//! Simulated fleets: scenarios, crashes at every boundary, thousands of seeds.

mod concerns;
mod crashes;
mod hooks;
mod replica;
mod rows;
mod scenarios;
mod seeds;
mod snapshot;
mod support;
mod timeline;
mod trust;
mod upgrade;
mod waves;
