//! Feature gates that came and went. A program that is given a gate it does not know ends at once: the API
//! server, the controller manager, the scheduler, the kubelet and kube-proxy alike.
//!
//! Data only, from what the default patch releases of the supported minors register (`pkg/features` of
//! Kubernetes, of its API server libraries, and of client-go); they share one set. A gate that is in no row was
//! there in 1.34 and still is in 1.37, or never was.

use super::version::Minor;

/// What one minor changed against the one before.
struct Gates {
    minor: Minor,
    removed: &'static [&'static str],
    added: &'static [&'static str],
}

/// Oldest first.
#[rustfmt::skip]
const GATES: [Gates; 3] = [
    Gates {
        minor: Minor::new(1, 35),
        removed: &[
            "AllowServiceLBStatusOnNonLB", "ComponentSLIs", "CronJobsScheduledAnnotation", "LoadBalancerIPMode",
            "PodIndexLabel", "ProbeHostPodSecurityStandards", "SizeMemoryBackedVolumes",
            "StatefulSetAutoDeletePVC", "StrictCostEnforcementForVAP", "StrictCostEnforcementForWebhooks",
            "UserNamespacesPodSecurityStandards",
        ],
        added: &[
            "AuthorizePodWebsocketUpgradeCreatePermission", "CRDObservedGenerationTracking",
            "CSIServiceAccountTokenSecrets", "CloudControllerManagerWatchBasedRoutesReconciliation",
            "ConstrainedImpersonation", "DRADeviceTaintRules", "GangScheduling", "GenericWorkload",
            "InOrderInformersBatchProcess", "InPlacePodLevelResourcesVerticalScaling", "MutablePVNodeAffinity",
            "MutablePodResourcesForSuspendedJobs", "MutableSchedulingDirectivesForSuspendedJobs",
            "NodeDeclaredFeatures", "OpportunisticBatching", "RestartAllContainersOnContainerExits",
            "StructuredAuthenticationConfigurationJWKSMetrics", "TaintTolerationComparisonOperators",
            "UserNamespacesHostNetworkSupport", "VolumeLimitScaling",
        ],
    },
    Gates {
        minor: Minor::new(1, 36),
        removed: &[
            "CSIMigrationPortworx", "HonorPVReclaimPolicy", "InPlacePodVerticalScalingAllocatedStatus",
            "InTreePluginPortworxUnregister", "MemoryManager", "ServiceTrafficDistribution",
            "StructuredAuthorizationConfiguration", "TopologyAwareHints",
            "WatchFromStorageWithoutResourceVersion",
        ],
        added: &[
            "AllowServiceExternalIPs", "AtomicFIFO", "CRIListStreaming",
            "ChangeContainerStatusOnKubeletRestart", "ClientsAllowCARotation", "ClientsAllowTLSCacheGC",
            "ControllerManagerReleaseLeaderElectionLockOnExit", "DRAListTypeAttributes",
            "DRANodeAllocatableResources", "DRAResourceClaimGranularStatusAuthorization",
            "DRAResourcePoolStatus", "DRAWorkloadResourceClaims", "DeclarativeValidationBeta",
            "ExtendWebSocketsToKubelet", "ImageVolumeWithDigest", "InPlacePodVerticalScalingInitContainers",
            "ManifestBasedAdmissionControlConfig", "NativeHistograms", "PLEGOnDemandRelist",
            "PersistentVolumeClaimUnusedSinceTime", "PodLevelResourceManagers", "PodsAPI",
            "ResourceHealthStatusMessage", "ServiceCIDRStatusFieldWiping", "ShardedListAndWatch",
            "StaleControllerConsistencyDaemonSet", "StaleControllerConsistencyJob",
            "StaleControllerConsistencyReplicaSet", "StaleControllerConsistencyStatefulSet",
            "StatefulSetSemanticRevisionComparison", "TopologyAwareWorkloadScheduling",
            "UnlockWhileProcessingFIFO", "WorkloadAwarePreemption", "WorkloadWithJob",
        ],
    },
    Gates {
        minor: Minor::new(1, 37),
        removed: &[
            "APIServerTracing", "AnonymousAuthConfigurableEndpoints", "AnyVolumeDataSource",
            "AuthorizeNodeWithSelectors", "AuthorizeWithSelectors", "BtreeWatchCache",
            "ConsistentListFromCache", "GangScheduling", "JobBackoffLimitPerIndex", "JobPodReplacementPolicy",
            "JobSuccessPolicy", "LogarithmicScaleDown", "OrderedNamespaceDeletion", "PodLifecycleSleepAction",
            "PodLifecycleSleepActionAllowZero", "PreventStaticPodAPIReferences", "RelaxedDNSSearchValidation",
            "ResilientWatchCacheInitialization", "RetryGenerateName", "SchedulerQueueingHints",
            "SidecarContainers", "StreamingCollectionEncodingToJSON", "StreamingCollectionEncodingToProtobuf",
            "StructuredAuthenticationConfiguration", "WorkloadAwarePreemption",
        ],
        added: &[
            "APIServerWebhookAuthenticationToken", "AtomicWriteVolumeUserFields", "CompositePodGroup",
            "ConsistentListFromCacheSkipTimeoutFallback", "DRADerivedAttributes",
            "DRADeviceCompatibilityGroups", "DRAFractionalCapacityRange", "DRAOptionalNodeOperations",
            "DRAPartitionableDevicesType", "DefaultPodSysctls", "EmptyDirVolumeMode", "EtcdRangeStream",
            "EvictionRequestAPI", "ExcludeAdmissionWebhookVirtualResources", "GRPCContainerProbeTLS",
            "H2CContainerProbe", "HPAGeneration", "HPAOptimizedSelectorStore", "HugepageAwareEviction",
            "InPlacePodVerticalScalingMemoryBackedVolumes", "InPlacePodVerticalScalingSchedulerPreemption",
            "InterPodAffinityHostnameFastPath", "KubeProxyIPVS", "KubeProxyNFTablesLocalhostNodePorts",
            "KubeletAllocatedPodsEndpoint", "NFTablesNetlink", "NodeControllerLeaseCircuitBreaker",
            "NodeLifecycleConditions", "PodGroupPreemptionPolicy", "PodLevelResourcesFixDefaulting",
            "PodLevelResourcesFixKubeletQOSClass", "SchedulerPreQueueingHints", "StaleControllerConsistencyHPA",
            "StatefulSetRecreateStrategy", "VolumeBindMountOptions", "WatchListCompression",
            "WebhookRoundTripLoadBalancing",
        ],
    },
];

