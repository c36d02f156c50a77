//! The way back of a node whose new kubelet or runtime does not come up.

use crate::blueprint::Content;
use crate::facts::HostFacts;
use crate::plan::model::{Action, Before, Planned, Reason};

/// Puts executables and files back as they were, and restarts what was restarted for them. None: not all of
/// it is still on the host or may be told, and half of it would be worse than the new.
pub fn back(changes: &[Planned], facts: &HostFacts) -> Option<Vec<Planned>> {
    let mut actions = Vec::new();
    for planned in changes {
        match &planned.action {
            Action::InstallBinary { path, artifact, .. } => {
                let found = facts.files.get(path)?;
                let sha256 = found.digest.filter(|digest| facts.artifacts.contains(digest))?;
                actions.push(Action::InstallBinary {
                    path: path.clone(),
                    mode: found.mode,
                    artifact: artifact.clone(),
                    version: "the one before".to_owned(),
                    sha256,
                });
            }
            Action::WriteFile { path, mode, content, digest, before } => {
                // What nobody had before does no harm.
                let Some(before) = before else { continue };
                let Content::Text(new) = content else { return None };
                actions.push(Action::WriteFile {
                    path: path.clone(),
                    mode: before.mode,
                    content: Content::Text(before.text.clone()?.into()),
                    digest: before.digest,
                    before: Some(Before { digest: *digest, mode: *mode, text: Some(new.to_string()) }),
                });
            }
            Action::ReloadUnits | Action::RestartUnit { .. } => actions.push(planned.action.clone()),
            _other => {}
        }
    }
    Some(actions.into_iter().map(|action| Planned { action, reason: Reason::Follows }).collect())
}
