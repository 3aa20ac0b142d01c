"""The random numbers of PPX's extension 1, computed as every peer computes them (docs/random.md): a
counter-based generator, one sampling algorithm for each family, and the wider distributions of prior inflation.
"""

from __future__ import annotations

import importlib
import math
import statistics
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from . import _wire as wire

_samplers: Any = None
try:
    _samplers = importlib.import_module("ppxsim._samplers")
except ImportError:  # there was no compiler
    pass
COMPILED = _samplers is not None

NORMAL, UNIFORM, CATEGORICAL, POISSON, BERNOULLI, BETA = 1, 2, 3, 4, 5, 6
EXPONENTIAL, GAMMA, LOG_NORMAL, BINOMIAL, WEIBULL = 7, 8, 9, 10, 11
LAST_PLAIN = WEIBULL  # of PPX 1.0
TRUNCATED_NORMAL, HALF_NORMAL, STUDENT_T, CAUCHY, LAPLACE, LOGISTIC, PARETO, INVERSE_GAMMA, VON_MISES, LOG_UNIFORM = range(12, 22)
NEGATIVE_BINOMIAL, GEOMETRIC, DISCRETE_UNIFORM, ZERO_INFLATED_POISSON, ZERO_INFLATED_NEGATIVE_BINOMIAL, BETA_BINOMIAL = range(22, 28)

FOR_VALUE, FOR_PROPOSAL = 0, 1
COIN_STATEMENT = 2**63 - 1

_M0, _M1 = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_W0, _W1 = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_MASK = 2**64 - 1
TINY, _BELOW_ONE, LARGEST = 2.0**-1022, 1 - 2.0**-53, float(np.finfo(np.float64).max)
_HALF_LOG_2PI = 0.91893853320467274178

Uniforms = NDArray[np.float64]


# ---- the generator


def _unit(x: int) -> float:
    u = ((x >> 11) + 0.5) * 2.0**-53
    return u if u < 1 else _BELOW_ONE


def philox(key: Tuple[int, int], counter: Tuple[int, int, int, int]) -> Tuple[int, int, int, int]:
    """A block of Philox4x64-10 (Salmon et al., SC 2011)."""
    k0, k1 = key
    c0, c1, c2, c3 = counter
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> 64) ^ c1 ^ k0, p1 & _MASK, (p0 >> 64) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return c0, c1, c2, c3


def _multiply(m: int, b: NDArray[np.uint64]) -> Tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """High and low halves of the 128-bit products."""
    low32, s = np.uint64(0xFFFFFFFF), np.uint64(32)
    al, ah = np.uint64(m & 0xFFFFFFFF), np.uint64(m >> 32)
    bl, bh = b & low32, b >> s
    ll, lh, hl = al * bl, al * bh, ah * bl
    mid = (ll >> s) + (lh & low32) + (hl & low32)
    return ah * bh + (lh >> s) + (hl >> s) + (mid >> s), np.uint64(m) * b


def uniforms(key: Tuple[Any, Any], block: Any, statement: Any, draw: Any, purpose: int) -> Uniforms:
    """The uniform numbers of many blocks at once, shape [..., 4]; the words of key and counter broadcast."""
    c0, c1, c2 = np.broadcast_arrays(*[np.asarray(x, dtype=np.uint64) for x in (block, statement, draw)])
    c3 = np.full(c0.shape, purpose, dtype=np.uint64)
    k0, k1 = (np.atleast_1d(np.asarray(k, dtype=np.uint64)) for k in key)
    for _ in range(10):
        h0, l0 = _multiply(_M0, c0)
        h1, l1 = _multiply(_M1, c2)
        c0, c1, c2, c3 = h1 ^ c1 ^ k0, l1, h0 ^ c3 ^ k1, l0
        k0, k1 = k0 + np.uint64(_W0), k1 + np.uint64(_W1)
    words = np.stack([c0, c1, c2, c3], axis=-1)
    u = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    out: Uniforms = np.minimum(u, _BELOW_ONE)
    return out


