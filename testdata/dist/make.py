"""Makes density.json, samples.json, widened.json and philox.json: what every implementation of ppx's distributions must reproduce.

Densities and moments are computed by mpmath with 400 digits from the textbook formulas. Samples are an
independent implementation of docs/random.md on numpy's Philox and scipy's quantiles.

    python3 make.py        (needs numpy, scipy, mpmath)
"""

import json
import math

import mpmath as mp
import numpy as np
from scipy import special, stats

mp.mp.dps = 400
M = mp.mpf
INF = mp.inf


# ---- densities, textbook formulas


def normal(x, m, s):
    return -((x - m) ** 2) / (2 * s * s) - mp.log(s) - mp.log(2 * mp.pi) / 2


def beta(x, a, b):
    if x < 0 or x > 1:
        return -INF
    if x == 0:
        return INF if a < 1 else (-INF if a > 1 else mp.log(b))
    if x == 1:
        return INF if b < 1 else (-INF if b > 1 else mp.log(a))
    return (a - 1) * mp.log(x) + (b - 1) * mp.log1p(-x) - (mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b))


def gamma(x, k, r):
    if x < 0:
        return -INF
    if x == 0:
        return INF if k < 1 else (-INF if k > 1 else mp.log(r))
    return k * mp.log(r) + (k - 1) * mp.log(x) - r * x - mp.loggamma(k)


def weibull(x, s, k):
    if x < 0:
        return -INF
    if x == 0:
        return INF if k < 1 else (-INF if k > 1 else -mp.log(s))
    return mp.log(k / s) + (k - 1) * mp.log(x / s) - (x / s) ** k


def poisson(x, r):
    if x < 0 or x != mp.floor(x):
        return -INF
    if r == 0:
        return M(0) if x == 0 else -INF
    return x * mp.log(r) - r - mp.loggamma(x + 1)


def binomial(x, n, p):
    if x < 0 or x > n or x != mp.floor(x):
        return -INF
    if p == 0:
        return M(0) if x == 0 else -INF
    if p == 1:
        return M(0) if x == n else -INF
    c = mp.loggamma(n + 1) - mp.loggamma(x + 1) - mp.loggamma(n - x + 1)
    return c + x * mp.log(p) + (n - x) * mp.log1p(-p)


def bernoulli(x, p):
    q = p if x == 1 else 1 - p if x == 0 else M(0)
    return mp.log(q) if q > 0 else -INF


def lognormal(x, m, s):
    return normal(mp.log(x), m, s) - mp.log(x) if x > 0 else -INF


def categorical(x, *probs):
    if x != mp.floor(x) or x < 0 or x >= len(probs) or probs[int(x)] == 0:
        return -INF
    return mp.log(probs[int(x)] / mp.fsum(probs))


DENSITY = {
    "Normal": (normal, [(0, 1), (3, 1e-8), (-1e6, 1e6), (1e300, 1e300)], [0, 1, -2.5, 3, 3.00000001, 40, 1e6]),
    "Uniform": (
        lambda x, a, b: -mp.log(b - a) if a <= x <= b else -INF,
        [(0, 1), (-2, 5), (0, 1e-300), (-1e307, 1e307)],
        [0, 1, 0.5, -2, 5, 5.1, -2.1, 1e-301],
    ),
    "Poisson": (
        poisson,
        [(0,), (1e-300,), (0.5,), (4,), (9.99,), (10,), (1e6,), (1e15,)],
        [0, 1, 3, 7, 40, 999000, 1000000, 1003000, 10**15 + 10**7, -1, 2.5],
    ),
    "Bernoulli": (bernoulli, [(0,), (1,), (0.3,), (1e-300,), (0.9999999999,)], [0, 1, 0.5, 2]),
    "Beta": (
        beta,
        [(1, 1), (0.5, 0.5), (2, 3), (2, 1), (1, 4), (1e-3, 1e-3), (1e5, 2e5), (0.01, 1e4), (1.5, 1e8), (300, 1e-2)],
        [0, 1, 0.5, 0.3333, 1e-300, 1e-10, 0.9999999],
    ),
    "Exponential": (
        lambda x, r: mp.log(r) - r * x if x >= 0 else -INF,
        [(1,), (1e-300,), (1e6,), (0.2,)],
        [0, 1, 1e-6, 50, 1e300, -1],
    ),
    "Gamma": (
        gamma,
        [(1, 1), (0.5, 2), (3, 0.1), (1e-3, 1), (1e6, 1e3), (1e6, 1e6), (2.5, 1e-300), (0.999, 4), (20, 3)],
        [0, 1, 1e-300, 1e-5, 3.7, 1000, 1010, -1],
    ),
    "LogNormal": (lognormal, [(0, 1), (5, 0.1), (-300, 20), (0, 1e-6)], [0, 1, 1e-200, 148, 1.000001, 1e100, -1]),
    "Binomial": (
        binomial,
        [(0, 0.5), (10, 0), (10, 1), (10, 0.3), (1000000, 0.25), (1000000, 1e-7), (100, 1 - 1e-9), (2**40, 0.5)],
        [0, 1, 3, 10, 100, 250000, 251000, 2**39 + 1000, -1, 2.5],
    ),
    "Weibull": (weibull, [(1, 1), (2, 0.5), (3, 4), (1e-3, 1.5), (1e10, 20)], [0, 1, 1e-200, 2.9, 1e-3, 9.9e9, -1]),
    "Categorical": (
        categorical,
        [(1, 1, 1), (0.2, 0, 0.8), (1e-300, 1), (5,), tuple(range(1, 51))],
        [0, 1, 2, 49, 3, -1, 0.5],
    ),
}

