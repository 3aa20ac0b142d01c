"""Distributions whose draws are vectors, and distributions that are made of others: PPX's extension 4."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np
from numpy.typing import ArrayLike

from . import _rows as rows
from ._distributions import Array, Distribution


def _array(name: str, x: ArrayLike, least: int) -> Array:
    a = np.asarray(x, dtype=np.float64)
    if a.ndim < least or (least == 2 and a.shape[-1] != a.shape[-2]):
        raise ValueError(f"{name} has shape {a.shape}, it needs {'a row of numbers' if least == 1 else 'a square matrix'} for each draw")
    return a


class Dirichlet(Distribution):
    """Dirichlet(concentration): shares that add up to 1; of shape [..., k], as the concentrations are."""

    kind, names = rows.DIRICHLET, ("concentration",)
    __slots__ = ()

    def __init__(self, concentration: ArrayLike) -> None:
        super().__init__(_array("concentration", concentration, 1))


def _triangle(covariance: Optional[ArrayLike], precision: Optional[ArrayLike], tril: Optional[ArrayLike]) -> Array:
    """The lower triangles of covariances. Where there is none: the smallest eigenvalue, and no numbers, for which the engine has words."""
    given = [x for x in (covariance, precision, tril) if x is not None]
    if len(given) != 1:
        raise TypeError("one of covariance_matrix, precision_matrix and scale_tril")
    if tril is not None:
        return _array("scale_tril", tril, 2)
    name = "covariance_matrix" if covariance is not None else "precision_matrix"
    a = _array(name, given[0], 2)
    if not np.all(np.isfinite(a)):
        raise ValueError(f"{name} has numbers that are not finite")
    d = a.shape[-1]
    scale = np.sqrt(np.abs(np.einsum("...i,...j->...ij", *[np.diagonal(a, axis1=-2, axis2=-1)] * 2)))
    if not np.all(np.abs(a - np.swapaxes(a, -1, -2)) <= 1e-8 * 2 * np.abs(a) + 1e-12 * scale):
        raise ValueError(f"{name} is not symmetric")
    out = np.empty_like(a)
    for i in np.ndindex(a.shape[:-2]):
        try:
            if precision is None:
                out[i] = np.linalg.cholesky(a[i])
            else:  # with P = U·Uᵀ, U an upper triangle, it is the inverse of Uᵀ
                u = np.linalg.cholesky(a[i][::-1, ::-1])[::-1, ::-1]
                out[i] = np.tril(np.linalg.solve(u.T, np.eye(d)))
        except np.linalg.LinAlgError:
            out[i] = np.nan
            out[i][0, 0] = min(float(np.linalg.eigvalsh(a[i])[0]), 0.0)
    return out


class MultivariateNormal(Distribution):
    """MultivariateNormal(loc, covariance_matrix), or precision_matrix=, or scale_tril=, the lower triangle L of a covariance L·Lᵀ.

    loc has shape [..., d], the matrices [..., d, d].
    """

    kind, names = rows.MULTIVARIATE_NORMAL, ("loc", "scale_tril")
    __slots__ = ()

    def __init__(
        self,
        loc: ArrayLike,
        covariance_matrix: Optional[ArrayLike] = None,
        precision_matrix: Optional[ArrayLike] = None,
        scale_tril: Optional[ArrayLike] = None,
    ) -> None:
        super().__init__(_array("loc", loc, 1), _triangle(covariance_matrix, precision_matrix, scale_tril))


class MultivariateStudentT(Distribution):
    """MultivariateStudentT(df, loc, scale_tril): df degrees of freedom; loc has shape [..., d], scale_tril [..., d, d]."""

    kind, names = rows.MULTIVARIATE_STUDENT_T, ("df", "loc", "scale_tril")
    __slots__ = ()

    def __init__(self, df: ArrayLike, loc: ArrayLike, scale_tril: ArrayLike) -> None:
        super().__init__(df, _array("loc", loc, 1), _array("scale_tril", scale_tril, 2))


class Multinomial(Distribution):
    """Multinomial(total_count, probs): how often each category comes; probs have shape [..., k], and need not be normalised."""

    kind, names, discrete = rows.MULTINOMIAL, ("total_count", "probs"), True
    __slots__ = ()

    def __init__(self, total_count: ArrayLike, probs: ArrayLike) -> None:
        super().__init__(total_count, _array("probs", probs, 1))


class Mixture(Distribution):
    """Mixture(probs, components): one of some scalar families, in proportion to probs: Mixture([0.3, 0.7], [Normal(0, 1), Cauchy(5, 2)]).

    All components are counts, or none is.
    """

    names = ("families", "probs", "parameters")
    __slots__ = ("discrete", "kind")

    def __init__(self, probs: ArrayLike, components: Sequence[Distribution]) -> None:
        if not components or any(not isinstance(c, Distribution) or any(type(p) is not float for p in c.params) or c.kind not in rows.PARAMETERS for c in components):
            raise ValueError("Mixture: the components are scalar families, with numbers for parameters; MixtureSameFamily takes arrays")
        self._make([c.kind for c in components], _array("probs", probs, 1), np.array([p for c in components for p in c.params]))

    def _make(self, families: Sequence[int], probs: Array, parameters: Array) -> None:
        counts = families[0] in rows.COUNTS
        self.kind, self.discrete = rows.DISCRETE_MIXTURE if counts else rows.MIXTURE, counts
        super().__init__(np.array(families, dtype=np.float64), probs, parameters)


class MixtureSameFamily(Mixture):
    """MixtureSameFamily(probs, component): a mixture of one family, whose parameters are arrays of shape [..., k] and numbers; values have shape [...]."""

    __slots__ = ()

    def __init__(self, probs: ArrayLike, component: Distribution) -> None:
        p = _array("probs", probs, 1)
        if component.kind not in rows.PARAMETERS:
            raise ValueError("MixtureSameFamily: the component is a scalar family, whose parameters have the shape of probs")
        if p.shape[-1] == 0 or any(np.ndim(x) > p.ndim or any(m not in (1, n) for m, n in zip(np.shape(x)[::-1], p.shape[::-1])) for x in component.params):
            shapes = ", ".join(str(np.shape(x)) for x in component.params)
            raise ValueError(f"MixtureSameFamily: parameters of shapes {shapes} for probs of shape {p.shape}: they have that shape, or are numbers")
        each = [np.broadcast_to(x, p.shape) for x in component.params]
        stacked = np.stack(each, axis=-1)
        self._make([component.kind] * p.shape[-1], p, stacked.reshape((*p.shape[:-1], -1)))


class Empirical(Distribution):
    """Empirical(values, weights): one of the values, in proportion to their weights; without weights all alike."""

    kind, names = rows.EMPIRICAL, ("values", "weights")
    __slots__ = ()

    def __init__(self, values: ArrayLike, weights: Optional[ArrayLike] = None) -> None:
        v = _array("values", values, 1)
        w = np.ones(v.shape) if weights is None else _array("weights", weights, 1)
        if v.shape != w.shape:
            raise ValueError(f"Empirical: values of shape {v.shape} and weights of shape {w.shape}")
        if v.ndim == 1:
            distinct, which = np.unique(v, return_inverse=True)
            super().__init__(distinct, np.bincount(which.reshape(-1), w, len(distinct)))
        else:
            order = np.argsort(v, axis=-1, kind="stable")
            super().__init__(np.take_along_axis(v, order, -1), np.take_along_axis(w, order, -1))


class Histogram(Distribution):
    """Histogram(edges, weights): between edges, each above the one before, with the density of a weight over its width; edges of shape [..., k + 1]."""

    kind, names = rows.HISTOGRAM, ("edges", "weights")
    __slots__ = ()

    def __init__(self, edges: ArrayLike, weights: ArrayLike) -> None:
        super().__init__(_array("edges", edges, 1), _array("weights", weights, 1))


class Factor(Distribution):
    """A weight of the run, as the protocol knows it; ppxsim.factor(log_weight) observes it."""

    kind, names = rows.FACTOR, ("log_weight",)
    __slots__ = ()

