#!/bin/sh
# Runs inside the new root file system (chroot), once, with the deploy user's password on stdin.
set -eu
read -r password

useradd --create-home --shell /bin/bash --uid 1000 admin
useradd --create-home --shell /bin/bash --uid 1001 --groups sudo deploy
echo "deploy:$password" | chpasswd
echo 'admin ALL=(ALL:ALL) NOPASSWD: ALL' > /etc/sudoers.d/admin
chmod 0440 /etc/sudoers.d/admin

# haproxy: clusters bring a unit of their own. The timers: nothing to update from. udev's trigger:
# /sys is the outside's, and replaying its devices would wake the outside's udev.
for unit in haproxy.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \
    dpkg-db-backup.timer systemd-udev-trigger.service; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
systemctl enable keelwright-lab.service ssh.service

# Debian's own settings here are of the whole kernel, which belongs to the outside.
rm -f /usr/lib/sysctl.d/*.conf

# Every machine gets its own of these.
rm -f /etc/ssh/ssh_host_* /etc/hostname /var/lib/dbus/machine-id
: > /etc/machine-id
# CoreDNS wants a name server to pass questions on to. Nothing has this address, and no route leads to
# it: a question ends at once, inside.
echo 'nameserver 198.18.255.53' > /etc/resolv.conf

apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/*.log /var/log/apt
