#!/bin/sh
# Regenerates wire/ from ppx.fbs (flatc 2.0.8, Debian's flatbuffers-compiler), into $1 if given.
set -eu
cd "$(dirname "$0")"
out=${1:-.}
flatc --go --go-namespace wire -o "$out" ppx.fbs
gofmt -w "$out"/wire
