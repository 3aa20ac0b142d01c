"""The eleven distributions of PPX. Parameters are numbers or arrays and broadcast as in numpy."""

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