MOMENTS = {
    "Normal": lambda m, s: (m, s * s),
    "Uniform": lambda a, b: ((a + b) / 2, (b - a) ** 2 / 12),
    "Poisson": lambda r: (r, r),
    "Bernoulli": lambda p: (p, p * (1 - p)),
    "Beta": lambda a, b: (a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1))),
    "Exponential": lambda r: (1 / r, 1 / r**2),
    "Gamma": lambda k, r: (k / r, k / r**2),
    "LogNormal": lambda m, s: (mp.exp(m + s * s / 2), mp.expm1(s * s) * mp.exp(2 * m + s * s)),
    "Binomial": lambda n, p: (n * p, n * p * (1 - p)),
    "Weibull": lambda s, k: (s * mp.gamma(1 + 1 / k), s**2 * (mp.gamma(1 + 2 / k) - mp.gamma(1 + 1 / k) ** 2)),
    "Categorical": lambda *p: (
        mp.fsum(i * q for i, q in enumerate(p)) / mp.fsum(p),
        mp.fsum(i * i * q for i, q in enumerate(p)) / mp.fsum(p) - (mp.fsum(i * q for i, q in enumerate(p)) / mp.fsum(p)) ** 2,
    ),
}


def num(v):
    """A double for JSON; infinities as strings."""
    v = float(v)
    return v if math.isfinite(v) else ("Infinity" if v > 0 else "-Infinity")


def densities():
    rows = []
    for kind, (f, params, xs) in DENSITY.items():
        for p in params:
            pm = [M(float(v)) for v in p]
            row = {"kind": kind, "params": [float(v) for v in p]}
            mean, var = MOMENTS[kind](*pm)
            row["mean"], row["variance"] = num(mean), num(var)
            row["x"] = [float(x) for x in xs]
            row["log_prob"] = [num(f(M(float(x)), *pm)) for x in xs]
            rows.append(row)
    return rows


# ---- samples


class Stream:
    def __init__(self, seed, stream, statement, draw, purpose, block=0):
        # numpy increments before its first block: one less, as a 256-bit number, little end first
        c = (block | statement << 64 | draw << 128 | purpose << 192) - 1
        c %= 1 << 256
        words = [(c >> (64 * i)) & (2**64 - 1) for i in range(4)]
        self.bits = np.random.Philox(counter=np.array(words, dtype=np.uint64), key=np.array([seed, stream], dtype=np.uint64))

    def raw(self):
        return int(self.bits.random_raw())

    def uniform(self):
        u = (float(self.raw() >> 11) + 0.5) * 2.0**-53
        return u if u < 1 else 1 - 2.0**-53


TINY, BELOW_ONE = 2.0**-1022, 1 - 2.0**-53


def clip(v, lo=TINY, hi=1.7976931348623157e308):
    return min(max(v, lo), hi)


