//! In which order objects are applied: nothing before what it needs. Pure.

use std::fmt;

use serde::Serialize;

use super::kinds::{Kind, is_of_kubernetes};

/// What is applied together; each stage ends before the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Definitions of custom resources; each is waited for.
    Definitions,
    Namespaces,
    /// Priority, storage, ingress and runtime classes.
    Classes,
    /// Roles, and whom they are given to.
    Access,
    Accounts,
    /// Secrets, ConfigMaps, limits and quotas.
    Configuration,
    Claims,
    Services,
    Workloads,
    /// What leads to workloads, scales them and keeps them apart.
    Traffic,
    CustomResources,
    /// What is asked about every later change; its own pods may not run yet.
    Admission,
}

impl Stage {
    pub fn of(kind: &Kind) -> Self {
        match (kind.group.as_str(), kind.kind.as_str()) {
            ("apiextensions.k8s.io", "CustomResourceDefinition") => Stage::Definitions,
            ("", "Namespace") => Stage::Namespaces,
            ("scheduling.k8s.io" | "node.k8s.io", _)
            | ("storage.k8s.io", "StorageClass" | "VolumeAttributesClass")
            | ("networking.k8s.io", "IngressClass")
            | ("resource.k8s.io", "DeviceClass")
            | ("flowcontrol.apiserver.k8s.io", _) => Stage::Classes,
            ("rbac.authorization.k8s.io", _) => Stage::Access,
            ("", "ServiceAccount") => Stage::Accounts,
            ("", "Secret" | "ConfigMap" | "LimitRange" | "ResourceQuota" | "PodTemplate") => {
                Stage::Configuration
            }
            ("", "PersistentVolumeClaim") | ("resource.k8s.io", _) => Stage::Claims,
            ("", "Service") => Stage::Services,
            ("", "Pod" | "ReplicationController") | ("apps" | "batch", _) => Stage::Workloads,
            ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => Stage::Admission,
            (group, _) if is_of_kubernetes(group) => Stage::Traffic,
            _ => Stage::CustomResources,
        }
    }

    /// Within a stage: limits count only what comes after them, roles are there before they are given, and policies
    /// before what binds them.
    pub fn rank(kind: &Kind) -> u8 {
        match kind.kind.as_str() {
            "ClusterRole" => 0,
            "Role" => 1,
            "ClusterRoleBinding" => 2,
            "RoleBinding" => 3,
            "Secret" | "ConfigMap" => 0,
            "LimitRange" | "ResourceQuota" => 1,
            "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy" => 0,
            "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding" => 1,
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" | "APIService" => 2,
            _ => 0,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Definitions => "definitions",
            Stage::Namespaces => "namespaces",
            Stage::Classes => "classes",
            Stage::Access => "access",
            Stage::Accounts => "accounts",
            Stage::Configuration => "configuration",
            Stage::Claims => "claims",
            Stage::Services => "services",
            Stage::Workloads => "workloads",
            Stage::Traffic => "traffic",
            Stage::CustomResources => "custom resources",
            Stage::Admission => "admission",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::copy::testing::kind;

    #[test]
    fn nothing_comes_before_what_it_needs() {
        let kinds = [
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            ("v1", "Namespace"),
            ("storage.k8s.io/v1", "StorageClass"),
            ("rbac.authorization.k8s.io/v1", "ClusterRole"),
            ("rbac.authorization.k8s.io/v1", "Role"),
            ("rbac.authorization.k8s.io/v1", "RoleBinding"),
            ("v1", "ServiceAccount"),
            ("v1", "Secret"),
            ("v1", "ResourceQuota"),
            ("v1", "PersistentVolumeClaim"),
            ("v1", "Service"),
            ("apps/v1", "Deployment"),
            ("networking.k8s.io/v1", "Ingress"),
            ("example.org/v1", "Widget"),
            ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
            ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
        ];
        let places = kinds.map(|(api_version, name)| {
            let kind = kind(api_version, name);
            (Stage::of(&kind), Stage::rank(&kind), name)
        });
        for pair in places.windows(2) {
            assert!(pair[0] < pair[1] && (pair[0].0, pair[0].1) < (pair[1].0, pair[1].1), "{pair:?}");
        }
    }

    #[test]
    fn each_kind_has_its_stage() {
        for (api_version, name, stage) in [
            ("scheduling.k8s.io/v1", "PriorityClass", Stage::Classes),
            ("networking.k8s.io/v1", "IngressClass", Stage::Classes),
            ("resource.k8s.io/v1", "ResourceClaimTemplate", Stage::Claims),
            ("v1", "ConfigMap", Stage::Configuration),
            ("batch/v1", "CronJob", Stage::Workloads),
            ("v1", "Pod", Stage::Workloads),
            ("autoscaling/v2", "HorizontalPodAutoscaler", Stage::Traffic),
            ("policy/v1", "PodDisruptionBudget", Stage::Traffic),
            ("networking.k8s.io/v1", "NetworkPolicy", Stage::Traffic),
            ("gateway.networking.k8s.io/v1", "Gateway", Stage::CustomResources),
            ("apiregistration.k8s.io/v1", "APIService", Stage::Admission),
        ] {
            assert_eq!(Stage::of(&kind(api_version, name)), stage, "{name}");
        }
    }
}