class Stream:
    """The uniform numbers of one statement for one purpose. first: those of block 0, if they are known."""

    __slots__ = ("_at", "_block", "_buffer", "_counter", "_key")

    def __init__(self, key: Tuple[int, int], statement: int, draw: int, purpose: int, first: Optional[List[float]] = None) -> None:
        self._key, self._counter = key, (statement, draw, purpose)
        self._buffer: List[float] = first or []
        self._at, self._block = 0, 1 if first else 0

    def uniform(self) -> float:
        at = self._at
        if at == len(self._buffer):
            self._buffer, at = self._more(), 0
        self._at = at + 1
        return self._buffer[at]

    def _more(self) -> List[float]:
        b = self._block
        if b < 4:  # few are wanted as a rule
            self._block = b + 1
            return [_unit(x) for x in philox(self._key, (b, *self._counter))]
        n = min(b, 4096)
        self._block = b + n
        out: List[float] = uniforms(self._key, np.arange(b, b + n), *self._counter).reshape(-1).tolist()
        return out

    def skip(self, block: int) -> None:
        """Go to a block."""
        self._buffer, self._at, self._block = [], 0, 0
        first = [_unit(x) for x in philox(self._key, (block, *self._counter))]
        self._buffer, self._block = first, block + 1

    def many(self, n: int) -> Uniforms:
        """The first n numbers of block 0 and those after it."""
        if n < 64:
            return uniforms(self._key, np.arange((n + 3) // 4), *self._counter).reshape(-1)[:n]
        statement, draw, purpose = self._counter
        # numpy's generator increments the counter, a number of 256 bits, before its first block.
        counter = ((purpose << 192 | draw << 128 | statement << 64) - 1) % 2**256
        words = np.random.Philox(counter=counter, key=self._key[1] << 64 | self._key[0]).random_raw(n)
        out: Uniforms = np.minimum(((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53, _BELOW_ONE)
        return out

    def compiled(self, kind: int, n: int, params: Sequence[Any]) -> Any:
        """n numbers by the compiled samplers; None where there are none."""
        if _samplers is None or self._counter[2] != FOR_VALUE:
            return None
        out = np.empty(n, dtype=np.float64)
        statement, draw, _ = self._counter
        _samplers.draw(kind, self._key[0], self._key[1], statement, draw, n, out, *(np.ascontiguousarray(p, dtype=np.float64) for p in params))
        return out


class Blocks:
    """The first blocks of the statements of some runs, computed many at a time: one by one, in Python, they
    would cost more than all the rest."""

    _ROOM = 1024

    def __init__(self, seed: int, streams: Sequence[int], draws: Sequence[int], length: int = 16) -> None:
        self.seed, self.streams, self.draws = seed, streams, draws
        self.length = length  # statements that runs have, as far as is known
        self._from, self._table = 0, [[[0.0]]][:0]
        self._row: List[List[float]] = []
        self._row_from = 0

    def begin(self, i: int) -> None:
        """The i-th run begins."""
        if not self._from <= i < self._from + len(self._table):
            m = min(self.length, self._ROOM)
            n = max(1, self._ROOM // m)
            draws, streams = (np.array(x[i : i + n], dtype=np.uint64)[:, None] for x in (self.draws, self.streams))
            self._from = i
            self._table = uniforms((self.seed, streams), 0, np.arange(m)[None, :], draws, FOR_VALUE).tolist()
        self._row, self._row_from, self._draw, self._key = self._table[i - self._from], 0, self.draws[i], (self.seed, self.streams[i])

    def first(self, statement: int) -> List[float]:
        """The four numbers of a statement's first block."""
        k = statement - self._row_from
        if k >= len(self._row):
            n = max(64, min(statement, self._ROOM))
            self._row = uniforms(self._key, 0, np.arange(statement, statement + n), self._draw, FOR_VALUE).tolist()
            self._row_from, k = statement, 0
        return self._row[k]


class Asking:
    """In place of a Stream: uniform numbers that come from somewhere else."""

    __slots__ = ("_ask",)

    def __init__(self, ask: Callable[[], float]) -> None:
        self._ask = ask

    def uniform(self) -> float:
        return min(max(math.floor(min(max(self._ask(), 0.0), _BELOW_ONE) * 2.0**53) + 0.5, 0.5) * 2.0**-53, _BELOW_ONE)


# ---- point probabilities for the rejection samplers: C. Loader (2000)

_STIRLING = (
    0.0, 0.08106146679532725822, 0.041340695955409294094, 0.027677925684998339149, 0.020790672103765093112, 0.016644691189821192163,
    0.013876128823070747999, 0.011896709945891770095, 0.010411265261972096497, 0.0092554621827127329177, 0.0083305634333628712565,
    0.007573675487951840795, 0.0069428402071095298657, 0.0064089941880042070684, 0.0059513701127588477356, 0.005554733551962801371,
)  # fmt: skip


def _stirling_error(n: float) -> float:
    if n <= 15:
        if n == math.floor(n):
            return _STIRLING[int(n)]
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - _HALF_LOG_2PI
    nn = n * n
    if n > 500:
        return (1.0 / 12 - 1.0 / 360 / nn) / n
    if n > 80:
        return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / nn) / nn) / n
    if n > 35:
        return (1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - 1.0 / 1680 / nn) / nn) / nn) / n
    return (1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - (1.0 / 1680 - 1.0 / 1188 / nn) / nn) / nn) / nn) / n


