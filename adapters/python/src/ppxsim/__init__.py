"""Let an inference engine answer the random draws of a Python simulator, over PPX.

    import ppxsim
    from ppxsim import Normal

    def model():
        mu = ppxsim.sample(Normal(1, 5 ** 0.5), name="mu")
        ppxsim.observe(Normal(mu, 2 ** 0.5), name="obs0")
        return mu

    if __name__ == "__main__":
        ppxsim.main(model, name="gum")

Without an engine the same model draws by itself: call it like any function.
"""

from ._client import (
    ProtocolError,
    RunAborted,
    attached,
    custom,
    factor,
    local,
    main,
    observe,
    rs_end,
    rs_start,
    sample,
    serve,
    tag,
)
from ._distributions import (
    Bernoulli,
    Beta,
    BetaBinomial,
    Binomial,
    Categorical,
    Cauchy,
    ChiSquared,
    DiscreteUniform,
    Exponential,
    Gamma,
    Geometric,
    HalfNormal,
    InverseGamma,
    Laplace,
    LogNormal,
    LogUniform,
    Logistic,
    NegativeBinomial,
    NegativeBinomial2,
    Normal,
    Pareto,
    Poisson,
    StudentT,
    TruncatedNormal,
    Uniform,
    VonMises,
    Weibull,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedNegativeBinomial2,
    ZeroInflatedPoisson,
)
from ._structured import (
    Dirichlet,
    Empirical,
    Histogram,
    Mixture,
    MixtureSameFamily,
    Multinomial,
    MultivariateNormal,
    MultivariateStudentT,
)
from ._version import __version__

__all__ = [
    "Bernoulli", "Beta", "BetaBinomial", "Binomial", "Categorical", "Cauchy", "ChiSquared", "Dirichlet", "DiscreteUniform",
    "Empirical", "Exponential", "Gamma", "Geometric", "HalfNormal", "Histogram", "InverseGamma", "Laplace", "LogNormal", "LogUniform",
    "Logistic", "Mixture", "MixtureSameFamily", "Multinomial", "MultivariateNormal", "MultivariateStudentT", "NegativeBinomial", "NegativeBinomial2", "Normal", "Pareto", "Poisson", "ProtocolError", "RunAborted",
    "StudentT", "TruncatedNormal", "Uniform", "VonMises", "Weibull", "ZeroInflatedNegativeBinomial",
    "ZeroInflatedNegativeBinomial2", "ZeroInflatedPoisson", "__version__", "attached", "custom", "factor", "local", "main", "observe",
    "rs_end", "rs_start", "sample", "serve", "tag",
]  # fmt: skip