def log_gamma_variate(s, shape):
    d = (shape + 1 if shape < 1 else shape) - 1 / 3
    c = 1 / math.sqrt(9 * d)
    while True:
        z = special.ndtri(s.uniform())
        u = s.uniform()
        v = 1 + c * z
        if v <= 0:
            continue
        if math.log(u) < 0.5 * z * z + d - d * v**3 + 3 * d * math.log(v):
            lx = math.log(d) + 3 * math.log(v)
            return lx + math.log(s.uniform()) / shape if shape < 1 else lx


def sample_poisson(s, rate):
    if rate < 10:
        u, p, k = s.uniform(), math.exp(-rate), 0
        while u > p:
            u -= p
            k += 1
            p *= rate / k
            if p == 0:
                break
        return k
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inv_alpha = 1.1239 + 1.1328 / (b - 3.4)
    vr = 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = s.uniform() - 0.5, s.uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= vr:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        if math.log(v * inv_alpha / (a / (us * us) + b)) <= float(poisson(M(k), M(rate))):
            return k


def sample_binomial(s, n, p):
    if p > 0.5:
        return n - sample_binomial(s, n, 1 - p)
    if n * p < 10:
        u, r, k = s.uniform(), math.exp(n * math.log1p(-p)), 0
        while u > r and k < n:
            u -= r
            k += 1
            r *= p / (1 - p) * (n - k + 1) / k
            if r == 0:
                break
        return k
    spq = math.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * spq
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c, vr, alpha = n * p + 0.5, 0.92 - 4.2 / b, (2.83 + 5.1 / b) * spq
    mode = math.floor((n + 1) * p)
    while True:
        u, v = s.uniform() - 0.5, s.uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + c)
        if k < 0 or k > n:
            continue
        if us >= 0.07 and v <= vr:
            return k
        ratio = float(binomial(M(k), M(n), M(p)) - binomial(M(mode), M(n), M(p)))
        if math.log(v * alpha / (a / (us * us) + b)) <= ratio:
            return k


def sample_beta(s, a, b):
    la = log_gamma_variate(s, a)
    lb = log_gamma_variate(s, b)
    t = lb - la
    return clip(1 / (1 + math.exp(t)) if t < 709 else 0.0, TINY, BELOW_ONE)


def sample_categorical(s, *probs):
    t, cum, pick = s.uniform() * math.fsum(probs), 0.0, 0
    for i, p in enumerate(probs):
        if p == 0:
            continue
        pick = i
        cum += p
        if t < cum:
            break
    return pick


SAMPLE = {
    "Normal": (lambda s, m, d: m + d * special.ndtri(s.uniform()), [(0, 1), (-3, 1e-3), (1e6, 20)]),
    "Uniform": (lambda s, a, b: a + (b - a) * s.uniform(), [(0, 1), (-2, 5)]),
    "Categorical": (sample_categorical, [(1, 1, 1), (0.2, 0, 0.8), (0, 0, 3, 0)]),
    "Poisson": (sample_poisson, [(0,), (1e-300,), (0.5,), (9.99,), (10,), (40,), (1e6,)]),
    "Bernoulli": (lambda s, p: int(s.uniform() < p), [(0,), (1,), (0.3,)]),
    "Beta": (sample_beta, [(2, 3), (0.5, 0.5), (1e-3, 1e-3), (1e5, 2e5)]),
    "Exponential": (lambda s, r: clip(-math.log1p(-s.uniform()) / r), [(1,), (1e-300,), (1e6,)]),
    "Gamma": (lambda s, k, r: clip(math.exp(log_gamma_variate(s, k)) / r), [(1, 1), (0.5, 2), (3, 0.1), (1e-3, 1), (1e6, 1e3)]),
    "LogNormal": (lambda s, m, d: clip(math.exp(m + d * special.ndtri(s.uniform()))), [(0, 1), (5, 0.1)]),
    "Binomial": (sample_binomial, [(0, 0.5), (10, 0), (10, 1), (10, 0.3), (100, 0.4), (1000, 0.97), (1000000, 0.25)]),
    "Weibull": (lambda s, l, k: clip(l * (-math.log1p(-s.uniform())) ** (1 / k)), [(1, 1), (2, 0.5), (3, 4)]),
}


def flatter(c, by):
    return max(c / by, min(c, 1))


def widened_poisson(s, rate):
    shape = max(rate / 8, 1)
    return sample_poisson(s, math.exp(log_gamma_variate(s, shape)) * rate / shape)


