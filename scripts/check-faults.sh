#!/usr/bin/env bash
# Tests/FAULTS.md names a test for every fault. Fails when one of them does not exist, or a fault has none.
#
#   scripts/check-faults.sh [TESTS]
set -euo pipefail
export LC_ALL=C
tests=${1:-$(cd "$(dirname "$0")/.." && pwd)/Tests}

failed=false
complain() {
  echo "check-faults: $1" >&2
  failed=true
}

rows=0
while IFS= read -r row; do
  rows=$((rows + 1))
  mapfile -t names < <(grep -oE '`[A-Za-z0-9]+/[A-Za-z0-9]+`' <<<"$row" | tr -d '`')
  [ ${#names[@]} -gt 0 ] || complain "no test: $row"
  for name in "${names[@]}"; do
    suite=${name%/*} test=${name#*/}
    # The function must stand in the suite, and be a test: @Test stands before it, after the function before.
    found=false
    while IFS= read -r file; do
      if awk -v suite="$suite" -v test="$test" '
        /^(@Suite )?(final class|struct) |^@Suite.* struct |^extension / { inside = $0 ~ ("(struct|class|extension) " suite "[ :<{]") }
        /@Test/ { isTest = 1 }
        inside && isTest && $0 ~ ("func " test "\\(") { found = 1 }
        /func / { isTest = 0 }
        END { exit !found }' "$file"; then found=true; fi
    done < <(grep -rlE "(struct|extension) $suite\b" --include='*.swift' "$tests")
    $found || complain "there is no test $name"
  done
done < <(sed -nE '/^\| *(fault|---)/d; /^\|/p' "$tests/FAULTS.md")
[ "$rows" -gt 20 ] || complain "Tests/FAULTS.md has only $rows faults"

if $failed; then exit 1; fi
