"""Figures of training and guided inference, with the network sizes of pyprob (LSTM 512, 10 components, batch 64).

python3 bench/networks.py [part …]      parts: rates, recorded, layers, long, tau (default: all)
"""
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile

ppx, build = "bin/ppx", "build/simulators/"
work = tempfile.mkdtemp()
hmm_data = [0.9, 0.8, 0.7, 0, -0.025, -5, -2, -0.1, 0, 0.13, 0.45, 6, 0.2, 0.3, -1, -1]
data = {"gum": {"obs0": 8, "obs1": 9}, "marsaglia": {"obs0": 8, "obs1": 9}, "hmm": {f"obs{i + 1}": x for i, x in enumerate(hmm_data)}, "branching": {"obs": 6}}


def run(*args):
    out = subprocess.run([ppx, *args], capture_output=True, text=True)
    if out.returncode:
        sys.exit(out.stderr)
    return json.loads(out.stdout) if out.stdout.startswith("{") else out.stdout


def observe(values):
    return [x for k, v in values.items() for x in ("--observe", f"{k}={v}")]


def rates():
    print("== training with simulation, and guided inference (C++ client)")
    for model, n, epochs in (("gum", 25600, 1), ("marsaglia", 25600, 1), ("marsaglia", 25600, 4), ("hmm", 12800, 1), ("branching", 25600, 1)):
        net = f"{work}/{model}{epochs}.net"
        t = run("train", "--json", "--quiet", "--seed", "1", "-n", str(n), "--epochs", str(epochs), "-o", net, "--", build + model, "{endpoint}")
        r = run("infer", "--json", "--quiet", "--seed", "2", "-n", "20000", "--network", net, *observe(data[model]), "--out", f"{work}/{model}{epochs}", "--", build + model, "{endpoint}")
        print(f"{model}: {n:,} traces ({epochs}×): training {t['traces_per_second']:,.0f} traces/s; inference {r['traces_per_second']:,.0f} traces/s, "
              f"ESS/N {r['ess'] / r['n']:.3f}, log evidence {r['log_evidence']:.3f} ± {r['log_evidence_se']:.3f}", flush=True)


def recorded():
    print("== training on 1,000,000 recorded traces")
    run("prior", "--json", "--quiet", "--seed", "1", "-n", "1000000", "--out", f"{work}/million", "--", build + "gum", "{endpoint}")
    t = run("train", "--json", "--quiet", "--seed", "1", "--from", f"{work}/million", "--lstm", "128", "--batch", "512", "-o", f"{work}/million.net")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    live = run("train", "--json", "--quiet", "--seed", "1", "-n", "300000", "--lstm", "128", "--batch", "512", "-o", f"{work}/live.net", "--", build + "gum", "{endpoint}")
    print(f"{t['traces_per_second']:,.0f} traces/s from the disk, {live['traces_per_second']:,.0f} from simulators; peak {peak:,.0f} MiB", flush=True)


def layers():
    print("== layers")
    subprocess.run(["go", "test", "./nn", "-run", "xxx", "-bench", "LSTM|CNN|Step"], check=True)


def long():
    print("== traces of 1,000 latents")
    subprocess.run(["go", "test", "./ic/train", "-run", "LongTraces", "-v", "-timeout", "30m"], env={**os.environ, "PPX_BENCH": "1"})


def tau():
    print("== tau, the demo's training: 50 events, 2,000 traces each")
    sim = [build + "tau", "--small", "{endpoint}"]
    net = f"{work}/tau.net"
    t = run("train", "--json", "--quiet", "--seed", "1", "--max-time", "120s", "--lstm", "128", "--components", "5", "--embed", "calorimeter=cnn3d:128:16-p-32-32-p", "-o", net, "--", *sim)
    print(f"trained with {t['traces']:,} traces, validation {t['validation']:.2f}")
    run("prior", "--quiet", "--json", "--seed", "77", "-n", "50", "--out", f"{work}/events", "--", *sim)
    ess, plain, inside, intervals = [], [], 0, 0
    for i in range(50):
        with open(f"{work}/event.json", "w") as f:
            json.dump(run("trace", "data", f"{work}/events", str(i)), f)
        truth = run("trace", "data", "--latents", f"{work}/events", str(i))
        common = ["--json", "--quiet", "--seed", "5", "-n", "2000", "--observe-file", f"{work}/event.json", "--out"]
        r = run("infer", *common, f"{work}/g{i}", "--network", net, "--", *sim)
        plain.append(run("infer", *common, f"{work}/u{i}", "--", *sim)["ess"] or 0)
        ess.append(r["ess"] or 0)
        if ess[-1] >= 20:
            for v in r["variables"]:
                if v["name"] in ("px", "py", "pz"):
                    intervals += 1
                    inside += v["q05"] <= truth[v["name"]] <= v["q95"]
    print(f"ESS of at least 20: {sum(e >= 20 for e in ess)} of 50 (without the network {sum(e >= 20 for e in plain)}); median {sorted(ess)[25]:.0f} ({sorted(plain)[25]:.0f}); "
          f"the 90 % intervals of the momentum hold the truth in {100 * inside / max(1, intervals):.0f} %", flush=True)


try:
    for part in sys.argv[1:] or ["rates", "recorded", "layers", "long", "tau"]:
        {"rates": rates, "recorded": recorded, "layers": layers, "long": long, "tau": tau}[part]()
finally:
    shutil.rmtree(work)
