#!/usr/bin/env bash
# Checks what operators copy: shell scripts, systemd units by systemd itself, Kubernetes objects against its schema.
# With kubectl on the PATH also what kustomize makes of the template.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for script in deploy/container/*.sh; do sh -n "$script"; done

# systemd only warns of a key that it does not know: whatever it says is a failure.
systemd-analyze verify deploy/systemd/*.service deploy/systemd/*.timer >"$work/systemd" 2>&1 || echo failed >>"$work/systemd"
if [ -s "$work/systemd" ]; then
  cat "$work/systemd" >&2
  echo "check-deploy: systemd-analyze verify" >&2
  exit 1
fi

schema() { .venv/bin/kubernetes-validate --strict --quiet "$@"; }
schema deploy/kubernetes/mirror/{volume,sync,full-sync}.yaml
if command -v kubectl >/dev/null; then
  cp -r deploy/kubernetes/. "$work"
  touch "$work"/partner-a/{sftp-pass,s3-secret-access-key}
  kubectl kustomize "$work/partner-a" >"$work/rendered.yaml"
  schema "$work/rendered.yaml"
fi
