#!/usr/bin/env bash
# Ratios against what others do, each pair in one run on the same machines, and the bounds of planning.
#   bench.sh          everything
#   bench.sh plan     planning time and memory
#   bench.sh install  apply against kubeadm by script: five machines, artifacts on their disks
#   bench.sh upgrade  the same over three minors, kubeadm one minor at a time
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/prerequisites.sh
export KEELWRIGHT_CACHE=${KEELWRIGHT_CACHE:-$HOME/.cache/keelwright}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$KEELWRIGHT_CACHE/target}
version=${KUBERNETES_VERSION:-v1.37.1}
from=${BUNDLE_FROM:-$(command -v go >/dev/null 2>&1 && echo go-modules || echo upstream)}
what=${1:-all}

plan() {
  say "planning 1,000 and 5,000 hosts"
  cargo bench --quiet --bench plan
}

install() {
  need_lab
  say "building keelwright"
  cargo build --quiet --release
  keelwright=$CARGO_TARGET_DIR/release/keelwright
  lab=$KEELWRIGHT_CACHE/labs/bench
  trap '"$keelwright" lab down --name bench >/dev/null 2>&1' EXIT
  "$keelwright" bundle --kubernetes-version "$version" --from "$from" --with kubeadm,agnhost >/dev/null
  bash scripts/bench/install.sh "$keelwright" "$lab" "$version"
}

upgrade() {
  need_lab
  say "building keelwright"
  cargo build --quiet --release
  keelwright=$CARGO_TARGET_DIR/release/keelwright
  versions=(v1.34.4 v1.35.4 v1.36.4 v1.37.1)
  trap '"$keelwright" lab down --name bench >/dev/null 2>&1' EXIT
  # kubeadm's way needs all of every version; ours only passes the two in the middle.
  for each in "${versions[@]}"; do
    "$keelwright" bundle --kubernetes-version "$each" --from "$from" --with kubeadm,agnhost >/dev/null
  done
  bash scripts/bench/upgrade.sh "$keelwright" "$KEELWRIGHT_CACHE/labs/bench" "${versions[@]}"
}

case $what in
  plan) plan ;;
  install) install ;;
  upgrade) upgrade ;;
  all) plan; install; upgrade ;;
  *) echo "usage: scripts/bench.sh [plan|install|upgrade]" >&2; exit 2 ;;
esac
