# Looks, never touches. Reads what to look at from standard input, one question a line, and prints
# one fact a line: a word, a tab, and fields separated by tabs.
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 077
t=$(printf '\t')
asked=$(cat)
ask() { printf '%s\n' "$asked" | sed -n "s/^$1 //p"; }
say() { printf '%s\t%s\n' "$1" "$2"; }

say probe 1
. /etc/os-release
say os "$ID$t$VERSION_ID$t${ID_LIKE:-}"
say kernel "$(uname -r)$t$(uname -m)"
say hostname "$(hostname 2>/dev/null || cat /proc/sys/kernel/hostname)"
say boot "$(cat /proc/sys/kernel/random/boot_id)"
[ -d /run/systemd/system ] && say systemd yes
say cpus "$(nproc)"
say memory "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then say cgroup v2; else say cgroup v1; fi
sed -n '2,$s/[ \t].*//p' /proc/swaps | while read -r device; do say swap "$device"; done
say clock "$(date +%s)"
synchronised=$(timedatectl show -p NTPSynchronized --value 2>/dev/null) && say synchronised "$synchronised"
ip -o addr show 2>/dev/null | awk '{ sub(/\/.*/, "", $4); print "address\t" $2 "\t" $4 }'
ss -Hltnp 2>/dev/null | awk '{ n = split($4, a, ":"); p = ""; if (match($0, /\(\("[^"]*"/)) p = substr($0, RSTART + 3, RLENGTH - 4); print "listen\t" a[n] "\t" p }'
for d in / /var/lib /run; do
  o=$(findmnt -nro OPTIONS -T "$d" 2>/dev/null)
  say mount "$d$t$(stat -f -c "%a$t%S$t%d" "$d")$t$o"
done
systemctl is-active -q systemd-resolved 2>/dev/null && say resolved yes
for d in /etc/pki/ca-trust /etc/pki/tls/certs /etc/ca-certificates /usr/share/ca-certificates /usr/local/share/ca-certificates; do
  [ -d "$d" ] && say cadir "$d"
done
for p in $(ask program); do command -v "$p" >/dev/null 2>&1 && say program "$p"; done

packages=$(ask package)
if [ -n "$packages" ]; then
  if command -v dpkg-query >/dev/null 2>&1; then
    printf '%s\n' "$packages" | xargs dpkg-query -W -f '${db:Status-Abbrev}\t${Package}\n' 2>/dev/null | sed -n 's/^ii *\t/package\t/p; s/^hi *\t/package\t/p'
  elif command -v rpm >/dev/null 2>&1; then
    printf '%s\n' "$packages" | xargs rpm -q --qf 'package\t%{NAME}\n' 2>/dev/null | grep '^package'
  fi
fi
apt-mark showhold 2>/dev/null | while read -r p; do say held "$p"; done
for m in $(ask module); do
  if [ -d "/sys/module/$m" ] || grep -q "/$m\.ko" "/lib/modules/$(uname -r)/modules.builtin" 2>/dev/null; then
    say module "$m"
  fi
done
ask sysctl | while read -r key; do
  f=/proc/sys/$(printf '%s' "$key" | tr . /)
  [ -r "$f" ] && say sysctl "$key$t$(tr '\t' ' ' <"$f")"
done

units=$(ask unit)
if [ -n "$units" ]; then
  printf '%s\n' "$units" | xargs systemctl show -p Id,LoadState,ActiveState,UnitFileState,NRestarts 2>/dev/null |
    awk -F= '$1 { v[$1] = $2 } !$1 { if (v["Id"]) print "unit\t" v["Id"] "\t" v["LoadState"] "\t" v["ActiveState"] "\t" v["UnitFileState"] "\t" v["NRestarts"]; delete v }
      END { if (v["Id"]) print "unit\t" v["Id"] "\t" v["LoadState"] "\t" v["ActiveState"] "\t" v["UnitFileState"] "\t" v["NRestarts"] }'
fi

