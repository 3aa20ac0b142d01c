"""Makes rows.json: what every implementation must reproduce of the distributions of which parameters, or draws, are rows of numbers.

As make.py, on which it builds: densities and moments by mpmath with 400 digits from textbook formulas, samples by an independent
implementation of docs/random.md.

    python3 rows.py        (needs numpy, scipy, mpmath)
"""

import json
import math

import make
from make import INF, M, Stream, flatter, log_gamma_variate, mp, num, sample_binomial, sample_categorical, special

# The numbers of families that mixtures are made of here.
NUMBER = {"Normal": 1, "Uniform": 2, "Poisson": 4, "Beta": 6, "Exponential": 7, "Gamma": 8, "LogNormal": 9, "Binomial": 10, "TruncatedNormal": 12,
          "Cauchy": 15, "NegativeBinomial2": 22, "DiscreteUniform": 24}  # fmt: skip
NAMES = {v: k for k, v in NUMBER.items()}


def mats(row):
    return [M(float(v)) for v in row]


# ---- densities and moments


def dirichlet(x, a):
    if any(v < 0 for v in x) or abs(mp.fsum(x) - 1) > 1e-6:
        return -INF
    lp = mp.loggamma(mp.fsum(a)) - mp.fsum(mp.loggamma(v) for v in a)
    return lp + mp.fsum((b - 1) * mp.log(v) for v, b in zip(x, a) if b != 1)


def dirichlet_moments(a):
    t = mp.fsum(a)
    return [v / t for v in a], [v * (t - v) / t**2 / (t + 1) for v in a]


def solve(x, loc, tril):
    d = len(loc)
    z = []
    for i in range(d):
        z.append((x[i] - loc[i] - mp.fsum(tril[i * d + j] * z[j] for j in range(i))) / tril[i * d + i])
    return z, mp.fsum(mp.log(tril[i * d + i]) for i in range(d))


def multivariate_normal(x, loc, tril):
    z, slope = solve(x, loc, tril)
    return -mp.fsum(v * v for v in z) / 2 - slope - len(x) * mp.log(2 * mp.pi) / 2


def row_variances(tril, d):
    return [mp.fsum(tril[i * d + j] ** 2 for j in range(d)) for i in range(d)]


def multivariate_student(x, df, loc, tril):
    z, slope = solve(x, loc, tril)
    df, d = df[0], len(x)
    return (mp.loggamma((df + d) / 2) - mp.loggamma(df / 2) - d * mp.log(df * mp.pi) / 2 - slope
            - (df + d) / 2 * mp.log1p(mp.fsum(v * v for v in z) / df))  # fmt: skip


def student_moments(df, loc, tril):
    df, v = df[0], row_variances(tril, len(loc))
    mean = [m if df > 1 else mp.nan for m in loc]
    return mean, [mp.nan if df <= 1 else INF if df <= 2 else w * df / (df - 2) for w in v]


def multinomial(x, n, p):
    n, t = n[0], mp.fsum(p)
    if any(v < 0 or v != mp.floor(v) for v in x) or mp.fsum(x) != n or any(v > 0 and q == 0 for v, q in zip(x, p)):
        return -INF
    return mp.loggamma(n + 1) - mp.fsum(mp.loggamma(v + 1) for v in x) + mp.fsum(v * mp.log(q / t) for v, q in zip(x, p) if v > 0)


def multinomial_moments(n, p):
    t = mp.fsum(p)
    return [n[0] * q / t for q in p], [n[0] * q / t * (1 - q / t) for q in p]


def parts(families, parameters):
    at = 0
    for f in families:
        name = NAMES[int(f)]
        k = len(make.DENSITY[name][1][0])
        yield name, parameters[at : at + k]
        at += k


def mixture(x, families, probs, parameters):
    t = mp.fsum(probs)
    total = M(0)
    for p, (name, a) in zip(probs, parts(families, parameters)):
        lp = make.DENSITY[name][0](x[0], *a)
        if p > 0 and lp != -INF:
            total += p / t * mp.exp(lp)
    return mp.log(total) if total > 0 else -INF


def mixture_moments(families, probs, parameters):
    t = mp.fsum(probs)
    mv = [make.MOMENTS[name](*a) for name, a in parts(families, parameters)]
    mean = mp.fsum(p * m for p, (m, _) in zip(probs, mv)) / t
    return [mean], [mp.fsum(p * (v + (m - mean) ** 2) for p, (m, v) in zip(probs, mv)) / t]


def empirical(x, values, weights):
    p = mp.fsum(w for v, w in zip(values, weights) if v == x[0])
    return mp.log(p / mp.fsum(weights)) if p > 0 else -INF


