//! Runs a plan through ports. The executor makes no choices: what to do, in which order and when
//! it is done all stand in the plan.

pub mod cycle;
pub mod drain;
pub mod engine;
pub mod event;
mod gate;
pub mod hook;
pub mod observe;
mod pace;
pub mod ports;
pub mod render;
pub mod snapshot;
mod step;
pub mod upgrade;

pub use crate::script::{HostScript, Op, Payload};
pub use cycle::{Cycle, Look, VaultView};
pub use drain::{DrainError, Drained, drain, uncordon};
pub use engine::{Clock, DesiredObjects, Failure, Outcome, Ports, Setting, SystemClock, execute};
pub use event::Event;
pub use pace::{Pace, Waits};
pub use ports::{
    Etcd, EtcdMember, KubeApi, KubeError, LocalCommand, LocalCommands, LocalEnd, Objects, PortError, Remote,
    RemoteError, SecretSource, SnapshotDraft, Snapshots, StageResult,
};
pub use render::{Layout, RenderError, RenderedStage, render_stage, standalone};
pub use snapshot::{SnapshotError, TakenSnapshot, take_snapshot};
pub use upgrade::{list_upgrade, observe_upgrade};
