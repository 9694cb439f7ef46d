#!/usr/bin/env bash
# Builds the image and proves it beside a real sshd and SeaweedFS, in containers of their own: the scheduler, its logs,
# health and end; single commands under every kind of user; what leaks and what does not. Needs a Docker Engine on this
# machine and fails without one. Takes some five minutes beside the build; removes all it made but the image.
#
#   scripts/image-test.sh [IMAGE]     IMAGE is tested as it is instead of building sftp_to_s3
set -euo pipefail
cd "$(dirname "$0")/.."
docker info >/dev/null 2>&1 || { echo "image-test: no Docker Engine answers (docker info)" >&2; exit 2; }

image=${1:-sftp_to_s3}
id=image-test-$$
work=$(mktemp -d "${TMPDIR:-/tmp}/sftp-to-s3-image-test.XXXXXX")
served=$work/served
password='pass word "quoted" $HOME'
s3_secret=image-test-s3-secret
passed=0

clean_up() {
  local containers
  containers=$(docker ps -aq --filter "label=$id")
  [ -z "$containers" ] || docker rm -fv $containers >/dev/null
  docker volume ls -q --filter "name=$id" | xargs -r docker volume rm >/dev/null
  docker network rm "$id" >/dev/null 2>&1 || true
  # What the containers wrote may belong to other users.
  docker run --rm --user 0 -v "$work:$work" --entrypoint find "$image" "$work" -mindepth 1 -delete || true
  docker image rm "$id-sftp" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

say() { printf '\n# %s\n' "$*"; }
pass() {
  passed=$((passed + 1))
  printf 'ok   %s\n' "$*"
}
# fail WHAT [CONTAINER]: ends the test, with the container's log.
fail() {
  printf 'FAIL %s\n' "$1" >&2
  [ -z "${2-}" ] || docker logs "$id-$2" 2>&1 | tail -n 40 >&2
  exit 1
}
# check WHAT COMMAND…: passes when the command succeeds.
check() {
  local what=$1
  shift
  "$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; fail "$what"; }
  pass "$what"
}
# expect CODE WHAT COMMAND…: the exit code; what it printed is in $work/out.
expect() {
  local wanted=$1 what=$2 code=0
  shift 2
  "$@" >"$work/out" 2>&1 || code=$?
  [ "$code" = "$wanted" ] || { cat "$work/out" >&2; fail "$what: exit code $code, not $wanted"; }
  pass "$what (exit code $code)"
}
says() { grep -qF -- "$1" "$work/out" || { cat "$work/out" >&2; fail "does not say: $1"; }; }
logs() { docker logs "$id-$1" 2>&1; }
# within SECONDS WHAT CONTAINER COMMAND…: until the command succeeds.
within() {
  local seconds=$1 what=$2 container=$3 end
  end=$((SECONDS + seconds))
  shift 3
  until "$@"; do
    [ $SECONDS -lt $end ] || fail "not within $seconds s: $what" "$container"
    sleep 0.5
  done
  pass "$what"
}
# Read to the end: a reader that leaves early would make the pipe fail.
log_says() { logs "$1" | grep -E -- "$2" >/dev/null; }
health_is() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$id-$1")" = "$2" ]; }

settings=(
  -e SFTP_HOST=sftp -e SFTP_USER=demo -e SFTP_PASS="$password" -e SFTP_FOLDER_NAME=outbox
  -e S3_ENDPOINT=http://s3:8333 -e S3_BUCKET_NAME=mirror -e S3_ACCESS_KEY_ID=image-test
  -e S3_SECRET_ACCESS_KEY="$s3_secret"
)
# once OPTION… -- COMMAND…: one command in a container of its own.
once() {
  local options=()
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  docker run --rm --label "$id" --network "$id" "${settings[@]}" "${options[@]}" "$image" "$@"
}
# start NAME OPTION…: the scheduler.
start() {
  local name=$1
  shift
  docker run -d --name "$id-$name" --label "$id" --network "$id" "${settings[@]}" \
    --health-interval 3s --health-retries 1 "$@" "$image" >/dev/null
}
# stop_in_time NAME: by TERM, and not by the KILL after it.
stop_in_time() {
  local from=$SECONDS
  docker stop -t 30 "$id-$1" >/dev/null
  [ "$(docker inspect -f '{{.State.ExitCode}}' "$id-$1")" = 0 ] || fail "$1 did not end cleanly" "$1"
  [ $((SECONDS - from)) -le 12 ] || fail "$1 took $((SECONDS - from)) s to stop" "$1"
  pass "$1: stopped by TERM in $((SECONDS - from)) s, exit code 0"
}
# objects FOLDER: keys and digests in the bucket, by a client that is not ours.
objects() {
  S3_ENDPOINT=http://$s3_address S3_BUCKET_NAME=mirror S3_ACCESS_KEY_ID=image-test S3_SECRET_ACCESS_KEY=$s3_secret \
    .venv/bin/python scripts/bucket.py json "$1/" |
    .venv/bin/python -c 'import json, sys; [print(o["sha256"], o["key"]) for o in json.load(sys.stdin)]' | sort
}
bucket_equals_source() { # FOLDER
  [ "$(objects "$1")" = "$(cd "$served" && find . -type f -exec sha256sum {} + | sed "s|  \./| $1/|" | sort)" ]
}

. scripts/image-test/servers.sh
. scripts/image-test/single.sh
. scripts/image-test/scheduler.sh

say "$passed checks passed in $SECONDS s"
