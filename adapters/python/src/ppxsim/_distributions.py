"""The distributions of PPX. Parameters are numbers or arrays and broadcast as in numpy."""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Distribution:
    """A distribution with parameters in the order of the protocol.

    kind: the family's number on the wire. discrete: values are integers.
    """

    kind = 0
    discrete = False
    names: Tuple[str, ...] = ()
    __slots__ = ("params",)

    def __init__(self, *params: ArrayLike) -> None:
        # Plain floats stay what they are: most sites are scalar, and an array costs a microsecond.
        self.params: Tuple[Any, ...] = tuple(
            p if type(p) is float else float(p) if isinstance(p, (int, np.floating, np.integer)) else np.asarray(p, dtype=np.float64)
            for p in params
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={p!r}' for n, p in zip(self.names, self.params))})"


class Normal(Distribution):
    """Normal(mean, stddev)."""

    kind, names = 1, ("mean", "stddev")
    __slots__ = ()

    def __init__(self, mean: ArrayLike, stddev: ArrayLike) -> None:
        super().__init__(mean, stddev)


class Uniform(Distribution):
    """Uniform(low, high)."""

    kind, names = 2, ("low", "high")
    __slots__ = ()

    def __init__(self, low: ArrayLike, high: ArrayLike) -> None:
        super().__init__(low, high)


class Categorical(Distribution):
    """Categorical(probs): 0, …, k−1. probs need not be normalised; shape [..., k] gives values of shape [...]."""

    kind, names, discrete = 3, ("probs",), True
    __slots__ = ()

    def __init__(self, probs: ArrayLike) -> None:
        super().__init__(np.asarray(probs, dtype=np.float64))
        if self.params[0].ndim == 0:
            raise ValueError("Categorical: probs is a scalar, it needs one probability per category")


class Poisson(Distribution):
    """Poisson(rate)."""

    kind, names, discrete = 4, ("rate",), True
    __slots__ = ()

    def __init__(self, rate: ArrayLike) -> None:
        super().__init__(rate)


class Bernoulli(Distribution):
    """Bernoulli(probs): 1 with the given probability, else 0."""

    kind, names, discrete = 5, ("probs",), True
    __slots__ = ()

    def __init__(self, probs: ArrayLike) -> None:
        super().__init__(probs)


class Beta(Distribution):
    """Beta(concentration1, concentration0)."""

    kind, names = 6, ("concentration1", "concentration0")
    __slots__ = ()

    def __init__(self, concentration1: ArrayLike, concentration0: ArrayLike) -> None:
        super().__init__(concentration1, concentration0)


class Exponential(Distribution):
    """Exponential(rate)."""

    kind, names = 7, ("rate",)
    __slots__ = ()

    def __init__(self, rate: ArrayLike) -> None:
        super().__init__(rate)


class Gamma(Distribution):
    """Gamma(concentration, rate)."""

    kind, names = 8, ("concentration", "rate")
    __slots__ = ()

    def __init__(self, concentration: ArrayLike, rate: ArrayLike) -> None:
        super().__init__(concentration, rate)


class LogNormal(Distribution):
    """LogNormal(loc, scale): mean and standard deviation of the logarithm."""

    kind, names = 9, ("loc", "scale")
    __slots__ = ()

    def __init__(self, loc: ArrayLike, scale: ArrayLike) -> None:
        super().__init__(loc, scale)


class Binomial(Distribution):
    """Binomial(total_count, probs)."""

    kind, names, discrete = 10, ("total_count", "probs"), True
    __slots__ = ()

    def __init__(self, total_count: ArrayLike, probs: ArrayLike) -> None:
        super().__init__(total_count, probs)


class Weibull(Distribution):
    """Weibull(scale, concentration)."""

    kind, names = 11, ("scale", "concentration")
    __slots__ = ()

    def __init__(self, scale: ArrayLike, concentration: ArrayLike) -> None:
        super().__init__(scale, concentration)

# The families of PPX's extension 3, with names and parameters as in NumPyro and PyTorch.


class TruncatedNormal(Distribution):
    """TruncatedNormal(loc, scale, low, high): a Normal between two ends, of which one or both may be infinite."""

    kind, names = 12, ("loc", "scale", "low", "high")
    __slots__ = ()

    def __init__(self, loc: ArrayLike, scale: ArrayLike, low: ArrayLike, high: ArrayLike) -> None:
        super().__init__(loc, scale, low, high)


class HalfNormal(Distribution):
    """HalfNormal(scale): the absolute value of a Normal of mean 0."""

    kind, names = 13, ("scale",)
    __slots__ = ()

    def __init__(self, scale: ArrayLike) -> None:
        super().__init__(scale)


class StudentT(Distribution):
    """StudentT(df, loc, scale): df degrees of freedom."""

    kind, names = 14, ("df", "loc", "scale")
    __slots__ = ()

    def __init__(self, df: ArrayLike, loc: ArrayLike, scale: ArrayLike) -> None:
        super().__init__(df, loc, scale)


class Cauchy(Distribution):
    """Cauchy(loc, scale): the scale is half the width at half maximum."""

    kind, names = 15, ("loc", "scale")
    __slots__ = ()

    def __init__(self, loc: ArrayLike, scale: ArrayLike) -> None:
        super().__init__(loc, scale)


class Laplace(Distribution):
    """Laplace(loc, scale): the scale is the mean distance from loc."""

    kind, names = 16, ("loc", "scale")
    __slots__ = ()

    def __init__(self, loc: ArrayLike, scale: ArrayLike) -> None:
        super().__init__(loc, scale)


class Logistic(Distribution):
    """Logistic(loc, scale)."""

    kind, names = 17, ("loc", "scale")
    __slots__ = ()

    def __init__(self, loc: ArrayLike, scale: ArrayLike) -> None:
        super().__init__(loc, scale)


class Pareto(Distribution):
    """Pareto(scale, alpha): above scale, with a tail of the power alpha."""

    kind, names = 18, ("scale", "alpha")
    __slots__ = ()

    def __init__(self, scale: ArrayLike, alpha: ArrayLike) -> None:
        super().__init__(scale, alpha)


class InverseGamma(Distribution):
    """InverseGamma(concentration, rate): that of 1/x, x a Gamma of that concentration and rate."""

    kind, names = 19, ("concentration", "rate")
    __slots__ = ()

    def __init__(self, concentration: ArrayLike, rate: ArrayLike) -> None:
        super().__init__(concentration, rate)


class VonMises(Distribution):
    """VonMises(loc, concentration): a direction between −π and π."""

    kind, names = 20, ("loc", "concentration")
    __slots__ = ()

    def __init__(self, loc: ArrayLike, concentration: ArrayLike) -> None:
        super().__init__(loc, concentration)


class LogUniform(Distribution):
    """LogUniform(low, high): a number whose logarithm is Uniform."""

    kind, names = 21, ("low", "high")
    __slots__ = ()

    def __init__(self, low: ArrayLike, high: ArrayLike) -> None:
        super().__init__(low, high)


class Geometric(Distribution):
    """Geometric(probs): the failures before the first success."""

    kind, names, discrete = 23, ("probs",), True
    __slots__ = ()

    def __init__(self, probs: ArrayLike) -> None:
        super().__init__(probs)


class DiscreteUniform(Distribution):
    """DiscreteUniform(low, high): an integer from low to high, both included."""

    kind, names, discrete = 24, ("low", "high"), True
    __slots__ = ()

    def __init__(self, low: ArrayLike, high: ArrayLike) -> None:
        super().__init__(low, high)


class ZeroInflatedPoisson(Distribution):
    """ZeroInflatedPoisson(gate, rate): 0 with the probability gate, else a Poisson."""

    kind, names, discrete = 25, ("gate", "rate"), True
    __slots__ = ()

    def __init__(self, gate: ArrayLike, rate: ArrayLike) -> None:
        super().__init__(gate, rate)


class BetaBinomial(Distribution):
    """BetaBinomial(concentration1, concentration0, total_count): a Binomial whose probability is a Beta."""

    kind, names, discrete = 27, ("concentration1", "concentration0", "total_count"), True
    __slots__ = ()

    def __init__(self, concentration1: ArrayLike, concentration0: ArrayLike, total_count: ArrayLike) -> None:
        super().__init__(concentration1, concentration0, total_count)


class NegativeBinomial2(Distribution):
    """NegativeBinomial2(mean, concentration): a Poisson whose rate is a Gamma; its variance is mean + mean²/concentration."""

    kind, names, discrete = 22, ("mean", "concentration"), True
    __slots__ = ()

    def __init__(self, mean: ArrayLike, concentration: ArrayLike) -> None:
        super().__init__(mean, concentration)


class ZeroInflatedNegativeBinomial2(Distribution):
    """ZeroInflatedNegativeBinomial2(gate, mean, concentration): 0 with the probability gate, else a NegativeBinomial2."""

    kind, names, discrete = 26, ("gate", "mean", "concentration"), True
    __slots__ = ()

    def __init__(self, gate: ArrayLike, mean: ArrayLike, concentration: ArrayLike) -> None:
        super().__init__(gate, mean, concentration)


def _mean(total_count: ArrayLike, probs: ArrayLike) -> Any:
    """That of a NegativeBinomial."""
    n, p = np.asarray(total_count, dtype=np.float64), np.asarray(probs, dtype=np.float64)
    with np.errstate(all="ignore"):
        mean = n * p / (1 - p)
    return mean if mean.ndim else float(mean)


class NegativeBinomial(NegativeBinomial2):
    """NegativeBinomial(total_count, probs): the successes, each of that probability, before total_count failures."""

    __slots__ = ()

    def __init__(self, total_count: ArrayLike, probs: ArrayLike) -> None:
        super().__init__(_mean(total_count, probs), total_count)


class ZeroInflatedNegativeBinomial(ZeroInflatedNegativeBinomial2):
    """ZeroInflatedNegativeBinomial(gate, total_count, probs): 0 with the probability gate, else a NegativeBinomial."""

    __slots__ = ()

    def __init__(self, gate: ArrayLike, total_count: ArrayLike, probs: ArrayLike) -> None:
        super().__init__(gate, _mean(total_count, probs), total_count)


class ChiSquared(Gamma):
    """ChiSquared(df): a Gamma of concentration df/2 and rate ½."""

    __slots__ = ()

    def __init__(self, df: ArrayLike) -> None:
        k = np.asarray(df, dtype=np.float64) / 2
        super().__init__(k if k.ndim else float(k), 0.5)
