#!/bin/sh
# Run once, by cloud-init: etcd's data lies on a volume of its own, which outlives this machine. What a machine
# before this one has left there stays.
set -eu
directory={{ directory }}
label=keelwright-etcd

# A disk that is blank: no partition, no file system, and none of those that are gone with the machine.
blank_disk() {
  for disk in $(lsblk --nodeps --noheadings --paths --output NAME --include 8,202,259); do
    case $(lsblk --nodeps --noheadings --output MODEL "$disk") in *'Instance Storage'*) continue ;; esac
    [ "$(lsblk --noheadings --output NAME "$disk" | wc -l)" -eq 1 ] || continue
    blkid --probe "$disk" >/dev/null 2>&1 || { echo "$disk"; return; }
  done
}

# The volume is attached after the machine has been made.
disk=
tries=180
while [ -z "$disk" ] && [ "$tries" -gt 0 ]; do
  disk=$(blkid --label "$label" || blank_disk)
  [ -n "$disk" ] || sleep 5
  tries=$((tries - 1))
done
[ -n "$disk" ] || { echo "no volume for etcd has come" >&2; exit 1; }

[ "$(blkid --match-tag LABEL --output value "$disk")" = "$label" ] || mkfs.ext4 -q -L "$label" "$disk"
mkdir -p "$directory"
# Without its volume etcd would begin with nothing: no kubelet before it, and none without it.
options=defaults,nofail,x-systemd.device-timeout=10min,x-systemd.before=kubelet.service,x-systemd.required-by=kubelet.service
grep -q "^LABEL=$label " /etc/fstab || echo "LABEL=$label $directory ext4 $options 0 2" >>/etc/fstab
systemctl daemon-reload
mountpoint -q "$directory" || mount "$directory"
chmod 0700 "$directory"
