//! What there is to do for a cluster of EKS, from what is seen of it. Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::EksCluster;
use crate::inventory::Eks;

/// A part that is made for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Cluster,
    Nodes,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Cluster => "the control plane",
            Part::Nodes => "the node group",
        })
    }
}

/// How far a part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    Ready,
    /// It will be ready by itself; EKS's own word.
    Pending(String),
    /// It will not: EKS's own word, and what it says of the reasons.
    Broken(String, Vec<String>),
}

/// The control plane, as EKS shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeenCluster {
    pub phase: Phase,
    pub version: String,
    pub role: String,
    pub subnets: BTreeSet<String>,
    pub vpc: String,
    pub endpoint: Option<String>,
    pub authority: Option<String>,
}

/// The group of nodes, as EKS shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeenNodes {
    pub phase: Phase,
    pub version: String,
    pub role: String,
    pub subnets: BTreeSet<String>,
    pub instance_types: BTreeSet<String>,
    pub min: u32,
    pub max: u32,
    pub scaling_groups: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub cluster: Option<SeenCluster>,
    pub nodes: Option<SeenNodes>,
}

/// A field that is not as wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub part: Part,
    pub field: &'static str,
    pub wanted: String,
    pub there: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { part, field, wanted, there } = self;
        write!(f, "{field} of {part} is {there}, wanted is {wanted}")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Move {
    Make(Part),
    Wait {
        part: Part,
        status: String,
    },
    /// All that differs, and nothing was changed.
    Refuse(Vec<Difference>),
    GiveUp {
        part: Part,
        status: String,
        why: String,
    },
    Done(EksCluster),
}

/// First whether what is there may be used at all, then what is missing.
pub(super) fn next(wanted: &Eks, region: &str, seen: &Seen) -> Move {
    let differences = differences(wanted, seen);
    if !differences.is_empty() {
        return Move::Refuse(differences);
    }
    let Some(cluster) = &seen.cluster else { return Move::Make(Part::Cluster) };
    if let Some(waits) = unready(Part::Cluster, &cluster.phase) {
        return waits;
    }
    let (Some(endpoint), Some(authority)) = (&cluster.endpoint, &cluster.authority) else {
        return Move::Wait { part: Part::Cluster, status: "it has no address yet".to_owned() };
    };
    let Some(nodes) = &seen.nodes else { return Move::Make(Part::Nodes) };
    if let Some(waits) = unready(Part::Nodes, &nodes.phase) {
        return waits;
    }
    Move::Done(EksCluster {
        name: wanted.cluster.clone(),
        region: region.to_owned(),
        version: cluster.version.clone(),
        endpoint: endpoint.clone(),
        authority: authority.clone(),
        vpc: cluster.vpc.clone(),
        scaling_groups: nodes.scaling_groups.clone(),
    })
}

/// None: it is ready.
fn unready(part: Part, phase: &Phase) -> Option<Move> {
    match phase {
        Phase::Ready => None,
        Phase::Pending(status) => Some(Move::Wait { part, status: status.clone() }),
        Phase::Broken(status, reasons) => {
            let why = match reasons.as_slice() {
                [] => "EKS does not say why".to_owned(),
                reasons => reasons.join("; "),
            };
            Some(Move::GiveUp { part, status: status.clone(), why })
        }
    }
}

/// How many nodes there are is the autoscaler's business; how many there may be is the file's.
fn differences(wanted: &Eks, seen: &Seen) -> Vec<Difference> {
    let mut all = Vec::new();
    let set = |items: &[String]| items.iter().cloned().collect::<BTreeSet<_>>();
    let subnets = listed(&set(&wanted.subnets));
    let mut compare = |part: Part, field: &'static str, wanted: &str, there: &str| {
        if wanted != there {
            all.push(Difference { part, field, wanted: wanted.to_owned(), there: there.to_owned() });
        }
    };
    if let Some(cluster) = &seen.cluster {
        compare(Part::Cluster, "version", &wanted.version, &cluster.version);
        compare(Part::Cluster, "role", &wanted.role, &cluster.role);
        compare(Part::Cluster, "subnets", &subnets, &listed(&cluster.subnets));
    }
    if let Some(nodes) = &seen.nodes {
        let types = listed(&set(&wanted.instance_types));
        compare(Part::Nodes, "version", &wanted.version, &nodes.version);
        compare(Part::Nodes, "role", &wanted.node_role, &nodes.role);
        compare(Part::Nodes, "subnets", &subnets, &listed(&nodes.subnets));
        compare(Part::Nodes, "instance types", &types, &listed(&nodes.instance_types));
        compare(Part::Nodes, "min", &wanted.min.to_string(), &nodes.min.to_string());
        compare(Part::Nodes, "max", &wanted.max.to_string(), &nodes.max.to_string());
    }
    all
}

