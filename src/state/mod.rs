//! A cluster's state: sealed keys, journal, lock, in a directory or shared by several operators. Every file is 0600 in
//! a 0700 directory, whatever the umask.

mod document;
pub mod files;
pub mod harden;
mod home;
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
pub use home::{Home, HomeError, Share, ShareError};
pub use identity::Identity;
pub use journal::Journal;
pub use lock::{Holder, RunLock};
pub use vault::{Vault, VaultError};
