"""Every distribution beyond the eleven of PPX 1.0, as a prior (MODEL=priors) and as a likelihood (MODEL=likelihoods);
MODEL=unnamed draws what an engine that speaks plain PPX 1.0 can have too."""

import math
import os

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


def priors():
    for name, prior, noise, _ in CASES:
        z = ppxsim.sample(prior, name=name)
        ppxsim.observe(Normal(z, noise), name="y_" + name)
    return len(CASES)


def likelihoods():
    for name, _, _, given in CASES:
        u = ppxsim.sample(Uniform(0.5, 2), name=name)
        ppxsim.observe(given(u), name="x_" + name)
    return len(CASES)


def unnamed():
    for name, prior, _, _ in CASES:
        ppxsim.tag(ppxsim.sample(prior, address=name), name)
    return len(CASES)


if __name__ == "__main__":
    ppxsim.main({"likelihoods": likelihoods, "unnamed": unnamed}.get(os.environ.get("MODEL"), priors), name="families")
