#!/bin/sh
# Runs one line of the crontab, as its shell: `job.sh -c LINE`. Leaves one line in the log where a run was skipped
# because another holds the lock (exit code 75), which flock itself does without a word.
/bin/sh "$@"
code=$?
case $code:${LOG_LEVEL:-info} in
  75:debug | 75:info)
    echo "$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ) info    skipped: another run holds the lock job=${2##* }" >&2
    ;;
esac
exit $code