def widened_binomial(s, n, p):
    total = max((n - 9) / 8, 1 / min(p, 1 - p))
    return sample_binomial(s, n, sample_beta(s, total * p, total * (1 - p)))


WIDENED = {
    "Normal": (lambda s, m, d: SAMPLE["Normal"][0](s, m, 3 * d), [(0, 1), (-3, 1e-3)]),
    "Uniform": (SAMPLE["Uniform"][0], [(-2, 5)]),
    "Categorical": (lambda s, *p: sample_categorical(s, *[1.0 if x > 0 else 0.0 for x in p]), [(1e-9, 0, 0.8), (0.25, 0.5)]),
    "Poisson": (widened_poisson, [(0.5,), (4,), (60,), (3000,)]),
    "Bernoulli": (lambda s, p: int(s.uniform() < 0.5), [(0.03,)]),
    "Beta": (lambda s, a, b: sample_beta(s, flatter(a, 9), flatter(b, 9)), [(2, 3), (30, 0.5)]),
    "Exponential": (lambda s, r: SAMPLE["Exponential"][0](s, r / 3), [(0.2,)]),
    "Gamma": (lambda s, k, r: SAMPLE["Gamma"][0](s, flatter(k, 9), r * math.sqrt(flatter(k, 9) / k) / 3), [(0.5, 2), (30, 0.1)]),
    "LogNormal": (lambda s, m, d: SAMPLE["LogNormal"][0](s, m, 3 * d), [(5, 0.1)]),
    "Binomial": (widened_binomial, [(10, 0.3), (1000, 0.97), (1000000, 0.25)]),
    "Weibull": (lambda s, l, k: SAMPLE["Weibull"][0](s, l * 3 * flatter(k, 3) / k, flatter(k, 3)), [(2, 0.5), (3, 4)]),
}


def widened():
    """Element i of a widened value, with its own blocks."""
    rows = []
    for kind, (f, params) in WIDENED.items():
        for p in params:
            args = [float(v) for v in p] if kind != "Binomial" else [int(p[0]), float(p[1])]
            key = (2**63 + 11, 0, 5, 2**40 + 7, 1)
            rows.append(
                {
                    "kind": kind,
                    "params": [float(v) for v in p],
                    "seed": str(key[0]),
                    "stream": key[1],
                    "statement": key[2],
                    "draw": str(key[3]),
                    "purpose": key[4],
                    "values": [float(f(Stream(*key, block=i << 16), *args)) for i in range(20)],
                }
            )
    return rows


def samples():
    rows = []
    for kind, (f, params) in SAMPLE.items():
        for i, p in enumerate(params):
            counter = [3 + i, 2**40 + 7, 1]  # statement, draw, purpose
            s = Stream(2**63 + 11, 2, *counter)
            args = [float(v) for v in p] if kind != "Binomial" else [int(p[0]), float(p[1])]
            rows.append(
                {
                    "kind": kind,
                    "params": [float(v) for v in p],
                    "seed": str(2**63 + 11),
                    "stream": 2,
                    "statement": counter[0],
                    "draw": str(counter[1]),
                    "purpose": counter[2],
                    "values": [float(f(s, *args)) for _ in range(20)],
                }
            )
    return rows


def raw():
    """First blocks of the generator itself, as hexadecimal words, and their uniforms."""
    rows = []
    for key in [(0, 0, 0, 0, 0), (1, 2, 3, 4, 1), (2**64 - 1, 2**64 - 1, 2**64 - 1, 2**64 - 1, 2**64 - 1), (42, 2**32, 7, 9, 3)]:
        s = Stream(*key)
        words = [s.raw() for _ in range(8)]
        rows.append({"seed": str(key[0]), "stream": str(key[1]), "statement": str(key[2]), "draw": str(key[3]),
                     "purpose": str(key[4]), "words": ["%016x" % w for w in words]})
    return rows


if __name__ == "__main__":
    def dump(name, rows):
        with open(name, "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")

    dump("density.json", densities())
    dump("samples.json", samples())
    dump("widened.json", widened())
    dump("philox.json", raw())
    assert abs(float(gamma(M(2), M(3), M(4))) - stats.gamma.logpdf(2, 3, scale=1 / 4)) < 1e-12
