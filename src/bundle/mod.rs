//! The artifacts of one Kubernetes version, each with its SHA-256.
