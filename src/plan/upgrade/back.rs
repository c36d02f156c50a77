//! The way back of a node whose new kubelet or runtime does not come up.

use crate::blueprint::Content;
use crate::facts::HostFacts;
use crate::plan::model::{Action, Before, Planned, Reason};
use crate::release::KubeVersion;

/// The same steps with executables and files as they were before, up to a node of the old version that takes
/// pods again. None: there is nothing to put back, or not all of it is still on the host or may be told, and
/// half of it would be worse than the new.
pub fn back(actions: &[Planned], facts: &HostFacts, old: KubeVersion) -> Option<Vec<Planned>> {
    let mut found = Vec::new();
    let mut changes = false;
    for planned in actions {
        let action = match &planned.action {
            Action::InstallBinary { path, artifact, .. } => {
                let before = facts.files.get(path)?;
                let sha256 = before.digest.filter(|digest| facts.artifacts.contains(digest))?;
                changes = true;
                let (path, artifact) = (path.clone(), artifact.clone());
                let version = "the one before".to_owned();
                Action::InstallBinary { path, mode: before.mode, artifact, version, sha256 }
            }
            Action::WriteFile { path, mode, content, digest, before } => {
                // What nobody had before does no harm.
                let Some(before) = before else { continue };
                let Content::Text(new) = content else { return None };
                changes = true;
                Action::WriteFile {
                    path: path.clone(),
                    mode: before.mode,
                    content: Content::Text(before.text.clone()?.into()),
                    digest: before.digest,
                    before: Some(Before { digest: *digest, mode: *mode, text: Some(new.to_string()) }),
                }
            }
            Action::AwaitNode { node, .. } => Action::AwaitNode { node: node.clone(), kubelet: Some(old) },
            Action::Drain { .. } | Action::AwaitSpareVoter => continue,
            other => other.clone(),
        };
        found.push(Planned { action, reason: Reason::Follows });
    }
    changes.then_some(found)
}
