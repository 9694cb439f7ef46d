#!/usr/bin/env bash
# Shows the mirror at work on throw-away servers: a real sshd and SeaweedFS on loopback, serving fixtures/.
# Everything it makes is in one temporary directory, removed at the end. Called by `make demo` after the release build.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=$(realpath -m "${SCRATCH_PATH:-.build}")/release/sftp-to-s3
[ -x "$binary" ] || { echo "demo: $binary is missing: run make build" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/sftp-to-s3-demo.XXXXXX")
trap 'scripts/dev-servers.sh stop "$work/servers" || true; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

say() { printf '\n# %s\n' "$*"; }
show() {
  printf '$ %s\n' "$*"
  "$@"
}
# expect CODE COMMAND...: runs it, and ends the demo if it exits with any other code.
expect() {
  local wanted=$1 code=0
  shift
  printf '$ %s\n' "$*"
  "$@" || code=$?
  printf '# exit code %s\n' "$code"
  if [ "$code" != "$wanted" ]; then
    echo "demo: expected exit code $wanted, got $code" >&2
    exit 1
  fi
}
journal() { cat "$STAGING_DIR"/journal/*.jsonl | sha256sum; }

PATH=$(dirname "$binary"):$PATH
say "An SFTP server and an S3 server, on loopback, for as long as this demo runs"
show scripts/dev-servers.sh start "$work/servers"
show fixtures/make-traps.sh "$work/servers/served"

say "The configuration: environment variables, nothing else"
. "$work/servers/env"
export STAGING_DIR=$work/staging SETTLE_SECONDS=0
mkdir "$STAGING_DIR"
sed -e 's/^export //' -e 's/^\(S3_SECRET_ACCESS_KEY\)=.*/\1=***/' "$work/servers/env"
printf 'STAGING_DIR=%s\nSETTLE_SECONDS=0   # the default, 45, waits to see that a file no longer grows\n' "$STAGING_DIR"

say "Mirror the folder. One file's name is not UTF-8, so it cannot be an S3 key: it is fetched and named, and the exit"
echo "# code is 6 (done, but some files failed) instead of 0."
expect 6 sftp-to-s3 sync

say "What the staging volume knows"
show sftp-to-s3 status
printf '$ %s\n' "sftp-to-s3 ls | head -n 15"
sftp-to-s3 ls | head -n 15 || true

say "What is in the bucket, according to another client (boto3)"
show .venv/bin/python scripts/bucket.py list

say "Again: nothing is new, so nothing is fetched, sent or recorded (6 still stands for the one name)"
before=$(journal)
expect 6 sftp-to-s3 sync
if [ "$(journal)" != "$before" ]; then
  echo "demo: a sync that changed nothing wrote to the journal" >&2
  exit 1
fi

say "Done. The servers stop now. Run the same on your own: see README.md"
