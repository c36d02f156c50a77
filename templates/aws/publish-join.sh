#!/bin/sh
# Keeps what new nodes join with in the Parameter Store: a bootstrap kubeconfig, whose token is replaced long before
# it runs out. Every control plane does this; one that is late only says the same again.
set -eu
umask 077
PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH KUBECONFIG=/etc/kubernetes/admin.conf
region={{ region }}
domain={{ domain }}
parameter={{ parameter }}
server={{ server }}
cluster={{ cluster }}
lifetime={{ lifetime }}
published=/run/keelwright-join
{{ calls }}
# Of each token of ours: when it runs out, and its name, oldest first.
tokens() {
  kubectl -n kube-system get secrets -l keelwright.dev/joins=nodes \
    -o go-template='{% raw %}{{range .items}}{{.data.expiration | base64decode}} {{.metadata.name}}{{"\n"}}{{end}}{% endraw %}' | sort
}

make_token() {
  expires=$(date -u -d "+$lifetime seconds" +%Y-%m-%dT%H:%M:%SZ)
  id=$(od -An -N3 -tx1 /dev/urandom | tr -d ' \n')
  secret=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
  kubectl create -f - <<END >/dev/null
apiVersion: v1
kind: Secret
metadata:
  name: bootstrap-token-$id
  namespace: kube-system
  labels: {keelwright.dev/joins: nodes}
type: bootstrap.kubernetes.io/token
stringData:
  description: nodes of auto scaling groups join with it
  token-id: "$id"
  token-secret: "$secret"
  expiration: $expires
  usage-bootstrap-authentication: "true"
  auth-extra-groups: system:bootstrappers:kubeadm:default-node-token
END
}

newest=$(tokens | tail -n 1)
half=$(date -u -d "+$((lifetime / 2)) seconds" +%Y-%m-%dT%H:%M:%SZ)
# Times in this form sort as text.
if [ -z "$newest" ] || [ "$(printf '%s\n%s\n' "${newest%% *}" "$half" | sort | head -n 1)" != "$half" ]; then
  make_token
  newest=$(tokens | tail -n 1)
fi
name=${newest#* }
[ "$(cat "$published" 2>/dev/null)" != "$name" ] || exit 0

secret=$(kubectl -n kube-system get secret "$name" -o go-template='{% raw %}{{index .data "token-secret" | base64decode}}{% endraw %}')
authority=$(base64 -w 0 /etc/kubernetes/pki/ca.crt)
value=$(base64 -w 0 <<END
apiVersion: v1
kind: Config
clusters:
  - name: $cluster
    cluster: {server: "$server", certificate-authority-data: $authority}
users:
  - name: tls-bootstrap-token-user
    user: {token: "${name#bootstrap-token-}.$secret"}
contexts:
  - name: join
    context: {cluster: $cluster, user: tls-bootstrap-token-user}
current-context: join
END
)
printf '{"Name":"%s","Value":"%s","Type":"SecureString","Overwrite":true}' "$parameter" "$value" |
  parameter_store PutParameter >/dev/null
printf %s "$name" >"$published"
