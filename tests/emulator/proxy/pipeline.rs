//! What a call goes through on its way to moto, and its answer on the way back.

use std::sync::{Arc, Mutex};

use super::super::client::{Answer, Client};
use super::call::Call;
use super::changes::Changes;
use super::clusters::Clusters;
use super::consistency::Consistency;
use super::dependencies::Dependencies;
use super::faults::Fault;
use super::launches::{Launches, Template};
use super::roles::Roles;
use super::scaling::Scaling;
use super::settings::Settings;
use super::states::{Delays, States};
use super::targets::Targets;
use super::tokens::{Tokened, Tokens};
use super::twins::Twins;
use super::versions::Versions;
use super::{absent, launches, leftovers, metrics, pages, permissions, readiness, records};

/// All that the proxy remembers between calls.
pub struct Pipeline {
    moto: Client,
    settings: Arc<Mutex<Settings>>,
    roles: Roles,
    tokens: Tokens,
    consistency: Consistency,
    launches: Launches,
    versions: Versions,
    scaling: Scaling,
    twins: Twins,
    dependencies: Dependencies,
    states: States,
    targets: Targets,
    changes: Changes,
    clusters: Clusters,
}

impl Pipeline {
    pub fn new(moto: Client, settings: Arc<Mutex<Settings>>) -> Pipeline {
        Pipeline {
            moto,
            settings,
            roles: Roles::default(),
            tokens: Tokens::default(),
            consistency: Consistency::default(),
            launches: Launches::default(),
            versions: Versions::default(),
            scaling: Scaling::default(),
            twins: Twins::default(),
            dependencies: Dependencies::default(),
            states: States::default(),
            targets: Targets::default(),
            changes: Changes::default(),
            clusters: Clusters::default(),
        }
    }

    /// `fault`: what becomes of the things that the call creates.
    pub async fn answer(&mut self, call: Call, fault: Fault) -> Answer {
        if let Some(answer) = permissions::refuse(&call, &self.settings.lock().unwrap().denied) {
            return answer;
        }
        let tokened = Tokened::of(&call);
        if let Some(answer) = self.tokens.recall(&call, tokened.as_ref()) {
            return answer;
        }
        let answer = self.first_time(call, fault).await;
        self.tokens.remember(tokened, &answer);
        answer
    }

    async fn first_time(&mut self, mut call: Call, fault: Fault) -> Answer {
        let moto = self.roles.client(&call, &self.moto);
        let delays = self.settings.lock().unwrap().delays;
        let template = launches::template(&call, &moto).await;
        self.launches.fill_in(&mut call, &template);
        self.scaling.fill_in(&mut call, &moto).await;
        if let Some(answer) = self.instead(&mut call, &template, &moto, &delays).await {
            return answer;
        }
        let answer = self.forward(&mut call, &template, &moto, &delays).await;
        self.consistency.note(&call, fault, &answer);
        self.twins.remember(&call, &answer);
        self.roles.remember(&call, &answer);
        answer
    }

    /// What is answered without moto; what is left of some calls is for moto.
    async fn instead(
        &mut self,
        call: &mut Call,
        template: &Template,
        moto: &Client,
        delays: &Delays,
    ) -> Option<Answer> {
        let profile = template.profile.as_ref().map(|(_, name)| name.as_str());
        if let Some(answer) = self.consistency.refuse(call, profile) {
            return Some(answer);
        }
        if let Some(answer) = permissions::simulate(call, &self.settings.lock().unwrap().denied) {
            return Some(answer);
        }
        if let Some(answer) = self.changes.refuse(call) {
            return Some(answer);
        }
        if let Some(answer) = metrics::answer(call, &self.settings.lock().unwrap().metrics) {
            return Some(answer);
        }
        let (longest, protected) = {
            let settings = self.settings.lock().unwrap();
            (settings.page, settings.protected.clone())
        };
        if let Some(answer) = records::answer(call, moto, longest, &protected).await {
            return Some(answer);
        }
        if let Some(answer) = self.clusters.refuse(call, moto, delays.cluster).await {
            return Some(answer);
        }
        if let Some(answer) = self.targets.answer(call, moto).await {
            return Some(answer);
        }
        if let Some(answer) = self.launches.answer(call, moto).await {
            return Some(answer);
        }
        if let Some(answer) = self.versions.answer(call, moto).await {
            return Some(answer);
        }
        if let Some(answer) = self.scaling.answer(call, moto).await {
            return Some(answer);
        }
        if let Some(answer) = self.twins.answer(call, moto).await {
            return Some(answer);
        }
        if let Some(answer) = readiness::refuse(call, moto, &mut self.states, delays).await {
            return Some(answer);
        }
        self.dependencies.refuse(call, moto, &mut self.states, delays).await
    }

    /// Asks moto, and makes of its answer what AWS would have said.
    async fn forward(
        &mut self,
        call: &mut Call,
        template: &Template,
        moto: &Client,
        delays: &Delays,
    ) -> Answer {
        let longest = self.settings.lock().unwrap().page;
        let page = match pages::ask_for_all(call, longest) {
            Ok(page) => page,
            Err(refusal) => return *refusal,
        };
        let wanted = self.states.ask_for_all(call);
        let user_data = self.versions.take_out(call);
        let mut answer = call.forward(moto).await;
        absent::rewrite(call, &mut answer);
        self.versions.rewrite(call, user_data, &mut answer);
        leftovers::clear(call, moto, &mut self.states, delays, &mut answer).await;
        self.consistency.unlist(call, &mut answer);
        pages::cut(page.as_ref(), &mut answer);
        self.states.rewrite(call, &wanted, delays, &mut answer);
        let unhealthy = self.settings.lock().unwrap().unhealthy.clone();
        self.targets.rewrite(call, moto, &unhealthy, delays, &mut answer).await;
        self.changes.rewrite(call, delays.change, &mut answer);
        self.clusters.rewrite(call, moto, delays.cluster, &mut answer).await;
        self.launches.rewrite(call, template, &mut self.settings.lock().unwrap().console, &mut answer);
        answer
    }
}
