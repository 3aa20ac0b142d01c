"""The families of which parameters are rows of numbers, and draws perhaps too (PPX's extension 4): shapes, validity and draws."""

from __future__ import annotations

import math
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from . import _random as random
from . import _wire as wire

DIRICHLET, MULTIVARIATE_NORMAL, MULTIVARIATE_STUDENT_T, MULTINOMIAL, MIXTURE, DISCRETE_MIXTURE, EMPIRICAL, HISTOGRAM, FACTOR, CUSTOM, DISCRETE_CUSTOM = range(28, 39)

# How many dimensions of each parameter belong to a draw.
EVENTS: Dict[int, Tuple[int, ...]] = {
    DIRICHLET: (1,), MULTIVARIATE_NORMAL: (1, 2), MULTIVARIATE_STUDENT_T: (0, 1, 2), MULTINOMIAL: (0, 1), MIXTURE: (1, 1, 1), DISCRETE_MIXTURE: (1, 1, 1),
    EMPIRICAL: (1, 1), HISTOGRAM: (1, 1),
}  # fmt: skip
# Which parameter is as long as a draw that is a row.
LIKE = {DIRICHLET: 0, MULTIVARIATE_NORMAL: 0, MULTIVARIATE_STUDENT_T: 1, MULTINOMIAL: 1}

# The numbers of parameters of scalar families, and those of counts.
PARAMETERS: Dict[int, int] = {
    random.NORMAL: 2, random.UNIFORM: 2, random.POISSON: 1, random.BERNOULLI: 1, random.BETA: 2, random.EXPONENTIAL: 1, random.GAMMA: 2, random.LOG_NORMAL: 2,
    random.BINOMIAL: 2, random.WEIBULL: 2, random.TRUNCATED_NORMAL: 4, random.HALF_NORMAL: 1, random.STUDENT_T: 3, random.CAUCHY: 2, random.LAPLACE: 2,
    random.LOGISTIC: 2, random.PARETO: 2, random.INVERSE_GAMMA: 2, random.VON_MISES: 2, random.LOG_UNIFORM: 2, random.NEGATIVE_BINOMIAL: 2,
    random.GEOMETRIC: 1, random.DISCRETE_UNIFORM: 2, random.ZERO_INFLATED_POISSON: 2, random.ZERO_INFLATED_NEGATIVE_BINOMIAL: 3, random.BETA_BINOMIAL: 3,
}  # fmt: skip
COUNTS = {
    random.POISSON, random.BERNOULLI, random.BINOMIAL, random.NEGATIVE_BINOMIAL, random.GEOMETRIC, random.DISCRETE_UNIFORM,
    random.ZERO_INFLATED_POISSON, random.ZERO_INFLATED_NEGATIVE_BINOMIAL, random.BETA_BINOMIAL,
}  # fmt: skip

_LARGE = 1e150  # the largest number of a vector of locations, and of a triangle
Row = List[float]


def batch_shape(kind: int, params: Sequence[Any]) -> Optional[Tuple[int, ...]]:
    """The shape of the draws; None if the parameters have none together."""
    shapes = []
    for p, event in zip(params, EVENTS[kind]):
        s = np.shape(p)
        if len(s) < event or (event == 2 and s[-1] != s[-2]):
            return None
        shapes.append(s[: len(s) - event])
    try:
        out: Tuple[int, ...] = np.broadcast_shapes(*shapes)
    except ValueError:
        return None
    return out


def shape_of(kind: int, params: Sequence[Any]) -> Optional[Tuple[int, ...]]:
    """The shape of the values, whether or not the parameters are valid."""
    shape = batch_shape(kind, params)
    if shape is not None and kind in LIKE:
        shape = (*shape, np.shape(params[LIKE[kind]])[-1])
    return None if shape is None or wire.elements(shape) < 0 else shape


def rows(kind: int, params: Sequence[Any], batch: Tuple[int, ...]) -> Iterator[List[Row]]:
    """The parameters of each draw, rows of numbers."""
    each = []
    n = int(np.prod(batch, dtype=np.int64))
    for p, event in zip(params, EVENTS[kind]):
        own = np.shape(p)[len(np.shape(p)) - event :]
        x = np.broadcast_to(np.asarray(p, dtype=np.float64), (*batch, *own))
        each.append(x.reshape(n, -1).tolist() if n else [])
    return (list(p) for p in zip(*each))


