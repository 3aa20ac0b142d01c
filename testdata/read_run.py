"""Reads a run directory with pyarrow, pandas and DuckDB and compares with the JSON summary on stdin."""

import json
import os
import sys

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

run = sys.argv[1]
summary = json.load(sys.stdin)
mu = next(v for v in summary["variables"] if v["name"] == "mu")


def close(a, b):
    assert abs(a - b) < 1e-9 * (1 + abs(b)), (a, b)


# pyarrow
sites = pq.read_table(os.path.join(run, "sites"))
draws = pq.read_table(os.path.join(run, "draws"))
assert draws.num_rows == summary["traces"] and sites.num_rows == 3 * summary["traces"]
assert set(sites.column("origin").to_pylist()) == {"prior", "data"}

# pandas
d = pd.read_parquet(os.path.join(run, "draws"))
s = pd.read_parquet(os.path.join(run, "sites"))
w = np.exp(d.log_weight - d.log_weight.max())
x = s[s.name == "mu"].set_index("draw").value
close(np.average(x, weights=w), mu["mean"])
close(w.sum() ** 2 / (w**2).sum(), summary["ess"])
assert (s[s.name == "mu"].param1 == 1).all() and s[s.name == "mu"]["values"].map(len).eq(0).all()

# DuckDB, with the views that lie in the folder
os.chdir(run)
db = duckdb.connect()
with open("views.sql", encoding="utf-8") as f:
    db.execute(f.read())
mean, total = db.execute("SELECT sum(weight * value), sum(weight) FROM posterior WHERE name = 'mu'").fetchone()
close(mean, mu["mean"])
close(total, 1)
roles = db.execute("SELECT role, kind, count(*) FROM sites GROUP BY ALL ORDER BY ALL").fetchall()
assert roles == [("observe", "Normal", 6000), ("sample", "Normal", 3000)], roles
