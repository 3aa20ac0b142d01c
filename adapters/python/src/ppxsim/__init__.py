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
    local,
    main,
    observe,
    sample,
    serve,
    tag,
)
from ._distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Distribution,
    Exponential,
    Gamma,
    LogNormal,
    Normal,
    Poisson,
    Uniform,
    Weibull,
)
from ._version import __version__

__all__ = [
    "Bernoulli", "Beta", "Binomial", "Categorical", "Distribution", "Exponential", "Gamma", "LogNormal",
    "Normal", "Poisson", "ProtocolError", "RunAborted", "Uniform", "Weibull", "__version__", "attached",
    "local", "main", "observe", "sample", "serve", "tag",
]  # fmt: skip
