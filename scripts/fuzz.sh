#!/usr/bin/env bash
# Fuzzes what reads a server's bytes: the SFTP codec, its framing, and the walk and download on top. Guided by coverage
# (libFuzzer). Stops with a code other than 0 at the first trap, memory over the limit, or input that takes ten seconds,
# and leaves that input in .build/fuzz/findings: put it into Tests/FuzzCodec/findings, which the tests go through.
#
#   scripts/fuzz.sh [RUNS]        ten million by default; a corpus of earlier runs in .build/fuzz/corpus is gone on with
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-10000000}
scratch=${SCRATCH_PATH:-.build}/fuzz

# Everything in Swift is instrumented, so it has a build folder of its own. The default linker, gold, stumbles over it.
SFTP_TO_S3_FUZZ=1 swift build --scratch-path "$scratch" --jobs "${JOBS:-2}" -c release --product FuzzDriver \
  -Xswiftc -sanitize=fuzzer -Xswiftc -enable-testing -Xswiftc -use-ld=lld

mkdir -p "$scratch/corpus" "$scratch/findings" "$scratch/seeds"
# Good conversations, for the mutations to begin with.
"$scratch/release/FuzzDriver" --write-seeds "$scratch/seeds"

"$scratch/release/FuzzDriver" -runs="$runs" -max_len=8192 -timeout=10 -rss_limit_mb=512 -malloc_limit_mb=64 \
  -print_final_stats=1 -artifact_prefix="$scratch/findings/" "$scratch/corpus" \
  "$scratch/seeds" Tests/FuzzCodec/findings
