"""Effective sample size per run of the simulator and per second of CPU, of all methods on all models.

python3 bench/methods.py [model …] [--methods smc,auto]      models: gum marsaglia hmm branching peaked seir bumpers tau (default: all but tau, which trains for two minutes)
"""
import json
import resource
import subprocess
import sys
import tempfile

ppx, build = "bin/ppx", "build/simulators/"
work = tempfile.mkdtemp()
hmm_data = [0.9, 0.8, 0.7, 0, -0.025, -5, -2, -0.1, 0, 0.13, 0.45, 6, 0.2, 0.3, -1, -1]


def observe(values):
    return [x for k, v in values.items() for x in ("--observe", f"{k}={v}")]


def reference(name):
    return ["--observe-file", f"testdata/references/{name}.json"]


# model: simulator, data, draws for training a network and its settings (None: no network), draws of a chain, of importance sampling
models = {
    "gum": ([build + "gum"], observe({"obs0": 8, "obs1": 9}), (20000, []), 40000, 100000),
    "marsaglia": ([build + "marsaglia"], observe({"obs0": 8, "obs1": 9}), (20000, []), 40000, 100000),
    "hmm": ([build + "hmm"], observe({f"obs{i + 1}": x for i, x in enumerate(hmm_data)}), (20000, []), 40000, 100000),
    "branching": ([build + "branching"], observe({"obs": 6}), (20000, []), 40000, 100000),
    "peaked": ([".venv/bin/python", "simulators/peaked/python/peaked.py"], reference("peaked"), None, 40000, 20000),
    "seir": ([build + "seir"], reference("seir"), None, 100000, 50000),
    "bumpers": ([build + "bumpers"], reference("bumpers"), None, 40000, 50000),
    "tau": ([build + "tau", "--small"], ["--observe-file", f"{work}/event.json"], (0, ["--max-time", "120s", "--lstm", "128", "--components", "5", "--embed", "calorimeter=cnn3d:128:16-p-32-32-p"]), 8000, 5000),
}


def run(*args):
    """The JSON that a command prints, and the CPU seconds of it and its simulators."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run([ppx, *args], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if out.returncode:
        return None, out.stderr.strip().splitlines()[-1]
    return json.loads(out.stdout), after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def runs(folder):
    """Runs of the simulator that a result took."""
    with open(f"{folder}/run.json") as f:
        m = json.load(f)
    if m.get("auto"):
        return m["auto"]["runs"]
    if m.get("particles"):
        return m["particles"]["runs"]
    if m.get("chains"):
        return m["chains"]["steps"]
    return m["counts"]["traces"]


def main():
    print(f"{'model':10} {'method':6} {'ESS':>8} {'runs':>10} {'CPU s':>7} {'ESS/1000 runs':>14} {'ESS/CPU s':>10}  verdict", flush=True)
    args = sys.argv[1:]
    methods = ("is", "ic", "lmh", "rmh", "ic-mh", "smc", "auto")
    if "--methods" in args:
        at = args.index("--methods")
        methods = args[at + 1].split(",")
        del args[at : at + 2]
    for name in args or [m for m in models if m != "tau"]:
        sim, data, training, chain, draws = models[name]
        end = ["--", *sim, "{endpoint}"]
        net = []
        if name == "tau":
            r, _ = run("prior", "--quiet", "--json", "--seed", "77", "-n", "1", "--out", f"{work}/truth", *end)
            event, _ = run("trace", "data", f"{work}/truth", "0")
            with open(f"{work}/event.json", "w") as f:
                json.dump(event, f)
        if training and (name == "tau" or any(m.startswith("ic") for m in methods)):
            n, settings = training
            got, cpu = run("train", "--json", "--quiet", "--seed", "1", *(["-n", str(n)] if n else []), *settings, "-o", f"{work}/{name}.net", *end)
            if got is None:
                sys.exit(cpu)
            net = ["--network", f"{work}/{name}.net"]
        for method in methods:
            if method.startswith("ic") and not net:
                continue
            out = f"{work}/{name}-{method}"
            number = {"is": draws, "ic": draws // 5, "smc": 2048, "auto": None}.get(method, chain)
            args = ["infer", "--json", "--quiet", "--seed", "1", "--method", method, *data, "--out", out]
            args += ["-n", str(number)] if number else []
            if method.startswith("ic") or name == "tau" and method in ("smc", "auto"):
                args += net
            r, cpu = run(*args, *end)
            if r is None:
                print(f"{name:10} {method:6} {cpu[:100]}", flush=True)
                continue
            n, ess = runs(out), r["ess"] or 0
            print(f"{name:10} {method:6} {ess:8.0f} {n:10,} {cpu:7.1f} {1000 * ess / n:14.2f} {ess / cpu:10.1f}  {r['trust']['verdict']}", flush=True)


main()
