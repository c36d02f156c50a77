//! The Kubernetes and etcd APIs, reached through SSH tunnels.

pub mod client;
pub mod etcd;
mod resources;
pub mod side;
mod tls;
mod transport;

pub use client::KubeClient;
pub use etcd::EtcdClient;
pub use side::{ApiCluster, KubeconfigError};
pub use tls::{CredentialSource, Credentials};
pub use transport::{AsyncReadWrite, Dialer, Endpoint, TcpDialer};
