#!/bin/sh
# Run once, by cloud-init: this machine becomes a node of cluster {{ cluster }} by itself.
set -eu
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH DEBIAN_FRONTEND=noninteractive
region={{ region }}
domain={{ domain }}
parameter={{ parameter }}
{{ calls }}
# again SECONDS COMMAND...: until it succeeds, for so long.
again() {
  left=$1
  shift
  until "$@"; do
    left=$((left - 5))
    [ "$left" -gt 0 ] || return 1
    sleep 5
  done
}

command -v curl >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends curl ca-certificates; }
address=$(again 120 about local-ipv4)
zone=$(again 120 about placement/availability-zone)
instance=$(again 120 about instance-id)
kind=$(again 120 about instance-type)

{{ prepare }}
# What every machine has its own of.
sed -i "s/{{ own_address }}/$address/" /var/lib/kubelet/kubeadm-flags.env
if systemctl is-active --quiet systemd-resolved.service; then
  echo 'resolvConf: /run/systemd/resolve/resolv.conf' >>/var/lib/kubelet/config.yaml
fi
labels="topology.kubernetes.io/region=$region,topology.kubernetes.io/zone=$zone,node.kubernetes.io/instance-type=$kind"
labels=$labels{{ labels }}
printf 'KUBELET_EXTRA_ARGS="--provider-id=aws:///%s/%s --node-labels=%s"\n' "$zone" "$instance" "$labels" >/etc/default/kubelet

# The control planes put it there as soon as they can.
bootstrap=/etc/kubernetes/bootstrap-kubelet.conf
fetch_bootstrap() {
  printf '{"Name":"%s","WithDecryption":true}' "$parameter" |
    parameter_store GetParameter |
    field Value | base64 -d >"$bootstrap" && [ -s "$bootstrap" ]
}
again 3600 fetch_bootstrap
sed -n 's/.*certificate-authority-data: \([A-Za-z0-9+\/=]*\).*/\1/p' "$bootstrap" | base64 -d >/etc/kubernetes/pki/ca.crt
chmod 0644 /etc/kubernetes/pki/ca.crt

{{ start }}

# The kubelet has a certificate of its own now; nobody needs the token on this machine any more.
again 600 test -s /etc/kubernetes/kubelet.conf
rm -f "$bootstrap"
