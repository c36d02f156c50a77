//! Clusters that have made things of their own, among things of others, in a cloud in memory.

use super::*;
use crate::cloud::fake::{Awkward, FakeCloud, cloud_with};
use crate::cloud::plan::InfraStep;
use crate::cloud::run::{Pace, StepError};
use crate::cloud::spec::tests::{example, state_of};
use crate::exec::Clock as _;

/// An account with the cluster of the examples, which is called test.
struct Account {
    cloud: FakeCloud,
    observed: Observed,
}

impl Account {
    fn new() -> Self {
        let (cloud, observed) = cloud_with(&state_of(&example()));
        Account { cloud, observed }
    }

    fn id(&self, name: &str) -> PhysicalId {
        self.observed.found[&ResourceName::parse(name).unwrap()][0].id.clone()
    }

    fn place(&self, id: &str, kind: NeighbourKind, tags: &[(&str, &str)], uses: &[&str]) -> PhysicalId {
        self.place_naming(id, kind, tags, uses, &[])
    }

    /// `uses` and `names` are names of ours, or ids.
    fn place_naming(
        &self,
        id: &str,
        kind: NeighbourKind,
        tags: &[(&str, &str)],
        uses: &[&str],
        names: &[&str],
    ) -> PhysicalId {
        let neighbour = self.neighbour(id, kind, tags, uses, names);
        self.cloud.place(neighbour.clone());
        neighbour.id
    }

    fn neighbour(
        &self,
        id: &str,
        kind: NeighbourKind,
        tags: &[(&str, &str)],
        uses: &[&str],
        names: &[&str],
    ) -> Neighbour {
        let of = |name: &&str| if name.contains('/') { self.id(name) } else { PhysicalId((*name).into()) };
        Neighbour {
            id: PhysicalId(id.to_owned()),
            kind,
            name: format!("name-of-{id}"),
            tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            uses: uses.iter().map(of).collect(),
            names: names.iter().map(of).collect(),
            public: kind == NeighbourKind::Balancer,
        }
    }

    /// What the cloud controller makes for a Service, and what a claim has.
    fn serve(&self) {
        let service = [OWNED, ("kubernetes.io/service-name", "default/web")];
        self.place_naming(
            "sg-web",
            NeighbourKind::SecurityGroup,
            &[OWNED],
            &["vpc/main"],
            &["security-group/worker"],
        );
        self.place("tg-web", NeighbourKind::TargetGroup, &service, &["vpc/main"]);
        let place = ["vpc/main", "subnet/public-a", "subnet/public-b", "sg-web", "tg-web"];
        self.place("lb-web", NeighbourKind::Balancer, &service, &place);
        self.place("old-web", NeighbourKind::ClassicBalancer, &service, &place[..4]);
        // The controller lets the group through to the nodes.
        self.cloud.meddle(&ResourceName::parse("security-rules/worker").unwrap(), |resource| {
            let Resource::SecurityRules(rules) = resource else { panic!() };
            let peer = crate::cloud::resource::Peer::Group(Ref::Theirs(PhysicalId("sg-web".into())));
            rules.ingress.insert(crate::cloud::resource::Rule {
                protocol: crate::cloud::resource::Protocol::All,
                peer,
            });
        });
    }

    fn claim(&self, id: &str, machine: &str) {
        let tags = [
            OWNED,
            (OF_DRIVER, "true"),
            ("kubernetes.io/created-for/pvc/namespace", "shop"),
            ("kubernetes.io/created-for/pvc/name", "data"),
        ];
        self.place(id, NeighbourKind::Volume, &tags, &[machine]);
    }

    fn destroyer(&self, volumes: Volumes) -> Destroyer<'_> {
        Destroyer {
            api: &self.cloud,
            clock: &self.cloud,
            pace: Pace::default(),
            seed: 1,
            cluster: "test",
            network: None,
            volumes,
            events: &|_, _| {},
        }
    }

    fn look(&self, volumes: Volumes) -> Scene {
        futures::executor::block_on(self.destroyer(volumes).look()).unwrap()
    }

    fn destroy(&self, volumes: Volumes) -> Ended {
        futures::executor::block_on(async {
            let destroyer = self.destroyer(volumes);
            let first = destroyer.look().await.unwrap();
            destroyer.carry_out(first).await.unwrap()
        })
    }
}

