//! The command between two real API servers.

use std::process::{Command, Output};

use camino::Utf8PathBuf;
use keelwright::exec::KubeApi as _;
use serde_json::{Value, json};

use super::{OBJECTS, Side};

/// A migration's file in a directory of its own.
struct File(Utf8PathBuf);

impl File {
    fn new(blue: &Side, green: &Side) -> Self {
        let directory = std::env::temp_dir().join(format!("keelwright-it-migrate-{}", std::process::id()));
        let directory = Utf8PathBuf::from_path_buf(directory).unwrap();
        std::fs::create_dir_all(&directory).unwrap();
        let text = format!(
            "
apiVersion: keelwright.dev/v1
kind: Migration
metadata: {{name: shop}}
aws: {{region: eu-central-1}}
names: [{{name: shop.example.org, hostedZone: Z0123456789ABC}}]
blue: {{balancer: {{name: shop-old}}, kubeconfig: {}}}
green: {{balancer: {{name: shop-new}}, kubeconfig: {}}}
probes: [{{name: page}}]
copy: {{namespaces: [sho*], withoutKinds: [APIService], storageClasses: {{fast: faster}}}}
",
            blue.kubeconfig, green.kubeconfig
        );
        std::fs::write(directory.join("migration.yaml"), text).unwrap();
        File(directory)
    }

    fn copy(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keelwright"));
        command.args(["migrate", "copy", "-f", self.0.join("migration.yaml").as_str()]).args(arguments);
        command.output().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}\n{stderr}");
    assert!(
        !stdout.contains("aHVudGVy") && !stderr.contains("aHVudGVy"),
        "a Secret was shown: {stdout}\n{stderr}"
    );
    stdout
}

#[tokio::test]
async fn shows_asks_copies_and_has_nothing_to_do_the_second_time() {
    let Some(blue) = Side::start("command-blue").await else { return };
    let Some(green) = Side::start("command-green").await else { return };
    blue.make(OBJECTS).await;
    let file = File::new(&blue, &green);

    let shown = ended(&file.copy(&["--dry-run"]), 3);
    assert!(shown.contains("  + Deployment shop/web\n") && shown.contains("stays on blue\n"), "{shown}");
    let again = ended(&file.copy(&["--dry-run"]), 3);
    assert_eq!(shown, again, "a look changes nothing");
    let unasked = file.copy(&[]);
    ended(&unasked, 4);
    assert!(
        text(&unasked.stderr).contains("agree without a terminal with --yes"),
        "{}",
        text(&unasked.stderr)
    );
    assert_eq!(ended(&file.copy(&["--dry-run"]), 3), again, "nothing was agreed to");

    let copied: Value = serde_json::from_str(&ended(&file.copy(&["--yes", "--output", "json"]), 0)).unwrap();
    let applied = copied["outcome"]["applied"].as_array().unwrap();
    assert!(applied.iter().any(|object| object["kind"] == "Widget"), "{applied:?}");
    assert!(
        copied["survey"]["left"]
            .as_array()
            .unwrap()
            .iter()
            .any(|left| left["what"] == "RuntimeClass sandbox")
    );
    let done = ended(&file.copy(&["--dry-run"]), 0);
    assert!(done.starts_with(&format!("{} objects: {} the same\n", applied.len(), applied.len())), "{done}");

    let config =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "shop"}});
    green.api.patch(&config, &json!({"data": {"color": "theirs"}})).await.unwrap();
    let conflict = file.copy(&["--yes"]);
    let said = ended(&conflict, 1);
    assert!(said.contains("  ConfigMap shop/web\n      keelwright: .data.color\n"), "{said}");
    assert!(
        text(&conflict.stderr).contains("go on with\n    keelwright migrate copy -f"),
        "{}",
        text(&conflict.stderr)
    );
}
