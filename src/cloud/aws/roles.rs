//! Roles and instance profiles. They are the whole account's, so a path of the cluster's tells whose they are.

use std::collections::BTreeMap;

use aws_sdk_iam::types::Tag;

use super::error::{Adjusted as _, Named as _};
use super::observe::{Only, Raw};
use super::{AwsCloud, id_of, tags, theirs};
use crate::cloud::name::{ResourceName, iam_name, iam_path};
use crate::cloud::ports::{CloudError, Ids, State, Trouble};
use crate::cloud::resource::{InstanceProfile, Resource, Role, TRUST, Tags};

fn iam_tags(tags: &Tags) -> Result<Vec<Tag>, CloudError> {
    let build = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    tags.iter().map(build).collect::<Result<_, _>>().map_err(|error| CloudError {
        trouble: Trouble::Invalid,
        call: "iam:TagRole",
        code: "BadTag".to_owned(),
        message: error.to_string(),
    })
}

fn pairs(tags: &[Tag]) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().map(|tag| (tag.key(), tag.value()))
}

impl AwsCloud {
    fn path(&self) -> String {
        iam_path(&self.cluster)
    }

    fn iam_name(&self, name: &ResourceName) -> String {
        iam_name(&self.cluster, name)
    }

    /// Lists do not tell tags, so each role is asked for them, and for its policies.
    pub(super) async fn list_roles(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let pages = self.iam.list_roles().path_prefix(self.path()).into_paginator().items();
        let roles: Vec<_> = pages.send().collect::<Result<Vec<_>, _>>().await.named("iam:ListRoles")?;
        let mut all = Vec::new();
        for role in roles {
            let id = role.role_name();
            if only.is_some_and(|name| self.iam_name(name) != id) {
                continue;
            }
            let answer = self.iam.get_role().role_name(id).send().await.named("iam:GetRole");
            let answer = match answer {
                Err(error) if error.trouble == Trouble::NotFound => continue,
                answer => answer?,
            };
            let own = answer.role().map(|role| role.tags()).unwrap_or_default();
            let read = tags::read(&self.cluster, pairs(own));
            let Some(name) = read.name else { continue };
            let resource = Resource::Role(Role { policies: self.policies(id).await? });
            all.push(Raw::new(name, Some(id), resource, read.tags, State::Ready));
        }
        Ok(all)
    }

    async fn policy_names(&self, role: &str) -> Result<Vec<String>, CloudError> {
        let pages = self.iam.list_role_policies().role_name(role).into_paginator().items();
        pages.send().collect::<Result<Vec<_>, _>>().await.named("iam:ListRolePolicies")
    }

    async fn policies(&self, role: &str) -> Result<BTreeMap<String, serde_json::Value>, CloudError> {
        let mut policies = BTreeMap::new();
        for name in self.policy_names(role).await? {
            let request = self.iam.get_role_policy().role_name(role).policy_name(&name);
            let answer = request.send().await.named("iam:GetRolePolicy")?;
            // Documents come percent-encoded (RFC 3986).
            let text = percent_decoded(answer.policy_document());
            policies.insert(name, serde_json::from_str(&text).unwrap_or_default());
        }
        Ok(policies)
    }

    pub(super) async fn create_role(&self, name: &ResourceName, tags: &Tags) -> Result<String, CloudError> {
        let request = self
            .iam
            .create_role()
            .role_name(self.iam_name(name))
            .path(self.path())
            .assume_role_policy_document(TRUST)
            .set_tags(Some(iam_tags(&self.all_tags(name, tags))?));
        let answer = request.send().await.named("iam:CreateRole")?;
        Ok(answer.role().map(|role| role.role_name()).unwrap_or_default().to_owned())
    }

    pub(super) async fn update_role(&self, id: &str, from: &Role, to: &Role) -> Result<(), CloudError> {
        for (name, policy) in &to.policies {
            if from.policies.get(name) != Some(policy) {
                let request = self.iam.put_role_policy().role_name(id).policy_name(name);
                let request = request.policy_document(policy.to_string());
                request.send().await.named("iam:PutRolePolicy")?;
            }
        }
        for name in from.policies.keys().filter(|name| !to.policies.contains_key(*name)) {
            let request = self.iam.delete_role_policy().role_name(id).policy_name(name);
            request.send().await.named("iam:DeleteRolePolicy").unless(&[Trouble::NotFound])?;
        }
        Ok(())
    }

    pub(super) async fn tag_role(&self, id: &str, all: &Tags, gone: &[String]) -> Result<(), CloudError> {
        let request = self.iam.tag_role().role_name(id).set_tags(Some(iam_tags(all)?));
        request.send().await.named("iam:TagRole")?;
        if gone.is_empty() {
            return Ok(());
        }
        let request = self.iam.untag_role().role_name(id).set_tag_keys(Some(gone.to_vec()));
        request.send().await.named("iam:UntagRole").map(drop)
    }

