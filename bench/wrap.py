"""What hijacked programs cost, in processor time of all processes: differences of runs of two sizes, medians of five.

    .venv/bin/python bench/wrap.py
"""

import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PPX = str(ROOT / "bin" / "ppx")
EMPTY, BULK = "", "[[draw]]\nat = \"gsl_ran_gaussian\"\nas = \"bulk\"\n"

NUMPY = """
import sys, numpy as np
n, m = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(1)
for _ in range(n):
    rng.{what} if m == 1 else rng.{what_m}
"""
CLIENT = """
import sys, numpy as np, ppxsim
n, m = int(sys.argv[1]), int(sys.argv[2])
zero = np.zeros(m)
def model():
    for _ in range(n):
        ppxsim.sample({dist})
    return 0.0
ppxsim.serve(model, "draws", sys.argv[3])
"""
SLOW = """
import time, sys
t = time.process_time()
while time.process_time() - t < 2:  # what imports take
    pass
import numpy as np
print(np.random.default_rng(1).normal())
"""


def cpu(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def between(command, small, large, times=5):
    """Median, least and most of the processor time of a large job less that of a small one, in seconds."""
    d = sorted(cpu(command(large)) - cpu(command(small)) for _ in range(times))
    return statistics.median(d), d[0], d[-1]


def show(what, seconds, count, unit="us", scale=1e6):
    mid, low, high = (scale * x / count for x in seconds)
    print(f"{what:<72} {mid:8.3f} {unit}   ({low:.3f} to {high:.3f})", flush=True)
    return mid


def main():
    dir = pathlib.Path(tempfile.mkdtemp())
    run = [0]

    def prior(n, *sim):
        run[0] += 1
        return [PPX, "prior", "--quiet", "--workers", "1", "--seed", "1", "-n", str(n), "--out", str(dir / f"r{run[0]}"), "--", *map(str, sim)]

    def wrapped(toml, n, *program):
        path = dir / "sim.toml"
        path.write_text(toml)
        return prior(n, PPX, "wrap", path, "{endpoint}", "--", *program)

    draws, linked = dir / "draws", dir / "linked"
    subprocess.run(["gcc", "-O2", ROOT / "bench/draws.c", "-o", draws, "-lgsl", "-lgslcblas", "-lm"], check=True)
    subprocess.run(["g++", "-std=c++17", "-O2", "-DPPX_USE_LIBUNWIND", "-I", ROOT / "adapters/cpp/include", ROOT / "bench/draws.cpp", "-o", linked, "-lzmq", "-lunwind"], check=True)

    show("a run of a small C program, forked at main", between(lambda n: wrapped(EMPTY, n, draws, 1), 100, 2100), 2000, "ms", 1e3)
    hooked = show("a hooked draw in C, engine and disk included", between(lambda n: wrapped(EMPTY, 20, draws, n), 100, 10100), 20 * 10000)
    own = show("  the same with the client linked (draw, address, engine, disk)", between(lambda n: prior(20, linked, n, "{endpoint}"), 100, 10100), 20 * 10000)
    print(f"  beyond the draw and its address: {hooked - own:+.3f} us")
    bulk = show("a bulk draw in C", between(lambda n: wrapped(BULK, 5, draws, n), 1000, 2001000), 5 * 2000000)
    library = show("  the library's own", between(lambda n: [str(draws), str(n)], 1000, 10001000), 10000000)
    print(f"  beyond the library's own: {bulk - library:+.3f} us")

    python = sys.executable
    script = dir / "script.py"
    imports = 'imports = ["numpy", "numpy.random"]\n'
    script.write_text(NUMPY.format(what="normal(0.0, 1.0)", what_m="normal(0.0, 1.0, size=m)"))
    show("a hooked number in Python", between(lambda n: wrapped(imports, 10, python, script, n, 1), 10, 4010), 40000)
    for family, call in (("normal", "normal(0.0, 1.0, size=m)"), ("gamma", "gamma(2.5, 1.0, size=m)"), ("poisson", "poisson(20.0, size=m)")):
        script.write_text(NUMPY.format(what=call, what_m=call))
        mine = show(f"an element of 1,000, hooked: {family}", between(lambda n: wrapped(imports, 10, python, script, n, 1000), 1, 101), 10 * 100 * 1000)
        numpy = show("  numpy's own", between(lambda n: [python, str(script), str(n), "1000"], 10, 3010), 3000 * 1000)
        print(f"  beyond numpy's own: {mine - numpy:+.3f} us")
    for family, dist in (("Normal", "ppxsim.Normal(zero, 1.0)"), ("Gamma", "ppxsim.Gamma(zero + 2.5, 1.0)"), ("Poisson", "ppxsim.Poisson(zero + 20.0)")):
        script.write_text(CLIENT.format(dist=dist))
        show(f"an element of 1,000, the Python client: {family}", between(lambda n: prior(10, python, script, n, 1000, "{endpoint}"), 1, 101), 10 * 100 * 1000)
    script.write_text(SLOW)
    seconds = between(lambda n: wrapped('fork = "draw"\n', n, python, script), 1, 101, 3)
    show("a run from a snapshot after 2 s of imports", seconds, 100, "ms", 1e3)
    print(f"  that is {100 / seconds[0]:.0f} runs a second and core")


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
