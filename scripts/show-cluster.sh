#!/usr/bin/env bash
# Shows that a lab cluster works: nodes, DNS from a pod, a NodePort on every node. Argument: the
# lab's directory.
set -euo pipefail
lab=$1
bundle=$KEELWRIGHT_CACHE/bundles/$KUBERNETES_VERSION-$(dpkg --print-architecture)
kubectl() { "$bundle"/bin/kubectl --kubeconfig "$lab/kubeconfig" "$@"; }

kubectl get nodes -o wide
agnhost=$(sed -n 's/.*"reference": "\(.*agnhost:.*\)".*/\1/p' "$bundle/bundle.json")
sed "s|AGNHOST|$agnhost|" scripts/demo-workload.yaml | kubectl apply -f - >/dev/null
kubectl -n demo rollout status deployment/web --timeout=120s
kubectl -n demo wait --for=condition=Ready pod/client --timeout=120s >/dev/null

echo "DNS, asked from a pod:"
kubectl -n demo exec client -- agnhost connect web.demo.svc.cluster.local:80 --timeout=5s
echo "  web.demo.svc.cluster.local answers"
port=$(kubectl -n demo get service web -o jsonpath='{.spec.ports[0].nodePort}')
for address in $(kubectl get nodes -o jsonpath='{.items[*].status.addresses[?(@.type=="InternalIP")].address}'); do
  printf '  NodePort %s on %s: ' "$port" "$address"
  curl -fsS --max-time 5 "http://$address:$port/hostname"
  echo
done
