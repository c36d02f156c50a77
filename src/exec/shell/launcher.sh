# Starts one stage on this machine, or finds the one that was started before, waits for it and
# prints how it ended. Runs as root from one SSH exec. The lines before this text set:
#   R run directory   S state directory   id   epoch   deadline (s)   size (bytes on stdin)
#   eager (1: the payload follows unasked)   boot (boot id of an earlier attempt, or empty)
# A stage is started at most once: it owns $D, and the script itself refuses a second start.
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
unset ENV IFS
D=$R/$id

say() { printf 'keelwright: %s\n' "$*"; }
quit() {
	say "$@"
	exit 0
}
receive() { dd bs=65536 count="$size" iflag=fullblock,count_bytes 2>/dev/null; }
uptime_now() {
	read -r now _ </proc/uptime
	now=${now%.*}
}

mkdir -p -- "$R" "$S" || quit "error cannot make $R and $S"
read -r this_boot </proc/sys/kernel/random/boot_id
say "boot $this_boot"
if [ -n "$boot" ] && [ "$boot" != "$this_boot" ]; then quit "rebooted"; fi

# Fencing: whoever took over has written a higher epoch; the one it took over from stops here.
exec 9>"$R/launch.lock" || exit 1
flock 9
newest=0
if [ -s "$S/epoch" ]; then read -r newest <"$S/epoch"; fi
if [ "$newest" -gt "$epoch" ]; then quit "fenced $newest"; fi
if [ "$newest" -lt "$epoch" ]; then
	echo "$epoch" >"$S/.epoch.tmp" && sync -- "$S/.epoch.tmp" &&
		mv -T -f -- "$S/.epoch.tmp" "$S/epoch" && sync -- "$S" ||
		quit "error cannot write $S/epoch"
fi
flock -u 9

# The payload is unpacked where nobody looks and becomes the stage by one rename, so a connection
# that is cut while sending leaves no half stage, and two launchers cannot both make it.
fresh=
if [ -d "$D" ] || [ -e "$R/$id.done" ]; then
	if [ "$eager" = 1 ]; then receive >/dev/null; fi
else
	fresh=$(mktemp -d "$R/.in.XXXXXX") || quit "error cannot write to $R"
	if [ "$eager" != 1 ]; then say "need"; fi
	receive | tar -x -f - -C "$fresh" --no-same-owner 2>"$R/.tar.$$"
	if [ ! -f "$fresh/complete" ]; then
		rm -rf -- "$fresh"
		why=$(tail -n 1 "$R/.tar.$$" 2>/dev/null)
		rm -f -- "$R/.tar.$$"
		quit "error the payload did not arrive whole: $why"
	fi
	rm -f -- "$R/.tar.$$"
fi

flock 9
if [ -n "$fresh" ]; then
	if [ -d "$D" ] || [ -e "$R/$id.done" ]; then
		rm -rf -- "$fresh"
	else
		mv -T -- "$fresh" "$D" || quit "error cannot make $D"
	fi
fi
if [ ! -d "$D" ]; then quit "gone"; fi
if [ ! -e "$D/running" ]; then
	if [ -d /run/systemd/system ]; then
		systemd-run --quiet --collect --no-block --unit="keelwright-$id" \
			--description="keelwright stage $id" \
			--property=RuntimeMaxSec="$deadline" --property=TimeoutStopSec=10 \
			/bin/sh "$D/script" </dev/null >"$D/start" 2>&1 9>&-
	else
		setsid timeout -k 10 "$deadline" /bin/sh "$D/script" </dev/null >"$D/start" 2>&1 9>&- &
	fi
	tries=0
	until [ -e "$D/running" ]; do
		tries=$((tries + 1))
		if [ "$tries" -gt 600 ]; then
			quit "error the stage did not start: $(tail -n 1 "$D/start")"
		fi
		sleep 0.05
	done
	# What earlier runs left and nobody came back for: never a stage that still holds its lock.
	find "$R" -mindepth 1 -maxdepth 1 -mmin +60 | while IFS= read -r old; do
		case $old in
		*/.in.* | */.tar.* | *.done) rm -rf -- "$old" ;;
		*) if [ -d "$old" ] && flock -n "$old/lock" true; then rm -rf -- "$old"; fi ;;
		esac
	done
fi
flock -u 9
exec 9>&-
say "attached"

# The script holds this lock until it ends, however it ends.
exec 7<"$D/lock"
flock -s 7
exec 7<&-

status=
if [ -s "$D/status" ]; then read -r status <"$D/status"; fi
if [ -z "$status" ]; then
	read -r began <"$D/running"
	uptime_now
	status=killed
	if [ $((now - began)) -ge "$deadline" ]; then status=deadline; fi
	rm -rf -- "$D/files"
	# The shell is gone; what it had started is waited for too.
	if [ -d /run/systemd/system ]; then systemctl stop "keelwright-$id.service" 2>/dev/null; fi
fi
completed=0
changed=
if [ -e "$D/progress" ]; then
	while read -r number touched; do
		completed=$((completed + 1))
		if [ "$touched" = 1 ]; then changed="$changed $number"; fi
	done <"$D/progress"
fi
say "result $status $completed$changed"
if [ "$status" = 0 ]; then
	say "output 0"
else
	tail -c 16384 "$D/log" >"$D/tail"
	say "output $(($(wc -c <"$D/tail")))"
	cat "$D/tail"
fi
say "end"

# The result stays until the operator says that it has arrived; after that only a mark stays, so
# that a launcher that comes late does not start the stage again.
read -r word || exit 0
if [ "$word" = ack ]; then
	: >"$R/$id.done"
	rm -rf -- "$D"
fi
