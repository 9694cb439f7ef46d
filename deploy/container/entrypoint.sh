#!/bin/sh
# What the container runs, below tini.
#
#   no argument   the scheduler: a first sync at once, then the crontab, until TERM
#   COMMAND …     that command of sftp-to-s3, once, with its exit code
#
# Only crond and this script stay root; every job runs as user mirror.
set -eu

lib=/usr/local/lib/sftp-to-s3
crontab=/etc/sftp-to-s3/crontab
lock=/tmp/sftp_to_s3.lock
staging=${STAGING_DIR:-/staging}
uid=10001

say() { echo "$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ) $1" >&2; }
refuse() {
  say "error   $1"
  exit 2
}
# as_mirror COMMAND…: becomes the jobs' user.
as_mirror() { setpriv --reuid "$uid" --regid "$uid" --clear-groups -- "$@"; }
is_root() { [ "$(id -u)" = 0 ]; }

# A new bind mount belongs to root and is empty, perhaps but for an ext file system's lost+found.
hand_over_empty_volume() {
  is_root && [ -d "$staging" ] && [ ! -L "${staging%/}" ] && [ "$(stat -c %u "$staging")" = 0 ] || return 0
  [ -z "$(find "$staging" -mindepth 1 -maxdepth 1 ! -name lost+found -print -quit)" ] || return 0
  # Without CAP_CHOWN it stays root's, and one-shot commands work on it as root.
  chown -h "$uid:$uid" "$staging" 2>/dev/null || true
}

# The directory of its host, volume or file system that is mounted at the path $1; empty when it is no mount.
mounted_at() {
  while read -r _ _ _ root point _; do
    if [ "$point" = "$1" ]; then echo "$root"; fi
  done </proc/self/mountinfo | tail -n 1
}

check_volume() {
  [ -d "$staging" ] || refuse "$staging is not a directory: mount a volume there, or set STAGING_DIR"
  owner=$(stat -c %u "$staging")
  if [ "$owner" != "$uid" ]; then
    # Docker mounts the container's own hostname file: its path names the container.
    container=$(mounted_at /etc/hostname | sed -n 's|.*/containers/\([0-9a-f]\{12\}\)[0-9a-f]*/hostname$|\1|p')
    say "error   the staging volume $staging belongs to uid $owner, but the scheduler's jobs run as uid $uid"
    say "error   hand it over: docker run --rm --volumes-from ${container:-CONTAINER} --entrypoint chown \
sftp_to_s3 -R $uid:$uid $staging"
    refuse "or keep its owner and run single commands: docker run --user $owner … sftp_to_s3 sync"
  fi
  case $(mounted_at "$staging") in
    */volumes/????????????????????????????????????????????????????????????????/_data)
      say "warning $staging is an anonymous volume: docker rm loses its journal and files, and a new container fetches \
and sends everything again; name it: -v sftp_to_s3_staging:$staging"
      ;;
  esac
}

check_user() {
  is_root || refuse "the scheduler needs root to start its jobs as user mirror; run it without --user, or run single \
commands: docker run --user $(id -u) … sftp_to_s3 sync"
  as_mirror true 2>/dev/null || refuse "the scheduler must become user mirror ($uid): give the container the \
capabilities SETUID and SETGID"
}

# Where Docker starts a container again and again, what is wrong is told once and not every time.
check_configuration() {
  told=/tmp/sftp_to_s3.refused
  if words=$(as_mirror sftp-to-s3 config 2>&1); then
    rm -f "$told"
    echo "$words" >&2
    return
  fi
  untimed=$(echo "$words" | cut -d ' ' -f 2-)
  [ "$untimed" != "$(cat "$told" 2>/dev/null)" ] || refuse "configuration: as wrong as at the last start"
  echo "$words" >&2
  # A new file, never one that a link of somebody else's leads to.
  rm -f "$told" 2>/dev/null || true
  (set -C && umask 077 && echo "$untimed" >"$told") 2>/dev/null || true
  exit 2
}

# crond reads only files that root owns, whoever owns the mounted one. The shell of every line is job.sh.
install_crontab() {
  [ -r "$crontab" ] || refuse "$crontab cannot be read"
  crontabs=/tmp/sftp_to_s3.crontabs
  rm -rf "$crontabs"
  mkdir -m 700 "$crontabs"
  {
    echo "SHELL=$lib/job.sh"
    cat "$crontab"
    echo
  } >"$crontabs/mirror"
  # Made by root and open to all: a sticky /tmp lets nobody else open it for locking otherwise.
  [ -e "$lock" ] || (umask 0 && : >"$lock")
}

# True while a process of user mirror lives; zombies do not.
jobs_live() {
  for status in /proc/[0-9]*/status; do
    awk -v uid="$uid" '/^State:/ { state = $2 } /^Uid:/ { real = $2 } END { exit !(real == uid && state != "Z") }' \
      "$status" 2>/dev/null && return 0
  done
  return 1
}

# No new job; those at work are asked to end, and waited for. crond gives each a process group of its own, so a signal
# to the container's first process alone would not reach them.
stop() {
  trap '' TERM INT
  kill -TERM "$crond"
  if jobs_live; then
    say "info    stopping: waiting for the run to end"
    as_mirror sh -c 'kill -TERM -1' || true
    while jobs_live; do sleep 0.1; done
  fi
  say "info    stopped"
  exit 0
}

schedule() {
  check_user
  [ -z "${STAGING_DIR_FILE:-}" ] || refuse "set STAGING_DIR, not STAGING_DIR_FILE: the scheduler looks at the volume too"
  check_configuration
  check_volume
  install_crontab
  # In a session of its own, as crond's jobs are.
  setsid setpriv --reuid "$uid" --regid "$uid" --clear-groups -- \
    "$lib/job.sh" -c "flock -n -E 75 $lock sftp-to-s3 sync" </dev/null &
  # 9: of its own, crond says only errors.
  busybox crond -f -l 9 -L /dev/stderr -c "$crontabs" </dev/null &
  crond=$!
  trap stop TERM INT
  wait "$crond" || true
  say "error   crond has ended"
  exit 1
}

hand_over_empty_volume
[ $# -gt 0 ] || schedule
exec sftp-to-s3 "$@"