def _deviance(x: float, m: float) -> float:
    """x·log(x/m) + m − x."""
    if abs(x - m) >= 0.1 * (x + m):
        return x * math.log(x / m) + m - x
    v = (x - m) / (x + m)
    s = (x - m) * v
    ej = 2 * x * v
    v *= v
    for j in range(1, 1000):
        ej *= v
        after = s + ej / (2 * j + 1)
        if after == s:
            break
        s = after
    return s


def _poisson_log_probability(x: float, m: float) -> float:
    if x == 0 or x <= m * 1e-300:
        return -m
    if m < x * 1e-300:
        return -m + x * math.log(m) - math.lgamma(x + 1)
    return -_stirling_error(x) - _deviance(x, m) - _HALF_LOG_2PI - 0.5 * math.log(x)


def _binomial_log_probability(x: float, n: float, p: float, q: float) -> float:
    if x == 0:
        return -_deviance(n, n * q) - n * p if p < 0.1 else n * math.log(q)
    if x == n:
        return -_deviance(n, n * p) - n * q if q < 0.1 else n * math.log(p)
    lc = _stirling_error(n) - _stirling_error(x) - _stirling_error(n - x) - _deviance(x, n * p) - _deviance(n - x, n * q)
    return lc - _HALF_LOG_2PI - 0.5 * (math.log(x) + math.log1p(-x / n))


# ---- the samplers, for one element

quantile = statistics.NormalDist().inv_cdf  # M. J. Wichura, algorithm AS 241


def exp(x: float) -> float:
    return math.exp(x) if x < 709.78 else math.inf if x > 709.79 else float(np.exp(x))


def _clamp(v: float, low: float, high: float) -> float:
    return low if v < low else high if v > high else v


def _normal(s: Stream, mean: float, sd: float) -> float:
    return _clamp(mean + sd * quantile(s.uniform()), -LARGEST, LARGEST)


def _uniform(s: Stream, low: float, high: float) -> float:
    return _clamp(low + (high - low) * s.uniform(), low, high)


def _poisson(s: Stream, rate: float, _: float = 0) -> float:
    if rate < 10:
        u, p, k = s.uniform(), math.exp(-rate), 0.0
        while u > p:
            u -= p
            k += 1
            p *= rate / k
            if p == 0:
                break
        return k
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inv_alpha, vr = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = s.uniform() - 0.5, s.uniform()
        us = 0.5 - abs(u)
        k = float(math.floor((2 * a / us + b) * u + rate + 0.43))
        if us >= 0.07 and v <= vr:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        if math.log(v * inv_alpha / (a / (us * us) + b)) <= _poisson_log_probability(k, rate):
            return k


def _bernoulli(s: Stream, p: float, _: float = 0) -> float:
    return 1.0 if s.uniform() < p else 0.0


def log_gamma_variate(s: Stream, shape: float) -> float:
    boost = shape < 1
    d = shape - 1.0 / 3
    if boost:
        d += 1
    c = 1 / math.sqrt(9 * d)
    while True:
        z, u = quantile(s.uniform()), s.uniform()
        v = 1 + c * z
        if v <= 0:
            continue
        lv = 3 * math.log(v)
        v = v * v * v
        if math.log(u) < 0.5 * z * z + d - d * v + d * lv:
            lx = math.log(d) + lv
            return lx + math.log(s.uniform()) / shape if boost else lx


def _beta(s: Stream, a: float, b: float) -> float:
    la = log_gamma_variate(s, a)
    lb = log_gamma_variate(s, b)
    return _clamp(1 / (1 + exp(lb - la)), TINY, _BELOW_ONE)


def _exponential(s: Stream, rate: float, _: float = 0) -> float:
    return _clamp(-math.log1p(-s.uniform()) / rate, TINY, LARGEST)


def _gamma(s: Stream, shape: float, rate: float) -> float:
    return _clamp(exp(log_gamma_variate(s, shape) - math.log(rate)), TINY, LARGEST)


def _log_normal(s: Stream, loc: float, scale: float) -> float:
    return _clamp(exp(loc + scale * quantile(s.uniform())), TINY, LARGEST)


def _binomial_half(s: Stream, n: float, p: float) -> float:
    if n * p < 10:
        u, odds, r, k = s.uniform(), p / (1 - p), math.exp(n * math.log1p(-p)), 0.0
        while u > r and k < n:
            u -= r
            k += 1
            r *= odds * (n - k + 1) / k
            if r == 0:
                break
        return k
    q = 1 - p
    spq = math.sqrt(n * p * q)
    b = 1.15 + 2.53 * spq
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c, vr, alpha = n * p + 0.5, 0.92 - 4.2 / b, (2.83 + 5.1 / b) * spq
    top = _binomial_log_probability(float(math.floor((n + 1) * p)), n, p, q)
    while True:
        u, v = s.uniform() - 0.5, s.uniform()
        us = 0.5 - abs(u)
        k = float(math.floor((2 * a / us + b) * u + c))
        if k < 0 or k > n:
            continue
        if us >= 0.07 and v <= vr:
            return k
        if math.log(v * alpha / (a / (us * us) + b)) <= _binomial_log_probability(k, n, p, q) - top:
            return k


