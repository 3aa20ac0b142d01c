#!/usr/bin/env bash
# The main job, in a minute: two C++ simulators, observations in, posteriors out.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${DEMO_OUT:-ppx-runs/demo}
rm -rf "$runs"

title() { printf '\n\033[1m── %s\033[0m\n' "$*"; }
show() { printf '\033[2m$ %s\033[0m\n' "$*"; "$@"; }

title "Is the simulator's client right? (build/simulators/gum is simulators/gum/cpp/gum.cpp: 15 lines)"
show bin/ppx check --seed 1 -- build/simulators/gum '{endpoint}'

title "A Gaussian with unknown mean: two observations, 8 and 9. The exact posterior: mean 7.25, sd 0.913, log evidence −8.239"
show bin/ppx infer --observe obs0=8 --observe obs1=9 -n 100000 --seed 1 --out "$runs/gum" --plot mu -- build/simulators/gum '{endpoint}'

title "A branching model: how many particles came first? The exact posterior has P(r = 5) = 0.338 and almost nothing at 3 and 4"
show bin/ppx infer --observe obs=6 -n 20000 --seed 1 --out "$runs/branching" --plot r -- build/simulators/branching '{endpoint}'

title "Everything that happened is recorded: the trace with the largest weight, and which paths were taken"
best=$(bin/ppx trace ls "$runs/branching" --sort weight -n 1 --json | sed 's/.*"draw":\([0-9]*\).*/\1/')
show bin/ppx trace show "$runs/branching" "$best"
show bin/ppx trace types "$runs/branching"
