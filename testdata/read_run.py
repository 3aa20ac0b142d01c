"""Reads run directories with pandas and DuckDB, by the code that docs/run-directory.md shows, and compares each variable with the JSON
summaries. Standard input has a line for each run: its path, and what "ppx summary --json" says."""

import json
import math
import os
import re
import sys

import duckdb

docs = open(sys.argv[1], encoding="utf-8").read()
scope = {}
exec(re.search(r"```python\n(.*?)```", docs, re.S).group(1).split("# for example")[0], scope)


def close(a, b, what):
    if a is None or b is None or (isinstance(a, float) and math.isnan(a)):
        assert (a is None or math.isnan(a)) and b is None, (what, a, b)
        return
    assert abs(a - b) < 1e-8 * (1e-3 + abs(b)), (what, a, b)


for line in sys.stdin:
    path, text = line.split("\t", 1)
    want = {v["name"]: v for v in json.loads(text)["variables"] if v["kind"] != "tensor"}
    pandas = scope["posterior"](path)
    here = os.getcwd()
    os.chdir(path)
    db = duckdb.connect()
    db.execute(open("views.sql", encoding="utf-8").read())
    sql = {r[0]: r[1:] for r in db.execute("SELECT name, present, mean, sd, ess FROM summary").fetchall()}
    status = dict(db.execute("SELECT status, count(*) FROM draws GROUP BY status").fetchall())
    nan = db.execute("SELECT count(*) FROM draws WHERE isnan(log_weight)").fetchone()[0]
    os.chdir(here)
    summary = json.loads(text)
    assert status.get("ok", 0) == summary["traces"] and status.get("failed", 0) == summary["failed"], (path, status)
    assert nan >= summary["failed"], (path, nan)
    assert list(sql) == list(want), (path, list(sql), list(want))
    assert set(pandas.index) == set(want), (path, sorted(pandas.index), sorted(want))
    for name, v in want.items():
        for i, field in enumerate(("present", "mean", "sd", "ess")):
            if v[field] is None and field == "sd":  # it rests on a single trace
                continue
            close(sql[name][i], v[field], (path, "SQL", name, field))
            close(pandas.loc[name][field], v[field], (path, "pandas", name, field))
