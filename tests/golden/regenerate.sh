#!/bin/sh
# Records what real kubeadm binaries make of the inputs in tests/golden/kubeadm/inputs, one directory for each
# version. Needs root: kubeadm runs in a temporary root of its own (--rootfs) and touches nothing else.
#
#     sudo tests/golden/regenerate.sh KUBEADM...
set -eu
[ $# -gt 0 ] || { echo "usage: $0 KUBEADM..." >&2; exit 2; }
binaries=
for binary in "$@"; do
    binaries="$binaries:$(realpath "$binary")"
done
cd "$(dirname "$0")/../.."
KEELWRIGHT_KUBEADM=${binaries#:} exec cargo test --lib -- --ignored --exact blueprint::golden::record::record
