#!/usr/bin/env bash
# Installs what is missing to build, test and demonstrate, and nothing that is there already.
#
#   scripts/setup.sh               everything
#   scripts/setup.sh --build-only  only what `swift build` needs
#   scripts/setup.sh --bench       everything, and what `make bench` compares with
#
# Silent and fast when there is nothing to do. Exit code 2 when something is missing that it cannot install.
set -euo pipefail
cd "$(dirname "$0")/.."

build_only=false
bench=false
case "${1-}" in
  "") ;;
  --build-only) build_only=true ;;
  --bench) bench=true ;;
  *)
    echo "usage: scripts/setup.sh [--build-only | --bench]" >&2
    exit 2
    ;;
esac

has() { command -v "$1" >/dev/null 2>&1; }
library() { has pkg-config && pkg-config --exists "$1"; }

# missing PACKAGE COMMAND...: notes the Debian package unless the command succeeds.
packages=()
missing() {
  local package=$1
  shift
  "$@" || packages+=("$package")
}

find_missing() {
  packages=()
  missing pkg-config has pkg-config
  missing libssh2-1-dev library libssh2
  missing libcurl4-openssl-dev library libcurl
  missing libexpat1-dev library expat
  missing zlib1g-dev library zlib
  $build_only && return
  missing git has git
  missing openssh-server test -x /usr/sbin/sshd
  missing openssh-client has ssh-keygen
  missing openssh-sftp-server test -x /usr/lib/openssh/sftp-server
  missing proftpd-core test -x /usr/sbin/proftpd
  missing proftpd-mod-crypto test -e /usr/lib/proftpd/mod_sftp.so
  missing util-linux has setpriv
  missing systemd has systemd-analyze
  missing python3 has python3
  if $bench; then missing lftp has lftp; fi
  if [ ! -x .venv/bin/python ]; then
    missing python3-venv python3 -c 'import ensurepip, venv' 2>/dev/null
  fi
}

cannot() {
  echo "setup: $1" >&2
  echo "setup: missing: ${packages[*]}" >&2
  echo "setup: install them with: apt-get update && apt-get install -y ${packages[*]}" >&2
  exit 2
}

if ! has swift; then
  echo "setup: missing: swift $(cat .swift-version) (see swift.org/install); it cannot be installed from here" >&2
  exit 2
fi

find_missing
if [ ${#packages[@]} -gt 0 ]; then
  has apt-get || cannot "this is not a Debian system, so the packages cannot be installed from here"
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    has sudo || cannot "not root, and there is no sudo"
    sudo -n true 2>/dev/null || [ -t 0 ] || cannot "not root, and sudo asks for a password"
    as_root=(sudo)
  fi
  echo "setup: installing ${packages[*]}" >&2
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  # The tests start a ProFTPD of their own; nobody wants the one that its package would start on port 21.
  if [[ " ${packages[*]} " == *" proftpd-core "* ]] && has systemctl; then
    "${as_root[@]}" systemctl mask --quiet proftpd.service 2>/dev/null || true
  fi
  # DEBIAN_FRONTEND is passed by env, because sudo drops it.
  if ! {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
  } >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    cannot "apt-get failed (its last lines are above)"
  fi
  find_missing
  [ ${#packages[@]} -eq 0 ] || cannot "apt-get reported success, yet this is still not to be found"
fi
$build_only && exit 0

# sshd started by root refuses to run without its privilege separation directory, which a boot would have made.
if [ "$(id -u)" = 0 ]; then mkdir -p -m 755 /run/sshd; fi

# A virtual environment holds its own absolute path: one made elsewhere (a moved clone) is made again.
if ! cmp -s scripts/requirements.txt .venv/installed.txt || ! .venv/bin/python -c '' 2>/dev/null; then
  echo "setup: installing $(grep -v '^#' scripts/requirements.txt | tr '\n' ' ')into .venv" >&2
  rm -rf .venv
  if ! python3 -m venv .venv ||
    ! .venv/bin/python -m pip install --quiet --disable-pip-version-check -r scripts/requirements.txt; then
    echo "setup: missing: the Python packages of scripts/requirements.txt could not be installed into .venv" >&2
    echo "setup: try: python3 -m venv .venv && .venv/bin/pip install -r scripts/requirements.txt" >&2
    exit 2
  fi
  cp scripts/requirements.txt .venv/installed.txt
fi
