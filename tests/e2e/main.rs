//! Tests on real machines: they make labs, so they need root on Linux and skip themselves elsewhere.

mod clients;
mod cluster;
mod faults;
mod install;
mod lab;
mod life;
mod timeline;
mod upgrade;
