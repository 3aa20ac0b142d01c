"""What looking inside costs, on 10,000,000 statements; the same queries by DuckDB beside it; a report of 100,000 draws; the inspector beside a job.

.venv/bin/python bench/inspect.py [traces]      (default 300,000 of the hidden Markov model: 33 statements each)
"""
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

traces = sys.argv[1] if len(sys.argv) > 1 else "300000"
work = tempfile.mkdtemp()
ppx = os.path.abspath("bin/ppx")


def cost(*command):
    """CPU seconds and peak memory in MiB of a command."""
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    assert status == 0, command
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


run = f"{work}/hmm"
subprocess.run([ppx, "prior", "--quiet", "-n", traces, "--seed", "1", "--out", run, "--", "build/simulators/hmm", "{endpoint}"], check=True, stdout=subprocess.DEVNULL)

# Each question as ppx answers it, and as SQL over the same files. The SQL knows nothing of weights, nor of chains.
sites, draws = f"'{run}/sites/*.parquet'", f"'{run}/draws/*.parquet'"
questions = {
    "types": f"SELECT trace_type, count(*) c FROM {draws} GROUP BY trace_type ORDER BY c DESC",
    "addresses": f"SELECT address, count(*) visits, count(DISTINCT row) traces, avg(value), stddev(value) FROM {sites} GROUP BY address",
    "graph": f"""SELECT a, b, count(*) FROM (SELECT address a, lead(address) OVER (PARTITION BY row ORDER BY "index") b FROM {sites}) GROUP BY a, b""",
    "grep": f"SELECT count(*), count(DISTINCT row), arg_min(address, row) FROM {sites} WHERE value > 3",
}
verbs = {"types": ["types", run], "addresses": ["addresses", run], "graph": ["graph", run], "grep": ["grep", run, "value > 3"]}
print(f"== looking inside {int(traces):,} traces, {33 * int(traces):,} statements (CPU seconds, MiB; ratio: DuckDB's CPU over ours)")
for name, sql in questions.items():
    ours, theirs = [], []
    for _ in range(2):
        ours.append(cost(ppx, "trace", *verbs[name], "--json"))
        theirs.append(cost(sys.executable, "-c", f"import duckdb; duckdb.sql({sql!r}).fetchall()"))
    a, b = min(ours), min(theirs)
    print(f"{name:10} ppx {a[0]:5.2f} s {a[1]:5.0f} MiB   DuckDB {b[0]:5.2f} s {b[1]:5.0f} MiB   ratio {b[0] / a[0]:.2f}")
seconds, _ = cost(ppx, "trace", "show", run, str(int(traces) // 2))
print(f"{'show':10} ppx {seconds:5.2f} s")

gum = f"{work}/gum"
subprocess.run([ppx, "infer", "--quiet", "--observe", "obs0=8", "--observe", "obs1=9", "-n", "100000", "--seed", "1", "--out", gum, "--", "build/simulators/gum", "{endpoint}"], check=True, stdout=subprocess.DEVNULL)
seconds, memory = cost(ppx, "report", gum, "-o", f"{work}/r.html")
print(f"== a report of 100,000 draws: {seconds:.2f} s of CPU, {memory:.0f} MiB, a page of {os.path.getsize(work + '/r.html') / 1e6:.2f} MB")

server = subprocess.Popen([ppx, "open", work], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
address = server.stdout.readline().strip()
base, token = address.split("/?token=")


def ask(path):
    return urllib.request.urlopen(urllib.request.Request(base + path, headers={"Authorization": "Bearer " + token})).read()


def used():
    fields = open(f"/proc/{server.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


before = used()
ask("/")
print(f"== the inspector's first page: {used() - before:.2f} s of CPU")
before = used()
ask("/api/v1/runs/gum")
print(f"   a run's summary: {used() - before:.2f} s of CPU, then kept")


def job():
    out = subprocess.run([ppx, "prior", "--json", "--quiet", "-n", "600000", "--seed", "1", "--out", tempfile.mkdtemp(dir=work) + "/job", "--", "build/simulators/hmm", "{endpoint}"], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)["traces_per_second"]


def beside():
    """The rate of a job while 50 requests a second look at it and at the list of runs."""
    over, count = threading.Event(), 0

    def look():
        nonlocal count
        at = time.monotonic()
        while not over.is_set():
            runs = json.loads(ask("/api/v1/runs"))["runs"]
            for r in [r for r in runs if r["state"] == "running"][:1]:
                count += 1
                try:
                    ask("/api/v1/runs/" + urllib.parse.quote(r["id"], safe=""))
                except urllib.error.HTTPError:
                    pass  # nothing is on disk yet
            count += 1
            at += 2 / 10
            time.sleep(max(0, at - time.monotonic()))

    watchers = [threading.Thread(target=look) for _ in range(5)]
    for t in watchers:
        t.start()
    start = time.monotonic()
    rate = job()
    over.set()
    for t in watchers:
        t.join()
    return rate, count / (time.monotonic() - start)


ratios, asked = [], []
for _ in range(3):
    alone = job()
    watched, per_second = beside()
    ratios.append(watched / alone)
    asked.append(per_second)
print(f"== a job beside {sum(asked) / len(asked):.0f} requests a second keeps {sorted(ratios)[1]:.2f} of its rate ({min(ratios):.2f} to {max(ratios):.2f})")
server.send_signal(signal.SIGINT)
server.wait()
subprocess.run(["rm", "-rf", work])
