//! Every call in the order in which it came, for assertions about order, number and parameters.

use std::sync::{Arc, Mutex};

use super::super::client::Answer;
use super::call::{Call, Params};
use super::faults::Fault;

/// One call.
#[derive(Debug, Clone)]
pub struct Entry {
    pub index: usize,
    /// Such as `EC2.CreateVpc`.
    pub name: String,
    pub params: Params,
    /// None: no answer has gone out, or none will.
    pub status: Option<u16>,
    /// Of the error that was answered.
    pub error: Option<String>,
    /// What the plan of faults did to it.
    pub fault: Fault,
}

#[derive(Debug, Clone, Default)]
pub struct Journal(Arc<Mutex<Vec<Entry>>>);

impl Journal {
    /// Notes a call and gives it its number.
    pub fn begin(&self, call: &Call) -> usize {
        let mut entries = self.0.lock().unwrap();
        let index = entries.len();
        let (name, params) = (call.name(), call.params.clone());
        entries.push(Entry { index, name, params, status: None, error: None, fault: Fault::None });
        index
    }

    pub fn inject(&self, index: usize, fault: Fault) {
        self.0.lock().unwrap()[index].fault = fault;
    }

    pub fn end(&self, index: usize, answer: &Answer) {
        let entry = &mut self.0.lock().unwrap()[index];
        (entry.status, entry.error) = (Some(answer.status), answer.error());
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().clone()
    }
}
