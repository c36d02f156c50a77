//! Where artifacts come from.

mod http;
pub(in crate::bundle) mod layout;
pub mod local;
mod registry;
pub mod remote;
