//! What a call goes through on its way to moto, and its answer on the way back.

use std::sync::{Arc, Mutex};

use super::super::client::{Answer, Client};
use super::call::Call;
use super::consistency::Consistency;
use super::faults::Fault;
use super::launches::{Launches, Template};
use super::roles::Roles;
use super::settings::Settings;
use super::{launches, permissions};

/// All that the proxy remembers between calls.
pub struct Pipeline {
    moto: Client,
    settings: Arc<Mutex<Settings>>,
    roles: Roles,
    consistency: Consistency,
    launches: Launches,
}

impl Pipeline {
    pub fn new(moto: Client, settings: Arc<Mutex<Settings>>) -> Pipeline {
        Pipeline {
            moto,
            settings,
            roles: Roles::default(),
            consistency: Consistency::default(),
            launches: Launches::default(),
        }
    }

    /// `fault`: what becomes of the things that the call creates.
    pub async fn answer(&mut self, mut call: Call, fault: Fault) -> Answer {
        if let Some(answer) = permissions::refuse(&call, &self.settings.lock().unwrap().denied) {
            return answer;
        }
        let moto = self.roles.client(&call, &self.moto);
        let template = launches::template(&call, &moto).await;
        self.launches.fill_in(&mut call, &template);
        if let Some(answer) = self.instead(&call, &template, &moto).await {
            return answer;
        }
        let answer = self.forward(&mut call, &template, &moto).await;
        self.consistency.note(&call, fault, &answer);
        self.roles.remember(&call, &answer);
        answer
    }

    /// What is answered without moto.
    async fn instead(&mut self, call: &Call, template: &Template, moto: &Client) -> Option<Answer> {
        let profile = template.profile.as_ref().map(|(_, name)| name.as_str());
        if let Some(answer) = self.consistency.refuse(call, profile) {
            return Some(answer);
        }
        if let Some(answer) = permissions::simulate(call, &self.settings.lock().unwrap().denied) {
            return Some(answer);
        }
        self.launches.answer(call, moto).await
    }

    /// Asks moto, and makes of its answer what AWS would have said.
    async fn forward(&mut self, call: &mut Call, template: &Template, moto: &Client) -> Answer {
        let mut answer = call.forward(moto).await;
        self.consistency.unlist(call, &mut answer);
        self.launches.rewrite(call, template, &mut self.settings.lock().unwrap().console, &mut answer);
        answer
    }
}
