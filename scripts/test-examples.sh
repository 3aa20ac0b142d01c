#!/usr/bin/env bash
# Every story of examples/, made small.
set -euo pipefail
cd "$(dirname "$0")/.."
go build -o bin/ppx ./cmd/ppx
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for story in examples/*/run.sh; do
  name=$(basename "$(dirname "$story")")
  OUT=$out/$name "$story" --ci >"$out/$name.log" 2>&1 || { cat "$out/$name.log"; exit 1; }
  echo "example $name: ok"
done
