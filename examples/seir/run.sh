#!/usr/bin/env bash
# What do sixty days of cases say, and what would fewer contacts have done? run.sh makes what README.md shows; run.sh --ci a smaller one, for tests.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${OUT:-ppx-runs/seir}
method=(--method auto) n=400
if [ "${1:-}" = --ci ]; then method=(--method smc -n 64 --moves 10) n=100; fi
rm -rf "$out"
mkdir -p "$out"
sim=(build/simulators/seir)
bin/ppx infer "${method[@]}" --observe-file testdata/references/seir.json --seed 1 --quiet --out "$out/posterior" -- "${sim[@]}" '{endpoint}' | grep -v 'luck\|result'
echo; echo "── would the model make such data?"
bin/ppx predict "$out/posterior" -n "$n" --seed 2 --quiet --out "$out/predicted" -- "${sim[@]}" '{endpoint}' | head -20
for cut in 0 0.2 0.4 0.6; do # the same luck, other contacts
  bin/ppx predict "$out/posterior" -n "$n" --seed 3 --quiet --force --out "$out/cut$cut" -- "${sim[@]}" --cut "$cut" --from 30 '{endpoint}' >/dev/null 2>&1
  bin/ppx derive "$out/cut$cut" -o "$out/over$cut" --quiet --let 'over = peak > 250' >/dev/null
  printf 'contacts cut by %s from day 30 on: ' "$cut"
  bin/ppx summary "$out/over$cut" --json | .venv/bin/python -c 'import json, sys
v = {x["name"]: x for x in json.load(sys.stdin)["variables"]}
show = lambda x, digits: "?" if x is None else "{:.{}f}".format(x, digits)  # no error is known of draws that cannot be trusted
print("P(more than 250 ill at a time) = {} ± {}, peak {} ({} to {})".format(show(v["over"]["mean"], 2), show(v["over"]["mean_se"], 2), *(show(v["peak"][q], 0) for q in ("q50", "q05", "q95"))))'
done
echo "pictures: $out/predicted/predictive.png"
