//! The API and etcd clients: against a server of a few lines that misbehaves on purpose, and against
//! real ones.

mod authority;
mod fake;
mod migrate;
mod real;
mod snapshot;
mod upgrade;
