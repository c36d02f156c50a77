#!/bin/sh
# Holds one lab machine: joins its control groups, then boots it again for as long as it asks for a
# reboot. Run by `keelwright lab`; arguments are the systemd-nspawn command, LAB_* say the rest.
#
# Everything a machine has outside its disk lives in namespaces made here for each boot (network,
# mounts, control groups), so a power cut needs nothing but SIGKILL: the kernel removes the rest.
set -eu

stage=$1
shift

case $stage in
supervise)
    rm -f "$LAB_DIR/exited"
    trap 'echo "$?" > "$LAB_DIR/exited"' EXIT
    for group in $LAB_CGROUPS; do
        if [ "$LAB_UNIFIED" = yes ]; then
            # A group with processes cannot pass controllers on: the holder gets a leaf of its own.
            mkdir -p "$group/holder" "$group/machine"
            echo $$ > "$group/holder/cgroup.procs"
            for controller in $(cat "$group/cgroup.controllers"); do
                echo "+$controller" > "$group/cgroup.subtree_control" || :
            done
        else
            echo $$ > "$group/cgroup.procs"
        fi
    done
    LAB_HOLDER=$$
    export LAB_HOLDER
    while :; do
        code=0
        sh "$LAB_DIR/boot.sh" join "$@" || code=$?
        # 133 is how nspawn says that the machine asked for a reboot.
        [ "$code" = 133 ] || exit "$code"
    done
    ;;
join)
    if [ "$LAB_UNIFIED" = yes ]; then
        for group in $LAB_CGROUPS; do
            echo $$ > "$group/machine/cgroup.procs"
        done
    fi
    exec unshare --net --mount --cgroup --propagation slave sh "$LAB_DIR/boot.sh" boot "$@"
    ;;
boot)
    # The link of the boot before this one may still be there: the kernel removes namespaces lazily.
    nsenter -t "$LAB_HOLDER" -n ip link del "$LAB_LINK" 2> /dev/null || :
    nsenter -t "$LAB_HOLDER" -n ip link add "$LAB_LINK" type veth \
        peer name host0 address "$LAB_MAC" netns $$
    nsenter -t "$LAB_HOLDER" -n ip link set "$LAB_LINK" master "$LAB_BRIDGE" up
    ip link set lo up
    ip address add "$LAB_ADDRESS" dev host0
    ip link set host0 up
    # Without a default route nothing leaves the lab. Service addresses still need a route, or a
    # process on the machine fails before kube-proxy's rules can rewrite where its packet goes.
    ip route add "$LAB_SERVICES" dev host0
    # nspawn leaves locks under /run when it is killed; these go with the mount namespace instead.
    mount -t tmpfs -o mode=755 tmpfs /run
    mount -t overlay overlay \
        -o "lowerdir=$LAB_ROOTFS,upperdir=$LAB_DIR/upper,workdir=$LAB_DIR/work" "$LAB_DIR/root"
    exec "$@"
    ;;
esac