def weighted(values, weights):
    t = mp.fsum(weights)
    m = mp.fsum(v * w for v, w in zip(values, weights)) / t
    return m, mp.fsum((v - m) ** 2 * w for v, w in zip(values, weights)) / t


def histogram(x, edges, weights):
    x = x[0]
    for j, w in enumerate(weights):
        if edges[j] <= x < edges[j + 1] or (x == edges[-1] and j == len(weights) - 1):
            return mp.log(w / mp.fsum(weights) / (edges[j + 1] - edges[j])) if w > 0 else -INF
    return -INF


def histogram_moments(edges, weights):
    mids = [(a + b) / 2 for a, b in zip(edges, edges[1:])]
    m, v = weighted(mids, weights)
    return [m], [v + mp.fsum(w * (b - a) ** 2 / 12 for a, b, w in zip(edges, edges[1:], weights)) / mp.fsum(weights)]


# ---- samples


def sample_dirichlet(s, a):
    logs = [log_gamma_variate(s, v) for v in a]
    top = max(logs)
    e = [math.exp(v - top) for v in logs]
    return [max(v / math.fsum(e), make.TINY) for v in e]


def affine(loc, tril, z):
    d = len(loc)
    return [loc[i] + math.fsum(tril[i * d + j] * z[j] for j in range(i + 1)) for i in range(d)]


def sample_normal(s, loc, tril):
    return affine(loc, tril, [special.ndtri(s.uniform()) for _ in loc])


def sample_student(s, df, loc, tril):
    z = [special.ndtri(s.uniform()) for _ in loc]
    g = math.exp(log_gamma_variate(s, df[0] / 2)) / (df[0] / 2)
    return affine(loc, tril, [v / math.sqrt(g) for v in z])


def sample_multinomial(s, n, p):
    left, out = int(n[0]), []
    for i in range(len(p) - 1):
        out.append(sample_binomial(s, left, p[i] / math.fsum(p[i:]) if p[i] > 0 else 0.0))
        left -= out[-1]
    return [*out, left]


def sample_mixture(s, families, probs, parameters):
    k = sample_categorical(s, *probs)
    name, a = list(parts(families, parameters))[k]
    return [make.SAMPLE[name][0](s, *(int(v) if name == "Binomial" and i == 0 else v for i, v in enumerate(a)))]


def sample_histogram(s, edges, weights):
    k = sample_categorical(s, *weights)
    return [edges[k] + (edges[k + 1] - edges[k]) * s.uniform()]


def chances(w):
    return [1.0 if v > 0 else 0.0 for v in w]


def wide_multinomial(s, n, p):
    t, k = math.fsum(p), sum(v > 0 for v in p)
    return sample_multinomial(s, n, [(v / t + 1 / k) / 2 if v > 0 else 0.0 for v in p])


