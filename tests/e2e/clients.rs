//! Clients that must not notice what is done to a cluster: one of its API, one of a service on it.

use std::collections::BTreeSet;

use crate::cluster::Cluster;

/// Ten times a second a write and a read through the endpoint of a node, each tried twice at most. How each
/// call ended is told in `calls`, with the second in which it did.
const API_CLIENT: &str = r#"
install -d /root/client && rm -f /root/client/* && touch /root/client/go
cat >/root/client/run <<'RUN'
api() { curl -sS -o /dev/null -w '%{http_code}' --max-time 10 --cacert /root/ca.crt --cert /root/admin.crt --key /root/admin.key "$@" 2>>/root/client/errors; }
tell() { echo "$(date +%s) $1 $2" >>/root/client/calls; }
i=0
while [ -e /root/client/go ]; do
  body="{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"w-$i\"}}"
  for try in ok retried failed; do
    [ $try = failed ] && { echo "w-$i $code" >>/root/client/failed; tell write $try; break; }
    code=$(api -X POST -H 'Content-Type: application/json' -d "$body" "$URL/api/v1/namespaces/writes/configmaps")
    case $code in 201|409) echo "w-$i" >>/root/client/acknowledged; tell write $try; break ;; esac
    echo "w-$i $code" >>/root/client/retried
  done
  for try in ok retried failed; do
    [ $try = failed ] && { echo "read-$i $code" >>/root/client/failed; tell read $try; break; }
    code=$(api "$URL/api/v1/namespaces/writes")
    [ "$code" = 200 ] && { tell read $try; break; }
    echo "read-$i $code" >>/root/client/retried
  done
  i=$((i+1))
  sleep 0.1
done
touch /root/client/ended
RUN
URL=https://127.0.0.1:7443 nohup sh /root/client/run >/dev/null 2>&1 &"#;

/// Calls a NodePort of one node after another; a call that fails is tried at the next node once.
const SERVICE_CLIENT: &str = r#"
install -d /root/client && rm -f /root/client/* && touch /root/client/go
cat >/root/client/run <<'RUN'
call() { curl -fsS -o /dev/null --max-time 5 "http://$1:$PORT/hostname" 2>>/root/client/errors; }
tell() { echo "$(date +%s) service $1" >>/root/client/calls; }
set -- $ADDRESSES
while [ -e /root/client/go ]; do
  first=$1; shift; set -- "$@" "$first"
  if call "$first"; then echo 1 >>/root/client/acknowledged; tell ok
  elif echo "$first" >>/root/client/retried; call "$1"; then echo 1 >>/root/client/acknowledged; tell retried
  else echo "$first $1" >>/root/client/failed; tell failed; fi
  sleep 0.1
done
touch /root/client/ended
RUN
nohup sh /root/client/run >/dev/null 2>&1 &"#;

/// On worker-1.
pub fn start_api_client(cluster: &Cluster) {
    cluster.kubectl(&["create", "namespace", "writes"]);
    let kubeconfig = cluster.on("kubeconfig", &["--server", "https://127.0.0.1:7443"]);
    for (field, path) in [
        ("certificate-authority-data", "/root/ca.crt"),
        ("client-certificate-data", "/root/admin.crt"),
        ("client-key-data", "/root/admin.key"),
    ] {
        let line = kubeconfig.lines().find_map(|line| line.trim().strip_prefix(field)).unwrap();
        let value = line.trim_start_matches(':').trim().trim_matches('"');
        cluster.ask("worker-1", &format!("echo '{value}' | base64 -d >{path}"));
    }
    cluster.ask("worker-1", API_CLIENT);
}

/// On spare-1, for a service on the workers that answers on every node.
pub fn start_service_client(cluster: &Cluster, nodes: &[&str]) {
    let workload = cluster.directory().join("service.yaml");
    std::fs::write(&workload, SERVICE.replace("AGNHOST", &cluster.image("agnhost"))).unwrap();
    cluster.kubectl(&["apply", "-f", workload.to_str().unwrap()]);
    cluster.kubectl(&["-n", "calls", "rollout", "status", "deployment/calls", "--timeout=180s"]);
    let port = ["-n", "calls", "get", "service", "calls", "-o", "jsonpath={.spec.ports[0].nodePort}"];
    let port = cluster.kubectl(&port);
    let addresses: Vec<String> = nodes.iter().map(|node| cluster.address(node)).collect();
    let environment = format!("export PORT={port} ADDRESSES='{}'\n", addresses.join(" "));
    // kube-proxy is a moment behind on some nodes.
    let answers = "for a in $ADDRESSES; do curl -fsS -o /dev/null --retry 60 --retry-connrefused --retry-delay 1 http://$a:$PORT/; done";
    cluster.ask("spare-1", &format!("{environment}{answers}"));
    cluster.ask("spare-1", &format!("{environment}{SERVICE_CLIENT}"));
}

/// What a client wrote down.
pub struct Calls {
    acknowledged: Vec<String>,
    pub retried: Vec<String>,
    pub failed: Vec<String>,
    pub errors: Vec<String>,
}

/// Ends a client.
pub fn stop_client(cluster: &Cluster, machine: &str, what: &str) -> Calls {
    cluster.ask(
        machine,
        "rm -f /root/client/go; timeout 120 sh -c 'until [ -e /root/client/ended ]; do sleep 0.2; done'",
    );
    let read = |name: &str| -> Vec<String> {
        let text = cluster.ask(machine, &format!("cat /root/client/{name} 2>/dev/null; true"));
        text.lines().map(str::to_owned).collect()
    };
    let calls = Calls {
        acknowledged: read("acknowledged"),
        retried: read("retried"),
        failed: read("failed"),
        errors: read("errors"),
    };
    let (answered, twice, failed) = (calls.acknowledged.len(), calls.retried.len(), calls.failed.len());
    eprintln!("{what}: {answered} calls answered, {twice} tried twice, {failed} failed");
    assert!(answered > 100, "{what}: only {answered} calls: {:?}", calls.errors);
    calls
}

impl Calls {
    /// Everything that the API acknowledged is still there.
    pub fn none_is_lost(&self, cluster: &Cluster) {
        let there = cluster.kubectl(&["get", "configmaps", "-n", "writes", "-o", "name"]);
        let there: BTreeSet<&str> = there.lines().map(|line| line.trim_start_matches("configmap/")).collect();
        let lost: Vec<_> = self.acknowledged.iter().filter(|name| !there.contains(name.as_str())).collect();
        assert!(lost.is_empty(), "acknowledged writes are lost: {lost:?}");
    }

    pub fn none_has_failed(&self) {
        assert!(self.failed.is_empty(), "{:?}\n{:#?}", self.failed, self.errors);
    }
}

const SERVICE: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: calls}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: calls, namespace: calls}
spec:
  replicas: 3
  selector: {matchLabels: {app: calls}}
  template:
    metadata: {labels: {app: calls}}
    spec:
      terminationGracePeriodSeconds: 30
      containers:
      - name: web
        image: AGNHOST
        args: [netexec, --http-port=8080, --delay-shutdown=10]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: calls, namespace: calls}
spec:
  minAvailable: 2
  selector: {matchLabels: {app: calls}}
---
apiVersion: v1
kind: Service
metadata: {name: calls, namespace: calls}
spec:
  type: NodePort
  selector: {app: calls}
  ports: [{port: 80, targetPort: 8080}]
"#;
