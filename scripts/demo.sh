#!/usr/bin/env bash
# From nothing to a highly available cluster of five machines on this one; safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/prerequisites.sh
began=$(date +%s)

need_build
need_lab
say "building keelwright"
cargo build --quiet
keelwright=$CARGO_TARGET_DIR/debug/keelwright

say "making five machines (a Debian root file system the first time)"
"$keelwright" lab up --name demo --control-planes 3 --workers 2 --kubernetes-version "$KUBERNETES_VERSION"
lab=$KEELWRIGHT_CACHE/labs/demo

say "collecting Kubernetes $KUBERNETES_VERSION ($BUNDLE_FROM)"
"$keelwright" bundle --kubernetes-version "$KUBERNETES_VERSION" --from "$BUNDLE_FROM" --with agnhost

say "bringing the cluster up"
"$keelwright" apply -i "$lab/inventory.yaml" --yes

say "what came of it"
"$keelwright" kubeconfig -i "$lab/inventory.yaml" --output "$lab/kubeconfig"
bash scripts/show-cluster.sh "$lab"
say "done in $(( $(date +%s) - began )) s; look around with
    $keelwright lab ssh cp-1 --name demo
take it away with
    make clean-demo"
