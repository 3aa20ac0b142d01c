#!/usr/bin/env bash
# Where do the bumpers stand? run.sh makes what README.md shows; run.sh --ci a smaller one, for tests.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${OUT:-ppx-runs/bumpers}
budget=() ; draws=4000
if [ "${1:-}" = --ci ]; then budget=(--target-ess 50 -n 300000) draws=500; fi
rm -rf "$out"
mkdir -p "$out"
sim=(build/simulators/bumpers '{endpoint}')
bin/ppx prior -n "$draws" --seed 1 --quiet --plot in_box --out "$out/prior" -- "${sim[@]}"
bin/ppx infer --method auto "${budget[@]}" --observe count=4 --seed 1 --quiet --plot more --out "$out/four" -- "${sim[@]}"
.venv/bin/python examples/bumpers/scenes.py "$out/prior" "$out/prior.svg" "Before: scenes of the prior"
.venv/bin/python examples/bumpers/scenes.py "$out/four" "$out/four.svg" "After: four of twenty balls in the box"
echo "pictures: $out/prior.svg $out/four.svg"
