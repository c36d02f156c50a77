//! keelwright builds, grows, upgrades and moves Kubernetes clusters over SSH and cloud APIs.
//!
//! The crate in one screen; PURE modules neither wait, nor read a clock, a file, the environment or
//! randomness:
//!
//! - [`release`] PURE: versions, the skew policy, what belongs to each Kubernetes minor, artifacts
//! - [`inventory`] PURE: what the operator wrote, parsed and checked
//! - [`pki`]: certificates, keys and kubeconfigs of a cluster
//! - [`blueprint`] PURE: what one host, and the cluster's API, must look like
//! - [`facts`] PURE: what was observed, and the script that observes it
//! - [`timeline`] PURE: what ran where and when during a run, as JSON and as a picture
//! - [`plan`] PURE: the steps between the two
//! - [`command`] PURE: an argv, its quoting, its output
//! - [`script`] PURE: the operations a host does in one stage
//! - [`render`] PURE: text from embedded templates, YAML from values
//! - [`exec`]: runs a plan through ports; real, simulated and recording adapters implement them
//! - [`ssh`], [`kube`], [`bundle`], [`state`], [`lab`]: the adapters that touch the world
//! - [`cloud`]: machines, networks and balancers that keelwright makes itself: what is wanted and the plan PURE,
//!   the rest through a port
//! - [`migrate`]: a service's way from one cluster to another; records, plan, gates and checks
//!   PURE, the rest through ports
//! - [`sim`]: a simulated fleet behind the same ports
//! - [`cli`]: one file per command; the only place that names a concrete adapter

pub mod blueprint;
pub mod bundle;
pub mod cli;
pub mod cloud;
pub mod command;
pub mod digest;
pub mod exec;
pub mod facts;
pub mod inventory;
pub mod kube;
pub mod lab;
pub mod migrate;
pub mod pki;
pub mod plan;
pub mod release;
pub mod render;
pub mod script;
pub mod sim;
pub mod ssh;
pub mod state;
pub mod timeline;
