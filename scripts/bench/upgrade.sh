#!/usr/bin/env bash
# How long a cluster of 3+2 machines takes over three minors, and how often its nodes are drained: by keelwright,
# and by a script that does it the usual way with kubeadm, one minor at a time. Both begin with the same cluster,
# with executables and images on the machines.
# Arguments: keelwright, the lab's directory, the versions from the first to the last.
set -euo pipefail
keelwright=$1 lab=$2
shift 2
versions=("$@")
first=${versions[0]} last=${versions[-1]}
architecture=$(dpkg --print-architecture)
control_planes=(cp-1 cp-2 cp-3) workers=(worker-1 worker-2)
export KEELWRIGHT_AGE_IDENTITY=$lab/identity.txt

on() { local machine=$1; shift; "$keelwright" lab ssh "$machine" --name bench -- "$@"; }
bundle() { echo "$KEELWRIGHT_CACHE/bundles/$1-$architecture"; }
kubectl() { "$(bundle "$first")/bin/kubectl" --kubeconfig "$lab/kubeconfig" "$@"; }
seconds() { date +%s.%N; }
since() { echo "$(seconds) $1" | awk '{ printf "%.1f", $1 - $2 }'; }
image() { sed -n 's/.*"reference": "\(.*'"$2"':[^"]*\)".*/\1/p' "$(bundle "$1")/bundle.json" | head -1; }

# A cluster of the first version, with a service of three pods of which two must always run.
cluster() {
  "$keelwright" lab down --name bench >/dev/null 2>&1 || true
  "$keelwright" lab up --name bench --control-planes 3 --workers 2 --kubernetes-version "$first" >/dev/null 2>&1
  "$keelwright" apply -i "$lab/inventory.yaml" --yes >"$lab/install.log" 2>&1 || { cat "$lab/install.log" >&2; exit 1; }
  "$keelwright" kubeconfig -i "$lab/inventory.yaml" --output "$lab/kubeconfig" >/dev/null
  kubectl apply -f - >/dev/null <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: calls}
spec:
  replicas: 3
  selector: {matchLabels: {app: calls}}
  template:
    metadata: {labels: {app: calls}}
    spec:
      containers:
      - name: web
        image: $(image "$first" agnhost)
        args: [netexec, --http-port=8080, --delay-shutdown=10]
        readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: calls}
spec: {minAvailable: 2, selector: {matchLabels: {app: calls}}}
YAML
  kubectl rollout status deployment/calls --timeout=180s >/dev/null
}

upgraded() {
  local versions
  versions=$(kubectl get nodes -o 'jsonpath={range .items[*]}{.status.nodeInfo.kubeletVersion}{"\n"}{end}' | sort -u)
  [ "$versions" = "$last" ] || { echo "Error: nodes are of version $versions, not $last" >&2; exit 1; }
  kubectl wait --for=condition=Ready nodes --all --timeout=120s >/dev/null
}

# Everything of one version that kubeadm wants to find on a machine.
bring() { # MACHINE VERSION
  local from; from=$(bundle "$2")
  tar -C "$from" -cf - bin/kubeadm bin/kubelet bin/kubectl images |
    on "$1" "mkdir -p /root/$2 && tar -C /root/$2 -xf - &&
      for image in /root/$2/images/*.tar; do ctr -n k8s.io images import \"\$image\" >/dev/null; done && rm -rf /root/$2/images"
}

exchange_kubelet() { # NODE VERSION
  kubectl drain "$1" --ignore-daemonsets --delete-emptydir-data --timeout=300s >/dev/null 2>&1
  drains=$((drains + 1))
  on "$1" "systemctl stop kubelet && install -m 755 /root/$2/bin/kubelet /root/$2/bin/kubectl /usr/local/bin/ &&
    sed -i 's/--pod-infra-container-image=[^ \"]*//' /var/lib/kubelet/kubeadm-flags.env && systemctl start kubelet"
  kubectl wait --for="jsonpath={.status.nodeInfo.kubeletVersion}=$2" "node/$1" --timeout=180s >/dev/null
  kubectl wait --for=condition=Ready "node/$1" --timeout=180s >/dev/null
  kubectl uncordon "$1" >/dev/null
}

one_minor_with_kubeadm() { # VERSION
  local machine began; began=$(seconds)
  for machine in "${control_planes[@]}"; do
    local verb="node"
    [ "$machine" = cp-1 ] && verb="apply $1 --yes"
    on "$machine" "/root/$1/bin/kubeadm upgrade $verb --ignore-preflight-errors=all" >"$lab/kubeadm.log" 2>&1 ||
      { cat "$lab/kubeadm.log" >&2; exit 1; }
    exchange_kubelet "$machine" "$1"
  done
  for machine in "${workers[@]}"; do
    on "$machine" "/root/$1/bin/kubeadm upgrade node --ignore-preflight-errors=all" >"$lab/kubeadm.log" 2>&1 ||
      { cat "$lab/kubeadm.log" >&2; exit 1; }
    exchange_kubelet "$machine" "$1"
  done
  echo "  $1 after $(since "$began") s more"
}

by_kubeadm() {
  cluster
  local machine version began
  for machine in "${control_planes[@]}" "${workers[@]}"; do
    for version in "${versions[@]:1}"; do bring "$machine" "$version"; done
  done
  drains=0 began=$(seconds)
  for version in "${versions[@]:1}"; do one_minor_with_kubeadm "$version"; done
  theirs=$(since "$began") their_drains=$drains
  upgraded
}

ours() {
  cluster
  sed -i "s/$first/$last/" "$lab/inventory.yaml"
  "$keelwright" apply -i "$lab/inventory.yaml" --prefetch --yes >"$lab/apply.log" 2>&1 || { cat "$lab/apply.log" >&2; exit 1; }
  our_drains=$("$keelwright" plan -i "$lab/inventory.yaml" --output json | grep -o '"do": *"drain"' | wc -l)
  local began; began=$(seconds)
  "$keelwright" apply -i "$lab/inventory.yaml" --yes >"$lab/apply.log" 2>&1 || { cat "$lab/apply.log" >&2; exit 1; }
  ours=$(since "$began")
  upgraded
}

echo "kubeadm by script, 3+2, ${versions[*]}:"
by_kubeadm
echo "  upgraded in $theirs s with $their_drains drains"
echo "keelwright apply, 3+2, $first to $last:"
ours
echo "  upgraded in $ours s with $our_drains drains"
echo "$ours $theirs $our_drains $their_drains" | awk '{
  r = $1 / $2; d = $3 / $4
  printf "ratio %.2f, at most 0.50 wanted; drains %.2f, at most 0.34 wanted\n", r, d; exit r > 0.5 || d > 0.34 }'
