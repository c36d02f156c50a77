#!/bin/sh
# Runs first in each boot of a lab machine and mends where it differs from a real one.
set -eu

# nspawn mounts version 1 controllers read-only; container runtimes make groups in them. Version 2
# is delegated and needs nothing.
if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
    for controller in /sys/fs/cgroup/*; do
        [ -L "$controller" ] || mount -o remount,rw,bind "$controller"
    done
fi

# A kernel comes with a list of what is built in, so that modprobe succeeds on it. Some systems'
# kernels come without: write down what is there.
modules=/lib/modules/$(uname -r)
if [ ! -d "$modules" ] && mkdir -p "$modules" 2> /dev/null; then
    {
        ! grep -qw overlay /proc/filesystems || echo kernel/fs/overlayfs/overlay.ko
        [ ! -d /proc/sys/net/bridge ] || echo kernel/net/bridge/br_netfilter.ko
        [ ! -d /sys/module/nf_conntrack ] || echo kernel/net/netfilter/nf_conntrack.ko
    } > "$modules/modules.builtin"
    : > "$modules/modules.order"
    depmod
fi