# Files: `file PATH`, `text DIGEST PATH`, `binary PATH`, `certificate PATH`.
texts=$(ask text)
paths=$({ ask file; printf '%s\n' "$texts" | sed -n 's/^[^ ]* //p'; })
[ -n "$paths" ] && printf '%s\n' "$paths" | xargs -d '\n' stat -c "stat$t%n$t%f$t%a$t%u$t%g" -- 2>/dev/null
printf '%s\n' "$paths" | while read -r p; do
  if [ -L "$p" ]; then say link "$p$t$(readlink "$p")"; fi
done
sums=$(printf '%s\n' "$paths" | while read -r p; do [ -f "$p" ] && [ ! -L "$p" ] && printf '%s\n' "$p"; done | xargs -r -d '\n' sha256sum -- 2>/dev/null | sed 's/^\\//; s/^\([0-9a-f]*\) [ *]/sum\t\1\t/')
[ -n "$sums" ] && printf '%s\n' "$sums"
printf '%s\n' "$texts" | while read -r sum p; do
  [ -f "$p" ] || continue
  case $sums in *"$sum$t$p"*) continue ;; esac
  [ "$(stat -c %s "$p")" -le 65536 ] && say content "$p$t$(base64 -w0 <"$p")"
done

# An installed binary's hash was recorded when it was checked; it still holds while the inode,
# size and times are the same. Anything else is hashed anew.
ask binary | while read -r p; do
  [ -f "$p" ] || continue
  now=$(stat -c '%i %s %.Y %.Z' "$p")
  record=$(cat "/var/lib/keelwright/installed$p" 2>/dev/null)
  stat -c "stat$t%n$t%f$t%a$t%u$t%g" "$p"
  case $record in
    *" $now") say sum "${record%% *}$t$p" ;;
    *) sha256sum -- "$p" | sed 's/^\([0-9a-f]*\) [ *]/sum\t\1\t/' ;;
  esac
done
ask certificate | while read -r p; do [ -f "$p" ] && say certificate "$p$t$(base64 -w0 <"$p")"; done
# Of a kubeconfig only what is public: never the line with the key.
field() { sed -n "s/^ *$1: *//p" "$2" | head -n1 | tr -d '"'"'"; }
ask kubeconfig | while read -r p; do
  [ -f "$p" ] || continue
  c=$(field client-certificate-data "$p")
  [ -n "$c" ] && say kubeconfig "$p$t$(field server "$p")$t$(field certificate-authority-data "$p")$t$c"
done
# Containers made before a file was written that they read only when they start.
ask pod | while read -r pod files; do
  made=$(crictl ps --name "^$pod\$" -o json 2>/dev/null | sed -n 's/.*"createdAt": *"\([0-9]*\)".*/\1/p' | sort -n | head -n1)
  [ -n "$made" ] || continue
  for f in $files; do
    [ -f "$f" ] && [ "$(stat -c %.9Y "$f" | tr -d .)" -gt "$made" ] && say stale "$pod$t$f" && break
  done
done

for a in /var/lib/keelwright/artifacts/*; do
  n=${a##*/}
  [ ${#n} -eq 64 ] && say artifact "$n"
done
if images=$(ctr -n k8s.io images ls -q 2>/dev/null); then
  say images yes
  [ -n "$images" ] && printf '%s\n' "$images" | sed 's/^/image\t/'
fi
[ -f /etc/keelwright/host.json ] && say marker "$(base64 -w0 </etc/keelwright/host.json)"
data=$(ask etcd-data)
[ -n "$data" ] && [ -d "$data/member" ] && say etcd-data yes
if [ -f /etc/kubernetes/manifests/etcd.yaml ]; then
  say etcd-cluster "$(sed -n 's/^.*--initial-cluster=\([^"'\'' ]*\).*/\1/p' /etc/kubernetes/manifests/etcd.yaml)"
  say etcd-state "$(sed -n 's/^.*--initial-cluster-state=\([^"'\'' ]*\).*/\1/p' /etc/kubernetes/manifests/etcd.yaml)"
fi
for f in /etc/rancher/k3s /etc/rancher/rke2 /var/snap/microk8s /etc/k0s /var/lib/k0s; do
  [ -e "$f" ] && say foreign "$f"
done
say end 1