fn listed(items: &BTreeSet<String>) -> String {
    items.iter().cloned().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Eks {
        let text = str::to_owned;
        Eks {
            cluster: text("green"),
            version: text("1.34"),
            role: text("arn:aws:iam::1:role/eks"),
            subnets: vec![text("subnet-b"), text("subnet-a")],
            node_role: text("arn:aws:iam::1:role/nodes"),
            instance_types: vec![text("m6i.large")],
            min: 2,
            max: 6,
            desired: 3,
        }
    }

    fn cluster(phase: Phase) -> SeenCluster {
        let wanted = wanted();
        SeenCluster {
            phase,
            version: wanted.version,
            role: wanted.role,
            subnets: wanted.subnets.into_iter().collect(),
            vpc: "vpc-1".to_owned(),
            endpoint: Some("https://0123.eks.amazonaws.com".to_owned()),
            authority: Some("UEVN".to_owned()),
        }
    }

    fn nodes(phase: Phase) -> SeenNodes {
        let wanted = wanted();
        SeenNodes {
            phase,
            version: wanted.version,
            role: wanted.node_role,
            subnets: wanted.subnets.into_iter().collect(),
            instance_types: wanted.instance_types.into_iter().collect(),
            min: wanted.min,
            max: wanted.max,
            scaling_groups: vec!["eks-nodes".to_owned()],
        }
    }

    fn of(cluster: Option<SeenCluster>, nodes: Option<SeenNodes>) -> Move {
        next(&wanted(), "eu-central-1", &Seen { cluster, nodes })
    }

    #[test]
    fn each_part_is_made_when_the_one_before_it_is_ready() {
        let pending = || Phase::Pending("CREATING".to_owned());
        let waits = |part| Move::Wait { part, status: "CREATING".to_owned() };
        assert_eq!(of(None, None), Move::Make(Part::Cluster));
        assert_eq!(of(Some(cluster(pending())), None), waits(Part::Cluster));
        assert_eq!(of(Some(cluster(Phase::Ready)), None), Move::Make(Part::Nodes));
        assert_eq!(of(Some(cluster(Phase::Ready)), Some(nodes(pending()))), waits(Part::Nodes));
        let Move::Done(done) = of(Some(cluster(Phase::Ready)), Some(nodes(Phase::Ready))) else {
            panic!("not done")
        };
        assert_eq!(
            (done.endpoint.as_str(), done.authority.as_str()),
            ("https://0123.eks.amazonaws.com", "UEVN")
        );
        assert_eq!(done.scaling_groups, ["eks-nodes"]);
    }

    #[test]
    fn a_cluster_without_an_address_is_waited_for() {
        let bare = SeenCluster { endpoint: None, ..cluster(Phase::Ready) };
        assert!(matches!(of(Some(bare), None), Move::Wait { part: Part::Cluster, .. }));
    }

    #[test]
    fn what_is_broken_is_given_up_with_its_reasons() {
        let why = "AsgInstanceLaunchFailures: no capacity".to_owned();
        let broken = nodes(Phase::Broken("CREATE_FAILED".to_owned(), vec![why.clone()]));
        let status = "CREATE_FAILED".to_owned();
        let expected = Move::GiveUp { part: Part::Nodes, status, why };
        assert_eq!(of(Some(cluster(Phase::Ready)), Some(broken)), expected);
    }

    #[test]
    fn another_cluster_of_that_name_is_refused_with_all_that_differs() {
        let other = SeenCluster {
            version: "1.33".to_owned(),
            role: "arn:aws:iam::1:role/other".to_owned(),
            subnets: ["subnet-a".to_owned()].into(),
            // Even while it is not ready.
            ..cluster(Phase::Pending("CREATING".to_owned()))
        };
        let fewer = SeenNodes {
            max: 4,
            min: 1,
            instance_types: ["t3.large".to_owned()].into(),
            ..nodes(Phase::Ready)
        };
        let Move::Refuse(differences) = of(Some(other), Some(fewer)) else { panic!("not refused") };
        let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "version of the control plane is 1.33, wanted is 1.34",
                "role of the control plane is arn:aws:iam::1:role/other, wanted is arn:aws:iam::1:role/eks",
                "subnets of the control plane is subnet-a, wanted is subnet-a, subnet-b",
                "instance types of the node group is t3.large, wanted is m6i.large",
                "min of the node group is 1, wanted is 2",
                "max of the node group is 4, wanted is 6",
            ]
        );
    }
}
