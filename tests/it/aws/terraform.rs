//! What is written for Terraform, made by the real Terraform in the emulator: keelwright then has nothing to do.

use std::process::Command;

use super::commands::Operator;
use super::lifecycle::census_of;
use crate::emulator::census::Census;
use crate::emulator::proxy::Delays;

/// Names the directory of Terraform's providers: they are not fetched in a test.
const PLUGINS: &str = "KEELWRIGHT_TERRAFORM_PLUGINS";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make e2e"]
async fn what_terraform_makes_is_as_wanted() {
    let has_terraform = Command::new("terraform").arg("version").output().is_ok();
    let Some(plugins) = std::env::var_os(PLUGINS).filter(|_| has_terraform) else {
        eprintln!("skipped: there is no terraform, or {PLUGINS} names no directory with its providers");
        return;
    };
    let plugins = format!("-plugin-dir={}", plugins.to_string_lossy());
    let Some(operator) = Operator::new("terraform", "").await else { return };
    // Terraform asks once every ten seconds.
    operator.cloud.proxy.set(|settings| settings.delays = Delays::all(0));
    let written = operator.run(&["plan", "--terraform", "tf"]);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let directory = operator.home.join("tf");
    // The account is nobody's: checks that ask AWS about itself are left out.
    let test = r#"{"provider": {"aws": {"skip_credentials_validation": true, "skip_region_validation": true,
        "skip_requesting_account_id": true, "skip_metadata_api_check": true}}}"#;
    std::fs::write(directory.join("test_override.tf.json"), test).unwrap();
    let terraform = |args: &[&str]| {
        let mut command = Command::new("terraform");
        command.args(args).current_dir(&directory);
        command.env("AWS_ENDPOINT_URL", operator.cloud.proxy.url()).env("TF_IN_AUTOMATION", "1");
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "terraform {args:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    };
    terraform(&["init", "-input=false", "-no-color", &plugins]);
    terraform(&["validate", "-no-color"]);
    terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]);
    let planned = operator.run(&["plan"]);
    let said = String::from_utf8_lossy(&planned.stdout).into_owned();
    // Of what Terraform sent, moto forgets the groups of instances and the policy of a scaling group with the next
    // change of either; Terraform itself would set them again, too.
    let forgotten = ["groups:", "instanceTypes:", "template:"];
    let lines = said.lines().take_while(|line| !line.contains(" to make, "));
    let differs = lines.filter(|line| line.starts_with("    "));
    let others: Vec<_> =
        differs.filter(|line| !forgotten.iter().any(|field| line.trim().starts_with(field))).collect();
    assert_eq!(others, Vec::<&str>::new(), "{said}");
    assert!(said.contains("\n0 to make, ") && said.contains(", 0 to take away\n"), "{said}");
    terraform(&["destroy", "-auto-approve", "-input=false", "-no-color"]);
    assert_eq!(census_of(&operator.cloud).await, Census::new());
}