const OWNED: (&str, &str) = ("kubernetes.io/cluster/test", "owned");

fn place_of(steps: &[InfraStep], name: &str) -> usize {
    steps.iter().position(|step| step.name.as_str() == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn what_the_cluster_has_made_goes_with_it_in_order() {
    let account = Account::new();
    account.serve();
    account.claim("vol-1", "instance/cp-1");
    let scene = account.look(Volumes::Delete);
    assert_eq!((scene.destruction.held.as_slice(), scene.destruction.kept.as_slice()), (&[][..], &[][..]));
    insta::assert_snapshot!(crate::cloud::show::text(&scene.destruction.plan));
    let steps = &scene.destruction.plan.steps;
    for (first, then) in [
        ("instance/cp-3", "made-balancer/name-of-lb-web"),
        ("scaling-group/workers", "made-volume/name-of-vol-1"),
        ("made-balancer/name-of-lb-web", "made-target-group/name-of-tg-web"),
        ("made-balancer/name-of-lb-web", "made-security-group/name-of-sg-web"),
        ("made-classic-balancer/name-of-old-web", "subnet/public-a"),
        ("made-balancer/name-of-lb-web", "internet-gateway/main"),
        ("made-security-group/name-of-sg-web", "vpc/main"),
        ("made-security-rules/name-of-sg-web", "security-group/worker"),
        ("security-rules/worker", "made-security-group/name-of-sg-web"),
    ] {
        assert!(place_of(steps, first) < place_of(steps, then), "{first} before {then}");
    }
    let ended = account.destroy(Volumes::Delete);
    assert!(ended.is_complete(), "{ended:#?}");
    assert_eq!((account.cloud.census(), account.cloud.foreign()), (vec![], vec![]));
}

#[test]
fn volumes_of_claims_stay_unless_somebody_says_that_they_go() {
    let account = Account::new();
    account.claim("vol-1", "instance/cp-1");
    // A driver that was not told the cluster's name.
    account.place("vol-2", NeighbourKind::Volume, &[(OF_DRIVER, "true")], &["instance/cp-2"]);
    account.place("vol-3", NeighbourKind::Volume, &[(OF_DRIVER, "true")], &[]);
    // Another cluster of the same name has this one.
    account.claim("vol-4", "i-foreign");
    // A machine's own disk.
    account.place("vol-5", NeighbourKind::Volume, &[OWNED], &["instance/cp-1"]);
    let ended = account.destroy(Volumes::Keep);
    assert!(ended.is_complete(), "{ended:#?}");
    assert_eq!(account.cloud.census(), Vec::<String>::new());
    assert_eq!(account.cloud.foreign(), ["vol-1", "vol-2", "vol-3", "vol-4", "vol-5"]);
    let kept: Vec<_> = ended.kept.iter().map(|kept| (kept.volume.id.as_str(), kept.why.clone())).collect();
    let elsewhere = Keep::Elsewhere(PhysicalId("i-foreign".into()));
    assert_eq!(kept, [("vol-1", Keep::Data), ("vol-2", Keep::Unmarked), ("vol-4", elsewhere)]);
    assert_eq!(ended.kept[0].purpose, "claim shop/data");

    // Nothing else is left of the cluster, and they can still be found.
    let ended = account.destroy(Volumes::Delete);
    assert!(ended.is_complete(), "{ended:#?}");
    assert_eq!(account.cloud.foreign(), ["vol-2", "vol-3", "vol-4", "vol-5"]);
}

#[test]
fn what_somebody_else_has_stays_with_what_it_needs_and_is_named() {
    let account = Account::new();
    account.serve();
    let foreign = [("Name", "shop"), ("kubernetes.io/cluster/other", "owned")];
    let balancer =
        account.place("lb-other", NeighbourKind::Balancer, &foreign, &["vpc/main", "subnet/public-b"]);
    account.place_naming(
        "sg-other",
        NeighbourKind::SecurityGroup,
        &[],
        &["vpc/main"],
        &["security-group/worker"],
    );
    // Neither is in the way of anything.
    account.place("tg-other", NeighbourKind::TargetGroup, &[], &["vpc/main"]);
    account.place("lb-elsewhere", NeighbourKind::Balancer, &[], &["vpc-other"]);
    let before = account.look(Volumes::Keep);
    let held = |id: &str, scene: &Scene| -> Vec<String> {
        let held = scene.destruction.held.iter().find(|held| held.by.id.as_str() == id).unwrap();
        held.what.iter().map(ToString::to_string).collect()
    };
    let of_balancer = ["internet-gateway/main", "subnet/public-b", "vpc/main"];
    assert_eq!(held("lb-other", &before), of_balancer);
    assert_eq!(held("sg-other", &before), ["security-group/worker", "vpc/main"]);
    assert_eq!(before.destruction.held.len(), 2);

    let began = account.cloud.now();
    let ended = account.destroy(Volumes::Keep);
    assert!(!ended.is_complete());
    // It knew, so it has not tried for minutes.
    assert_eq!(ended.outcome.failed, []);
    assert!(account.cloud.now() - began < Pace::default().patience, "{:?}", account.cloud.now() - began);
    assert_eq!(
        account.cloud.census(),
        ["internet-gateway/main", "security-group/worker", "subnet/public-b", "vpc/main"]
    );
    assert_eq!(account.cloud.foreign(), ["lb-elsewhere", "lb-other", "sg-other", "tg-other"]);
    assert_eq!(users(&ended.scene.neighbours, &account.id("subnet/public-b"))[0].id, balancer);
}

#[test]
fn what_is_in_the_way_and_was_not_foreseen_can_be_named_afterwards() {
    let account = Account::new();
    let interface = NeighbourKind::Interface;
    account.place("eni-1", interface, &[], &["vpc/main", "subnet/private-a"]);
    let ended = account.destroy(Volumes::Keep);
    let failed: Vec<_> =
        ended.outcome.failed.iter().map(|(at, _)| ended.plan.steps[*at].name.as_str()).collect();
    assert_eq!(failed, ["subnet/private-a"]);
    assert!(matches!(ended.outcome.failed[0].1, StepError::Patience { .. }));
    assert_eq!(account.cloud.census(), ["subnet/private-a", "vpc/main"]);
    let users = users(&ended.scene.neighbours, &account.id("subnet/private-a"));
    assert_eq!(users.iter().map(|user| user.id.as_str()).collect::<Vec<_>>(), ["eni-1"]);
}

#[test]
fn what_a_controller_makes_in_its_last_moments_goes_too() {
    let account = Account::new();
    account.serve();
    let service = [("elbv2.k8s.aws/cluster", "test"), ("service.k8s.aws/stack", "default/late")];
    let uses = ["vpc/main", "subnet/public-a"];
    let late = account.neighbour("lb-late", NeighbourKind::Balancer, &service, &uses, &[]);
    account.cloud.world().late = vec![late];
    let ended = account.destroy(Volumes::Keep);
    assert!(ended.is_complete(), "{ended:#?}");
    assert_eq!((account.cloud.census(), account.cloud.foreign()), (vec![], vec![]));
}

#[test]
fn it_ends_with_nothing_left_whatever_the_cloud_does() {
    for seed in 0..40 {
        let account = Account::new();
        account.serve();
        account.claim("vol-1", "instance/cp-1");
        let awkward =
            Awkward { throttled: 10, lost_before: 5, lost_after: 10, unseen: 0, ..Awkward::default() };
        account.cloud.become_awkward(awkward, seed);
        let ended = loop {
            let destroyer = Destroyer { seed, ..account.destroyer(Volumes::Delete) };
            let ended = futures::executor::block_on(async {
                let first = destroyer.look().await?;
                destroyer.carry_out(first).await
            });
            // A look that was throttled away is made again by whoever started the command.
            if let Ok(ended) = ended {
                break ended;
            }
        };
        assert!(ended.is_complete(), "seed {seed}: {ended:#?}");
        assert_eq!((account.cloud.census(), account.cloud.foreign()), (vec![], vec![]), "seed {seed}");
    }
}
