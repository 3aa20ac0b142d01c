"""numpy's, scipy's and Python's variates, with mean and standard deviation: lines "NAME VALUE MEAN SD"."""

import math
import random
import sys

import numpy as np
from scipy import stats

gen, old = np.random.default_rng(1), np.random.RandomState(2)
out = []


def show(name, value, mean, sd):
    out.append(f"{name} {float(value)!r} {float(mean)!r} {float(sd)!r}")


def both(name, *args, mean, sd, of=lambda v: v):
    for which, source in (("gen", gen), ("old", old), ("np", np.random)):
        if hasattr(source, name):
            show(f"{which}_{name}", of(getattr(source, name)(*args)), mean, sd)
            v = getattr(source, name)(*args, size=(2, 3))
            assert np.shape(v)[:2] == (2, 3), (name, np.shape(v))
            show(f"{which}_{name}_tensor", of(v[1, 2]), mean, sd)


root = math.sqrt
both("normal", 1, 2, mean=1, sd=2)
both("standard_normal", mean=0, sd=1)
both("uniform", -1, 3, mean=1, sd=4 / root(12))
both("random", mean=0.5, sd=1 / root(12))
both("poisson", 4.5, mean=4.5, sd=root(4.5))
both("exponential", 3.0, mean=3, sd=3)
both("standard_exponential", mean=1, sd=1)
both("gamma", 2.5, 3.0, mean=7.5, sd=3 * root(2.5))
both("standard_gamma", 2.5, mean=2.5, sd=root(2.5))
both("chisquare", 5, mean=5, sd=root(10))
both("beta", 2, 3, mean=0.4, sd=0.2)
both("binomial", 12, 0.3, mean=3.6, sd=root(2.52))
both("lognormal", 1, 0.5, mean=math.exp(1.125), sd=math.exp(1.125) * root(math.exp(0.25) - 1))
both("weibull", 3, mean=math.gamma(4 / 3), sd=root(math.gamma(5 / 3) - math.gamma(4 / 3) ** 2))
both("rayleigh", 2, mean=2 * root(math.pi / 2), sd=2 * root(2 - math.pi / 2))
both("laplace", 1, 2, mean=1, sd=2 * root(2))
both("logistic", 1, 2, mean=1, sd=2 * math.pi / root(3))
both("standard_cauchy", mean=0, sd=math.pi / root(12), of=math.atan)
both("standard_t", 7, mean=0, sd=root(7 / 5))
both("vonmises", 0, 1.0, mean=0, sd=root(0.5 * (1 - 0.10722)), of=math.sin)
both("negative_binomial", 3.5, 0.4, mean=5.25, sd=root(2.1) / 0.4)
both("pareto", 9, mean=0.125, sd=root(9 / 448))
both("geometric", 0.4, mean=2.5, sd=root(0.6) / 0.4)
both("gumbel", 1, 2, mean=1 + 2 * 0.5772156649015329, sd=2 * math.pi / root(6))
both("hypergeometric", 5, 8, 6, mean=30 / 13, sd=root(6 * 5 * 8 * 7 / (13 * 13 * 12)))
both("triangular", 0, 1, 2, mean=1, sd=root(1 / 6))
both("wald", 2, 4, mean=2, sd=root(2))
both("power", 3, mean=0.75, sd=root(3 / 80))
both("f", 6, 6, mean=0, sd=root(2 * 0.394934066848226), of=math.log)
both("dirichlet", [1, 2, 5], mean=0.25, sd=root(0.25 * 0.75 / 9), of=lambda v: v[1])
both("multinomial", 20, [0.1, 0.0, 0.3, 0.6], mean=6, sd=root(4.2), of=lambda v: v[2])
both("multivariate_normal", [1, -1], [[4, 1], [1, 1.25]], mean=0, sd=root(7.25), of=lambda v: v.sum())
both("choice", 5, mean=2, sd=root(2))
both("integers", 3, 10, mean=6, sd=2)
both("randint", 3, 10, mean=6, sd=2)
show("choice_p", gen.choice([1.5, 2.5, 4.5], p=[0.5, 0.25, 0.25]), 2.5, root(1.5))
show("choice_without", np.ptp(gen.choice(5, 2, replace=False)), 2, 1)
show("choice_successive", gen.choice(3, 2, replace=False, p=[0.5, 0.25, 0.25])[0], 0.75, root(0.6875))
show("permutation", gen.permutation(5)[0], 2, root(2))
x = np.arange(5)
np.random.shuffle(x)
show("shuffle", x[0], 2, root(2))
show("randn", np.random.randn(3)[1], 0, 1)
show("rand", np.random.rand(2, 2)[1, 1], 0.5, 1 / root(12))
show("broadcast", gen.normal([0, 10], [[1], [2]])[1, 1], 10, 2)
vector = np.array([1.0, 2.0, 3.0])
show("number_and_vector", gen.normal(10.0, vector)[2], 10, 3)
show("vector_and_number", gen.normal(vector, 0.5)[2], 3, 0.5)
show("uniform_vector", gen.uniform(5, vector + 5)[1], 6, 2 / root(12))
show("binomial_vector", gen.binomial([10, 100, 1000], 0.5)[2], 500, root(250))
show("np_vector", np.random.gamma(vector, 2.0)[1], 4, root(8))
show("t_vector", gen.standard_t(vector + 20)[0], 0, root(21 / 19))
show("rows", gen.normal(np.zeros((2, 1)), vector)[1, 2], 0, 3)
show("noncentral", gen.noncentral_chisquare(3, 2), 5, root(14))
show("low_bits", (int(gen.bit_generator.random_raw()) & 0x7FF) / 2048, 0.5, 1 / root(12))
buffer = np.empty(3)
assert gen.standard_normal(out=buffer) is buffer
show("out", buffer[2], 0, 1)
assert gen.random(3, dtype=np.float32).dtype == np.float32
assert gen.normal(size=0).shape == (0,)

