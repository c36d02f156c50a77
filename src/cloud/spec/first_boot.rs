//! What machines do by themselves when they boot for the first time.

use camino::Utf8Path;

use crate::command::quote;
use crate::render::render;

/// A control plane's: puts etcd's data directory on its volume.
pub(super) fn control_plane(data_dir: &Utf8Path) -> String {
    let directory = quote(data_dir.as_str());
    let template = include_str!("../../../templates/aws/etcd-volume.sh");
    render("aws/etcd-volume.sh", template, minijinja::context! { directory })
}
