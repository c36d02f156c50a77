//! Whose account a call is for. moto would find the account of a role's credentials itself, by making up an IAM for
//! every account that it has.

use std::collections::BTreeMap;

use super::super::client::{Answer, Client};
use super::call::Call;

/// The accounts of roles that have been assumed, by access key.
#[derive(Debug, Default)]
pub struct Roles(BTreeMap<String, String>);

impl Roles {
    /// A client of the caller's account and region.
    pub fn client(&self, call: &Call, moto: &Client) -> Client {
        let account = self.0.get(&call.access_key).cloned().or_else(|| moto.account.clone());
        Client { account, region: call.region.clone(), ..moto.clone() }
    }

    pub fn remember(&mut self, call: &Call, answer: &Answer) {
        if call.name() == "STS.AssumeRole" && answer.status < 300 {
            // arn:aws:sts::ACCOUNT:assumed-role/…
            let account = answer.one("Arn").split(':').nth(4).unwrap_or_default().to_owned();
            self.0.insert(answer.one("AccessKeyId"), account);
        }
    }
}
