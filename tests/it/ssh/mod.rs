//! keelwright's SSH side against a real OpenSSH server on a loopback port.

mod sshd;

mod basics;
