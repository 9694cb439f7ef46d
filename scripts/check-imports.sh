#!/usr/bin/env bash
# Holds Sources/ to the import law: who may import what, and who alone may touch the process around us.
# ARCHITECTURE.md has the reasons. Prints every violation as file:line; exit code 1 if there is one.
#
#   scripts/check-imports.sh [SOURCES]
set -euo pipefail
export LC_ALL=C
sources=${1:-$(cd "$(dirname "$0")/.." && pwd)/Sources}

# Every target may import these.
everyone="Glibc Synchronization"

# Target: what it may import besides. A target that is not in the table may not exist.
declare -A allowed=(
  [Common]="CLinux Crypto Logging FoundationEssentials"
  [HTTP]="Common CLibCurl Logging"
  [S3]="Common HTTP CExpat Logging"
  [SFTP]="Common CLibSSH2 Logging"
  [Staging]="Common CLinux Logging"
  [Fetch]="Common Staging SFTP Logging"
  [Publish]="Common Staging S3 CZlib Logging"
  [Audit]="Common Staging"
  [Mirror]="Common Staging Fetch Publish Audit Logging"
  [sftp-to-s3]="Common Staging Fetch Publish Audit Mirror ArgumentParser Logging"
)

# Rooms for C libraries: a module map and a shim, no Swift.
rooms="CLinux CLibSSH2 CLibCurl CExpat CZlib"

# Arguments, environment, signals and the end of the process belong to the executable.
process='(^|[^[:alnum:]_.])((_?exit|quick_exit|abort|signal|sigaction|(secure_)?getenv|setenv|unsetenv|putenv) *\(|ProcessInfo\b|CommandLine\b|environ\b)'

import='^[[:space:]]*(@[A-Za-z_]+(\([^)]*\))?[[:space:]]+)*((public|package|internal|fileprivate|private)[[:space:]]+)?import[[:space:]]+((struct|class|enum|protocol|typealias|func|var|let)[[:space:]]+)?([A-Za-z_][A-Za-z0-9_]*)'

violations=0
violation() {
  echo "$1" >&2
  violations=$((violations + 1))
}

for directory in "$sources"/*/; do
  target=$(basename "$directory")
  if [[ " $rooms " == *" $target "* ]]; then
    [ -z "$(find "$directory" -name '*.swift' -print -quit)" ] || violation "$directory: a room for a C library has no Swift"
    continue
  fi
  if [ -z "${allowed[$target]+known}" ]; then
    violation "$directory: not in the table of scripts/check-imports.sh"
    continue
  fi
  while IFS=: read -r file line text; do
    [[ $text =~ $import ]] || continue
    module=${BASH_REMATCH[7]}
    [[ " $everyone ${allowed[$target]} " == *" $module "* ]] || violation "$file:$line: $target may not import $module"
  done < <(grep -rnE "$import" --include='*.swift' "$directory" || true)
  [ "$target" = sftp-to-s3 ] && continue
  while IFS=: read -r file line text; do
    # Comments may speak of what code may not do.
    [[ ${text%%//*} =~ $process ]] || continue
    violation "$file:$line: only the executable may touch the process: ${BASH_REMATCH[2]}"
  done < <(grep -rnE "$process" --include='*.swift' "$directory" || true)
done

if [ $violations -gt 0 ]; then
  echo "check-imports: $violations violation(s) of the import law" >&2
  exit 1
fi
