//! What keelwright's AWS side is tested against: moto, an emulator of AWS, behind a proxy that makes it stricter.
//!
//! moto knows the calls but not the troubles: nothing takes time, nothing is in use, nothing fails. The proxy adds
//! these. What passes here has still not met AWS.

pub mod census;
pub mod client;
pub mod dns;
pub mod fixtures;
mod install;
pub mod moto;
pub mod proxy;
pub mod service;
pub mod xml;

use std::sync::Arc;

use client::Client;
use moto::Moto;
use proxy::Proxy;

/// An AWS account for one test: empty, seen by nobody else, with a proxy of its own.
pub struct Cloud {
    /// The truth: moto, past the proxy.
    pub moto: Client,
    pub proxy: Proxy,
    _server: Arc<Moto>,
}

impl Cloud {
    /// None, with the reason on stderr, where moto cannot be had.
    pub fn start() -> Option<Cloud> {
        let server = Moto::shared()?;
        let moto = server.account();
        Some(Cloud { proxy: Proxy::start(&moto), moto, _server: server })
    }
}
