//! Control planes of a cluster whose workers come by themselves: they keep in the Parameter Store what those join
//! with.

use minijinja::context;

use super::CONFIG_DIRECTORY;
use super::files::{Files, text_file};
use super::model::FileGroup;
use crate::command::quote;
use crate::inventory::Inventory;
use crate::render::render;

/// Publishes at boot, and from then on every few minutes.
pub const TIMER: &str = "keelwright-publish-join.timer";
pub const SERVICE: &str = "keelwright-publish-join.service";
/// Seconds that a token lives; it is replaced when half of it is over.
const LIFETIME: u32 = 24 * 60 * 60;
/// What calls AWS on a machine, part of several scripts.
pub const CALLS: &str = include_str!("../../templates/aws/calls.sh");

pub(super) fn add_files(files: &mut Files, inventory: &Inventory) {
    let Some(join) = &inventory.self_join else { return };
    let path = format!("{CONFIG_DIRECTORY}/publish-join.sh");
    let context = context! {
        calls => CALLS,
        cluster => quote(inventory.name.as_str()),
        domain => join.domain(),
        lifetime => LIFETIME,
        parameter => quote(&join.parameter),
        region => quote(&join.region),
        server => quote(&format!("https://{}", inventory.control_plane_endpoint())),
    };
    let script = render("aws/publish-join.sh", include_str!("../../templates/aws/publish-join.sh"), context);
    files.add_for(&path, text_file(FileGroup::System, 0o700, script), TIMER);
    let service = include_str!("../../templates/aws/keelwright-publish-join.service.j2");
    let service = render(SERVICE, service, context! { path => path });
    files.add_for(
        &format!("/etc/systemd/system/{SERVICE}"),
        text_file(FileGroup::System, 0o644, service),
        TIMER,
    );
    let timer = include_str!("../../templates/aws/keelwright-publish-join.timer");
    files.add_for(&format!("/etc/systemd/system/{TIMER}"), text_file(FileGroup::System, 0o644, timer), TIMER);
}
