#!/usr/bin/env bash
# The Go tests: with the race detector where there is concurrency, without it the others (and once more what is too slow with
# it), both at the same time. The programs that tests start are built once.
set -uo pipefail
cd "$(dirname "$0")/.."
export PPX_TEST_ALL=1 PPX_TEST_BIN=$PWD/bin/test
mkdir -p "$PPX_TEST_BIN"
for pkg in ./cmd/ppx ./adapters/gosim/replay ./simulators/*/go; do
  go build -o "$PPX_TEST_BIN/$(basename "$(dirname "$pkg")")-$(basename "$pkg")" "$pkg" || exit 1
done

raced=(./engine/... ./whatif ./ppx/... ./tracing/... ./ic ./ic/train ./training ./rejection ./jobs ./internal/... ./adapters/gosim)
again=(./tracing/rundir ./ic/train ./jobs ./rejection)
mapfile -t rest < <(comm -23 <(go list ./... | sort) <(go list "${raced[@]}" | sort))
log=$(mktemp)
trap 'rm -f "$log"' EXIT
go test -race -timeout 30m "${raced[@]}" >"$log" 2>&1 &
go test -timeout 30m "${rest[@]}" "${again[@]}" 2>&1 | grep -v '\[no test files\]'
unraced=${PIPESTATUS[0]}
wait $!
with=$?
grep -v '\[no test files\]' "$log"
go test -tags gonumblas ./nn || exit 1
exit $((unraced || with))
