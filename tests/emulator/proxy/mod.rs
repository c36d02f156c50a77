//! An HTTP proxy before moto that makes it more like AWS: slower, stricter, in pages, and not always well.
//!
//! - what goes wrong: `faults`, `gate`, `consistency`
//! - what takes time: `states` and `targets`, `changes`, `clusters`, `readiness`; the states by `settling`
//! - where targets may be: `places`
//! - what is in the way of a deletion: `dependencies`, from what `world` sees; `leftovers`
//! - what may be repeated: `tokens`, `twins`
//! - what a test can look at: `journal`
//! - lists: `pages`, `records` with `zone`
//! - what moto lacks: `permissions`, `launches`, `versions`, `scaling`, `absent`, `roles`, `metrics` with `cbor`
//!
//! `pipeline` has their order.

mod absent;
mod call;
mod cbor;
mod changes;
mod clusters;
mod consistency;
mod dependencies;
mod faults;
mod gate;
mod journal;
mod kinds;
mod launches;
mod leftovers;
mod metrics;
mod pages;
mod permissions;
mod pipeline;
mod places;
mod readiness;
mod records;
mod reply;
mod rest;
mod roles;
mod scaling;
mod serve;
mod settings;
mod settling;
mod states;
mod targets;
mod tokens;
mod twins;
mod versions;
mod world;
mod zone;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use self::faults::{Fault, Faults};
pub use self::gate::Moment;
pub use self::journal::Entry;
pub use self::settings::Settings;
pub use self::states::Delays;

use super::client::Client;

/// A running proxy, on a thread of its own: a test may block while the tool under test calls it.
pub struct Proxy {
    address: SocketAddr,
    moto: Client,
    settings: Arc<Mutex<Settings>>,
    journal: journal::Journal,
    gate: gate::Gate,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Before moto, for the account of this client.
    pub fn start(moto: &Client) -> Proxy {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let settings = Arc::new(Mutex::new(Settings::default()));
        let pipeline = pipeline::Pipeline::new(moto.clone(), Arc::clone(&settings));
        let (journal, gate) = (journal::Journal::default(), gate::Gate::open());
        let shared = serve::Shared {
            settings: Arc::clone(&settings),
            journal: journal.clone(),
            gate: gate.clone(),
            pipeline: Arc::new(tokio::sync::Mutex::new(pipeline)),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = serve::serve(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Proxy { address, moto: moto.clone(), settings, journal, gate, stop: Some(stop), thread: Some(thread) }
    }

    /// What the tool under test takes for AWS.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Raw calls through it.
    pub fn client(&self) -> Client {
        Client { address: self.address, account: None, ..self.moto.clone() }
    }

    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings.lock().unwrap());
    }

    pub fn set_faults(&self, faults: Faults) {
        self.set(|settings| settings.faults = faults);
    }

    pub fn journal(&self) -> Vec<Entry> {
        self.journal.entries()
    }

    /// The names of all calls, in order.
    pub fn calls(&self) -> Vec<String> {
        self.journal().into_iter().map(|entry| entry.name).collect()
    }

    pub fn count(&self, name: &str) -> usize {
        self.calls().iter().filter(|called| *called == name).count()
    }

    /// Holds everything from this moment of the call with this number on.
    pub fn stop_at(&self, index: usize, moment: Moment) {
        self.gate.close_at(index, moment);
    }

    /// Waits for that moment; the test kills the tool and then calls [`Proxy::release`], with which the calls that
    /// were held are cut.
    pub async fn stopped(&self) {
        self.gate.reached().await;
    }

    pub fn is_stopped(&self) -> bool {
        self.gate.is_reached()
    }

    pub fn release(&self) {
        self.gate.release();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        // A panic in the proxy is a failure of the test, unless that fails already.
        if let Some(Err(reason)) = ended
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(reason);
        }
    }
}
