//! SSH sessions: bastion hops, host keys, stages, uploads, port forwards (russh).
//!
//! [`config`], [`known_hosts`], [`hostkey`]'s judgement and [`stage`]'s parser decide and are pure;
//! [`session`], [`pool`], [`auth`], [`channel`] and [`remote`] do. Nothing in here reads the
//! environment: what the operator's side is like comes in as [`SshEnvironment`].

pub mod config;
pub mod environment;
pub mod hostkey;
pub mod known_hosts;

mod auth;
mod channel;
mod config_files;
mod config_match;
mod decouple;
mod forward;
mod keys;
mod pool;
mod remote;
mod route;
mod run;
mod session;
mod stage;
mod trust;
mod upload;

pub use environment::{NoPrompt, Prompt, SshEnvironment};
pub use forward::{Forward, RemoteStream};
pub use pool::Outage;
pub use remote::SshRemote;
