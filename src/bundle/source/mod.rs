//! Where artifacts come from.

mod http;
mod layout;
pub mod local;
mod registry;
pub mod remote;