def binomial(s: Stream, n: float, p: float) -> float:
    return n - _binomial_half(s, n, 1 - p) if p > 0.5 else _binomial_half(s, n, p)


def _weibull(s: Stream, scale: float, k: float) -> float:
    return _clamp(exp(math.log(scale) + math.log(-math.log1p(-s.uniform())) / k), TINY, LARGEST)


def _tail(s: Stream, alpha: float, w: float) -> float:
    """How far beyond alpha a standard Normal is that lies between alpha and alpha + w: C. P. Robert (1995)."""
    total = -math.expm1(-alpha * w)
    while True:
        u = -math.log1p(-s.uniform() * total) / alpha
        if math.log(s.uniform()) <= -u * u / 2:
            return u


def _above(x: float) -> float:
    return 0.5 * math.erfc(x / math.sqrt(2))


def _truncated_normal(s: Stream, loc: float, scale: float, low: float, high: float) -> float:
    alpha, beta, w = (low - loc) / scale, (high - loc) / scale, (high - low) / scale
    if alpha >= 5:
        return _clamp(low + scale * _tail(s, alpha, w), low, high)
    if beta <= -5:
        return _clamp(high - scale * _tail(s, -beta, w), low, high)
    if w <= 1:
        r = max(alpha, min(beta, 0.0))
        while True:
            u = s.uniform() * w
            z = alpha + u
            if math.log(s.uniform()) <= (r - z) * (r + z) / 2:
                return _clamp(low + scale * u, low, high)
    below, above = _above(-alpha), _above(beta)
    mass = _above(-beta) - below if beta <= 0 else _above(alpha) - above if alpha >= 0 else 1 - below - above
    u = s.uniform()
    q = below + u * mass
    z = quantile(q) if q <= 0.5 else -quantile(above + (1 - u) * mass)
    return _clamp(loc + scale * z, max(low, -LARGEST), min(high, LARGEST))


def _half_normal(s: Stream, scale: float) -> float:
    return _clamp(-scale * quantile(s.uniform() / 2), TINY, LARGEST)


def _student_t(s: Stream, df: float, loc: float, scale: float) -> float:
    z = quantile(s.uniform())
    return _clamp(loc + scale * (z * exp((math.log(df / 2) - log_gamma_variate(s, df / 2)) / 2)), -LARGEST, LARGEST)


def _cauchy(s: Stream, loc: float, scale: float) -> float:
    u = s.uniform()
    q = -1 / math.tan(math.pi * u) if u < 0.25 else 1 / math.tan(math.pi * (1 - u)) if u > 0.75 else math.tan(math.pi * (u - 0.5))
    return _clamp(loc + scale * q, -LARGEST, LARGEST)


def _laplace(s: Stream, loc: float, scale: float) -> float:
    u = s.uniform()
    return _clamp(loc + scale * (math.log(2 * u) if u < 0.5 else -math.log(2 * (1 - u))), -LARGEST, LARGEST)


def _logistic(s: Stream, loc: float, scale: float) -> float:
    u = s.uniform()
    q = 2 * math.atanh(2 * u - 1) if abs(u - 0.5) < 0.25 else math.log(u) - math.log1p(-u)
    return _clamp(loc + scale * q, -LARGEST, LARGEST)


def _pareto(s: Stream, scale: float, alpha: float) -> float:
    return _clamp(scale * exp(-math.log1p(-s.uniform()) / alpha), scale, LARGEST)


def _inverse_gamma(s: Stream, shape: float, rate: float) -> float:
    return _clamp(exp(math.log(rate) - log_gamma_variate(s, shape)), TINY, LARGEST)


def _angle(x: float) -> float:
    """The same angle between −π and π."""
    return x if -math.pi <= x <= math.pi else math.remainder(x, 2 * math.pi)


def _von_mises(s: Stream, loc: float, k: float) -> float:
    """D. J. Best and N. I. Fisher (1979), with 1 − cos in place of cos."""
    q = math.sqrt(1 + 4 * k * k) if k < 1e10 else 2 * k
    r = math.sqrt(1 + q)
    rho = 2 * k / r / (r + math.sqrt(2))
    rest = 2 * math.sqrt(2) / (r + math.sqrt(2)) / (1 + rho)
    c = rest * rest / (2 * rho)
    while True:
        u, v = s.uniform(), s.uniform()
        a, b = math.sin(math.pi * u / 2), math.cos(math.pi * u / 2)
        w = c * (2 * a * a) / (c + 2 * b * b)
        y = k * (c + w)
        if math.log(y / v) + 1 - y >= 0:
            theta = 2 * math.asin(math.sqrt(min(1.0, w / 2)))
            return _angle(loc - theta if s.uniform() < 0.5 else loc + theta)


