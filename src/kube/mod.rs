//! The Kubernetes and etcd APIs, reached through SSH tunnels.

pub mod client;
pub mod drain;
pub mod etcd;
mod resources;
mod tls;
mod transport;

pub use client::KubeClient;
pub use drain::{DrainError, Drained, drain, uncordon};
pub use etcd::EtcdClient;
pub use tls::{Credentials, TlsError};
pub use transport::{AsyncReadWrite, Dialer, Endpoint, TcpDialer};
