#!/bin/sh
# Makes (or makes again) the pinned Go module sets beside this file. Run it by hand when a version is added,
# read the diff, commit it: building a bundle never resolves versions, it only checks them against go.sum.
#
#   refresh.sh            every set
#   refresh.sh NAME...    only these
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0 GOOS=linux GOARCH=amd64

# set NAME MODULE@VERSION... -- PACKAGE...
# The first module also lends its replacements: those of the main module alone count, so they are repeated
# (staging modules at v0.0.0 of Kubernetes become v0.MINOR.PATCH, which is how they are published).
set_() {
    name=$1; shift
    dir=$here/$name
    mkdir -p "$dir"
    first=$1
    version=${first#*@}
    source=$(go mod download -json "$first" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
    go=$(sed -n 's/^go \([0-9.]*\)$/\1/p' "$source")
    {
        printf 'module keelwright.dev/bundle/%s\n\ngo %s\n\ngodebug default=go%s\n\nrequire (\n' \
            "$name" "$go" "$(printf %s "$go" | cut -d. -f1,2)"
        while [ "$1" != -- ]; do printf '\t%s %s\n' "${1%@*}" "${1#*@}"; shift; done
        printf ')\n'
        sed -n "s|^[[:space:]]*\(k8s\.io/[a-z-]*\) v0\.0\.0\$|replace \1 => \1 v0.${version#v1.}|p" "$source"
        sed -n 's/^replace \(.* => [^.].* v.*\)$/replace \1/p' "$source"
        sed -n '/^replace ($/,/^)$/s/^\t\([^ ]* => [^.][^ ]* v[^ ]*\).*$/replace \1/p' "$source"
    } >"$dir/go.mod.new"
    shift
    {
        printf '//go:build tools\n\n// Package tools names the commands of this set, so that go.sum covers them.\npackage tools\n\nimport (\n'
        for package in "$@"; do printf '\t_ "%s"\n' "$package"; done
        printf ')\n'
    } >"$dir/tools.go"
    mv "$dir/go.mod.new" "$dir/go.mod"
    (cd "$dir" && go mod tidy)
}

kubernetes() {
    set_ "kubernetes-$1" "k8s.io/kubernetes@$1" -- k8s.io/kubernetes/cmd/kube-apiserver \
        k8s.io/kubernetes/cmd/kube-controller-manager k8s.io/kubernetes/cmd/kube-proxy \
        k8s.io/kubernetes/cmd/kube-scheduler k8s.io/kubernetes/cmd/kubeadm k8s.io/kubernetes/cmd/kubectl \
        k8s.io/kubernetes/cmd/kubelet k8s.io/kubernetes/test/images/agnhost
}

etcd() {
    set_ "etcd-$1" "go.etcd.io/etcd/server/v3@$1" "go.etcd.io/etcd/etcdctl/v3@$1" "go.etcd.io/etcd/etcdutl/v3@$1" \
        -- go.etcd.io/etcd/server/v3 go.etcd.io/etcd/etcdctl/v3 go.etcd.io/etcd/etcdutl/v3
}

one() {
    version=${1##*-}
    case $1 in
    kubernetes-*) kubernetes "$version" ;;
    etcd-*) etcd "$version" ;;
    containerd-*)
        set_ "$1" "github.com/containerd/containerd/v2@$version" -- \
            github.com/containerd/containerd/v2/cmd/containerd \
            github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2 \
            github.com/containerd/containerd/v2/cmd/ctr ;;
    crictl-*) set_ "$1" "sigs.k8s.io/cri-tools@$version" -- sigs.k8s.io/cri-tools/cmd/crictl ;;
    coredns-*) set_ "$1" "github.com/coredns/coredns@$version" -- github.com/coredns/coredns ;;
    *) echo "unknown set $1" >&2; exit 2 ;;
    esac
}

[ $# -gt 0 ] || set -- kubernetes-v1.34.4 kubernetes-v1.35.4 kubernetes-v1.36.4 kubernetes-v1.37.1 \
    etcd-v3.5.35 etcd-v3.6.5 etcd-v3.6.6 etcd-v3.6.8 etcd-v3.7.0 containerd-v2.3.3 crictl-v1.36.0 \
    coredns-v1.12.1 coredns-v1.13.1 coredns-v1.14.2 coredns-v1.14.6
for name in "$@"; do
    echo "$name" >&2
    one "$name"
done
