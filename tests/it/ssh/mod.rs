//! keelwright's SSH side against a real OpenSSH server on a loopback port.

mod proxy;
mod sshd;

mod basics;
mod bastions;
mod faults;
mod identity;
mod lab;
mod memory;
