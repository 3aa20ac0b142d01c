#!/usr/bin/env bash
# The figures. Machines differ and are noisy: what counts are the ratios within one run.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p bin
cc -O2 -o bin/pingpong bench/pingpong.c -lzmq
go build -o bin/transport ./bench/transport
go build -o bin/delegate ./bench/delegate
go build -o bin/ppx ./cmd/ppx
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$dir"' EXIT
seconds=${SECONDS_EACH:-2}

echo "== transport: ZeroMQ REQ/REP over ipc, 80 and 200 bytes, against the same in C"
for n in 1 16; do
  endpoints=()
  for i in $(seq "$n"); do
    bin/pingpong serve "ipc://$dir/$n.$i" &
    endpoints+=("ipc://$dir/$n.$i")
  done
  sleep 0.3
  # In turn, so that a slow moment of the machine strikes both.
  c=0 go=0
  for _ in 1 2 3; do
    read -r rate p99c < <(bin/pingpong drive "$seconds" "${endpoints[@]}")
    c=$(awk "BEGIN{print $c+$rate/3}")
    read -r rate p99go < <(bin/transport "$seconds" "${endpoints[@]}")
    go=$(awk "BEGIN{print $go+$rate/3}")
  done
  awk "BEGIN{printf \"%2d simulators: C %.0f, Go %.0f round trips/s: ratio %.2f; p99 C %.2f ms, Go %.2f ms\n\", $n, $c, $go, $go/$c, $p99c, $p99go}"
  kill $(jobs -p)
  wait 2>/dev/null || true
done
floor=$c

echo "== Gaussian with unknown mean, C++ client, 16 simulators in lockstep, run directory included"
read -r traces < <(bin/ppx infer --plain --json --quiet --workers 16 --observe obs0=8 --observe obs1=9 -n 60000 --seed 1 --out "$dir/gum" -- build/simulators/gum {endpoint} |
  python3 -c 'import json,sys; print(json.load(sys.stdin)["traces_per_second"])')
awk "BEGIN{printf \"%.0f traces/s; the floor allows %.0f (4 round trips each): ratio %.2f\n\", $traces, $floor/4, $traces/($floor/4)}"

echo "== hidden Markov model, C++ client: runs by themselves against lockstep"
observations="obs1=0.9 obs2=0.8 obs3=0.7 obs4=0 obs5=-0.025 obs6=-5 obs7=-2 obs8=-0.1 obs9=0 obs10=0.13 obs11=0.45 obs12=6 obs13=0.2 obs14=0.3 obs15=-1 obs16=-1"
for n in 16 1; do
  echo "$n simulators:"
  # shellcheck disable=SC2086
  bin/delegate "$(awk "BEGIN{print 3*$seconds}")" "$n" $observations -- build/simulators/hmm {endpoint}
done

echo "== hidden Markov model, C++ client, 2 simulators, drawn, scored and stored"
bin/ppx prior --json --quiet --workers 2 -n 300000 --seed 1 --out "$dir/hmm" -- build/simulators/hmm {endpoint} |
  python3 -c 'import json, sys; rate = json.load(sys.stdin)["traces_per_second"]; print(f"{rate:,.0f} traces/s, {33 * rate:,.0f} sites/s")'

echo "== memory of a job of 1,000,000 traces"
go build -o bin/gum-go ./simulators/gum/go
/usr/bin/env python3 - "$dir" <<'PY'
import json, resource, subprocess, sys
out = subprocess.run(["bin/ppx", "prior", "--json", "--quiet", "--workers", "16", "-n", "1000000", "--seed", "1", "--out", sys.argv[1] + "/big",
                      "--", "build/simulators/gum", "{endpoint}"], capture_output=True, text=True, check=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
r = json.loads(out.stdout)
print(f"{r['traces']:,} traces in {r['seconds']:.0f} s; peak memory {peak:.0f} MiB")
PY

echo "== Go benchmarks"
go test -run xxx -bench 'Statement|Local' -benchtime 2s ./engine | grep -E 'Benchmark'
go test -run xxx -bench 'Decode|Encode' ./ppx | grep -E 'Benchmark'
go test -run xxx -bench . ./tracing/rundir | grep -E 'Benchmark'
go test -run xxx -bench . ./ppx/dist | grep -E 'Benchmark'

echo "== chains and particles: a step and a run of the prior, alone in a message; statements of particles and of importance sampling"
go test -run xxx -bench 'Step|OverSockets' ./mcmc | grep -E 'Benchmark'
go test -run xxx -bench Statements ./smc | grep -E 'Benchmark'

echo "== C++ client"
build/adapters/cpp/tests/ppx_bench_client
cmake -S . -B "$dir/fp" -DCMAKE_BUILD_TYPE=Release -DPPX_FRAME_POINTERS=ON >/dev/null
cmake --build "$dir/fp" --target ppx_bench_client >/dev/null
"$dir/fp/adapters/cpp/tests/ppx_bench_client" | tail -2

python3 bench/networks.py
python3 bench/methods.py
.venv/bin/python bench/inspect.py

echo "== programs that nobody edits, processor time of all processes"
.venv/bin/python bench/wrap.py