# family: density, moments, sample, widened sample, parameters (a matrix as rows), values
FAMILIES = {
    "Dirichlet": (
        dirichlet, dirichlet_moments, sample_dirichlet, lambda s, a: sample_dirichlet(s, [flatter(v, 9) if v > 0.05 else v for v in a]),
        [([1, 1, 1],), ([0.2, 3, 40],), ([0.01, 0.02],), ([1e6, 2e6, 3e6, 4e6],), ([2.5],), ([1e-3, 1e5, 1],)],
        [[[1 / 3] * 3, [0.2, 0.3, 0.5], [0.5, 0.5, 0.5], [1e-200, 1e-9, 1 - 1e-9]], [[0.01, 0.09, 0.9], [1e-100, 0.5, 0.5]], [[0.25, 0.75], [1e-300, 1.0]],
         [[0.1, 0.2, 0.3, 0.4], [0.1002, 0.1998, 0.3, 0.4]], [[1.0], [0.5]], [[1e-20, 1 - 1e-5, 1e-5], [-0.1, 0.6, 0.5]]]),
    "MultivariateNormal": (
        multivariate_normal, lambda loc, tril: (loc, row_variances(tril, len(loc))), sample_normal, lambda s, loc, tril: sample_normal(s, loc, [3 * v for v in tril]),
        [([0, 0], [[1, 0], [0, 1]]), ([1, -2, 1e3], [[2, 0, 0], [1.5, 0.5, 0], [-1, 3, 10]]), ([5], [[1e-8]]), ([0, 0], [[1e-3, 0], [1e3, 1e-3]])],
        [[[0, 0], [1.5, -40]], [[1, -2, 1000], [0, 0, 0]], [[5], [5.00000001]], [[1e-3, 1e3], [0, 1e-3]]]),
    "MultivariateStudentT": (
        multivariate_student, student_moments, sample_student, lambda s, df, loc, tril: sample_student(s, df, loc, [3 * v for v in tril]),
        [(1, [0, 0], [[1, 0], [0, 1]]), (3.5, [1, -2, 1e3], [[2, 0, 0], [1.5, 0.5, 0], [-1, 3, 10]]), (1e12, [5, 6], [[1e-3, 0], [0, 1]]), (2, [0], [[2]])],
        [[[0, 0], [1.5, -40]], [[1, -2, 1000], [0, 0, 0]], [[5, 6], [5.001, 4]], [[0], [1e6]]]),
    "Multinomial": (
        multinomial, multinomial_moments, sample_multinomial, wide_multinomial,
        [(10, [0.2, 0.3, 0.5]), (0, [1, 1]), (7, [3]), (1000000, [1e-6, 2, 3, 4]), (20, [1, 0, 2])],
        [[[2, 3, 5], [0, 0, 10], [2, 3, 4], [2.5, 2.5, 5]], [[0, 0], [1, -1]], [[7], [6]], [[0, 222222, 333333, 444445], [3, 222222, 333333, 444442]], [[6, 0, 14], [5, 1, 14]]]),
    "Mixture": (
        mixture, mixture_moments, sample_mixture, lambda s, f, p, a: sample_mixture(s, f, chances(p), a),
        [([1, 1], [0.3, 0.7], [-2, 1, 3, 0.5]), ([8, 7, 9], [1, 2, 0], [2, 3, 0.5, 0, 0.3]), ([2], [2], [0, 4]), ([12, 1], [1, 1e-12], [0, 1, -1, 2, 50, 1e-3])],
        [[[0], [3], [-60]], [[0.4], [-1], [0]], [[2], [5]], [[0.5], [50], [49.99]]]),
    "DiscreteMixture": (
        mixture, mixture_moments, sample_mixture, lambda s, f, p, a: sample_mixture(s, f, chances(p), a),
        [([4, 4, 24], [2, 1, 3], [2, 70, 5, 9]), ([10, 22], [0.5, 0.5], [5, 0.5, 3, 2])],
        [[[0], [7], [80], [0.5]], [[5], [6]]]),
    "Empirical": (
        empirical, lambda v, w: tuple([x] for x in weighted(v, w)), lambda s, v, w: [v[sample_categorical(s, *w)]], lambda s, v, w: [v[sample_categorical(s, *chances(w))]],
        [([-1, 0, 2.5, 7], [0.2, 0, 0.5, 3]), ([4], [2])],
        [[[-1], [0], [7], [3]], [[4], [5]]]),
    "Histogram": (
        histogram, histogram_moments, sample_histogram, lambda s, e, w: sample_histogram(s, e, [(b - a) * (v > 0) for a, b, v in zip(e, e[1:], w)]),
        [([-1, 0, 2.5, 7], [0.2, 0, 3]), ([1e6, 1e6 + 1], [2])],
        [[[-1], [0], [1], [7], [8], [-0.5], [2.5]], [[1e6 + 0.5], [0]]]),
    "Factor": (
        lambda x, w: w[0] if x[0] == 0 else -INF, lambda w: ([M(0)], [M(0)]), lambda s, w: [0], lambda s, w: [0],
        [(-3.5,), (-math.inf,), (700,)], [[[0], [1]], [[0]], [[0]]]),
}  # fmt: skip


def tensor(v):
    if not isinstance(v, list):
        return {"data": [num(v)], "shape": []}
    if isinstance(v[0], list):
        return {"data": [num(x) for row in v for x in row], "shape": [len(v), len(v[0])]}
    return {"data": [num(x) for x in v], "shape": [len(v)]}


def flat(v):
    if not isinstance(v, list):
        return [float(v)]
    return [float(x) for row in v for x in (row if isinstance(row, list) else [row])]


def entries():
    for kind, (density, moments, sample, wide, params, values) in FAMILIES.items():
        for i, (p, xs) in enumerate(zip(params, values)):
            numbers = [flat(v) for v in p]
            exact = [mats(v) for v in numbers]
            mean, variance = moments(*exact)
            key = (2**63 + 11, 2, 3 + i, 2**40 + 7)
            s = Stream(*key, 0)
            yield {
                "kind": kind,
                "params": [tensor(v) for v in p],
                "mean": [num(v) for v in mean],
                "variance": [num(v) for v in variance],
                "x": [[float(v) for v in x] for x in xs],
                "log_prob": [num(density(mats(x), *exact)) for x in xs],
                "seed": str(key[0]),
                "stream": key[1],
                "statement": key[2],
                "draw": str(key[3]),
                "samples": [[float(v) for v in sample(s, *numbers)] for _ in range(8)],
                "widened": [[float(v) for v in wide(Stream(*key, 1, block=j << 16), *numbers)] for j in range(4)],
            }


if __name__ == "__main__":
    with open("rows.json", "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(e) for e in entries()) + "\n]\n")
