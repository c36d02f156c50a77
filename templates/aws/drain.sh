#!/bin/sh
# Leaves the cluster when the scaling group takes this machine away: nothing new comes, what runs is asked to go as
# budgets allow, and the group is told when nothing is left. The group itself limits how long that may take.
set -u
PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH KUBECONFIG=/etc/kubernetes/kubelet.conf
region={{ region }}
domain={{ domain }}
hook={{ hook }}
group={{ group }}
{{ calls }}
node=$(hostname | tr A-Z a-z)

until [ "$(about autoscaling/target-lifecycle-state 2>/dev/null)" = Terminated ]; do sleep 5; done

until kubectl cordon "$node"; do sleep 5; done
# Daemon sets would put theirs back, and static pods go with the machine.
pods='{% raw %}{{range .items}}{{$own := ""}}{{range .metadata.ownerReferences}}{{$own = .kind}}{{end}}{{if and (ne $own "DaemonSet") (ne $own "Node") (ne .status.phase "Succeeded") (ne .status.phase "Failed")}}{{.metadata.namespace}} {{.metadata.name}}{{"\n"}}{{end}}{{end}}{% endraw %}'
while :; do
  left=$(kubectl get pods -A --field-selector "spec.nodeName=$node" -o go-template="$pods") || { sleep 5; continue; }
  [ -n "$left" ] || break
  echo "$left" | while read -r namespace pod; do
    printf '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"namespace":"%s","name":"%s"}}' "$namespace" "$pod" |
      kubectl create --raw "/api/v1/namespaces/$namespace/pods/$pod/eviction" -f - >/dev/null
  done
  sleep 5
done

instance=$(about instance-id)
echo "drained; $group may take $instance away"
complete() {
  printf 'Action=CompleteLifecycleAction&Version=2011-01-01&LifecycleActionResult=CONTINUE&LifecycleHookName=%s&AutoScalingGroupName=%s&InstanceId=%s' "$hook" "$group" "$instance" |
    call autoscaling "${AWS_ENDPOINT_URL_AUTO_SCALING:-https://autoscaling.$region.$domain}/" \
      'Content-Type: application/x-www-form-urlencoded' >/dev/null
}
until complete; do sleep 5; done