/// Why a gate keeps a program from starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateTrouble {
    /// Gone since this minor.
    Removed(Minor),
    /// Not known before this minor.
    NotYet(Minor),
}

/// Whether a program that is run at every minor from `first` to `last` knows this gate all the time.
pub fn gate_trouble(gate: &str, first: Minor, last: Minor) -> Option<GateTrouble> {
    let of = |list: fn(&Gates) -> &'static [&'static str]| {
        GATES.iter().find(|gates| list(gates).contains(&gate)).map(|gates| gates.minor)
    };
    let removed = of(|gates| gates.removed).filter(|removed| *removed <= last);
    let added = of(|gates| gates.added).filter(|added| *added > first);
    removed.map(GateTrouble::Removed).or(added.map(GateTrouble::NotYet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::SUPPORTED;

    #[test]
    fn a_gate_is_looked_for_at_every_minor_that_is_run() {
        let removed = |minor| Some(GateTrouble::Removed(Minor::new(1, minor)));
        let not_yet = |minor| Some(GateTrouble::NotYet(Minor::new(1, minor)));
        for (gate, first, last, trouble) in [
            ("SidecarContainers", 35, 36, None),
            ("SidecarContainers", 35, 37, removed(37)),
            ("SidecarContainers", 37, 37, removed(37)),
            ("MemoryManager", 37, 37, removed(36)),
            ("ComponentSLIs", 35, 35, removed(35)),
            ("DefaultPodSysctls", 37, 37, None),
            ("DefaultPodSysctls", 35, 37, not_yet(37)),
            ("DefaultPodSysctls", 35, 36, not_yet(37)),
            // It came and went.
            ("GangScheduling", 35, 36, None),
            ("GangScheduling", 34, 35, not_yet(35)),
            ("GangScheduling", 35, 37, removed(37)),
            ("CPUManager", 34, 37, None),
        ] {
            assert_eq!(
                gate_trouble(gate, Minor::new(1, first), Minor::new(1, last)),
                trouble,
                "{gate} {first}"
            );
        }
    }

    #[test]
    fn every_supported_minor_but_the_oldest_has_a_row_and_no_gate_is_in_two_of_a_kind() {
        let minors: Vec<Minor> = GATES.iter().map(|gates| gates.minor).collect();
        let supported: Vec<Minor> = SUPPORTED.iter().skip(1).map(|release| release.minor).collect();
        assert_eq!(minors, supported);
        for list in [|gates: &Gates| gates.removed, |gates: &Gates| gates.added] {
            let mut all: Vec<&str> = GATES.iter().flat_map(list).copied().collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count);
        }
    }
}
