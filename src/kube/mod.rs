//! The Kubernetes and etcd APIs, reached through SSH tunnels.

pub mod interim;
