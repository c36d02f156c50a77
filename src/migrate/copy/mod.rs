//! What `keelwright migrate copy` brings from blue to green. What is decided (which objects, what of them, in which order,
//! what has state) is PURE; the clusters are asked through a port.

pub mod clean;
pub mod cluster;
pub mod diff;
pub mod kinds;
mod look;
pub mod needs;
pub mod object;
pub mod order;
mod restore;
pub mod run;
pub mod select;
pub mod selection;
pub mod settle;
pub mod show;
pub mod snapshots;
pub mod state;
pub mod survey;
pub mod warn;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod run_tests;
#[cfg(test)]
mod testing;

pub use cluster::{Cluster, ClusterError, FieldConflict, MANAGER, Mode, Reply};
pub use kinds::{Kind, Served, Silent};
pub use run::{CopyRun, Event, Outcome};
pub use selection::{Selection, SelectorError};
pub use survey::{Item, Standing, Survey, SurveyError};
