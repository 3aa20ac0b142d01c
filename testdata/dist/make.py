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


def truncated_mass(m, s, a, b):
    """The mass of a Normal between a and b, from the side that has the digits."""
    f = lambda z: mp.erfc(z / mp.sqrt(2)) / 2 if z != INF else M(0)
    al, be = (a - m) / s, (b - m) / s
    return f(al) - f(be) if al > 0 else f(-be) - f(-al) if be < 0 else 1 - f(-al) - f(be)


def truncated(x, m, s, a, b):
    return normal(x, m, s) - mp.log(truncated_mass(m, s, a, b)) if a <= x <= b else -INF


def truncated_moments(m, s, a, b):
    z = truncated_mass(m, s, a, b)
    phi = lambda v: mp.exp(-v * v / 2) / mp.sqrt(2 * mp.pi) if abs(v) != INF else M(0)
    al, be = (a - m) / s, (b - m) / s
    d = (phi(al) - phi(be)) / z
    slope = (al * phi(al) if abs(al) != INF else 0) - (be * phi(be) if abs(be) != INF else 0)
    return m + s * d, s * s * (1 + slope / z - d * d)


def student(x, df, m, s):
    z = (x - m) / s
    return mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - mp.log(df * mp.pi) / 2 - mp.log(s) - (df + 1) / 2 * mp.log1p(z * z / df)


def vonmises(x, m, k):
    return k * mp.cos(x - m) - mp.log(2 * mp.pi * mp.besseli(0, k))


def vonmises_moments(m, k):
    with mp.workdps(40):
        f = lambda x: mp.exp(k * (mp.cos(x - m) - 1))
        cuts = sorted({-mp.pi, mp.pi} | {m + j * d for j in range(-12, 13) for d in (1 / mp.sqrt(k), mp.pi / 12) if abs(m + j * d) < mp.pi})
        s0, s1 = mp.quad(f, cuts), mp.quad(lambda x: (x - m) * f(x), cuts)
        s2 = mp.quad(lambda x: (x - m) ** 2 * f(x), cuts)
        return m + s1 / s0, s2 / s0 - (s1 / s0) ** 2


def negative_binomial(x, m, c):
    if x < 0 or x != mp.floor(x):
        return -INF
    if m == 0:
        return M(0) if x == 0 else -INF
    return mp.loggamma(c + x) - mp.loggamma(c) - mp.loggamma(x + 1) + c * mp.log(c / (c + m)) + x * mp.log(m / (c + m))


def inflated(x, gate, lp):
    p = (1 - gate) * mp.exp(lp) + (gate if x == 0 else 0)
    return mp.log(p) if p > 0 else -INF


def beta_binomial(x, a, b, n):
    if x < 0 or x > n or x != mp.floor(x):
        return -INF
    lb = lambda p, q: mp.loggamma(p) + mp.loggamma(q) - mp.loggamma(p + q)
    return mp.loggamma(n + 1) - mp.loggamma(x + 1) - mp.loggamma(n - x + 1) + lb(x + a, n - x + b) - lb(a, b)


def geometric(x, p):
    if x < 0 or x != mp.floor(x):
        return -INF
    return mp.log(p) + (x * mp.log1p(-p) if x > 0 else 0)


def inverse_gamma(x, c, r):
    return c * mp.log(r) - mp.loggamma(c) - (c + 1) * mp.log(x) - r / x if x > 0 else -INF


def nan_if(bad, v):
    return mp.nan if bad else v


REALS = [0, 1, -2.5, 3, 40, 1e6, -1e200]

