//! What ran where, and when, while a cluster was changed: samples become spans ([`Recorder`]), spans become
//! JSON ([`Timeline`]) and one picture ([`Timeline::svg`]). Who takes the samples is somebody else's matter:
//! the tests on real machines ask a real API, `rehearse` looks into the simulated fleet.

pub mod axis;
mod calls;
mod draw;
mod listing;
mod model;
mod record;
pub mod svg;

#[cfg(test)]
mod draw_tests;

pub use calls::{calls, outcomes};
pub use listing::{ListingError, sample_of};
pub use model::{
    Client, Component, ComponentSpans, HostTimeline, Outcome, Running, Second, Span, Timeline, VersionSpan,
};
pub use record::{GAP_SECONDS, HostSample, Recorder, Sample};
