//! The Kubernetes and etcd APIs, reached through SSH tunnels.
