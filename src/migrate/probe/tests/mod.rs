//! Asks servers that are made here, on the loopback: good ones and all kinds of bad ones.

mod asking;
mod certificates;
mod dns;
mod resolving;
mod servers;
