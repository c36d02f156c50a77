//! From an empty AWS account to a real cluster: the account is moto's, lab machines stand in for the instances that
//! are made in it, at the addresses that were planned for them, behind a real bastion. The control planes become
//! instances of another type. Then a worker joins by itself with nothing but its user data, another takes its place when
//! the group is to have other machines, and that one leaves when its group says so.

mod power;
mod stage;

use std::collections::BTreeMap;
use std::time::Instant;

use crate::emulator::census::{Kind, Thing, census};

use stage::{Apply, CONTROL_PLANES, Instance, Stage, stage, until};

const OTHER_TYPE: &str = "m6i.xlarge";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_empty_account_to_a_cluster_that_workers_join_by_themselves() {
    let Some(stage) = stage().await else { return };
    let began = Instant::now();
    let mut apply = Apply::start(&stage);
    let instances = until("no instances were made", async || {
        if let Some(status) = apply.child.try_wait().unwrap() {
            panic!("{status}: {}", apply.said());
        }
        Some(stage.instances().await).filter(|instances| instances.len() == 4)
    })
    .await;
    eprintln!("the account has its machines after {:.1} s", began.elapsed().as_secs_f64());

    let machine = |instance: &Instance| {
        if instance.name == "bastion" {
            "bastion-1"
        } else {
            CONTROL_PLANES.into_iter().find(|name| *name == instance.name).unwrap()
        }
    };
    let mut consoles = BTreeMap::new();
    for (number, instance) in instances.iter().enumerate() {
        stage.stand_in(machine(instance), instance, &format!("198.19.{number}.0/24"));
        let name = machine(instance).parse().unwrap();
        let key = &stage.cluster.lab.machines().iter().find(|machine| machine.name == name).unwrap().host_key;
        let console =
            format!("-----BEGIN SSH HOST KEY KEYS-----\n{key} root@x\n-----END SSH HOST KEY KEYS-----\n");
        consoles.insert(instance.id.clone(), console);
        if instance.name == "bastion" {
            let address = stage.cluster.address("bastion-1");
            let way = format!("Host {}\n  HostName {address}\n", instance.public);
            std::fs::write(stage.home.join(".ssh/config"), way).unwrap();
        }
    }
    stage.cloud.proxy.set(|settings| settings.console = Box::new(move |id| consoles.get(id).cloned()));

    let status = apply.child.wait().unwrap();
    assert!(status.success(), "{status}: {}", apply.said());
    eprintln!("a cluster from nothing in {:.1} s", began.elapsed().as_secs_f64());
    let kubectl = |args: &str| {
        stage
            .cluster
            .ask("cp-1", &format!("/usr/local/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf {args}"))
    };
    println!("{}", kubectl("get nodes -o wide"));
    let ready = || {
        let nodes = kubectl("get nodes --no-headers");
        nodes.lines().filter(|line| line.contains(" Ready")).count()
    };
    assert_eq!(ready(), 3);
    let again = stage.command(&["plan", "--check"]).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));

    power::control_planes_get_another_type(&stage, OTHER_TYPE).await;
    until("a control plane is not ready", async || (ready() == 3).then_some(())).await;

    let [first] = stage.workers().await.try_into().unwrap();
    let began = Instant::now();
    stage.first_boot("spare-1", &first, "198.18.252.200", "198.19.9.0/24").await;
    until("the worker is not ready", async || (ready() == 4).then_some(())).await;
    eprintln!("a worker joined by itself in {:.1} s", began.elapsed().as_secs_f64());
    another_takes_its_place(&stage, &first, &kubectl).await;
    leaves_by_itself(&stage, &kubectl).await;

    let destroyed = stage.command(&["destroy", "--confirm", "prod"]).output().unwrap();
    assert!(destroyed.status.success(), "{}", String::from_utf8_lossy(&destroyed.stderr));
    let left = census(&stage.cloud.moto.in_region("eu-central-1"), "/keelwright").await;
    // Without the volumes that moto makes for machines of a scaling group and forgets.
    let is_root = |kind: &Kind, thing: &&Thing| *kind == Kind::Volume && thing.tags.is_empty();
    // And without the bucket with the cluster's state, which is the operators'.
    let of_kind = |(kind, things)| {
        let things: &Vec<Thing> = things;
        things.iter().filter(move |thing| !is_root(kind, thing) && *kind != Kind::Bucket)
    };
    let left: Vec<_> = left.iter().flat_map(of_kind).collect();
    assert!(left.is_empty(), "{left:?}");
    stage.state_is_shared().await;
}

/// The group is to have other machines: a new one comes and is a node before the old one goes.
async fn another_takes_its_place(stage: &Stage, first: &str, kubectl: &dyn Fn(&str) -> String) {
    stage.inventory("second", OTHER_TYPE);
    let began = Instant::now();
    let mut apply = Apply::start(stage);
    let second = until("the group has no other machine", async || {
        if let Some(status) = apply.child.try_wait().unwrap() {
            panic!("{status}: {}", apply.said());
        }
        stage.workers().await.into_iter().find(|id| id != first)
    })
    .await;
    stage.first_boot("spare-2", &second, "198.18.252.201", "198.19.10.0/24").await;
    let status = apply.child.wait().unwrap();
    assert!(status.success(), "{status}: {}", apply.said());
    assert!(apply.said().contains("! scaling-group/workers: one machine is made anew"), "{}", apply.said());
    eprintln!("another worker took its place in {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!(stage.workers().await, [second]);
    assert_eq!(kubectl("get nodes -l pool=second --no-headers").lines().count(), 1);
    assert_eq!(kubectl("get nodes -l pool=first --no-headers"), "");
    let again = stage.command(&["plan", "--check"]).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
}

/// Its group takes it away: what runs on it goes first.
async fn leaves_by_itself(stage: &Stage, kubectl: &dyn Fn(&str) -> String) {
    let image = stage.cluster.image("agnhost");
    kubectl(&format!("create deployment pause --image={image} --replicas=3 -- /agnhost pause"));
    kubectl("rollout status deployment/pause --timeout=120s");
    let worker = stage.cluster.ask("spare-2", "hostname");
    let on_it = || kubectl(&format!("get pods -A --field-selector spec.nodeName={worker} -o name"));
    assert!(on_it().contains("pod/pause-"), "{}", on_it());
    for about in stage.metadata.lock().unwrap().values_mut() {
        about.insert("autoscaling/target-lifecycle-state".to_owned(), "Terminated".to_owned());
    }
    until("the group was not told", async || {
        (stage.cloud.proxy.count("AutoScaling.CompleteLifecycleAction") > 0).then_some(())
    })
    .await;
    assert!(!on_it().contains("pod/pause-"), "{}", on_it());
    assert!(kubectl(&format!("get node {worker}")).contains("SchedulingDisabled"));
}
