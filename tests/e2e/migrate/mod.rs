//! A service moves from one cluster to another under traffic, and nobody notices. The account is moto's; haproxies stand in
//! for its balancers, a name server of our own for Route 53's, and machines of the lab for its instances.

mod account;
mod alone;
mod balancer;
mod clients;
mod follower;
mod hand;
mod kubeadm;
mod record;
mod share;
mod stage;

use std::time::{Duration, Instant};

pub use keelwright::migrate::record::Side;

use account::Style;
use clients::Clients;
use record::{Told, follow_the_weights, none_has_failed, phases};
use stage::{Migration, Setting, Stage, USUAL, is_rolled_out, labs, serve, stage};

/// Repeats a look until it gives something.
async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < within, "{what}, after {} s", within.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// From the beginning to the end of blue, whoever ends it.
async fn nobody_notices(stage: &mut Stage, title: &str, file: &str, more: &[&str]) {
    let clients = Clients::start(&stage.clients(40));
    stage.is_served(&clients, Duration::from_secs(10)).await;
    let mut events = vec![(Instant::now(), "migrate apply".to_owned())];
    let mut apply = Migration::start(stage, more);
    let status = apply.ended().await;
    let ended = Instant::now();
    events.push((ended, "it is over".to_owned()));
    // Also those who go on with old answers: blue's balancer leads to green.
    let last = clients.since(Duration::from_secs(5));
    let history = stage.dns.history();
    events.extend(stage.follower.seen().into_iter().skip(2));
    if status.success() {
        // Blue is gone, with its balancer.
        stage.follower.remove(Side::Blue).await;
        stage.clusters.blue.lab.machines().iter().for_each(|machine| {
            stage.clusters.blue.lab.kill(machine.name).unwrap();
        });
        events.push((Instant::now(), "blue is gone".to_owned()));
        stage.is_served(&clients, Duration::from_secs(20)).await;
    }
    let began = clients.began;
    let log = clients.stop().await;
    let phases = phases(&history, &stage.account, ended);
    let told = Told { title, began, log: &log, phases: &phases, events: &events };
    told.write(file);

    assert!(status.success(), "{status}: {}", apply.said());
    none_has_failed(&log);
    assert_eq!(stage.dns.empty(), Vec::<String>::new(), "the name had no answer");
    let stays = last.iter().find(|call| call.answered != Some(Side::Green));
    assert!(last.len() > 500 && stays.is_none(), "{stays:?} of {}", last.len());
    let taken_over =
        |call: &&clients::Call| call.asked == Some(Side::Blue) && call.answered == Some(Side::Green);
    let taken_over = log.calls.iter().filter(taken_over).count();
    assert!(taken_over > 0, "nobody came to green by blue's balancer");
    eprintln!("{} requests, {taken_over} of them by blue's balancer to green", log.calls.len());
    follow_the_weights(&log, &phases);
    let simple = [stage.account.record(Side::Green, None)];
    assert_eq!(stage.records().await, simple, "the name is green's alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes its time: make e2e"]
async fn two_hundred_clients_notice_nothing_of_a_migration() {
    let setting = Setting {
        name: "e2e-move",
        more: |clusters| {
            let blue = clusters.blue.inventory();
            let usual = (USUAL.more)(clusters);
            let reset = format!("teardown: {{reset: {{inventory: {}}}, ", blue.display());
            usual.replace("teardown: {", &reset)
        },
        ..USUAL
    };
    let Some(mut stage) = stage(setting).await else { return };
    let title = "A service moves between two clusters while 200 clients use it";
    nobody_notices(&mut stage, title, "migration", &["--confirm-teardown", "shop"]).await;
}

/// Green is made by the first run, which then says that the page is not there yet; `migrate copy` brings it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes its time: make e2e"]
async fn a_cluster_that_kubeadm_made_moves_to_one_that_is_made_on_the_way() {
    let setting = Setting {
        name: "e2e-adm",
        style: Style::Alias,
        schedule: &[50, 100],
        clusters: |name| {
            let clusters = labs(name);
            kubeadm::make(&clusters.blue);
            serve(&clusters.blue);
            clusters
        },
        keys: Side::Green,
        more: |clusters| {
            format!(
                "blue: {{balancer: {{name: shop-old}}, kubeconfig: {}}}
green: {{balancer: {{name: shop-new}}}}
make: {{inventory: {}}}
copy: {{namespaces: [shop]}}
teardown: {{simpleRecord: true}}
",
                clusters.blue.kubeconfig().display(),
                clusters.green.inventory().display()
            )
        },
    };
    let Some(mut stage) = stage(setting).await else { return };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let made = stage.migrate("apply", &["--yes"]);
    let said = text(&made.stderr);
    assert_eq!(made.status.code(), Some(4), "green has no page yet: {said}");
    assert_eq!(stage.clusters.green.ready_nodes(), ["cp-1", "worker-1"], "{said}");
    let copied = stage.migrate("copy", &["--yes"]);
    assert!(copied.status.success(), "{}{}", text(&copied.stdout), text(&copied.stderr));
    is_rolled_out(&stage.clusters.green);
    let again = stage.migrate("copy", &["--dry-run"]);
    assert!(again.status.success(), "all of it is there: {}", text(&again.stdout));
    let title = "A service moves from a cluster of kubeadm's to one that is made on the way";
    nobody_notices(&mut stage, title, "migration-kubeadm", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes its time: make e2e"]
async fn green_that_turns_bad_at_a_quarter_is_left_within_one_gate_period() {
    let Some(stage) = stage(Setting { name: "e2e-back", ..USUAL }).await else { return };
    let clients = Clients::start(&stage.clients(0));
    // A migration takes hours; this one has a few minutes for the requests of which at most 1 % may fail.
    stage.is_served(&clients, Duration::from_secs(120)).await;
    let mut apply = Migration::start(&stage, &[]);
    let green = async |wanted: u8| {
        let weights = async || {
            let history = stage.dns.history();
            let last = phases(&history, &stage.account, Instant::now()).pop()?;
            (last.weights.green == wanted).then_some(last.from)
        };
        until(&format!("green's weight is not {wanted}"), Duration::from_secs(600), weights).await
    };
    let began = green(25).await;
    stage.one_of_greens_pods_turns_bad();
    let bad = Instant::now();
    // No share of it is good.
    let back = green(0).await;
    let status = apply.ended().await;
    assert!(began < bad && !status.success(), "{status}: {}", apply.said());
    // Answers that led to green run out.
    stage.answers_run_out().await;
    let (began, history) = (clients.began, stage.dns.history());
    let log = clients.stop().await;
    let phases = phases(&history, &stage.account, Instant::now());
    let events = [(bad, "green turns bad".to_owned()), (back, "back".to_owned())];
    let title = "Green turns bad at 25 %";
    Told { title, began, log: &log, phases: &phases, events: &events }.write("migration-back");
    let took = back.duration_since(bad);
    let failed = log.calls.iter().filter(|call| call.error.is_some()).count();
    eprintln!("back after {:.1} s; {failed} of {} requests failed", took.as_secs_f64(), log.calls.len());
    assert!(took <= stage::SOAK, "it took {took:?}");
    assert!(failed > 0 && failed * 100 < log.calls.len(), "{failed} of {} requests failed", log.calls.len());
    assert_eq!(stage.dns.empty(), Vec::<String>::new(), "the name had no answer");
    let said = apply.said();
    assert!(
        said.contains("100/0") && said.contains("failed"),
        "it says where it went back to, and why: {said}"
    );
}
