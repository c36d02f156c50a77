//! Runs a plan through ports. The executor makes no choices: what to do, in which order and when
//! it is done all stand in the plan.

pub mod ports;
pub mod render;
pub mod script;

pub use ports::{
    Etcd, EtcdMember, KubeApi, KubeError, Objects, PortError, Remote, RemoteError, SecretSource, StageResult,
};
pub use render::{Layout, RenderError, RenderedStage, render_stage};
pub use script::{HostScript, Op, Payload};
