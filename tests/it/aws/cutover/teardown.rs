//! The end of the old cluster: by the real Terraform with a configuration that needs no provider, and by a program in the
//! place of kops that notes how it is called.

use std::process::Command;

use super::stage::{Stage, text};

const OLD: &str = r#"resource "terraform_data" "old_cluster" {
  input = "blue"
}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_cluster_goes_by_terraform_only_when_that_is_confirmed() {
    if Command::new("terraform").arg("version").output().is_err() {
        eprintln!("skipped: there is no terraform");
        return;
    }
    let more = "teardown: {terraform: {directory: old}, simpleRecord: true}\n";
    let Some(stage) = Stage::new("teardown", more).await else { return };
    let old = stage.home.join("old");
    std::fs::create_dir_all(&old).unwrap();
    std::fs::write(old.join("main.tf"), OLD).unwrap();
    let terraform = |args: &[&str]| {
        let output = Command::new("terraform").args(args).current_dir(&old).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    };
    terraform(&["init", "-input=false", "-no-color"]);
    terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]);
    let there = || terraform(&["state", "list"]);
    assert!(there().contains("terraform_data.old_cluster"));

    let refused = stage.run(&["apply", "--yes", "--confirm-teardown", "prod"]);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    let applied = stage.run(&["apply", "--yes"]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
    assert_eq!(stage.weights().await, [("127.0.0.3.", 1)]);
    assert!(text(&applied.stdout).contains("1 to destroy"), "{}", text(&applied.stdout));
    assert!(text(&applied.stderr).contains("--confirm-teardown shop"), "{}", text(&applied.stderr));
    assert!(there().contains("terraform_data.old_cluster"), "nobody has confirmed it");
    let pending = stage.run(&["plan", "--check"]);
    assert_eq!(pending.status.code(), Some(3), "{}", text(&pending.stderr));

    let applied = stage.run(&["apply", "--yes", "--confirm-teardown", "shop"]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
    assert_eq!(there(), "");
    let done = stage.run(&["plan", "--check"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
}

const KOPS: &str = "#!/bin/sh\necho \"$*\" >>\"$HOME/kops.called\"\ntest ! -e \"$HOME/kops.fails\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_cluster_goes_by_kops_only_when_that_is_confirmed() {
    let more = "teardown: {kops: {cluster: old.example.org, state: 's3://acme-kops'}}\n";
    let Some(stage) = Stage::new("kops-teardown", more).await else { return };
    stage.install("kops", KOPS);
    let applied = stage.run(&["apply", "--yes"]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
    let delete = "delete cluster --name old.example.org --state s3://acme-kops\n";
    assert_eq!(stage.read("kops.called"), delete, "without --yes it only shows");
    std::fs::write(stage.home.join("kops.fails"), "").unwrap();
    let failed = stage.run(&["apply", "--yes", "--confirm-teardown", "shop"]);
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
    assert!(text(&failed.stderr).contains("kops delete cluster"), "{}", text(&failed.stderr));
    std::fs::remove_file(stage.home.join("kops.fails")).unwrap();
    std::fs::remove_file(stage.home.join("kops.called")).unwrap();
    let applied = stage.run(&["apply", "--yes", "--confirm-teardown", "shop"]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
    let sure = delete.replace('\n', " --yes\n");
    assert_eq!(stage.read("kops.called"), format!("{delete}{sure}"));
    let again = stage.run(&["apply", "--yes", "--confirm-teardown", "shop"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!(stage.read("kops.called"), format!("{delete}{sure}"), "what is gone is left");
}