DENSITY = {
    "TruncatedNormal": (
        truncated,
        [(0, 1, 0, math.inf), (0, 1, -1, 2), (3, 0.5, -math.inf, 1), (0, 1, 10, 12), (0, 1, 30, math.inf), (0, 1, 1e5, math.inf), (0, 1, -math.inf, math.inf),
         (1e3, 1, 0, 1), (0, 1, 4, 4.2), (0, 1, 0.5, 0.5 + 1e-9), (-5, 2, 0, 1e3), (0, 1, -40, -38), (1, 1e6, 0, 2)],
        [0, 0.5, 0.9, -0.7, 1.5, 10, 10.5, 4.1, 31, 100000.00001, -39, 0.5000000001, -1e9],
    ),
    "HalfNormal": (lambda x, s: normal(x, M(0), s) + mp.log(2) if x >= 0 else -INF, [(1,), (1e-8,), (1e200,)], [0, 1, 3e-9, 40, -1, 1e200]),
    "StudentT": (student, [(1, 0, 1), (3, 1, 2), (0.1, 0, 1), (30, -5, 1e-3), (1e6, 0, 1), (1e12, 0, 1), (1e300, 0, 1), (2.5, 1e6, 1e6)], REALS),
    "Cauchy": (lambda x, m, s: -mp.log(mp.pi * s) - mp.log1p(((x - m) / s) ** 2), [(0, 1), (-3, 1e-6), (1e6, 1e6)], REALS),
    "Laplace": (lambda x, m, s: -abs(x - m) / s - mp.log(2 * s), [(0, 1), (-3, 1e-6), (1e6, 1e6)], REALS),
    "Logistic": (
        lambda x, m, s: -abs(x - m) / s - 2 * mp.log1p(mp.exp(-abs(x - m) / s)) - mp.log(s), [(0, 1), (-3, 1e-6), (1e6, 1e6)], REALS),
    "Pareto": (
        lambda x, m, a: mp.log(a / m) - (a + 1) * mp.log(x / m) if x >= m else -INF,
        [(1, 1), (2, 3), (1e-10, 0.3), (1, 1e6)], [1, 0.999, 2, 1.0000001, 40, 1e200]),
    "InverseGamma": (
        inverse_gamma, [(1, 1), (3, 2), (0.3, 5), (1e6, 1e6), (2.5, 1e-200), (20, 3)], [0, 1, 1e-200, 1e-3, 3.7, 1.001, 1e100, -1]),
    "VonMises": (vonmises, [(0, 1), (2, 4), (-3, 0.01), (1, 19.9), (1, 20.1), (0.5, 1e6), (0.5, 1e12), (3, 1e-9)], [0, 1, 3, -3.1, 0.5, 0.500001, 5]),
    "LogUniform": (
        lambda x, a, b: -mp.log(x) - mp.log(mp.log(b / a)) if a <= x <= b else -INF,
        [(1, 10), (1e-300, 1e300), (1, 1.000001), (0.2, 0.3)], [1, 1.0000005, 10, 0.25, 1e-299, 11, -1]),
    "NegativeBinomial2": (
        negative_binomial,
        [(3, 2), (0, 1), (1e-10, 0.5), (40, 1e-3), (1e6, 3), (1e6, 1e15), (5, 1e15), (7, 1e300), (1e6, 1e-6), (1e3, 1e8)],
        [0, 1, 3, 40, 999000, 1000000, 1003000, -1, 2.5]),
    "Geometric": (geometric, [(0.3,), (1,), (1e-10,), (0.999,)], [0, 1, 5, 1e10, -1, 0.5]),
    "DiscreteUniform": (
        lambda x, a, b: -mp.log(b - a + 1) if a <= x <= b and x == mp.floor(x) else -INF,
        [(0, 9), (-3, -3), (-(2**40), 2**50)], [0, -3, 9, 10, 4.5, 2**49]),
    "ZeroInflatedPoisson": (
        lambda x, g, r: inflated(x, g, poisson(x, r)) if x >= 0 and x == mp.floor(x) else -INF,
        [(0.3, 4), (0, 0.5), (1, 3), (0.999, 1e6), (1e-12, 40), (0.2, 0)], [0, 1, 7, 1000000, -1, 2.5]),
    "ZeroInflatedNegativeBinomial2": (
        lambda x, g, m, c: inflated(x, g, negative_binomial(x, m, c)) if x >= 0 and x == mp.floor(x) else -INF,
        [(0.3, 4, 2), (0, 0.5, 10), (1, 3, 1), (0.5, 1e6, 1e-3), (0.1, 7, 1e12)], [0, 1, 7, 1000000, -1, 2.5]),
    "BetaBinomial": (
        beta_binomial,
        [(1, 1, 10), (2, 3, 20), (0.1, 0.2, 100), (1e6, 2e6, 1000000), (1e-3, 1e-3, 5), (0.5, 1e8, 1000000), (3, 4, 0), (40, 1e-2, 2**40)],
        [0, 1, 3, 5, 10, 100, 333333, 2**39, -1, 2.5]),
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
    "TruncatedNormal": truncated_moments,
    "HalfNormal": lambda s: (s * mp.sqrt(2 / mp.pi), s * s * (1 - 2 / mp.pi)),
    "StudentT": lambda df, m, s: (nan_if(df <= 1, m), nan_if(df <= 1, INF if df <= 2 else s * s * df / (df - 2))),
    "Cauchy": lambda m, s: (mp.nan, mp.nan),
    "Laplace": lambda m, s: (m, 2 * s * s),
    "Logistic": lambda m, s: (m, s * s * mp.pi**2 / 3),
    "Pareto": lambda m, a: (INF if a <= 1 else m * a / (a - 1), INF if a <= 2 else m * m * a / (a - 1) ** 2 / (a - 2)),
    "InverseGamma": lambda c, r: (INF if c <= 1 else r / (c - 1), INF if c <= 2 else r * r / (c - 1) ** 2 / (c - 2)),
    "VonMises": vonmises_moments,
    "LogUniform": lambda a, b: (
        (b - a) / mp.log(b / a), (b * b - a * a) / 2 / mp.log(b / a) - ((b - a) / mp.log(b / a)) ** 2),
    "NegativeBinomial2": lambda m, c: (m, m + m * m / c),
    "Geometric": lambda p: ((1 - p) / p, (1 - p) / p**2),
    "DiscreteUniform": lambda a, b: ((a + b) / 2, ((b - a + 1) ** 2 - 1) / 12),
    "ZeroInflatedPoisson": lambda g, r: ((1 - g) * r, (1 - g) * r * (1 + g * r)),
    "ZeroInflatedNegativeBinomial2": lambda g, m, c: ((1 - g) * m, (1 - g) * m * (1 + m * (g + 1 / c))),
    "BetaBinomial": lambda a, b, n: (n * a / (a + b), n * a * b * (a + b + n) / ((a + b) ** 2 * (a + b + 1))),
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
    """A double for JSON; what is not finite as a string."""
    v = float(v)
    return v if math.isfinite(v) else "NaN" if math.isnan(v) else ("Infinity" if v > 0 else "-Infinity")


def densities():
    rows = []
    for kind, (f, params, xs) in DENSITY.items():
        for p in params:
            pm = [M(float(v)) for v in p]
            row = {"kind": kind, "params": [num(v) for v in p]}
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


def sample_truncated(s, m, d, a, b):
    al, be, w = (a - m) / d, (b - m) / d, (b - a) / d

    def tail(al):
        while True:
            u = -math.log1p(s.uniform() * math.expm1(-al * w)) / al
            if math.log(s.uniform()) <= -u * u / 2:
                return u

    if al >= 5:
        return a + d * tail(al)
    if be <= -5:
        return b - d * tail(-be)
    if w <= 1:
        near = max(al, min(be, 0))
        while True:
            u = s.uniform() * w
            if math.log(s.uniform()) <= (near**2 - (al + u) ** 2) / 2:
                return a + d * u
    u = M(s.uniform())
    f = lambda z: mp.erfc(-z / mp.sqrt(2)) / 2 if z != -math.inf else M(0)
    with mp.workdps(60):
        q = f(al) + u * (1 - f(-be) - f(al))
        return float(m + d * mp.sqrt(2) * mp.erfinv(2 * q - 1))


def sample_vonmises(s, m, k):
    with mp.workdps(60):
        k = M(k)
        tau = 1 + mp.sqrt(1 + 4 * k * k)
        rho = (tau - mp.sqrt(2 * tau)) / (2 * k)
        r = (1 + rho * rho) / (2 * rho)
        while True:
            z = mp.cos(mp.pi * M(s.uniform()))
            v = s.uniform()
            w = (1 + r * z) / (r + z)
            c = k * (r - w)
            if mp.log(c / v) + 1 - c >= 0:
                th = m + (-1 if s.uniform() < 0.5 else 1) * mp.acos(w)
                return float(th - 2 * mp.pi * mp.nint(th / (2 * mp.pi)))


def sample_negative_binomial(s, m, c):
    return sample_poisson(s, math.exp(log_gamma_variate(s, c)) / c * m) if m > 0 else 0


def sample_student(s, df, m, d):
    z = special.ndtri(s.uniform())
    return m + d * z / math.sqrt(math.exp(log_gamma_variate(s, df / 2)) / (df / 2))


def half(u):
    """The positive quantile of |Z|."""
    with mp.workdps(60):
        return float(mp.sqrt(2) * mp.erfinv(1 - M(u)))


def cauchy(u):
    with mp.workdps(60):
        return float(-mp.cot(mp.pi * M(u)))


SAMPLE = {
    "TruncatedNormal": (
        sample_truncated,
        [(0, 1, 0, math.inf), (0, 1, -1, 2), (3, 0.5, -math.inf, 1), (0, 1, 10, 12), (0, 1, 30, math.inf), (0, 1, -math.inf, math.inf), (0, 1, 4, 4.2),
         (-5, 2, 0, 1e3), (0, 1, -40, -38), (1, 1e6, 0, 2)]),
    "HalfNormal": (lambda s, d: d * half(s.uniform()), [(1,), (1e-8,)]),
    "StudentT": (sample_student, [(1, 0, 1), (3, 1, 2), (30, -5, 1e-3), (1e6, 0, 1)]),
    "Cauchy": (lambda s, m, d: m + d * cauchy(s.uniform()), [(0, 1), (-3, 1e-3)]),
    "Laplace": (lambda s, m, d: m + d * (lambda u: math.log(2 * u) if u < 0.5 else -math.log(2 - 2 * u))(s.uniform()), [(0, 1), (-3, 1e-3)]),
    "Logistic": (lambda s, m, d: m + d * special.logit(s.uniform()), [(0, 1), (-3, 1e-3)]),
    "Pareto": (lambda s, m, a: m * (1 - s.uniform()) ** (-1 / a), [(1, 1), (2, 3), (1, 1e6)]),
    "InverseGamma": (lambda s, c, r: r / math.exp(log_gamma_variate(s, c)), [(1, 1), (3, 2), (0.3, 5), (1e6, 1e6)]),
    "VonMises": (sample_vonmises, [(0, 1), (2, 4), (-3, 0.01), (0.5, 1e6)]),
    "LogUniform": (lambda s, a, b: a * (b / a) ** s.uniform(), [(1, 10), (1e-100, 1e100), (1, 1.000001)]),
    "NegativeBinomial2": (sample_negative_binomial, [(3, 2), (0, 1), (40, 0.3), (1e6, 3)]),
    "Geometric": (lambda s, p: math.floor(math.log(s.uniform()) / math.log1p(-p)) if p < 1 else 0, [(0.3,), (1,), (1e-6,)]),
    "DiscreteUniform": (lambda s, a, b: a + math.floor(s.uniform() * (b - a + 1)), [(0, 9), (-3, -3), (-(2**40), 2**50)]),
    "ZeroInflatedPoisson": (lambda s, g, r: 0 if s.uniform() < g else sample_poisson(s, r), [(0.3, 4), (0, 40), (1, 3)]),
    "ZeroInflatedNegativeBinomial2": (lambda s, g, m, c: 0 if s.uniform() < g else sample_negative_binomial(s, m, c), [(0.3, 4, 2), (0, 40, 10)]),
    "BetaBinomial": (lambda s, a, b, n: sample_binomial(s, int(n), sample_beta(s, a, b)), [(1, 1, 10), (2, 3, 20), (0.5, 0.5, 1000)]),
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


def wider_concentration(m, c):
    return max(1 / (9 / c + 8 / m), min(c, 1))


WIDENED = {
    "TruncatedNormal": (lambda s, m, d, a, b: sample_truncated(s, m, 3 * d, a, b), [(0, 1, 0, math.inf), (0, 1, -1, 2)]),
    "HalfNormal": (lambda s, d: 3 * d * half(s.uniform()), [(1,)]),
    "StudentT": (lambda s, df, m, d: sample_student(s, df, m, 3 * d), [(3, 1, 2)]),
    "Cauchy": (lambda s, m, d: m + 3 * d * cauchy(s.uniform()), [(0, 1)]),
    "Laplace": (lambda s, m, d: SAMPLE["Laplace"][0](s, m, 3 * d), [(0, 1)]),
    "Logistic": (lambda s, m, d: SAMPLE["Logistic"][0](s, m, 3 * d), [(0, 1)]),
    "Pareto": (lambda s, m, a: SAMPLE["Pareto"][0](s, m, a / 3), [(2, 3)]),
    "InverseGamma": (lambda s, c, r: SAMPLE["InverseGamma"][0](s, flatter(c, 9), r * math.sqrt(flatter(c, 9) / c)), [(3, 2), (30, 2)]),
    "VonMises": (lambda s, m, k: sample_vonmises(s, m, k / 9), [(2, 4)]),
    "LogUniform": (lambda s, a, b: a * (b / a) ** s.uniform(), [(1, 10)]),
    "NegativeBinomial2": (lambda s, m, c: sample_negative_binomial(s, m, wider_concentration(m, c)), [(3, 2), (40, 1000)]),
    "Geometric": (lambda s, p: SAMPLE["Geometric"][0](s, p / 3), [(0.3,)]),
    "DiscreteUniform": (SAMPLE["DiscreteUniform"][0], [(0, 9)]),
    "ZeroInflatedPoisson": (
        lambda s, g, r: 0 if s.uniform() < g else sample_negative_binomial(s, r, max(r / 8, 1)), [(0.3, 4), (0.1, 40)]),
    "ZeroInflatedNegativeBinomial2": (
        lambda s, g, m, c: 0 if s.uniform() < g else sample_negative_binomial(s, m, wider_concentration(m, c)), [(0.3, 4, 2)]),
    "BetaBinomial": (lambda s, a, b, n: sample_binomial(s, int(n), sample_beta(s, flatter(a, 9), flatter(b, 9))), [(2, 30, 20)]),
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
                    "params": [num(v) for v in p],
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
                    "params": [num(v) for v in p],
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
