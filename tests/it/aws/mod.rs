//! What keelwright's AWS side is tested against: moto, an emulator of AWS.

mod census;
mod client;
mod install;
mod moto;
mod service;
mod xml;

mod checks;

use std::sync::Arc;

use client::Client;
use moto::Moto;

/// An AWS account for one test: empty, seen by nobody else.
pub struct Cloud {
    pub moto: Client,
    _server: Arc<Moto>,
}

impl Cloud {
    /// None, with the reason on stderr, where moto cannot be had.
    pub fn start() -> Option<Cloud> {
        let server = Moto::shared()?;
        let moto = server.account();
        Some(Cloud { moto, _server: server })
    }
}
