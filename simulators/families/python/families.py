"""Every distribution beyond the eleven of PPX 1.0, as a prior (MODEL=priors) and as a likelihood (MODEL=likelihoods);
MODEL=unnamed draws what an engine that speaks plain PPX 1.0 can have too. With made- before it: those whose draws are vectors, of which
the first number is observed, or that are made of others. MODEL=factor has a factor."""

import math
import os

import numpy as np

import ppxsim
from ppxsim import Normal, Uniform

CASES = [  # name, prior, noise of what is observed of it, the family as a likelihood
    ("truncated_normal", ppxsim.TruncatedNormal(0, 1, -1, 2), 2, lambda u: ppxsim.TruncatedNormal(u, 1, -1, 2)),
    ("half_normal", ppxsim.HalfNormal(2), 2, lambda u: ppxsim.HalfNormal(u)),
    ("student_t", ppxsim.StudentT(4, 1, 2), 6, lambda u: ppxsim.StudentT(4, u, 1)),
    ("cauchy", ppxsim.Cauchy(0, 0.2), 8, lambda u: ppxsim.Cauchy(u, 1)),
    ("laplace", ppxsim.Laplace(0, 1), 3, lambda u: ppxsim.Laplace(u, 1)),
    ("logistic", ppxsim.Logistic(1, 2), 7, lambda u: ppxsim.Logistic(u, 1)),
    ("pareto", ppxsim.Pareto(1, 3), 2, lambda u: ppxsim.Pareto(0.4, u)),
    ("inverse_gamma", ppxsim.InverseGamma(3, 2), 2, lambda u: ppxsim.InverseGamma(2, u)),
    ("von_mises", ppxsim.VonMises(1, 2), 1.5, lambda u: ppxsim.VonMises(u, 1)),
    ("log_uniform", ppxsim.LogUniform(1, 10), 5, lambda u: ppxsim.LogUniform(u / 10, 4)),
    ("negative_binomial", ppxsim.NegativeBinomial2(4, 2), 7, lambda u: ppxsim.NegativeBinomial2(3 * u, 2)),
    ("geometric", ppxsim.Geometric(0.3), 5, lambda u: ppxsim.Geometric(u / 4)),
    ("discrete_uniform", ppxsim.DiscreteUniform(-5, 5), 6, lambda u: ppxsim.DiscreteUniform(-3, math.floor(3 * u) + 2)),
    ("zero_inflated_poisson", ppxsim.ZeroInflatedPoisson(0.2, 4), 5, lambda u: ppxsim.ZeroInflatedPoisson(0.3, 2 * u)),
    ("zero_inflated_negative_binomial", ppxsim.ZeroInflatedNegativeBinomial2(0.2, 4, 3), 6, lambda u: ppxsim.ZeroInflatedNegativeBinomial2(0.3, 3 * u, 2)),
    ("beta_binomial", ppxsim.BetaBinomial(2, 3, 20), 8, lambda u: ppxsim.BetaBinomial(u, 1, 9)),
]


MADE = [
    ("mixture", ppxsim.Mixture([0.3, 0.7], [Normal(-2, 1), ppxsim.Cauchy(2, 0.5)]), 2, lambda u: ppxsim.Mixture([1, 2], [Normal(u, 1), ppxsim.Exponential(u)])),
    ("discrete_mixture", ppxsim.Mixture([2, 3], [ppxsim.Poisson(2), ppxsim.NegativeBinomial2(8, 3)]), 4,
     lambda u: ppxsim.Mixture([1, 1], [ppxsim.Poisson(u), ppxsim.DiscreteUniform(1, 6)])),
    ("empirical", ppxsim.Empirical([2.5, -1, 0, 7, 0], [0.2, 0.5, 1, 0.3, 1]), 3, lambda u: ppxsim.Empirical([1, 2, 3], [u * u, 1, 1])),
    ("histogram", ppxsim.Histogram([-1, 0, 2.5, 7], [0.2, 1, 0.8]), 3, lambda u: ppxsim.Histogram([0, u, 3], [1, 2])),
    ("dirichlet", ppxsim.Dirichlet([2, 3, 4]), 0.3, lambda u: ppxsim.Dirichlet([u, 1, 2 * u])),
    ("multivariate_normal", ppxsim.MultivariateNormal([1, -1], [[4, 3], [3, 2.5]]), 4,
     lambda u: ppxsim.MultivariateNormal([u, -u], precision_matrix=[[4 / 3, -2 / 3], [-2 / 3, 4 / 3]])),
    ("multivariate_student_t", ppxsim.MultivariateStudentT(5, [1, -1], [[2, 0], [1.5, 0.5]]), 5,
     lambda u: ppxsim.MultivariateStudentT(3, [u, -u], [[1, 0], [0.5, 1]])),
    ("multinomial", ppxsim.Multinomial(9, [0.2, 0.3, 0.5]), 3, lambda u: ppxsim.Multinomial(6, [u, 1, 2 * u])),
]  # fmt: skip


def first(x):
    """The first number of a vector, or a number."""
    return float(np.reshape(x, -1)[0])


def priors(cases):
    for name, prior, noise, _ in cases:
        z = ppxsim.sample(prior, name=name)
        ppxsim.observe(Normal(first(z), noise), name="y_" + name)
    return len(cases)


def likelihoods(cases):
    for name, _, _, given in cases:
        u = ppxsim.sample(Uniform(0.5, 2), name=name)
        ppxsim.observe(given(u), name="x_" + name)
    return len(cases)


def unnamed(cases):
    for name, prior, _, _ in cases:
        ppxsim.tag(ppxsim.sample(prior, address=name), name)
    return len(cases)


def factored():
    u = ppxsim.sample(Normal(0, 1), name="u")
    ppxsim.factor(-((u - 1) ** 2) / 2, name="near 1")
    return u


def customs():
    ppxsim.sample(Normal(0, 1), name="before")
    z = ppxsim.custom(lambda u: math.sqrt(u()), lambda x: math.log(2 * x) if 0 < x < 1 else -math.inf, [2], "z")

    def draw(u):
        x = u() * 6
        return 0 if x < 1 else 1 if x < 3 else 2

    k = ppxsim.custom(draw, lambda x: math.log((1 + x) / 6), name="k", discrete=True)
    ppxsim.observe(Normal(z + k, 0.5), name="y")
    return [z, k]


def model():
    name = os.environ.get("MODEL", "priors")
    if name == "factor":
        return factored()
    if name == "custom":
        return customs()
    kind = {"likelihoods": likelihoods, "unnamed": unnamed}.get(name.removeprefix("made-"), priors)
    return kind(MADE if name.startswith("made-") else CASES)


if __name__ == "__main__":
    ppxsim.main(model, name="families")
