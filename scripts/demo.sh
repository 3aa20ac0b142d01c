#!/usr/bin/env bash
# The main job, in some five minutes: a C++ simulator, a network that learns from it, an observation in, a posterior out.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${DEMO_OUT:-ppx-runs/demo}
rm -rf "$out"
mkdir -p "$out"
sim=(build/simulators/tau --small '{endpoint}')

title() { printf '\n\033[1m── %s\033[0m\n' "$*"; }
show() { printf '\033[2m$ %s\033[0m\n' "$*" >&2; "$@"; }

title "A tau lepton of unknown momentum decays in one of twelve ways; its products shower in a calorimeter (simulators/tau/cpp/tau.cpp)"
show bin/ppx check --seed 1 -- "${sim[@]}"

title "An event that nobody trains on: its calorimeter image is the observation, its momentum the truth to find"
show bin/ppx prior -n 12 --seed 77 --quiet --out "$out/events" -- "${sim[@]}" >/dev/null
show bin/ppx trace data "$out/events" 11 >"$out/event.json"
show bin/ppx trace data --latents "$out/events" 11
show bin/ppx plot tensor "$out/events" 11 calorimeter -o "$out/event.png"

title "Two minutes of training on traces that the simulator makes meanwhile"
show bin/ppx train -o "$out/tau.net" --max-time "${DEMO_TRAIN:-120s}" --seed 1 --lstm 128 --components 5 \
  --embed calorimeter=cnn3d:128:16-p-32-32-p -- "${sim[@]}"

title "The posterior: by 5,000 draws of the prior, by as many from the network, and by whatever it takes (auto), which particles from the prior check"
show bin/ppx infer --observe-file "$out/event.json" -n 5000 --seed 1 --quiet --out "$out/prior" -- "${sim[@]}" >/dev/null 2>&1
show bin/ppx infer --network "$out/tau.net" --observe-file "$out/event.json" -n 5000 --seed 1 --quiet --out "$out/network" -- "${sim[@]}" >/dev/null 2>&1
show bin/ppx infer --method auto --network "$out/tau.net" --observe-file "$out/event.json" --seed 1 --out "$out/auto" -- "${sim[@]}"
show bin/ppx summary "$out/prior" "$out/network" "$out/auto" --truth-from "$out/events:11"
show bin/ppx plot marginals "$out/auto" "$out/network" "$out/prior" --var px --var py --var pz --var channel --var visible_energy \
  --truth-from "$out/events:11" -o "$out/posterior.png"

title "Pictures"
for p in "$out/event.png" "$out/tau.net.train/loss.png" "$out/posterior.png"; do echo "$p"; done