def _log_ratio(x: float, a: float) -> float:
    """log(x/a), of near numbers without a loss of digits."""
    return math.log1p((x - a) / a) if x < 2 * a else math.log(x) - math.log(a)


def _log_uniform(s: Stream, low: float, high: float) -> float:
    return _clamp(low * exp(s.uniform() * _log_ratio(high, low)), low, high)


def _negative_binomial(s: Stream, mean: float, c: float) -> float:
    if mean == 0:
        return 0.0
    return _poisson(s, _clamp(exp(log_gamma_variate(s, c) - math.log(c) + math.log(mean)), 0.0, 1e300))


def _geometric(s: Stream, p: float) -> float:
    return float(math.floor(math.log(s.uniform()) / math.log1p(-p))) if p < 1 else 0.0


def _discrete_uniform(s: Stream, low: float, high: float) -> float:
    return min(low + math.floor(s.uniform() * (high - low + 1)), high)


def _zero_inflated_poisson(s: Stream, gate: float, rate: float) -> float:
    return 0.0 if s.uniform() < gate else _poisson(s, rate)


def _zero_inflated_negative_binomial(s: Stream, gate: float, mean: float, c: float) -> float:
    return 0.0 if s.uniform() < gate else _negative_binomial(s, mean, c)


def _beta_binomial(s: Stream, a: float, b: float, n: float) -> float:
    return binomial(s, n, _beta(s, a, b))


DRAW: Dict[int, Callable[..., float]] = {
    TRUNCATED_NORMAL: _truncated_normal, HALF_NORMAL: _half_normal, STUDENT_T: _student_t, CAUCHY: _cauchy, LAPLACE: _laplace,
    LOGISTIC: _logistic, PARETO: _pareto, INVERSE_GAMMA: _inverse_gamma, VON_MISES: _von_mises, LOG_UNIFORM: _log_uniform,
    NEGATIVE_BINOMIAL: _negative_binomial, GEOMETRIC: _geometric, DISCRETE_UNIFORM: _discrete_uniform,
    ZERO_INFLATED_POISSON: _zero_inflated_poisson, ZERO_INFLATED_NEGATIVE_BINOMIAL: _zero_inflated_negative_binomial,
    BETA_BINOMIAL: _beta_binomial,
    NORMAL: _normal, UNIFORM: _uniform, POISSON: _poisson, BERNOULLI: _bernoulli, BETA: _beta, EXPONENTIAL: _exponential,
    GAMMA: _gamma, LOG_NORMAL: _log_normal, BINOMIAL: binomial, WEIBULL: _weibull,
}  # fmt: skip


def categorical(s: Stream, probs: Sequence[float]) -> float:
    """A category in proportion to its probability."""
    total = 0.0
    for p in probs:
        total += p
    t, cumulative, pick = s.uniform() * total, 0.0, 0
    for j, p in enumerate(probs):
        if p == 0:
            continue
        pick = j
        cumulative += p
        if t < cumulative:
            break
    return float(pick)


# ---- validity


def _finite(x: float) -> bool:
    return -math.inf < x < math.inf


def _positive(x: float) -> bool:
    return 0 < x < math.inf


def _location_scale(a: float, b: float) -> bool:
    return _finite(a) and _positive(b)


def _two_positive(a: float, b: float) -> bool:
    return _positive(a) and _positive(b)


def _truncation(loc: float, scale: float, low: float, high: float) -> bool:
    if not (_location_scale(loc, scale) and low < high) or (_finite(low) and _finite(high) and not _finite(high - low)):
        return False
    return (high - low) / scale > 1e-300 and (low - loc) / scale <= 1e100 and (high - loc) / scale >= -1e100


def _rate(x: float) -> bool:
    return 0 <= x < math.inf


def _probability(x: float) -> bool:
    return 0 <= x <= 1


def _count(x: float) -> bool:
    return 0 <= x <= 2**53 and x == math.floor(x)


def _integers(a: float, b: float) -> bool:
    return all(abs(x) <= 2**53 and x == math.floor(x) for x in (a, b)) and 0 <= b - a < 2**53


