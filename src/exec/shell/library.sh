# What a stage is made of. The lines before this text set: R S D epoch uid gid.
# File descriptors: 6 progress, 7 the stage's own lock, 8 the machine's lock.
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
HOME=/root
export PATH LC_ALL HOME
unset ENV IFS CDPATH
cd / || exit 1

uptime_now() {
	read -r now _ </proc/uptime
	now=${now%.*}
}

# Takes the stage's lock and start mark (a second start ends here), then the machine's lock:
# two stages never run at once, so what a fenced one had begun is over before the next begins.
begin() {
	exec 7>"$D/lock"
	flock -n 7 || exit 0
	[ ! -e "$D/running" ] || exit 0
	exec 6>>"$D/progress" >>"$D/log" 2>&1 </dev/null
	uptime_now
	echo "$now" >"$D/starting"
	mv -T -- "$D/starting" "$D/running"
	exec 8>"$R/host.lock"
	flock 8
}

finish() {
	rm -rf -- "$D/files"
	echo "$1" >"$D/status"
	exit 0
}

# Ends the stage with $* as its reason, and takes the half-written file of the operation away.
fail() {
	[ $# -eq 0 ] || printf '%s\n' "$*"
	[ -z "$temp" ] || rm -f -- "$temp"
	finish 1
}

# Starts operation $1: its output replaces that of the one before.
op() {
	n=$1 temp=
	: >"$D/log"
	newest=0
	if [ -s "$S/epoch" ]; then read -r newest <"$S/epoch"; fi
	if [ "$newest" -gt "$epoch" ]; then finish "fenced-$newest"; fi
}

same() { echo "$1 0" >&6; }
changed() { echo "$1 1" >&6; }

# parent PATH: sets dir, and makes it when it is not there.
parent() {
	dir=${1%/*}
	[ -n "$dir" ] || dir=/
	[ -d "$dir" ] || (umask 022 && mkdir -p -- "$dir")
}

# scan f|d FIRST COUNT [f|d PATH MODE SHA256]...: adds to $alike the numbers of the files or
# directories that already are as wanted. Two processes for all of them.
scan() {
	kind=$1 i=$2 k=$3
	shift 3
	want=
	while [ "$k" -gt 0 ]; do
		if [ "$1" = "$kind" ]; then
			if [ "$kind" = d ] && [ -d "$2" ]; then
				set -- "$@" "$2"
				want="$want$i $3 -
"
			elif [ "$kind" = f ] && [ -f "$2" ] && [ ! -L "$2" ]; then
				set -- "$@" "$2"
				want="$want$i $3 $4
"
			fi
		fi
		shift 4
		i=$((i + 1)) k=$((k - 1))
	done
	[ $# -gt 0 ] || return 0
	stat -L -c '%a %u %g' -- "$@" >"$D/stats" || return 0
	: >"$D/sums"
	if [ "$kind" = f ]; then sha256sum -- "$@" >"$D/sums" || return 0; fi
	exec 3<"$D/stats" 4<"$D/sums"
	while read -r i mode sum && [ -n "$i" ] && read -r is_mode is_uid is_gid <&3; do
		is_sum=-
		if [ "$kind" = f ]; then
			read -r is_sum _ <&4 || break
			is_sum=${is_sum#\\}
		fi
		if [ "$mode $uid $gid $sum" = "$is_mode $is_uid $is_gid $is_sum" ]; then alike="$alike$i "; fi
	done <<END
$want
END
	exec 3<&- 4<&-
}

# sweep DIR: removes what a killed run may have left half written in a directory.
sweep() {
	for left in "$1"/.keelwright.*.tmp; do
		[ ! -e "$left" ] && [ ! -L "$left" ] || rm -f -- "$left"
	done
}
sweep_all() {
	while [ $# -gt 0 ]; do
		if [ "$1" = f ]; then
			dir=${2%/*}
			sweep "${dir:-/}"
		fi
		shift 4
	done
}

# The steps of publish; each gets [N TOUCHED DIR PATH]... PATH: to be renamed from its temporary
# name in DIR. DIR without PATH: only to be flushed.
sync_temps() {
	k=$(($# / 4))
	while [ "$k" -gt 0 ]; do
		[ -z "$4" ] || set -- "$@" "$3/.keelwright.$1.tmp"
		shift 4
		k=$((k - 1))
	done
	[ $# -eq 0 ] || sync -- "$@"
}
rename_all() {
	while [ $# -gt 0 ]; do
		if [ -n "$4" ] && ! mv -T -f -- "$3/.keelwright.$1.tmp" "$4"; then
			rm -f -- "$3/.keelwright.$1.tmp"
			bad=$1
			return
		fi
		shift 4
	done
}
sync_dirs() {
	k=$(($# / 4)) last=
	while [ "$k" -gt 0 ]; do
		if [ -n "$3" ] && [ "$3" != "$last" ]; then
			last=$3
			set -- "$@" "$3"
		fi
		shift 4
		k=$((k - 1))
	done
	[ $# -eq 0 ] || sync -- "$@"
}

# publish BAD [N TOUCHED DIR PATH]...: makes what was written durable and visible, in order; then
# fails when BAD is a number or something went wrong here.
publish() {
	bad=$1
	shift
	if sync_temps "$@"; then
		rename_all "$@"
		sync_dirs "$@" || bad=${1:-$n}
	else
		bad=${1:-$n}
	fi
	while [ $# -gt 0 ]; do
		if [ -n "$bad" ] && [ "$1" -ge "$bad" ]; then break; fi
		echo "$1 $2" >&6
		shift 4
	done
	[ -z "$bad" ] || fail
}

# files FIRST COUNT [f|d PATH MODE SHA256]...: a run of WriteFile and Directory operations.
files() {
	op "$1"
	alike=' '
	scan d "$@"
	scan f "$@"
	i=$1 k=$2 bad=
	shift 2
	swept=
	while [ "$k" -gt 0 ]; do
		entry=$1 path=$2 mode=$3 touched=0 dir='' visible=''
		case $alike in
		*" $i "*) ;;
		*)
			if [ -z "$swept" ]; then
				swept=1
				sweep_all "$@"
			fi
			touched=1
			parent "$path" || bad=$i
			if [ -n "$bad" ]; then
				:
			elif [ "$entry" = d ]; then
				(umask 022 && mkdir -p -- "$path") && chown "$uid:$gid" -- "$path" &&
					chmod "00$mode" -- "$path" || bad=$i
			else
				visible=$path
				install -m "$mode" -o "$uid" -g "$gid" -T -- \
					"$D/files/$i" "$dir/.keelwright.$i.tmp" || bad=$i
			fi
			;;
		esac
		shift 4
		if [ -n "$bad" ]; then
			rm -f -- "$dir/.keelwright.$i.tmp"
			shift "$((4 * (k - 1)))"
			k=1
		else
			set -- "$@" "$i" "$touched" "$dir" "$visible"
		fi
		i=$((i + 1)) k=$((k - 1))
	done
	publish "$bad" "$@"
}

# link N PATH TARGET
link() {
	op "$1"
	if [ -L "$2" ] && [ "$(readlink -- "$2" && echo .)" = "$3
." ]; then
		same "$1"
		return
	fi
	[ -L "$2" ] || [ ! -e "$2" ] || fail "$2 is there and is not a link"
	parent "$2" || fail
	sweep "$dir"
	temp=$dir/.keelwright.$1.tmp
	ln -s -T -- "$3" "$temp" || fail
	mv -T -f -- "$temp" "$2" || fail
	sync -- "$dir" || fail
	changed "$1"
}

# remove N PATH recursive|single. A tree with something mounted in it is refused: --one-file-system
# sees no bind mount of the same file system, and behind one is somebody's data.
remove() {
	op "$1"
	if [ ! -e "$2" ] && [ ! -L "$2" ]; then
		same "$1"
		return
	fi
	if [ "$3" = recursive ] && [ -d "$2" ] && [ ! -L "$2" ]; then
		real=$(readlink -f -- "$2") || fail
		real=$(printf '%s' "$real" | sed 's/\\/\\134/g; s/ /\\040/g; s/\t/\\011/g') || fail
		while read -r _ _ _ _ mounted _; do
			case $mounted in
			"$real" | "$real"/*) fail "something is mounted on $mounted" ;;
			esac
		done </proc/self/mountinfo
		rm -rf --one-file-system -- "$2" || fail
	else
		rm -f -- "$2" || fail
	fi
	dir=${2%/*}
	sync -- "${dir:-/}" || fail
	changed "$1"
}

# remember PATH SHA256: what is at PATH, so that a probe need not hash it while it is the same file.
remember() {
	record=$S/installed$1
	mkdir -p -- "${record%/*}" &&
		printf '%s %s\n' "$2" "$(stat -c '%i %s %.Y %.Z' -- "$1")" >"$record.tmp" &&
		mv -T -f -- "$record.tmp" "$record" || fail
}

# artifact N SHA256 MEMBER PATH MODE: MEMBER empty: the artifact itself.
checked=' '
artifact() {
	op "$1"
	store=$S/artifacts/$2
	[ -f "$store" ] || fail "artifact $2 is not in $S/artifacts"
	case $checked in
	*" $2 "*) ;;
	*)
		sum=$(sha256sum <"$store") || fail
		[ "${sum%% *}" = "$2" ] || fail "artifact $2 is damaged: its hash is ${sum%% *}"
		checked="$checked$2 "
		;;
	esac
	parent "$4" || fail
	sweep "$dir"
	temp=$dir/.keelwright.$1.tmp content=$2
	if [ -z "$3" ]; then
		if [ -f "$4" ] && [ ! -L "$4" ] && cmp -s -- "$store" "$4"; then as_is=1; else as_is=; fi
		[ -n "$as_is" ] || cp -T -- "$store" "$temp" || fail
	else
		tar -x -z -O -f "$store" -- "$3" >"$temp" || fail
		[ -s "$temp" ] || fail "$3 in artifact $2 is empty or no file"
		content=$(sha256sum <"$temp") && content=${content%% *} || fail
		if [ -f "$4" ] && [ ! -L "$4" ] && cmp -s -- "$temp" "$4"; then as_is=1; else as_is=; fi
	fi
	if [ -n "$as_is" ] && [ "$(stat -c '%a %u %g' -- "$4")" = "$5 $uid $gid" ]; then
		rm -f -- "$temp"
		remember "$4" "$content"
		same "$1"
		return
	fi
	[ -e "$temp" ] || cp -T -- "$store" "$temp" || fail
	chown "$uid:$gid" -- "$temp" && chmod "$5" -- "$temp" && sync -- "$temp" || fail
	mv -T -f -- "$temp" "$4" || fail
	sync -- "$dir" || fail
	remember "$4" "$content"
	changed "$1"
}

# run N WORD...: env, so that no word is a function or a builtin of this shell.
run() {
	op "$1"
	shift
	env -- "$@" 6>&- 7>&- 8>&-
	code=$?
	[ "$code" -eq 0 ] || finish "$code"
	changed "$n"
}

# await N SECONDS WHAT WORD...: the log holds the last attempt only. Status 69, sysexits' EX_UNAVAILABLE, says
# that what is waited for will not come.
await() {
	number=$1 seconds=$2 what=$3
	shift 3
	uptime_now
	end=$((now + seconds))
	while :; do
		op "$number"
		uptime_now
		left=$((end - now))
		[ "$left" -gt 0 ] || left=1
		status=0
		timeout --foreground -k 5 "$left" env -- "$@" 6>&- 7>&- 8>&- || status=$?
		if [ "$status" -eq 0 ]; then break; fi
		if [ "$status" -eq 69 ]; then finish 69; fi
		uptime_now
		if [ "$now" -ge "$end" ]; then
			printf 'waited %s s for %s\n' "$seconds" "$what"
			finish 124
		fi
		sleep 0.2
	done
	same "$number"
}

begin
