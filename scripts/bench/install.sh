#!/usr/bin/env bash
# How long a cluster of 3+2 machines takes until every node is Ready, by keelwright and by a script that
# runs kubeadm. Both start from machines that have executables, containerd and images already.
# Arguments: keelwright, the lab's directory, the Kubernetes version.
set -euo pipefail
keelwright=$1 lab=$2 version=$3
bundle=$KEELWRIGHT_CACHE/bundles/$version-$(dpkg --print-architecture)
control_planes=(cp-1 cp-2 cp-3) workers=(worker-1 worker-2)
export KEELWRIGHT_AGE_IDENTITY=$lab/identity.txt

on() { local machine=$1; shift; "$keelwright" lab ssh "$machine" --name bench -- "$@"; }
seconds() { date +%s.%N; }
since() { echo "$(seconds) $1" | awk '{ printf "%.1f", $1 - $2 }'; }

machines() {
  "$keelwright" lab down --name bench >/dev/null 2>&1 || true
  "$keelwright" lab up --name bench --control-planes 3 --workers 2 --kubernetes-version "$version" >/dev/null 2>&1
  "$keelwright" apply -i "$lab/inventory.yaml" --prefetch --yes >/dev/null 2>&1
}

address_of() { sed -n "/name: $1\$/,/address:/s/.*address: \"\(.*\)\"/\1/p" "$lab/inventory.yaml" | head -1; }

ready() { # KUBECTL...: prints how many nodes are Ready
  "$@" get nodes --no-headers 2>/dev/null | awk '$2 == "Ready"' | wc -l
}

ours() {
  machines
  local began; began=$(seconds)
  "$keelwright" apply -i "$lab/inventory.yaml" --yes >"$lab/apply.log" 2>&1 || { cat "$lab/apply.log" >&2; exit 1; }
  whole=$(since "$began")
  # Every node was Ready when the last of these steps ended; DNS and services are waited for after it.
  ours=$(sed 's/s  / /' "$lab/apply.log" | awk -v whole="$whole" '
    $2 == "done" && $3 ~ /\/ready$/ { ready = $1 } $2 == "ended:" { end = $1 } END { printf "%.1f", whole - end + ready }')
  "$keelwright" kubeconfig -i "$lab/inventory.yaml" --output "$lab/kubeconfig" >/dev/null
  local nodes; nodes=$(ready "$bundle/bin/kubectl" --kubeconfig "$lab/kubeconfig")
  [ "$nodes" = 5 ] || { echo "Error: $nodes of 5 nodes are Ready after apply" >&2; exit 1; }
}

# What a script that runs kubeadm needs on a machine and keelwright does not leave there before it starts.
prepare_for_kubeadm() {
  local machine=$1 number=$2
  on "$machine" "systemctl disable -q --now keelwright-apiserver-lb keelwright-routes 2>/dev/null
    rm -rf /etc/kubernetes /var/lib/kubelet; mkdir -p /etc/cni/net.d
    cat >/root/kubeadm && chmod 755 /root/kubeadm; systemctl enable -q kubelet" <"$bundle/bin/kubeadm"
  on "$machine" "cat >/etc/cni/net.d/10-bench.conflist" <<CNI
{"cniVersion":"1.0.0","name":"bench","plugins":[{"type":"bridge","bridge":"cni0","isDefaultGateway":true,"ipMasq":true,
"ipam":{"type":"host-local","ranges":[[{"subnet":"198.19.$number.0/24"}]]}}]}
CNI
}

by_kubeadm() {
  machines
  local address number=0 machine
  for machine in "${control_planes[@]}" "${workers[@]}"; do
    prepare_for_kubeadm "$machine" "$number"
    number=$((number + 1))
  done
  address=$(address_of cp-1)
  on cp-1 "cat >/root/kubeadm.yaml" <<CONFIG
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: $address}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $version
controlPlaneEndpoint: $address:6443
networking: {podSubnet: 198.19.0.0/17, serviceSubnet: 198.19.128.0/17}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
failCgroupV1: false
imageGCHighThresholdPercent: 100
evictionHard: {imagefs.available: 1Gi, memory.available: 100Mi, nodefs.available: 1Gi, nodefs.inodesFree: 1%}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack: {maxPerCore: 0, min: 0}
CONFIG
  local began join key
  began=$(seconds)
  on cp-1 "/root/kubeadm init --config /root/kubeadm.yaml --upload-certs --ignore-preflight-errors=all" >"$lab/init.log" 2>&1 ||
    { cat "$lab/init.log" >&2; exit 1; }
  echo "  kubeadm init took $(since "$began") s"
  join=$(grep -A1 -m1 'kubeadm join' "$lab/init.log" | tr -d '\\\n' | sed 's/^ *kubeadm//; s/--control-plane.*//')
  key=$(sed -n 's/.*--certificate-key \([0-9a-f]*\).*/\1/p' "$lab/init.log" | head -1)
  for machine in "${control_planes[@]:1}"; do
    on "$machine" "/root/kubeadm $join --control-plane --certificate-key $key --apiserver-advertise-address $(address_of "$machine") --ignore-preflight-errors=all" >"$lab/join.log" 2>&1 ||
      { cat "$lab/join.log" >&2; exit 1; }
  done
  for machine in "${workers[@]}"; do
    on "$machine" "/root/kubeadm $join --ignore-preflight-errors=all" >"$lab/join-$machine.log" 2>&1 &
  done
  wait
  local deadline=$((SECONDS + 120))
  until [ "$(ready on cp-1 kubectl --kubeconfig /etc/kubernetes/admin.conf)" = 5 ]; do
    [ $SECONDS -lt $deadline ] || { cat "$lab"/join-*.log >&2; echo "Error: not all nodes of kubeadm's are Ready" >&2; exit 1; }
  done
  theirs=$(since "$began")
}

echo "kubeadm by script, 3+2, $version:"
by_kubeadm
echo "  every node Ready after $theirs s"
echo "keelwright apply, 3+2, $version:"
ours
echo "  every node Ready after $ours s; DNS and services answer after $whole s"
echo "$ours $theirs" | awk '{ r = $1 / $2; printf "ratio %.2f, at most 0.30 wanted\n", r; exit r > 0.3 }'