    pub(super) async fn delete_role(&self, id: &str, role: &Role) -> Result<(), CloudError> {
        for name in role.policies.keys() {
            let request = self.iam.delete_role_policy().role_name(id).policy_name(name);
            request.send().await.named("iam:DeleteRolePolicy").unless(&[Trouble::NotFound])?;
        }
        let gone = self.iam.delete_role().role_name(id).send().await;
        gone.named("iam:DeleteRole").unless(&[Trouble::NotFound])
    }

    pub(super) async fn list_profiles(&self, only: Only<'_>) -> Result<Vec<Raw>, CloudError> {
        let pages = self.iam.list_instance_profiles().path_prefix(self.path()).into_paginator().items();
        let profiles: Vec<_> =
            pages.send().collect::<Result<Vec<_>, _>>().await.named("iam:ListInstanceProfiles")?;
        let mut all = Vec::new();
        for profile in profiles {
            let id = profile.instance_profile_name();
            if only.is_some_and(|name| self.iam_name(name) != id) {
                continue;
            }
            let request = self.iam.get_instance_profile().instance_profile_name(id);
            let answer = match request.send().await.named("iam:GetInstanceProfile") {
                Err(error) if error.trouble == Trouble::NotFound => continue,
                answer => answer?,
            };
            let Some(profile) = answer.instance_profile() else { continue };
            let read = tags::read(&self.cluster, pairs(profile.tags()));
            let Some(name) = read.name else { continue };
            let role = profile.roles().first().map(|role| role.role_name());
            let resource = Resource::InstanceProfile(InstanceProfile { role: theirs(role) });
            all.push(Raw::new(name, Some(id), resource, read.tags, State::Ready));
        }
        Ok(all)
    }

    pub(super) async fn create_profile(
        &self,
        name: &ResourceName,
        tags: &Tags,
    ) -> Result<String, CloudError> {
        let request = self
            .iam
            .create_instance_profile()
            .instance_profile_name(self.iam_name(name))
            .path(self.path())
            .set_tags(Some(iam_tags(&self.all_tags(name, tags))?));
        let answer = request.send().await.named("iam:CreateInstanceProfile")?;
        let profile = answer.instance_profile().map(|profile| profile.instance_profile_name());
        Ok(profile.unwrap_or_default().to_owned())
    }

    /// A profile has one role at most.
    pub(super) async fn update_profile(
        &self,
        id: &str,
        from: &InstanceProfile,
        to: &InstanceProfile,
        ids: &Ids,
    ) -> Result<(), CloudError> {
        let role = id_of(&to.role, ids)?;
        if from.role == to.role {
            return Ok(());
        }
        self.take_role(id).await?;
        let request = self.iam.add_role_to_instance_profile().instance_profile_name(id).role_name(role);
        request.send().await.named("iam:AddRoleToInstanceProfile").unless(&[Trouble::Exists])
    }

    async fn take_role(&self, id: &str) -> Result<(), CloudError> {
        let answer = self.iam.get_instance_profile().instance_profile_name(id).send().await;
        let answer = match answer.named("iam:GetInstanceProfile") {
            Err(error) if error.trouble == Trouble::NotFound => return Ok(()),
            answer => answer?,
        };
        let roles = answer.instance_profile().map(|profile| profile.roles()).unwrap_or_default();
        for role in roles {
            let request = self.iam.remove_role_from_instance_profile().instance_profile_name(id);
            let gone = request.role_name(role.role_name()).send().await;
            gone.named("iam:RemoveRoleFromInstanceProfile").unless(&[Trouble::NotFound])?;
        }
        Ok(())
    }

    pub(super) async fn tag_profile(&self, id: &str, all: &Tags, gone: &[String]) -> Result<(), CloudError> {
        let request = self.iam.tag_instance_profile().instance_profile_name(id);
        request.set_tags(Some(iam_tags(all)?)).send().await.named("iam:TagInstanceProfile")?;
        if gone.is_empty() {
            return Ok(());
        }
        let request = self.iam.untag_instance_profile().instance_profile_name(id);
        request.set_tag_keys(Some(gone.to_vec())).send().await.named("iam:UntagInstanceProfile").map(drop)
    }

    pub(super) async fn delete_profile(&self, id: &str) -> Result<(), CloudError> {
        self.take_role(id).await?;
        let gone = self.iam.delete_instance_profile().instance_profile_name(id).send().await;
        gone.named("iam:DeleteInstanceProfile").unless(&[Trouble::NotFound])
    }
}

/// Undoes percent-encoding; what is no code stays.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).filter(|_| *first == b'%');
        let value = code.and_then(|code| std::str::from_utf8(code).ok());
        match value.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::percent_decoded;

    #[test]
    fn percent_encoding_is_undone() {
        assert_eq!(percent_decoded("%7B%22a%22%3A%20%22%C3%A9%22%7D"), "{\"a\": \"é\"}");
        assert_eq!(percent_decoded("100% of {it}%"), "100% of {it}%");
    }
}
