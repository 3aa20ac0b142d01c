"""What a simulator does by itself under PPX's extension 1: draw, count the visits of its sites, and collect
its statements until they are sent.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from . import _random as random
from . import _rows as rows
from . import _wire as wire

_NAMES = ("", "Normal", "Uniform", "Categorical", "Poisson", "Bernoulli", "Beta", "Exponential", "Gamma", "LogNormal", "Binomial", "Weibull",
          "TruncatedNormal", "HalfNormal", "StudentT", "Cauchy", "Laplace", "Logistic", "Pareto", "InverseGamma", "VonMises", "LogUniform",
          "NegativeBinomial2", "Geometric", "DiscreteUniform", "ZeroInflatedPoisson", "ZeroInflatedNegativeBinomial2", "BetaBinomial",
          "Dirichlet", "MultivariateNormal", "MultivariateStudentT", "Multinomial", "Mixture", "DiscreteMixture", "Empirical", "Histogram", "Factor",
          "Custom", "DiscreteCustom")  # fmt: skip

# Simulators that make up addresses or names without end must not eat all memory.
_MAX_FORMS = 1 << 16
_MAX_STRING_BYTES = 32 << 20


def address_base(address: str, kind: int, categories: int) -> str:
    """The identity of a place in the code: its address and the kind of distribution there."""
    if kind == random.CATEGORICAL:
        return f"{address}__Categorical(len_probs:{categories})"
    return f"{address}__{_NAMES[kind]}" if kind else address


class Visits:
    """Counts within the run of its epoch."""

    __slots__ = ("epoch", "n", "values")

    def __init__(self) -> None:
        self.epoch = self.n = 0
        self.values: Dict[int, Any] = {}  # data by occurrence (0: every), or values to reuse by instance

    def count(self, epoch: int) -> int:
        if self.epoch != epoch:
            self.epoch, self.n = epoch, 0
        self.n += 1
        return self.n


class Form:
    """What all statements of one kind at one place have in common, as this side remembers it."""

    __slots__ = ("base", "name", "number")

    def __init__(self, number: int, base: Optional[Visits], name: Optional[Visits]) -> None:
        self.number, self.base, self.name = number, base, name


class Solo:
    """Draws. Which random numbers it uses depends on seed, stream, draw and statement alone."""

    def __init__(self, seed: int, streams: Sequence[int], draws: Sequence[int], inflation: float = 0.0, length: int = 16) -> None:
        self.blocks = random.Blocks(seed, streams, draws, length)
        self.inflation = inflation
        self.statement = 0

    def begin(self, i: int) -> None:
        """The i-th run begins."""
        self.key, self.draw = (self.blocks.seed, self.blocks.streams[i]), self.blocks.draws[i]
        self.blocks.begin(i)
        self.statement = 0
        self.wide: Optional[bool] = None if self.inflation > 0 else False

    def stream(self) -> random.Stream:
        """The uniform numbers of the present statement."""
        return random.Stream(self.key, self.statement, self.draw, random.FOR_VALUE)

    def value(self, kind: int, shape: Tuple[int, ...], params: Sequence[Any], control: bool) -> Any:
        """A float, or an array of the shape that is not ()."""
        wide = False
        if self.inflation > 0 and control:
            if self.wide is None:
                coin = random.Stream(self.key, random.COIN_STATEMENT, self.draw, random.FOR_PROPOSAL)
                self.wide = coin.uniform() < self.inflation
            wide = self.wide
        if wide:
            s = random.Stream(self.key, self.statement, self.draw, random.FOR_PROPOSAL)
        else:
            s = random.Stream(self.key, self.statement, self.draw, random.FOR_VALUE, self.blocks.first(self.statement))
        if kind in rows.EVENTS:
            return rows.draw(s, kind, shape, params, wide)
        if shape != ():
            return random.draw_tensor(s, kind, shape, params, wide)
        if kind == random.CATEGORICAL:
            probs = params[0].tolist()
            return random.categorical(s, random.widened_categories(probs) if wide else probs)
        if wide:
            return random.draw_widened(s, kind, *(float(p) for p in params))
        return random.DRAW[kind](s, *(float(p) for p in params))


def site_shape(kind: int, params: Sequence[Any]) -> Optional[Tuple[int, ...]]:
    """The shape of a distribution's values, whether or not its parameters are valid; None if they do not broadcast."""
    if kind == random.CATEGORICAL:
        shape: Tuple[int, ...] = np.shape(params[0])
        return shape[:-1]
    if kind in rows.EVENTS:
        return rows.shape_of(kind, params)
    if all(type(p) is float for p in params):
        return ()
    try:
        return np.broadcast_shapes(*map(np.shape, params))
    except ValueError:
        return None


