#!/usr/bin/env bash
# Holds the files of the repository to its rules: nothing that belongs to one machine, Swift files of a readable size.
# The words below are spelled as patterns so that this file does not find itself.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8

failed=false
forbid() {
  local what=$1 pattern=$2
  if git grep --untracked --line-number -I --extended-regexp "$pattern" -- . >&2; then
    echo "check-repository: $what" >&2
    failed=true
  fi
}
forbid "names a directory beside the repository" '\.\.[/]shared'
forbid "names an absolute path of one machine" '(^|[^[:alnum:]._-])/wor[k]/'
forbid "names the host of a package registry" '(pypi[.]org|pythonhosted[.]org|(deb|security)[.]debian[.]org|registry[.]npmjs)'

while IFS= read -r -d '' file; do
  [ -f "$file" ] || continue
  lines=$(wc -l <"$file")
  if [ "$lines" -gt 400 ]; then
    echo "$file: $lines lines, more than 400: split it" >&2
    failed=true
  fi
  # A row of a table in a comment cannot be broken.
  if grep -nHE '^.{121,}' "$file" | grep -vE '^[^:]+:[0-9]+: */// \|' >&2; then
    echo "check-repository: a line over 120 columns" >&2
    failed=true
  fi
done < <(git ls-files -z --cached --others --exclude-standard -- '*.swift')

while IFS= read -r -d '' script; do bash -n "$script" || failed=true; done \
  < <(git ls-files -z --cached --others --exclude-standard -- '*.sh' .ci/run)

if $failed; then exit 1; fi