for name, frozen, mean, sd in [
    ("norm", stats.norm(1, 2), 1, 2), ("uniform", stats.uniform(-1, 4), 1, 4 / root(12)), ("expon", stats.expon(scale=3), 3, 3), ("shifted", stats.expon(loc=1), 2, 1),
    ("gamma", stats.gamma(2.5, scale=3), 7.5, 3 * root(2.5)), ("beta", stats.beta(2, 3), 0.4, 0.2), ("t", stats.t(7, 1, 2), 1, 2 * root(7 / 5)),
    ("lognorm", stats.lognorm(0.5, scale=math.e), math.exp(1.125), math.exp(1.125) * root(math.exp(0.25) - 1)), ("laplace", stats.laplace(1, 2), 1, 2 * root(2)),
    ("weibull_min", stats.weibull_min(3, scale=2), 2 * math.gamma(4 / 3), 2 * root(math.gamma(5 / 3) - math.gamma(4 / 3) ** 2)), ("halfnorm", stats.halfnorm(scale=2), 2 * root(2 / math.pi), 2 * root(1 - 2 / math.pi)),
    ("truncnorm", stats.truncnorm(-1, 1, 5, 2), 5, 2 * root(0.291125)), ("invgamma", stats.invgamma(6, scale=10), 2, 1), ("pareto", stats.pareto(9, scale=2), 2.25, 2 * root(9 / 448)),
    ("loguniform", stats.loguniform(1, math.e), math.e - 1, root((math.e**2 - 1) / 2 - (math.e - 1) ** 2)), ("poisson", stats.poisson(4.5), 4.5, root(4.5)),
    ("binom", stats.binom(12, 0.3), 3.6, root(2.52)), ("nbinom", stats.nbinom(3.5, 0.4), 5.25, root(2.1) / 0.4), ("randint", stats.randint(3, 10), 6, 2),
    ("betabinom", stats.betabinom(10, 2, 3), 4, root(10 * 2 * 3 * 15 / (25 * 6))), ("bernoulli", stats.bernoulli(0.3), 0.3, root(0.21)), ("skewnorm", stats.skewnorm(0), 0, 1),
]:  # fmt: skip
    show(f"stats_{name}", frozen.rvs(), mean, sd)
    v = frozen.rvs(size=(2, 2), random_state=3)
    assert v.shape == (2, 2)
    show(f"stats_{name}_tensor", v[1, 0], mean, sd)

show("py_random", random.random(), 0.5, 1 / root(12))
show("py_uniform", random.uniform(3, -1), 1, 4 / root(12))
show("py_gauss", random.gauss(1, 2), 1, 2)
show("py_normalvariate", random.normalvariate(1, 2), 1, 2)
show("py_expovariate", random.expovariate(0.5), 2, 2)
show("py_gammavariate", random.gammavariate(2.5, 3), 7.5, 3 * root(2.5))
show("py_betavariate", random.betavariate(2, 3), 0.4, 0.2)
show("py_lognormvariate", random.lognormvariate(1, 0.5), math.exp(1.125), math.exp(1.125) * root(math.exp(0.25) - 1))
show("py_weibullvariate", random.weibullvariate(2, 3), 2 * math.gamma(4 / 3), 2 * root(math.gamma(5 / 3) - math.gamma(4 / 3) ** 2))
show("py_paretovariate", random.paretovariate(9), 1.125, root(9 / 448))
show("py_vonmisesvariate", math.sin(random.vonmisesvariate(0, 1)), 0, root(0.5 * (1 - 0.10722)))
show("py_triangular", random.triangular(0, 2, 1), 1, root(1 / 6))
show("py_randint", random.randint(3, 9), 6, 2)
show("py_randrange", random.randrange(0, 10, 2), 4, root(8))
show("py_choice", random.choice([1.5, 2.5]), 2, 0.5)
show("py_choices", random.choices([1.5, 2.5, 4.5], weights=[2, 1, 1], k=3)[2], 2.5, root(1.5))
show("py_getrandbits", random.getrandbits(80) / 2**80, 0.5, 1 / root(12))
show("py_sample", max(random.sample(range(5), 2)), 3, 1)
things = list(range(5))
random.shuffle(things)
show("py_shuffle", things[0], 2, root(2))
show("py_own", random.Random(5).gauss(0, 1), 0, 1)
print("\n".join(out))