def valid_shape(kind: int, params: Sequence[Any]) -> Optional[Tuple[int, ...]]:
    """The shape of a distribution's values; None if the parameters are invalid."""
    if kind == random.CATEGORICAL:
        if params[0].ndim == 1:
            return () if len(params[0]) and random.valid_categorical(params[0].tolist()) else None
    elif kind in rows.EVENTS:
        return rows.valid_shape(kind, params)
    elif all(type(p) is float for p in params):
        return () if random.VALID[kind](*params) else None
    return random.tensor_shape(kind, params)


class Notes:
    """Statements that have not been sent, and what both sides know of this session by number."""

    def __init__(self) -> None:
        self.epoch = 0
        self.bases: Dict[str, Visits] = {}
        self.names: Dict[str, Visits] = {}
        self.numbered: List[Tuple[str, Visits]] = []  # bases as the engine numbers them
        self.reusing: List[Visits] = []
        self.reuse: Sequence[Tuple[int, int, Any]] = ()  # of all runs: number of a base, instance, value
        self.ends: Sequence[int] = ()
        self.data_id = 0
        self.with_data = False
        self.with_values = 0
        self.restart()

    def restart(self) -> None:
        """Forget the numbers."""
        self.strings: Dict[str, int] = {"": 0}
        self.string_bytes = 0
        self.forms: Dict[Any, Form] = {}
        self.empty(restart=True)

    def empty(self, restart: bool = False) -> None:
        self.chunk = wire.Chunk(restart)
        self.bytes = 0

    def full(self) -> bool:
        return len(self.forms) >= _MAX_FORMS or self.string_bytes > _MAX_STRING_BYTES

    def crowded(self) -> bool:
        """Bases and names are due to be forgotten, between two runs with nothing left to send."""
        return len(self.bases) - len(self.numbered) > _MAX_FORMS or len(self.names) - self.with_values > _MAX_FORMS

    def prune(self) -> None:
        self.bases = dict(self.numbered)
        self.names = {n: v for n, v in self.names.items() if v.values}
        self.restart()

    def take(self, o: wire.Order) -> None:
        """Keep the data and the values to reuse of a Run message."""
        self.with_data = o.data_id != 0  # without, they are kept for the runs that will refer to them
        if o.data_id != 0 and o.data is not None:
            for v in self.names.values():
                v.values = {}
            self.data_id = o.data_id
            self.with_values = 2 * len(o.data)  # names that are kept, at most
            for name, value in o.data:
                self._name(name).values[0] = value
                base, at, k = name.rpartition("@")
                if at and base and k.isascii() and k.isdigit() and len(k) < 20 and 0 < int(k) < 2**31:
                    self._name(base).values[int(k)] = value
        if o.data_id not in (0, self.data_id):
            raise wire.MalformedError("the data that a Run refers to were never sent")
        if not 0 <= o.inflation < 1:
            raise wire.MalformedError(f"inflation {o.inflation}")
        self._forget()
        if o.streams and len(o.streams) != len(o.draws):
            raise wire.MalformedError(f"{len(o.streams)} streams of {len(o.draws)} runs")
        if o.ends and (len(o.ends) != len(o.draws) or list(o.ends) != sorted(o.ends) or o.ends[-1] != len(o.reuse)):
            raise wire.MalformedError(f"the ends of values to reuse are not those of {len(o.draws)} runs and {len(o.reuse)} values")
        if o.restart:
            self.numbered = []
        for b in o.bases:
            self.numbered.append((b, self._base(b)))
        for base_number, _, _ in o.reuse:
            if base_number >= len(self.numbered):
                raise wire.MalformedError(f"unknown number {base_number} of an address base")
        self.reuse, self.ends = o.reuse, o.ends

    def _forget(self) -> None:
        for v in self.reusing:
            v.values = {}
        self.reusing = []

    def give(self, i: int) -> None:
        """The i-th run is about to begin: these are its values to reuse."""
        start, end = 0, len(self.reuse)
        if self.ends:
            start, end = self.ends[i - 1] if i > 0 else 0, self.ends[i]
        elif i > 0:
            return
        self._forget()
        for base_number, instance, value in self.reuse[start:end]:
            v = self.numbered[base_number][1]
            v.values[instance] = value
            self.reusing.append(v)

    def _name(self, name: str) -> Visits:
        return self.names.setdefault(name, Visits())

    def _base(self, base: str) -> Visits:
        return self.bases.setdefault(base, Visits())

    def _string(self, s: str) -> int:
        n = self.strings.get(s)
        if n is None:
            size = len(s.encode())  # refuses what is not Unicode, before anything is noted
            n = self.strings[s] = len(self.strings)
            self.chunk.strings.append(s)
            self.string_bytes += size
            self.bytes += size + 8
        return n

    def form(self, op: int, address: str, name: str, kind: int, params: Sequence[Any], control: bool, shape: Optional[Tuple[int, ...]]) -> Form:
        """The form of a statement with a value of a shape (None: without a value)."""
        if shape == () and all(type(p) is float for p in params):
            key: Any = (op, address, name, kind, control)
        else:
            key = (op, address, name, kind, control, shape, tuple(np.shape(p) for p in params))
        f = self.forms.get(key)
        if f is None:
            shapes: List[int] = []
            for p in params:
                d = np.shape(p)
                shapes += [len(d), *d]
            shapes += [-1] if shape is None else [len(shape), *shape]
            a, b = self._string(address), self._string(name)
            self.chunk.forms.append(wire.WireForm(op, control, kind, a, b, tuple(shapes)))
            self.bytes += 64
            base = None
            if op == wire.SAMPLE:
                base = self._base(address_base(address, kind, np.shape(params[0])[-1] if kind == random.CATEGORICAL and np.ndim(params[0]) else 0))
            f = self.forms[key] = Form(len(self.forms), base, self._name(name) if name else None)
        return f

    def base(self, address: str, kind: int) -> Visits:
        """The visits of an address by a kind of its own."""
        return self._base(address_base(address, kind, 0))

    def count(self, name: str) -> Any:
        """Count a name that the engine is asked about; what the data have for this visit of it."""
        return self._at(self._name(name)) if name else None

    def given(self, f: Form) -> Any:
        """What the data have for this visit of a Sample's name; None for nothing."""
        return None if f.name is None else self._at(f.name)

    def _at(self, v: Visits) -> Any:
        k = v.count(self.epoch)
        return v.values.get(k, v.values.get(0)) if self.with_data and v.values else None

    def add(self, f: Form, params: Sequence[Any], value: Any) -> None:
        """Note a statement of a form; value None: without."""
        c = self.chunk
        c.statements.append(f.number)
        before = len(c.numbers)
        for p in params if value is None else (*params, value):
            if type(p) is float:
                c.numbers.append(p)
            else:
                c.numbers.frombytes(np.asarray(p, dtype=np.float64).tobytes())
        self.bytes += 4 + 8 * (len(c.numbers) - before)

    def end(self, result: NDArray[np.float64], statements: int, seconds: float) -> None:
        """Note the end of a run."""
        f = self.form(wire.RUN_RESULT, "", "", 0, (), True, result.shape)
        c = self.chunk
        c.statements.append(f.number)
        c.numbers.extend((float(statements), seconds))
        c.numbers.frombytes(result.tobytes())
        self.bytes += 20 + 8 * result.size