def _triangle(loc: Row, tril: Row) -> bool:
    d = len(loc)
    return (
        len(tril) == d * d
        and all(abs(v) <= _LARGE for v in loc)
        and all(v == 0 if k % d > k // d else 0 < v <= _LARGE if k % d == k // d else abs(v) <= _LARGE for k, v in enumerate(tril))
    )


def _ascending(x: Row) -> bool:
    return all(-math.inf < v < math.inf for v in x) and all(a < b for a, b in zip(x, x[1:]))


def components(p: List[Row]) -> Optional[List[Tuple[int, Row]]]:
    """Families and parameters of a mixture's components; None where that makes no sense."""
    out, at = [], 0
    for k in p[0]:
        kind = int(k) if 0 < k < 100 and k == math.floor(k) else 0
        n = PARAMETERS.get(kind, 0)
        if n == 0:
            return None
        out.append((kind, p[2][at : at + n]))
        at += n
    return out if at == len(p[2]) else None


def valid_rows(kind: int, p: List[Row]) -> bool:
    """Whether the parameters of a draw are valid."""
    if any(not row for row in p):
        return False
    if kind == DIRICHLET:
        return all(a >= 1e-300 for a in p[0]) and sum(p[0]) < math.inf
    if kind == MULTIVARIATE_NORMAL:
        return _triangle(p[0], p[1])
    if kind == MULTIVARIATE_STUDENT_T:
        return 1e-300 <= p[0][0] < math.inf and _triangle(p[1], p[2])
    if kind == MULTINOMIAL:
        return 0 <= p[0][0] <= 2**53 and p[0][0] == math.floor(p[0][0]) and random.valid_categorical(p[1])
    if kind in (MIXTURE, DISCRETE_MIXTURE):
        parts = components(p)
        return (
            parts is not None
            and len(p[1]) == len(p[0])
            and random.valid_categorical(p[1])
            and all((k in COUNTS) == (kind == DISCRETE_MIXTURE) and random.VALID[k](*a) for k, a in parts)
        )
    if kind == EMPIRICAL:
        return len(p[0]) == len(p[1]) and _ascending(p[0]) and random.valid_categorical(p[1])
    return len(p[0]) == len(p[1]) + 1 and _ascending(p[0]) and p[0][-1] - p[0][0] < math.inf and random.valid_categorical(p[1])


def valid_shape(kind: int, params: Sequence[Any]) -> Optional[Tuple[int, ...]]:
    """The shape of the values; None if the parameters are invalid."""
    shape, batch = shape_of(kind, params), batch_shape(kind, params)
    if shape is None or batch is None or not all(valid_rows(kind, p) for p in rows(kind, params, batch)):
        return None
    return shape


def _apply(loc: Row, tril: Row, by: float, z: Row) -> Row:
    """loc + by·L·z."""
    d = len(loc)
    out = []
    for i in range(d):
        total = 0.0
        for j in range(i + 1):
            total += by * tril[i * d + j] * z[j]
        out.append(min(max(loc[i] + total, -random.LARGEST), random.LARGEST))
    return out


def _wider(loc: Row, tril: Row) -> float:
    """By how much a triangle is widened: three times, unless that is of no use."""
    d = len(loc)
    for i, m in enumerate(loc):
        b = tril[i * d + i]
        if not (1e-290 < b < 1e290 and b > 1e-11 * abs(m) and sum(v * v for v in tril[i * d : i * d + i + 1]) < 1e290):
            return 1.0
    return 3.0


def draw_row(s: Any, kind: int, p: List[Row], wide: bool) -> Row:
    """One draw; wide: from the wider distribution."""

    def pick(weights: Row) -> int:
        return int(random.categorical(s, random.widened_categories(weights) if wide else weights))

    if kind == DIRICHLET:
        logs = [random.log_gamma_variate(s, max(a / 9, min(a, 1)) if wide and a > 0.05 else a) for a in p[0]]
        top = max(logs)
        e = [math.exp(v - top) for v in logs]
        total = 0.0
        for v in e:
            total += v
        return [max(v / total, random.TINY) for v in e]
    if kind == MULTIVARIATE_NORMAL:
        z = [random.quantile(s.uniform()) for _ in p[0]]
        return _apply(p[0], p[1], _wider(p[0], p[1]) if wide else 1.0, z)
    if kind == MULTIVARIATE_STUDENT_T:
        z = [random.quantile(s.uniform()) for _ in p[1]]
        df = p[0][0]
        f = random.exp((math.log(df / 2) - random.log_gamma_variate(s, df / 2)) / 2)
        z = [min(max(v * f, -_LARGE), _LARGE) for v in z]
        return _apply(p[1], p[2], _wider(p[1], p[2]) if wide else 1.0, z)
    if kind == MULTINOMIAL:
        return _multinomial(s, p[0][0], p[1], wide)
    if kind in (MIXTURE, DISCRETE_MIXTURE):
        chosen = pick(p[1])
        family, a = (components(p) or [])[chosen]
        return [random.DRAW[family](s, *a)]
    if kind == EMPIRICAL:
        return [p[0][pick(p[1])]]
    e, w = p
    if wide:
        w = [math.ceil(min(v, 1)) * ((b - a) / (e[-1] - e[0])) for a, b, v in zip(e, e[1:], w)]
    j = int(random.categorical(s, w))
    return [min(max(e[j] + (e[j + 1] - e[j]) * s.uniform(), e[j]), e[j + 1])]


def _multinomial(s: Any, n: float, probs: Row, wide: bool) -> Row:
    if wide:  # half way to all that have a chance being equally likely
        total, chances = 0.0, sum(q > 0 for q in probs)
        for q in probs:
            total += q
        probs = [(q / total + 1 / chances) / 2 if q > 0 else 0.0 for q in probs]
    out = []
    for i, q in enumerate(probs[:-1]):
        after = 0.0
        for r in probs[i + 1 :]:
            after += r
        out.append(random.binomial(s, n, q / (q + after) if q > 0 else 0.0))
        n -= out[-1]
    return [*out, n]


def draw(s: Any, kind: int, shape: Tuple[int, ...], params: Sequence[Any], wide: bool) -> Any:
    """A value: a float, or an array of a shape that is not (). Widened draws have blocks of their own."""
    batch = shape[:-1] if kind in LIKE else shape
    out: Row = []
    for i, p in enumerate(rows(kind, params, batch)):
        if wide:
            s.skip(i << 16)
        out += draw_row(s, kind, p, wide)
    if shape == ():
        return out[0]
    x: NDArray[np.float64] = np.array(out, dtype=np.float64).reshape(shape)
    return x
