# Installs what a fresh Debian machine lacks; sourced by the other scripts. Says what it does.

say() { printf '\n== %s\n' "$*" >&2; }

need_packages() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  say "installing ${missing[*]}"
  [ "$(id -u)" = 0 ] || { echo "Error: ${missing[*]} must be installed, and you are not root" >&2; exit 1; }
  apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
}

need_rust() {
  command -v cargo >/dev/null 2>&1 && return 0
  if apt-cache show rustup >/dev/null 2>&1; then
    need_packages rustup
    rustup default stable
  else
    say "installing Rust with rustup"
    need_packages curl ca-certificates
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --component clippy,rustfmt
    . "$HOME/.cargo/env"
  fi
}

# Says beforehand what would end as "No space left on device" in the middle.
need_space() { # GIB
  mkdir -p "$KEELWRIGHT_CACHE"
  local free
  free=$(df --output=avail -B 1G "$KEELWRIGHT_CACHE" | tail -n 1)
  [ "$free" -ge "$1" ] && return 0
  echo "Error: $((free)) GiB are free in $KEELWRIGHT_CACHE, and machines of the lab take up to $1: make room, or set KEELWRIGHT_CACHE to where there is" >&2
  exit 1
}

# What building and testing the crate needs.
need_build() {
  need_packages build-essential ca-certificates
  need_rust
}

# What the tests against an emulator of AWS need; they install it, moto, below the cache directory.
need_moto() {
  need_packages python3-venv
}

# What lab machines need of the machine they run on; haproxy stands in for balancers of AWS.
need_lab() {
  need_packages haproxy debootstrap systemd-container iproute2 nftables iptables openssh-client procps util-linux
}
