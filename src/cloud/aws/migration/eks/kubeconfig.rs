//! How to reach a cluster of EKS: `aws` gives a token for who is asking, which is good for a quarter of an hour.

use super::EksCluster;
use crate::inventory::Account;
use crate::pki::kubeconfig::{self, ExecEnvironment, ExecPlugin, Kubeconfig};

impl EksCluster {
    /// As `aws eks update-kubeconfig` writes it, for the same credentials that made the cluster.
    pub fn kubeconfig(&self, account: &Account) -> Kubeconfig {
        let mut args: Vec<String> =
            ["--region", &self.region, "eks", "get-token", "--cluster-name", &self.name]
                .map(str::to_owned)
                .into();
        args.extend(["--output".to_owned(), "json".to_owned()]);
        if let Some(role) = &account.assume_role {
            args.extend(["--role-arn".to_owned(), role.clone()]);
        }
        let profile = account.profile.as_ref();
        let plugin = ExecPlugin {
            api_version: "client.authentication.k8s.io/v1beta1".to_owned(),
            command: "aws".to_owned(),
            args,
            env: profile
                .map(|profile| ExecEnvironment { name: "AWS_PROFILE".to_owned(), value: profile.clone() })
                .into_iter()
                .collect(),
            // A profile may ask for a code of a second factor.
            interactive_mode: "IfAvailable".to_owned(),
            provide_cluster_info: false,
        };
        kubeconfig::with_plugin(&self.name, &self.endpoint, &self.authority, plugin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_asked_of_aws_as_who_made_the_cluster() {
        let text = str::to_owned;
        let cluster = EksCluster {
            name: text("green"),
            region: text("eu-central-1"),
            version: text("1.34"),
            endpoint: text("https://0123.gr7.eu-central-1.eks.amazonaws.com"),
            authority: text("UEVN"),
            vpc: text("vpc-1"),
            scaling_groups: Vec::new(),
        };
        let account = Account {
            region: text("eu-central-1"),
            profile: Some(text("work")),
            assume_role: Some(text("arn:aws:iam::1:role/builder")),
        };
        insta::assert_snapshot!(cluster.kubeconfig(&account).to_yaml().unwrap().expose());
        let plain = Account { region: text("eu-central-1"), profile: None, assume_role: None };
        let written = cluster.kubeconfig(&plain).to_yaml().unwrap();
        assert!(!written.expose().contains("env") && !written.expose().contains("role-arn"));
        // What reads kubeconfigs reads this one.
        let read: Kubeconfig = serde_yaml::from_str(written.expose()).unwrap();
        assert_eq!(read.to_yaml().unwrap().expose(), written.expose());
    }
}