VALID: Dict[int, Callable[..., bool]] = {
    NORMAL: _location_scale,
    LOG_NORMAL: _location_scale,
    UNIFORM: lambda a, b: _finite(a) and _finite(b) and a < b and _finite(b - a),
    POISSON: lambda a, _=0: 0 <= a < math.inf,
    BERNOULLI: lambda a, _=0: 0 <= a <= 1,
    BETA: _two_positive,
    GAMMA: _two_positive,
    WEIBULL: _two_positive,
    EXPONENTIAL: lambda a, _=0: _positive(a),
    BINOMIAL: lambda n, p: _count(n) and _probability(p),
    TRUNCATED_NORMAL: _truncation,
    HALF_NORMAL: _positive,
    STUDENT_T: lambda df, loc, scale: 1e-300 <= df < math.inf and _location_scale(loc, scale),
    CAUCHY: _location_scale,
    LAPLACE: _location_scale,
    LOGISTIC: _location_scale,
    PARETO: _two_positive,
    INVERSE_GAMMA: _two_positive,
    VON_MISES: lambda loc, k: _finite(loc) and 1e-300 <= k <= 1e300,
    LOG_UNIFORM: lambda a, b: _two_positive(a, b) and a < b,
    NEGATIVE_BINOMIAL: lambda mean, c: _rate(mean) and _positive(c),
    GEOMETRIC: lambda p: 1e-300 < p <= 1,
    DISCRETE_UNIFORM: _integers,
    ZERO_INFLATED_POISSON: lambda gate, rate: _probability(gate) and _rate(rate),
    ZERO_INFLATED_NEGATIVE_BINOMIAL: lambda gate, mean, c: _probability(gate) and _rate(mean) and _positive(c),
    BETA_BINOMIAL: lambda a, b, n: _two_positive(a, b) and _count(n),
}


def valid_categorical(probs: Sequence[float]) -> bool:
    total = 0.0
    for p in probs:
        if not 0 <= p < math.inf:
            return False
        total += p
    return _positive(total)


# ---- prior inflation


def _widens_more(kind: int, a: float, b: float, c: float) -> bool:
    """_widens for the families of extension 3."""
    large, log_max, tail, small_shape, grid = 1e9, 700.0, 40.0, 0.05, 1e-11
    if kind in (TRUNCATED_NORMAL, CAUCHY, LAPLACE, LOGISTIC):
        return 1e-290 < b < 1e290 and b > grid * abs(a)
    if kind == HALF_NORMAL:
        return 1e-290 < a < 1e290
    if kind == STUDENT_T:
        return 1e-290 < c < 1e290 and c > grid * abs(b) and a > 0.1
    if kind == PARETO:
        return abs(math.log(a)) + tail * 3 / b < log_max and b < large
    if kind == INVERSE_GAMMA:
        return small_shape < a < large and abs(math.log(b)) < log_max - 100
    if kind == VON_MISES:
        return 1e-290 < b < 1e18
    if kind == NEGATIVE_BINOMIAL:
        return 1 / large < a < large and b > small_shape
    if kind == GEOMETRIC:
        return a > 1 / large
    if kind == ZERO_INFLATED_POISSON:
        return 1 / large < b < large
    if kind == ZERO_INFLATED_NEGATIVE_BINOMIAL:
        return 1 / large < b < large and c > small_shape
    return kind == BETA_BINOMIAL and a > small_shape and b > small_shape and c < large


def _wider(mean: float, c: float) -> float:
    return max(1 / (9 / c + 8 / mean), min(c, 1))


def _draw_widened_more(s: Stream, kind: int, a: float, b: float, c: float, d: float) -> float:
    """draw_widened for the families of extension 3."""
    if kind == TRUNCATED_NORMAL:
        return _truncated_normal(s, a, 3 * b, c, d)
    if kind in (CAUCHY, LAPLACE, LOGISTIC):
        return DRAW[kind](s, a, 3 * b)
    if kind == HALF_NORMAL:
        return _half_normal(s, 3 * a)
    if kind == STUDENT_T:
        return _student_t(s, a, b, 3 * c)
    if kind == PARETO:
        return _pareto(s, a, b / 3)
    if kind == INVERSE_GAMMA:
        shape = _flatter(a, 9)
        return _inverse_gamma(s, shape, b * math.sqrt(shape / a))
    if kind == VON_MISES:
        return _von_mises(s, a, b / 9)
    if kind == NEGATIVE_BINOMIAL:
        return _negative_binomial(s, a, _wider(a, b))
    if kind == GEOMETRIC:
        return _geometric(s, a / 3)
    if kind == ZERO_INFLATED_POISSON:
        return _zero_inflated_negative_binomial(s, a, b, max(b / 8, 1))
    if kind == ZERO_INFLATED_NEGATIVE_BINOMIAL:
        return _zero_inflated_negative_binomial(s, a, b, _wider(b, c))
    return _beta_binomial(s, _flatter(a, 9), _flatter(b, 9), c)


