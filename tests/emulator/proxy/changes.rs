//! Changes of Route 53: each has an id of its own and is `PENDING` for a while.

use std::collections::BTreeMap;

use super::super::client::Answer;
use super::super::xml::{self, Edits};
use super::call::Call;
use super::reply;

/// Changes, and how many looks each is pending yet.
#[derive(Debug, Default)]
pub struct Changes(BTreeMap<String, u32>);

impl Changes {
    /// moto knows any change.
    pub fn refuse(&self, call: &Call) -> Option<Answer> {
        let unknown = call.name() == "Route53.GetChange" && !self.0.contains_key(call.param("Id"));
        let message = format!("A change with id {} does not exist", call.param("Id"));
        unknown.then(|| reply::refusal(call, 404, "NoSuchChange", &message))
    }

    pub fn rewrite(&mut self, call: &Call, looks: u32, answer: &mut Answer) {
        if !call.name().starts_with("Route53.") || answer.status >= 300 {
            return;
        }
        let text = answer.text().to_owned();
        if !text.contains("<ChangeInfo>") {
            return;
        }
        let (id, pending) = if call.action == "GetChange" {
            (call.param("Id").to_owned(), self.look(call.param("Id")))
        } else {
            let id = format!("C{:013}", self.0.len() + 1);
            self.0.insert(id.clone(), looks);
            (id, looks > 0)
        };
        let document = xml::parse(&text);
        let mut edits = Edits::default();
        for info in xml::named(&document, "ChangeInfo") {
            xml::child(info, "Id").into_iter().for_each(|node| edits.set(node, &format!("/change/{id}")));
            let status = if pending { "PENDING" } else { "INSYNC" };
            xml::child(info, "Status").into_iter().for_each(|node| edits.set(node, status));
        }
        answer.body = edits.apply(&text).into();
    }

    fn look(&mut self, id: &str) -> bool {
        let left = self.0.get_mut(id).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }
}
