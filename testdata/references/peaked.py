"""The posterior of simulators/peaked by itself: random-walk Metropolis with numpy, nothing of the engine. peaked.py SEED STEPS < peaked.json"""

import json
import math
import sys

import numpy as np

grid = np.linspace(-2, 2, 64)
data = np.array(json.load(sys.stdin)["image"])
rng = np.random.default_rng(int(sys.argv[1]))


def log_density(t):
    r, cx, cy, a = t
    if not (0.1 < r < 0.5 and 0.5 < a < 1.5):
        return -math.inf
    x = np.exp(-((grid - cx) ** 2) / (2 * r * r))
    y = np.exp(-((grid - cy) ** 2) / (2 * r * r))
    return -((data - a * np.outer(y, x)) ** 2).sum() / (2 * 0.05**2) - (cx * cx + cy * cy) / (2 * 0.25)


# From the brightest place, with steps that a first part has taught.
row, column = np.unravel_index(data.argmax(), data.shape)
t = np.array([0.3, grid[column], grid[row], data.max()])
step = np.diag([0.01, 0.01, 0.01, 0.02])
now, kept, steps = log_density(t), [], int(sys.argv[2])
first = []
for n in range(steps):
    u = t + step @ rng.standard_normal(4)
    new = log_density(u)
    if math.log(rng.random()) < new - now:
        t, now = u, new
    (first if n < steps // 4 else kept).append(t.copy())
    if n < steps // 4 and n % 1000 == 999:
        step = 1.19 * np.linalg.cholesky(np.cov(np.array(first[len(first) // 2 :]).T) + 1e-12 * np.eye(4))
kept = np.array(kept)
batches = kept[: len(kept) // 50 * 50].reshape(50, -1, 4).mean(axis=1)
for k, name in enumerate(["r", "cx", "cy", "a"]):
    print(json.dumps({name: {"mean": float(kept[:, k].mean()), "se": float(batches[:, k].std(ddof=1) / 50**0.5), "sd": float(kept[:, k].std())}}))
