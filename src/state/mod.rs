//! A cluster's state directory: sealed keys, journal, lock. Everything here is 0600 in a 0700
//! directory, whatever the umask.

mod document;
pub mod files;
pub mod harden;
pub mod identity;
mod import;
pub mod journal;
pub mod lock;
mod mint;
mod observe;
pub mod record;
mod resolve;
pub mod shared;
pub mod snapshots;
pub mod vault;

pub use harden::harden_process;
pub use identity::Identity;
pub use journal::Journal;
pub use lock::{Holder, RunLock};
pub use vault::{Vault, VaultError};