def _widens(kind: int, a: float, b: float) -> bool:
    large, log_max, tail, small_shape, grid = 1e9, 700.0, 40.0, 0.05, 1e-11
    if kind == NORMAL:
        return grid * abs(a) < b < 1e300 and b > 1e-290
    if kind == LOG_NORMAL:
        return abs(a) + 3 * tail * b < log_max and b > grid * 1000
    if kind == BERNOULLI:
        return 0 < a < 1
    if kind == BETA:
        return a > small_shape and b > small_shape and math.sqrt(b / a / (a + b + 1)) > grid
    if kind == EXPONENTIAL:
        return 1e-290 < a < 1e290
    if kind == GAMMA:
        return small_shape < a < large and abs(math.log(b)) < log_max - 100
    if kind == WEIBULL:
        return 0 < b / 3 and b < large and abs(math.log(a)) + tail / min(b / 3, 1) < log_max
    if kind == POISSON:
        return 1 / large < a < large
    return kind == BINOMIAL and 1 <= a < large and 1 / large < b < 1 - 1 / large


def _flatter(c: float, by: float) -> float:
    return max(c / by, min(c, 1))


def draw_widened(s: Stream, kind: int, *params: float) -> float:
    """One element of a widened distribution."""
    a, b, c, d = (*params, 0.0, 0.0, 0.0)[:4]
    if kind > LAST_PLAIN:
        return _draw_widened_more(s, kind, a, b, c, d) if _widens_more(kind, a, b, c) else DRAW[kind](s, *params)
    if not _widens(kind, a, b):
        return DRAW[kind](s, a, b)
    if kind in (NORMAL, LOG_NORMAL):
        return DRAW[kind](s, a, 3 * b)
    if kind == BERNOULLI:
        return _bernoulli(s, 0.5)
    if kind == BETA:
        return _beta(s, _flatter(a, 9), _flatter(b, 9))
    if kind == EXPONENTIAL:
        return _exponential(s, a / 3)
    if kind == GAMMA:
        shape = _flatter(a, 9)
        return _gamma(s, shape, b * math.sqrt(shape / a) / 3)
    if kind == WEIBULL:
        c = _flatter(b, 3)
        return _weibull(s, a * 3 * c / b, c)
    if kind == POISSON:
        shape = max(a / 8, 1)
        return _poisson(s, _gamma(s, shape, shape / a))
    total = max((a - 9) / 8, 1 / min(b, 1 - b))
    return binomial(s, a, _beta(s, total * b, total * (1 - b)))


def widened_categories(probs: Sequence[float]) -> List[float]:
    """Categories that have a chance are equally likely."""
    return [math.ceil(min(p, 1)) for p in probs]


# ---- tensors

_CENTER = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_NEAR = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
_FAR = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip


def _quantiles(u: Uniforms) -> Uniforms:
    """The standard normal quantile of many numbers; algorithm AS 241."""
    d = u - 0.5
    center = np.abs(d) <= 0.425
    z = 0.180625 - d * d
    out: Uniforms = d * np.polyval(_CENTER[0], z) / np.polyval(_CENTER[1], z)
    outer = ~center
    if outer.any():
        p = u[outer]
        left = p < 0.5
        r = np.sqrt(-np.log(np.where(left, p, 1 - p)))
        near, far = r - 1.6, r - 5.0
        x = np.where(r <= 5.0, np.polyval(_NEAR[0], near) / np.polyval(_NEAR[1], near), np.polyval(_FAR[0], far) / np.polyval(_FAR[1], far))
        out[outer] = np.where(left, -x, x)
    return out


def _cauchy_quantiles(u: Uniforms) -> Any:
    left, right = u < 0.25, u > 0.75
    t = np.tan(np.pi * np.where(left, u, np.where(right, 1 - u, u - 0.5)))
    return np.where(left, -1 / t, np.where(right, 1 / t, t))


def _logistic_quantiles(u: Uniforms) -> Any:
    return np.where(np.abs(u - 0.5) < 0.25, 2 * np.arctanh(2 * u - 1), np.log(u) - np.log1p(-u))


def _log_ratios(x: Any, a: Any) -> Any:
    return np.where(x < 2 * a, np.log1p((x - a) / a), np.log(x) - np.log(a))


