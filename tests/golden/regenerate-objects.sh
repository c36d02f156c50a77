#!/bin/sh
# Asks real kubeadm binaries which API objects `kubeadm init` makes, and keeps them as JSON, one file per
# object, in kubeadm/<version>/objects/. Needs root, python3 and PyYAML; changes nothing but these files.
#
#   tests/golden/regenerate-objects.sh v1.37.1=/path/to/kubeadm [v1.34.4=/path/to/kubeadm ...]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for pair in "$@"; do
    version=${pair%%=*}
    kubeadm=${pair#*=}
    work=$(mktemp -d)
    sed "s/VERSION/$version/" "$here/kubeadm/objects-input.yaml" > "$work/config.yaml"
    "$kubeadm" init --dry-run --ignore-preflight-errors=all --config "$work/config.yaml" \
        > "$work/output" 2> "$work/errors" || { cat "$work/errors" >&2; exit 1; }
    rm -rf "$here/kubeadm/$version/objects"
    mkdir -p "$here/kubeadm/$version/objects"
    python3 - "$work/output" "$here/kubeadm/$version/objects" <<'PY'
import base64, json, re, sys, yaml

output, target = sys.argv[1:]
# Each object follows a line that names the action and one that announces it, up to an empty line. The
# same kind of block also shows objects that were only read, and the node's patch.
blocks = re.findall(
    r'^\[dryrun\] Would perform action CREATE on resource .*\n\[dryrun\] Attached object:\n((?:.+\n|(?=\n)(?!\n\n))*?)\n',
    open(output).read(), re.M)
for block in blocks:
    thing = yaml.load(block, Loader=yaml.SafeLoader)
    if thing['kind'] == 'Secret':
        continue  # a bootstrap token: keelwright makes none by itself
    thing.pop("status", None)
    thing['metadata'].pop('resourceVersion', None)
    if thing['metadata']['name'] == 'cluster-info':
        # The CA is a new one in each run.
        fixed = base64.b64encode(b'golden CA\n').decode()
        text = thing['data']['kubeconfig']
        thing['data']['kubeconfig'] = re.sub(r'(certificate-authority-data: ).*', r'\g<1>' + fixed, text)
    name = '%s.%s.json' % (thing['kind'].lower(), thing['metadata']['name'].replace(':', '-'))
    with open(target + '/' + name, 'w') as file:
        json.dump(thing, file, indent=2, sort_keys=True)
        file.write('\n')
PY
    rm -rf "$work"
    echo "$version: $(ls "$here/kubeadm/$version/objects" | wc -l) objects"
done
