# Part of image-test.sh: the scheduler over some minutes, its logs, its health, its end, its next start.
say "The scheduler"
odd=$'two\nlines "double" \'single\' $HOME `tick` \\ end'
cat >"$work/crontab" <<'C'
* * * * * flock -n -E 75 /tmp/sftp_to_s3.lock sftp-to-s3 sync
*/2 * * * * flock -w 3300 -E 75 /tmp/sftp_to_s3.lock sftp-to-s3 full-sync
* * * * * echo odd: $(printenv ODD | sha256sum)
* * * * * flock -n -E 75 /tmp/skip.lock sleep 2
* * * * * flock -n -E 75 /tmp/skip.lock sleep 2
C
printf '* * * * * flock -n -E 75 /tmp/sftp_to_s3.lock sftp-to-s3 full-sync' >"$work/crontab-full"
as_root chown 12345 "$work/crontab"
as_root chown -R 10001:10001 "$work/new"
mkdir "$work/volume"
as_root chown 0:0 "$work/volume"
start mirror -e SETTLE_SECONDS=1 -e S3_FOLDER_NAME=cron -e ODD="$odd" -v "$work/volume:/staging" \
  -v "$work/crontab:/etc/sftp-to-s3/crontab:ro"
# Beside it, one whose full-sync waits for a file to settle until it is stopped.
start waiting -e SETTLE_SECONDS=3600 -e S3_FOLDER_NAME=new -v "$work/new:/staging" --read-only --tmpfs /tmp \
  --cap-drop ALL --cap-add SETUID --cap-add SETGID -v "$work/crontab-full:/etc/sftp-to-s3/crontab:ro"
start anonymous -e S3_FOLDER_NAME=anonymous
within 30 "a first sync at start-up" mirror log_says mirror 'publish: 2 published'
within 30 "healthy after it" mirror health_is mirror healthy
within 10 "an anonymous volume is warned of" anonymous log_says anonymous 'warning /staging is an anonymous volume'
stop_in_time anonymous

# New files all the time, so that every run has something to record.
journal() { docker exec "$id-mirror" sh -c 'cat /staging/journal/*.jsonl'; }
ran() {
  printf '%s\n' "$SECONDS" >"$served/at-$SECONDS.txt"
  journal | grep "\"op\":\"run\",\"command\":\"$1\"" >/dev/null
}
within 130 "cron runs sync" mirror ran sync
within 200 "cron runs full-sync" mirror ran full-sync
within 200 "the bucket holds what the server serves" mirror bucket_equals_source cron
within 70 "one line for a skipped run" mirror log_says mirror 'info    skipped: another run holds the lock job=2$'
wanted=$(printf '%s\n' "$odd" | sha256sum)
within 70 "variables reach the jobs byte for byte" mirror log_says mirror "^odd: ${wanted%% *}"
if log_says mirror '^crond'; then fail "crond is not silent" mirror; fi
pass "crond itself is silent"

say "By hand, while it runs"
by_hand() { # USER: cron's run may hold the lock
  local code=75
  while [ $code = 75 ]; do
    code=0
    docker exec -u "$1" "$id-mirror" sftp-to-s3 publish >"$work/out" 2>&1 || code=$?
  done
  return $code
}
check "publish by root" by_hand 0
check "publish by the jobs' user" by_hand 10001
check "publish by root behind cron's own lock" \
  docker exec "$id-mirror" flock -w 60 /tmp/sftp_to_s3.lock sftp-to-s3 publish
check "nothing in the volume is anyone else's" owned_only_by 10001 "$work/volume"
check "status" docker exec "$id-mirror" sftp-to-s3 status
no_zombies() { ! docker exec "$id-mirror" grep -l '^State:.Z' -r /proc --include=status 2>/dev/null | grep . >/dev/null; }
check "no zombies" no_zombies

say "The end, and the next start"
within 130 "a full-sync of cron's is waiting" waiting log_says waiting 'waiting for files to settle'
stop_in_time waiting
check "the run was told" log_says waiting 'the run was asked to stop'
stop_in_time mirror
head=$(tail -n 1 "$work/volume/journal/"*.jsonl | sha256sum)
mark=$(docker logs "$id-mirror" 2>&1 | wc -l)
docker start "$id-mirror" >/dev/null
unchanged() { logs mirror | tail -n "+$((mark + 1))" | grep 'fetch: 0 fetched' >/dev/null; }
within 70 "goes on with the same volume: nothing is fetched again" mirror unchanged
stop_in_time mirror
check "nor recorded" test "$head" = "$(tail -n 1 "$work/volume/journal/"*.jsonl | sha256sum)"
sleep 3
expect 1 "health of a mirror that has stopped" once -v "$work/volume:/staging" -- health --max-age 1s
says "unhealthy: fetch: last success"

say "Secrets"
leaks() { grep -qaF -e "$password" -e "$s3_secret" "$1"; }
not_in() {
  cat >"$work/looked-at"
  [ -s "$work/looked-at" ] || fail "nothing to look at: $1"
  if leaks "$work/looked-at"; then fail "a secret is in $1"; fi
  pass "none in $1"
}
for name in mirror waiting anonymous; do logs $name; done | not_in "the logs"
{ docker history --no-trunc "$image" && docker image inspect "$image"; } | not_in "the image's history and metadata"
docker export "$id-mirror" | not_in "the container's file system"
as_root tar -C "$work" -c volume | not_in "the staging volume"