_MANY: Dict[int, Callable[[Uniforms, Any, Any], Any]] = {  # families with one uniform number per element
    HALF_NORMAL: lambda u, a, _: np.clip(-a * _quantiles(u / 2), TINY, LARGEST),
    CAUCHY: lambda u, a, b: np.clip(a + b * _cauchy_quantiles(u), -LARGEST, LARGEST),
    LAPLACE: lambda u, a, b: np.clip(a + b * np.where(u < 0.5, np.log(2 * u), -np.log(2 * (1 - u))), -LARGEST, LARGEST),
    LOGISTIC: lambda u, a, b: np.clip(a + b * _logistic_quantiles(u), -LARGEST, LARGEST),
    PARETO: lambda u, a, b: np.clip(a * np.exp(-np.log1p(-u) / b), a, LARGEST),
    LOG_UNIFORM: lambda u, a, b: np.clip(a * np.exp(u * _log_ratios(b, a)), a, b),
    GEOMETRIC: lambda u, a, _: np.floor(np.log(u) / np.log1p(-a)),
    DISCRETE_UNIFORM: lambda u, a, b: np.minimum(a + np.floor(u * (b - a + 1)), b),
    NORMAL: lambda u, a, b: np.clip(a + b * _quantiles(u), -LARGEST, LARGEST),
    UNIFORM: lambda u, a, b: np.clip(a + (b - a) * u, a, b),
    BERNOULLI: lambda u, a, _: (u < a) * 1.0,
    EXPONENTIAL: lambda u, a, _: np.clip(-np.log1p(-u) / a, TINY, LARGEST),
    LOG_NORMAL: lambda u, a, b: np.clip(np.exp(a + b * _quantiles(u)), TINY, LARGEST),
    WEIBULL: lambda u, a, b: np.clip(np.exp(np.log(a) + np.log(-np.log1p(-u)) / b), TINY, LARGEST),
}


def draw_tensor(s: Stream, kind: int, shape: Tuple[int, ...], params: Sequence[Any], wide: bool) -> NDArray[np.float64]:
    """A value of a distribution over tensors; the elements in row-major order use one number after the other,
    widened ones each its own blocks."""
    out = np.empty(shape)
    flat = out.reshape(-1)
    if kind == CATEGORICAL:
        rows = np.asarray(params[0]).reshape(flat.size, -1).tolist() if flat.size else []
        for i, row in enumerate(rows):
            if wide:
                s.skip(i << 16)
            flat[i] = categorical(s, widened_categories(row) if wide else row)
        return out
    if not wide and flat.size > 1:
        drawn = s.compiled(kind, flat.size, [p if np.size(p) == 1 else np.broadcast_to(p, shape) for p in params])
        if drawn is not None:
            flat[:] = drawn
            return out
    wanted = [np.broadcast_to(p, shape).reshape(-1) for p in params]
    if not wide and kind in _MANY:
        with np.errstate(all="ignore"):
            flat[:] = _MANY[kind](s.many(flat.size), wanted[0], wanted[-1])
        return out
    draw = DRAW[kind]
    for i, p in enumerate(zip(*(w.tolist() for w in wanted))):
        if wide:
            s.skip(i << 16)
            flat[i] = draw_widened(s, kind, *p)
        else:
            flat[i] = draw(s, *p)
    return out


def tensor_shape(kind: int, params: Sequence[Any]) -> Optional[Tuple[int, ...]]:
    """The shape of a distribution's values; None if the parameters are invalid."""
    if kind == CATEGORICAL:
        probs = np.asarray(params[0])
        if probs.ndim == 0 or probs.shape[-1] == 0:
            return None
        with np.errstate(all="ignore"):
            sums = probs.sum(axis=-1)
            ok = np.all(probs >= 0) and np.all(np.isfinite(probs)) and np.all(sums > 0) and np.all(np.isfinite(sums))
        return probs.shape[:-1] if ok else None
    try:
        shape = np.broadcast(*params).shape if len(params) > 1 else np.shape(params[0])
    except ValueError:
        return None
    if wire.elements(shape) < 0:
        return None
    if _samplers is not None:
        each_or_one = (p if np.size(p) == 1 else np.broadcast_to(p, shape) for p in params)
        return shape if _samplers.valid(kind, math.prod(shape), *(np.ascontiguousarray(p, dtype=np.float64) for p in each_or_one)) else None
    both = np.broadcast_arrays(*params)
    with np.errstate(all="ignore"):
        if kind > LAST_PLAIN:
            each = zip(*(x.reshape(-1).tolist() for x in both))
            return both[0].shape if all(VALID[kind](*p) for p in each) else None
        return both[0].shape if bool(_all_valid(kind, both[0], both[-1])) else None


def _all_valid(kind: int, a: Any, b: Any) -> Any:
    """VALID for arrays."""

    def positive(x: Any) -> Any:
        return np.all(x > 0) and np.all(np.isfinite(x))

    if kind in (NORMAL, LOG_NORMAL):
        return np.all(np.isfinite(a)) and positive(b)
    if kind == UNIFORM:
        return np.all(np.isfinite(a)) and np.all(np.isfinite(b)) and np.all(a < b) and np.all(np.isfinite(b - a))
    if kind == POISSON:
        return np.all(a >= 0) and np.all(np.isfinite(a))
    if kind == BERNOULLI:
        return np.all((a >= 0) & (a <= 1))
    if kind == BINOMIAL:
        return np.all((a >= 0) & (a <= 2**53) & (a == np.floor(a)) & (b >= 0) & (b <= 1))
    return positive(a) and positive(b)
