"""Unmodified Python programs: ppx wrap answers the draws of random, numpy.random and scipy.stats.

    python -m ppxsim.hijack sim.toml -- script.py ARGS      is    ppx wrap sim.toml {endpoint} -- python script.py ARGS

where ppx wrap runs this file in place of the interpreter's own start: it needs nothing but the standard library and, where a script has them, numpy and scipy. What a
draw is and how it is answered is the affair of the preloaded library; here is how each function's arguments are a distribution's parameters.
"""

import ctypes
import math
import operator
import os
import sys

# Families by their numbers in PPX.
NORMAL, UNIFORM, CATEGORICAL, POISSON, BERNOULLI, BETA, EXPONENTIAL, GAMMA, LOG_NORMAL, BINOMIAL, WEIBULL = range(1, 12)
TRUNCATED_NORMAL, HALF_NORMAL, STUDENT_T, CAUCHY, LAPLACE, LOGISTIC, PARETO, INVERSE_GAMMA, VON_MISES, LOG_UNIFORM = range(12, 22)
NEGATIVE_BINOMIAL, GEOMETRIC, DISCRETE_UNIFORM, ZERO_INFLATED_POISSON, ZERO_INFLATED_NEGATIVE_BINOMIAL, BETA_BINOMIAL = range(22, 28)
DIRICHLET, MULTIVARIATE_NORMAL, MULTIVARIATE_STUDENT_T, MULTINOMIAL = range(28, 32)

THREADS, FORKS, RESEEDED, CLOCKS, OUTSIDE, REPEATS = range(6)  # notices

_NATIVE = object()  # what hooks return where the function's own code is to draw
_lib = None  # the preloaded library
_armed = False  # the first draw forks
_live = False  # this process is a run
_child = False  # it is one that a run has forked
_thread = 0  # whose draws are the run's


def _bind():
    """The functions of the preloaded library; AttributeError if it is not there."""
    global _lib, _number, _site_of, _iid, _draw, _seed, _bits_site, _find, _store
    _lib = ctypes.PyDLL(None)
    d, u, i, p = ctypes.c_double, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p
    _number = _lib.ppx_hijack_number
    _number.argtypes, _number.restype = (u, i, i, d, d), d
    _site_of = _lib.ppx_hijack_site
    _site_of.argtypes, _site_of.restype = (ctypes.c_char_p, u, i), u
    _iid = _lib.ppx_hijack_iid
    _iid.argtypes, _iid.restype = (u, i, i, d, d, d, d, u, p, p), i
    _draw = _lib.ppx_hijack_draw
    _draw.argtypes, _draw.restype = (u, i, i, p, p, p, u, p, p), i
    _seed = _lib.ppx_hijack_seed
    _seed.argtypes, _seed.restype = (ctypes.c_ulonglong, ctypes.c_ulonglong), None
    _find, _store = _lib.ppx_hijack_find, _lib.ppx_hijack_keep
    _find.argtypes, _find.restype = (ctypes.c_ulonglong,), ctypes.c_longlong
    _store.argtypes, _store.restype = (ctypes.c_ulonglong, u), None
    _lib.ppx_hijack_bits.argtypes = (p,)
    _bits_site = _lib.ppx_hijack_bits_site
    _bits_site.argtypes, _bits_site.restype = (i,), i


# ---- Where a draw is

_OWN = __file__
_IMPORT = "<frozen importlib._bootstrap"
_known = {}  # sites by what is called and the stack
_hashes = {}  # of code objects by what they are; it keeps them, as sites are known by where they lie
_root = None  # the code below which the script runs
_get_ident = None


def _library(name):
    """Whether code of a file is that of a function that draws, not of one that asks it to."""
    if name == _OWN or name.startswith("<__array"):
        return True
    name = name.replace("\\", "/")
    return name.endswith("/random.py") or "/numpy/" in name or "/scipy/stats/" in name or "/scipy/_lib/" in name


def _describe(frame, what, kind, stand_in):
    """The number of a place; None where a module is being imported: what that draws is nobody's."""
    calls, line = [], None
    f = frame
    while f is not None and f.f_code is not _root:
        code = f.f_code
        name = code.co_filename
        if name.startswith(_IMPORT):
            return None
        if not _library(name):
            if line is None:
                line = f.f_lineno
            if code.co_name not in ("<listcomp>", "<setcomp>", "<dictcomp>"):
                stem = f.f_globals.get("__name__", "__main__")  # two modules may be files of one name
                if stem == "__main__":
                    stem = os.path.splitext(os.path.basename(name))[0]
                function = getattr(code, "co_qualname", code.co_name).replace(".<locals>", "")
                text = f"{stem}.{function}+{line - code.co_firstlineno}"
                calls.append("\t".join((f"{stem}.{function}" if function != "<module>" else stem, text, name, str(line))))
                line = None
        f = f.f_back
    if len(calls) > 400:  # of very deep stacks both ends
        calls = calls[:300] + ["…\t…\t\t0"] + calls[-50:]
    text = "\n".join(calls[::-1] + [what + ("\t1" if stand_in else "\t0")]).encode()
    return _site_of(text, len(text), kind)


def _place(what, kind, stand_in=False):
    f = sys._getframe(2)
    root = _root
    key = [what]
    while f is not None:
        code = f.f_code
        if code is root:
            break
        key.append(id(code))
        key.append(f.f_lasti)
        f = f.f_back
    k = tuple(key)
    try:
        return _known[k]
    except KeyError:
        if len(_known) > 100_000:
            _known.clear()
            _hashes.clear()
        site = _known[k] = _shared(sys._getframe(2), what, kind, stand_in)
        return site


_NOBODY = 0xFFFFFFFE  # of places where modules are imported


def _shared(frame, what, kind, stand_in):
    """The number of a place that another run may have described before: what is told of it in a process ends with that, but for what the library keeps."""
    key = [what]
    f = frame
    while f is not None and f.f_code is not _root:
        code = f.f_code
        known = _hashes.get(id(code))
        if known is None:
            known = _hashes[id(code)] = hash((code.co_filename, code.co_name, code.co_firstlineno)), code
        key.append(known[0])
        key.append(f.f_lasti)
        f = f.f_back
    h = hash(tuple(key)) & 0xFFFFFFFFFFFFFFFF
    site = _find(h)
    if site < 0:
        site = _describe(frame, what, kind, stand_in)
        _store(h, _NOBODY if site is None else site)
        return site
    return None if site == _NOBODY else site


def _running():
    """Whether draws of this thread are the run's. Where the first draw forks, it is here that it does."""
    global _armed, _live
    if _live:
        if _get_ident() == _thread:
            return True
        _lib.ppx_hijack_notice(THREADS)
        return False
    if _child:
        _lib.ppx_hijack_notice(FORKS)
        return False
    if _armed and _get_ident() == _thread:
        if _importing():
            return False
        import gc

        _armed = False
        gc.freeze()
        _lib.ppx_hijack_live()  # forks, and returns in each run
        _live = True
        return True
    return False


def _importing():
    """Whether a module is being imported: what that draws, or seeds, is nobody's."""
    f = sys._getframe(1)
    while f is not None:
        if f.f_code.co_filename.startswith(_IMPORT):
            return True
        f = f.f_back
    return False


def _note_seed(kind, seed):
    if _live and not _importing():
        _seed(kind, hash(repr(seed)) & 0xFFFFFFFFFFFFFFFF)


def _forked():
    global _live, _armed, _child
    _child = _live
    _live = _armed = False


# ---- Draws


def _shape(size):
    if type(size) is int:
        return (size,)
    try:
        return tuple(operator.index(d) for d in size)
    except TypeError:
        return (operator.index(size),)


def _one(what, kind, stand_in, n, a, b=0.0):
    """A number from a family of one or two parameters; NaN where they are none of its, None where the draw is nobody's."""
    site = _place(what, kind, stand_in)
    if site is None:
        return None
    return _number(site, kind, n, a, b)


class _Rows:
    """Rows of numbers for a call of the library; they are kept as long as it lasts."""

    def __init__(self, arrays, events, batch):
        import numpy as np

        self.kept = []
        data, ranks, shapes = [], [], []
        for x, event in zip(arrays, events):
            x = np.asarray(x, dtype=np.float64)
            want = tuple(batch) + x.shape[x.ndim - event :] if x.ndim > event else x.shape
            x = np.ascontiguousarray(np.broadcast_to(x, want)).reshape(want)  # ascontiguousarray makes a number a row
            dims = (ctypes.c_ulonglong * max(1, x.ndim))(*x.shape)
            self.kept += [x, dims]
            data.append(x.ctypes.data)
            ranks.append(x.ndim)
            shapes.append(ctypes.addressof(dims))
        n = len(arrays)
        self.data = (ctypes.c_void_p * n)(*data)
        self.ranks = (ctypes.c_uint * n)(*ranks)
        self.shapes = (ctypes.c_void_p * n)(*shapes)
        self.n = n


def _tensor(what, kind, stand_in, shape, params, events=None, width=None):
    """A tensor of that shape; the parameters broadcast to it. None where the parameters are none of the family's, or the draw is nobody's."""
    import numpy as np

    site = _place(what, kind, stand_in)
    if site is None:
        return None
    full = tuple(shape) + (() if width is None else (width,))
    out = np.empty(full, dtype=np.float64)
    if out.size == 0:
        return out
    dims = (ctypes.c_ulonglong * max(1, len(full)))(*full)
    if events is None and all(np.ndim(p) == 0 for p in params):
        p = [float(x) for x in params] + [0.0] * (4 - len(params))
        ok = _iid(site, kind, len(params), p[0], p[1], p[2], p[3], len(full), dims, out.ctypes.data)
    else:
        if events is None:
            events = (0,) * len(params)
            if all(np.shape(p) != tuple(shape) for p in params) and shape:
                params = (np.broadcast_to(np.asarray(params[0], dtype=np.float64), shape),) + tuple(params[1:])
        elif shape and all(np.ndim(p) == e for p, e in zip(params, events)):
            p = np.asarray(params[0], dtype=np.float64)
            params = (np.broadcast_to(p, tuple(shape) + p.shape),) + tuple(params[1:])
        r = _Rows(params, events, shape)
        ok = _draw(site, kind, r.n, r.data, r.ranks, r.shapes, len(full), dims, out.ctypes.data)
    return out if ok else None


# ---- numpy


def _left_alone(native, self, args, kw):
    """A call whose draws are nobody's, by numpy's own generator."""
    if not (_armed or _live):
        return native(self, *args, **kw)
    before = _bits_site(-2)
    try:
        return native(self, *args, **kw)
    finally:
        _bits_site(before)


def _again(bits):
    """A generator that is copied."""
    import copy

    import numpy

    return numpy.random.Generator(copy.deepcopy(bits))


def _numpy(np_random):
    """Puts hooked classes and functions in place of numpy.random's."""
    import numpy as np

    base = {"Generator": np_random.Generator, "RandomState": np_random.RandomState}
    patched = {}

    def hooked(bit_generator):
        """Has a bit generator's numbers answered, for what numpy draws by code of its own."""
        address = ctypes.cast(bit_generator.ctypes.bit_generator, ctypes.c_void_p).value
        if address not in patched:
            patched[address] = bit_generator  # it stays, so that nobody else gets its address
            _lib.ppx_hijack_bits(address)
        return bit_generator

    numbers = (float, int)

    def family(kind, n, discrete, stand_in, params, after, what):
        """A method that draws from a family: params makes its parameters of the method's arguments, after the value of what is drawn."""

        def plain(x):
            return type(x) in numbers or isinstance(x, (np.floating, np.integer))

        def f(self, args, kw):
            try:
                p, size, *more = params(*args, **kw)
            except TypeError:
                return _NATIVE  # which says what is wrong
            dtype, out = more if more else (None, None)
            if size is None and out is not None:
                size = out.shape
            if size is None and n <= 2 and all(map(plain, p)):
                v = _one(what, kind, stand_in, n, *map(float, p))
                if v is None or v != v:
                    return _NATIVE
                if after is not None:
                    v = after(v, *args, **kw)
                return int(v) if discrete else v if dtype is None else np.dtype(dtype).type(v)
            try:
                full = np.broadcast_shapes(*(np.shape(x) for x in p))
            except ValueError:
                return _NATIVE
            shape = full if size is None else _shape(size)
            if size is not None and np.broadcast_shapes(full, shape) != shape:
                return _NATIVE
            v = _tensor(what, kind, stand_in, shape, p)
            if v is None:
                return _NATIVE
            if after is not None:
                v = after(v, *args, **kw)
            if out is not None:
                out[...] = v
                return out
            if discrete:
                v = v.astype(np.int64)
            elif dtype is not None:
                v = v.astype(dtype)
            return v[()] if shape == () else v

        return f

    inverse = lambda x: 1.0 / np.asarray(x, dtype=float)[()] if np.ndim(x) else (1.0 / x if x else math.inf)
    table = {}

    def add(name, kind, n, params, discrete=False, stand_in=False, after=None, what=None):
        table[name] = family(kind, n, discrete, stand_in, params, after, what or name)

    add("normal", NORMAL, 2, lambda loc=0.0, scale=1.0, size=None: ((loc, scale), size))
    add("standard_normal", NORMAL, 2, lambda size=None, dtype=None, out=None: ((0.0, 1.0), size, dtype, out))
    add("randn", NORMAL, 2, lambda *d: ((0.0, 1.0), d or None))
    add("uniform", UNIFORM, 2, lambda low=0.0, high=1.0, size=None: ((low, high), size))
    add("random", UNIFORM, 2, lambda size=None, dtype=None, out=None: ((0.0, 1.0), size, dtype, out))
    add("random_sample", UNIFORM, 2, lambda size=None: ((0.0, 1.0), size))
    add("ranf", UNIFORM, 2, lambda size=None: ((0.0, 1.0), size))
    add("sample", UNIFORM, 2, lambda size=None: ((0.0, 1.0), size))
    add("rand", UNIFORM, 2, lambda *d: ((0.0, 1.0), d or None))
    add("poisson", POISSON, 1, lambda lam=1.0, size=None: ((lam,), size), discrete=True)
    add("exponential", EXPONENTIAL, 1, lambda scale=1.0, size=None: ((inverse(scale),), size))
    add("standard_exponential", EXPONENTIAL, 1, lambda size=None, dtype=None, method="zig", out=None: ((1.0,), size, dtype, out))
    add("gamma", GAMMA, 2, lambda shape, scale=1.0, size=None: ((shape, inverse(scale)), size))
    add("standard_gamma", GAMMA, 2, lambda shape, size=None, dtype=None, out=None: ((shape, 1.0), size, dtype, out))
    add("chisquare", GAMMA, 2, lambda df, size=None: ((np.asarray(df, dtype=float)[()] / 2, 0.5), size))
    add("beta", BETA, 2, lambda a, b, size=None: ((a, b), size))
    add("binomial", BINOMIAL, 2, lambda n, p, size=None: ((n, p), size), discrete=True)
    add("lognormal", LOG_NORMAL, 2, lambda mean=0.0, sigma=1.0, size=None: ((mean, sigma), size))
    add("weibull", WEIBULL, 2, lambda a, size=None: ((1.0, a), size))
    add("rayleigh", WEIBULL, 2, lambda scale=1.0, size=None: ((np.asarray(scale, dtype=float)[()] * math.sqrt(2), 2.0), size))
    add("laplace", LAPLACE, 2, lambda loc=0.0, scale=1.0, size=None: ((loc, scale), size))
    add("logistic", LOGISTIC, 2, lambda loc=0.0, scale=1.0, size=None: ((loc, scale), size))
    add("standard_cauchy", CAUCHY, 2, lambda size=None: ((0.0, 1.0), size))
    add("standard_t", STUDENT_T, 3, lambda df, size=None: ((df, 0.0, 1.0), size))
    add("vonmises", VON_MISES, 2, lambda mu, kappa, size=None: ((mu, kappa), size))
    add("negative_binomial", NEGATIVE_BINOMIAL, 2, lambda n, p, size=None: ((np.asarray(n, dtype=float)[()] * (1 - np.asarray(p, dtype=float)[()]) / p, n), size), discrete=True)
    # Their values are made of what is recorded.
    add("pareto", PARETO, 2, lambda a, size=None: ((1.0, a), size), stand_in=True, after=lambda v, *a, **k: v - 1)
    add("geometric", GEOMETRIC, 1, lambda p, size=None: ((p,), size), discrete=True, stand_in=True, after=lambda v, *a, **k: v + 1)
    add("gumbel", EXPONENTIAL, 1, lambda loc=0.0, scale=1.0, size=None: ((np.ones(np.broadcast_shapes(np.shape(loc), np.shape(scale)))[()],), size), stand_in=True,
        after=lambda v, loc=0.0, scale=1.0, size=None: loc - scale * np.log(v))

    def integers(what, low, high, size, dtype, endpoint):
        if high is None:
            low, high = 0, low
        kind = np.dtype(dtype)
        if kind.kind not in "iu":
            return None
        top = np.asarray(high, dtype=np.float64) - (0 if endpoint else 1)
        if np.min(low) < np.iinfo(kind).min or np.max(top) > np.iinfo(kind).max:
            return None
        if np.ndim(low) or np.ndim(top) or size is not None:
            shape = np.broadcast_shapes(np.shape(low), np.shape(top)) if size is None else _shape(size)
            v = _tensor(what, DISCRETE_UNIFORM, False, shape, (np.asarray(low, dtype=np.float64)[()], top[()]))
            return None if v is None else v.astype(dtype)
        v = _one(what, DISCRETE_UNIFORM, False, 2, float(low), float(top))
        return None if v is None or v != v else int(v) if dtype is int else np.dtype(dtype).type(v)

    def bool_or_int(dtype):
        return np.int64 if dtype is None or dtype is int else dtype

    def gen_integers(self, args, kw):
        def read(low, high=None, size=None, dtype=np.int64, endpoint=False):
            return low, high, size, dtype, endpoint

        a = read(*args, **kw)
        v = integers("integers", a[0], a[1], a[2], bool_or_int(a[3]), a[4])
        return _NATIVE if v is None else v

    def randint(self, args, kw):
        def read(low, high=None, size=None, dtype=int):
            return low, high, size, dtype

        a = read(*args, **kw)
        v = integers("randint", a[0], a[1], a[2], int if a[3] is int and a[2] is None else bool_or_int(a[3]), False)
        return _NATIVE if v is None else v

    def order(what, n):
        """A permutation: the order of uniform numbers."""
        u = _tensor(what, UNIFORM, True, (n,), (0.0, 1.0))
        return None if u is None else np.argsort(u, kind="stable")

    def shuffle(self, args, kw):
        def read(x, axis=0):
            return x, axis

        x, axis = read(*args, **kw)
        if len(x) < 2 or axis != 0:
            return _NATIVE
        i = order("shuffle", len(x))
        if i is None:
            return _NATIVE
        if isinstance(x, np.ndarray):
            x[...] = x[i]
        else:
            x[:] = [x[k] for k in i]
        return None

    def permutation(self, args, kw):
        def read(x, axis=0):
            return x, axis

        x, axis = read(*args, **kw)
        if np.ndim(x) == 0:
            i = order("permutation", int(x))
            return _NATIVE if i is None else i
        x = np.asarray(x)
        i = order("permutation", x.shape[axis])
        return _NATIVE if i is None else np.take(x, i, axis=axis)

    def choice(self, args, kw):
        def read(a, size=None, replace=True, p=None, axis=0, shuffle=True):
            return a, size, replace, p, axis

        a, size, replace, p, axis = read(*args, **kw)
        if (np.ndim(a) == 0 and not isinstance(a, (int, np.integer))) or (np.ndim(a) > 1 and isinstance(self, base["RandomState"])):
            return _NATIVE
        n = int(a) if np.ndim(a) == 0 else np.asarray(a).shape[axis]
        shape = () if size is None else _shape(size)
        m = int(np.prod(shape, dtype=np.int64))
        if n < 1 or (p is not None and (len(p) != n or not np.isclose(np.sum(p), 1) or np.min(p) < 0 or (not replace and np.count_nonzero(p) < m))):
            return _NATIVE
        if not replace and m > 1:  # successive draws without replacement: the smallest of Exponential(1)/p
            if m > n:
                return _NATIVE
            if p is None and n > 4096 and m < n // 8:  # one after the other of those that are left
                left = _tensor("choice", DISCRETE_UNIFORM, True, (m,), (0.0, np.arange(n - 1, n - 1 - m, -1, dtype=np.float64)))
                i, moved = None, {}
                if left is not None:
                    i = np.empty(m, dtype=np.int64)
                    for k, j in enumerate(left.astype(np.int64).tolist()):
                        last = n - 1 - k
                        i[k] = moved.get(j, j)
                        moved[j] = moved.get(last, last)
            elif p is None:
                i = order("choice", n)
            else:
                e = _tensor("choice", EXPONENTIAL, True, (n,), (1.0,))
                with np.errstate(divide="ignore"):
                    i = None if e is None else np.argsort(e / np.asarray(p, dtype=float), kind="stable")
            i = None if i is None else i[:m].reshape(shape)
        elif p is None:
            i = _tensor("choice", DISCRETE_UNIFORM, np.ndim(a) > 0, shape, (0.0, float(n - 1)))
        elif n * m <= 4096:
            i = _tensor("choice", CATEGORICAL, np.ndim(a) > 0, shape, (np.asarray(p, dtype=float),), events=(1,))
        else:
            u = _tensor("choice", UNIFORM, True, shape, (0.0, 1.0))
            c = np.cumsum(p)
            i = None if u is None else np.minimum(np.searchsorted(c / c[-1], u, side="right"), n - 1)
        if i is None:
            return _NATIVE
        i = np.asarray(i).astype(np.int64)
        if np.ndim(a) == 0:
            return i if shape else int(i)
        a = np.asarray(a)
        return np.take(a, i, axis=axis) if shape or a.ndim > 1 else a[int(i)]

    def multinomial(self, args, kw):
        def read(n, pvals, size=None):
            return n, pvals, size

        n, pvals, size = read(*args, **kw)
        p = np.asarray(pvals, dtype=np.float64)
        if p.ndim != 1 or np.ndim(n) != 0 or p.sum() > 1 + 1e-8 or p.min() < 0:
            return _NATIVE
        p = p.copy()
        p[-1] = max(0.0, 1 - p[:-1].sum())  # as numpy does
        shape = () if size is None else _shape(size)
        v = _tensor("multinomial", MULTINOMIAL, False, shape, (float(n) if not shape else np.full(shape, float(n)), p), events=(0, 1), width=len(p))
        return _NATIVE if v is None else v.astype(np.int64)

    def multivariate_normal(self, args, kw):
        def read(mean, cov, size=None, *rest, **more):
            return mean, cov, size

        mean, cov, size = read(*args, **kw)
        mean = np.asarray(mean, dtype=np.float64)
        try:
            tril = np.linalg.cholesky(np.asarray(cov, dtype=np.float64))
        except np.linalg.LinAlgError:  # semidefinite: numpy's own way
            return _NATIVE
        shape = () if size is None else _shape(size)
        v = _tensor("multivariate_normal", MULTIVARIATE_NORMAL, False, shape, (mean, tril), events=(1, 2), width=len(mean))
        return _NATIVE if v is None else v

    def dirichlet(self, args, kw):
        def read(alpha, size=None):
            return alpha, size

        alpha, size = read(*args, **kw)
        alpha = np.asarray(alpha, dtype=np.float64)
        shape = () if size is None else _shape(size)
        v = _tensor("dirichlet", DIRICHLET, False, shape, (alpha,), events=(1,), width=len(alpha))
        return _NATIVE if v is None else v

    special = {"integers": gen_integers, "randint": randint, "shuffle": shuffle, "permutation": permutation, "choice": choice, "multinomial": multinomial,
               "multivariate_normal": multivariate_normal, "dirichlet": dirichlet}

    def method(cls, name, f):
        native = getattr(base[cls], name)

        def g(self, *args, **kw):
            if not _running():
                return _left_alone(native, self, args, kw)
            try:
                v = _NATIVE if f is None else f(self, args, dict(kw))
            except (TypeError, ValueError, OverflowError):
                v = _NATIVE  # which says what is wrong
            if v is not _NATIVE:
                return v
            # By numpy's own code, over our bits; what an import draws, over its own.
            site = _place(f"{name}/bits", UNIFORM, True)
            before = _bits_site(-2 if site is None else site)
            try:
                return native(self, *args, **kw)
            finally:
                _bits_site(before)

        g.__name__, g.__qualname__, g.__doc__ = name, f"{cls}.{name}", native.__doc__
        return g

    own_words = ("f hypergeometric logseries multivariate_hypergeometric noncentral_chisquare noncentral_f permuted power triangular tomaxint wald zipf bytes random_integers").split()

    def methods(cls):
        out = {}
        for name, f in {**table, **special}.items():
            if hasattr(base[cls], name):
                out[name] = method(cls, name, f)
        for name in own_words:
            if hasattr(base[cls], name) and name not in out:
                out[name] = method(cls, name, None)
        return out

    def note_seed(seed, tag):
        if seed is not None:
            _note_seed(tag, seed)

    class Generator(base["Generator"]):
        __doc__ = base["Generator"].__doc__

        def __init__(self, bit_generator):
            super().__init__(hooked(bit_generator))

        def __reduce__(self):
            _lib.ppx_hijack_notice(REPEATS)
            return _again, (self.bit_generator,)

    class RandomState(base["RandomState"]):
        __doc__ = base["RandomState"].__doc__

        def __init__(self, seed=None):
            if hasattr(seed, "capsule"):
                super().__init__(hooked(seed))
                return
            bits = np_random.MT19937()
            if seed is not None:
                bits._legacy_seeding(seed)
                note_seed(seed, 2)
            super().__init__(hooked(bits))

        def seed(self, seed=None):
            note_seed(seed, 2)
            super().seed(seed)

        def __reduce__(self):
            _lib.ppx_hijack_notice(REPEATS)
            return RandomState, (), self.__getstate__()

        def set_state(self, state):
            _lib.ppx_hijack_notice(REPEATS)
            super().set_state(state)

    for cls, made in (("Generator", Generator), ("RandomState", RandomState)):
        made.__module__, made.__qualname__ = base[cls].__module__, cls
        for name, f in methods(cls).items():
            setattr(made, name, f)

    native_default = np_random.default_rng

    def default_rng(seed=None):
        if isinstance(seed, base["Generator"]):
            return seed
        note_seed(seed if isinstance(seed, (int, tuple, list)) else None, 3)
        return Generator(native_default(seed).bit_generator)

    default_rng.__doc__ = native_default.__doc__
    one = RandomState()
    for module in (np_random, sys.modules.get("numpy.random.mtrand"), sys.modules.get("numpy.random._generator")):
        if module is None:
            continue
        for name, value in (("Generator", Generator), ("RandomState", RandomState), ("default_rng", default_rng), ("_rand", one)):
            if hasattr(module, name):
                setattr(module, name, value)
        if module is sys.modules.get("numpy.random._generator"):
            continue
        for name in dir(one):
            if not name.startswith("_") and callable(getattr(one, name)) and callable(getattr(module, name, None)):
                setattr(module, name, getattr(one, name))


# ---- scipy.stats, above numpy: there loc and scale are still known


def _scipy(module):
    import numpy as np

    rv = module.rv_generic
    native = rv.rvs

    def plain(loc, scale):
        return np.all(np.asarray(loc) == 0)

    s = lambda x: np.asarray(x, dtype=float)[()]
    # By name, of shape arguments, loc and scale: family, parameters; None where it is not one of ours.
    table = {
        "norm": lambda a, l, c: (NORMAL, (l, c)),
        "uniform": lambda a, l, c: (UNIFORM, (l, s(l) + s(c))),
        "expon": lambda a, l, c: (EXPONENTIAL, (1 / s(c),)) if plain(l, c) else None,
        "gamma": lambda a, l, c: (GAMMA, (a[0], 1 / s(c))) if plain(l, c) else None,
        "erlang": lambda a, l, c: (GAMMA, (a[0], 1 / s(c))) if plain(l, c) else None,
        "chi2": lambda a, l, c: (GAMMA, (s(a[0]) / 2, 0.5 / s(c))) if plain(l, c) else None,
        "beta": lambda a, l, c: (BETA, (a[0], a[1])) if plain(l, c) and np.all(np.asarray(c) == 1) else None,
        "lognorm": lambda a, l, c: (LOG_NORMAL, (np.log(c), a[0])) if plain(l, c) else None,
        "weibull_min": lambda a, l, c: (WEIBULL, (c, a[0])) if plain(l, c) else None,
        "rayleigh": lambda a, l, c: (WEIBULL, (s(c) * math.sqrt(2), 2.0)) if plain(l, c) else None,
        "t": lambda a, l, c: (STUDENT_T, (a[0], l, c)),
        "cauchy": lambda a, l, c: (CAUCHY, (l, c)),
        "laplace": lambda a, l, c: (LAPLACE, (l, c)),
        "logistic": lambda a, l, c: (LOGISTIC, (l, c)),
        "pareto": lambda a, l, c: (PARETO, (c, a[0])) if plain(l, c) else None,
        "halfnorm": lambda a, l, c: (HALF_NORMAL, (c,)) if plain(l, c) else None,
        "truncnorm": lambda a, l, c: (TRUNCATED_NORMAL, (l, c, s(l) + s(c) * s(a[0]), s(l) + s(c) * s(a[1]))),
        "invgamma": lambda a, l, c: (INVERSE_GAMMA, (a[0], c)) if plain(l, c) else None,
        "loguniform": lambda a, l, c: (LOG_UNIFORM, (s(a[0]) * s(c), s(a[1]) * s(c))) if plain(l, c) else None,
        "reciprocal": lambda a, l, c: (LOG_UNIFORM, (s(a[0]) * s(c), s(a[1]) * s(c))) if plain(l, c) else None,
        "poisson": lambda a, l, c: (POISSON, (a[0],)) if plain(l, c) else None,
        "binom": lambda a, l, c: (BINOMIAL, (a[0], a[1])) if plain(l, c) else None,
        "bernoulli": lambda a, l, c: (BERNOULLI, (a[0],)) if plain(l, c) else None,
        "nbinom": lambda a, l, c: (NEGATIVE_BINOMIAL, (s(a[0]) * (1 - s(a[1])) / s(a[1]), a[0])) if plain(l, c) else None,
        "betabinom": lambda a, l, c: (BETA_BINOMIAL, (a[1], a[2], a[0])) if plain(l, c) else None,
        "randint": lambda a, l, c: (DISCRETE_UNIFORM, (a[0], s(a[1]) - 1)) if plain(l, c) else None,
    }

    def rvs(self, *args, **kw):
        # One's own distribution may have the name of a known one.
        make = table.get(getattr(self, "name", None)) if type(self).__module__ in ("scipy.stats._continuous_distns", "scipy.stats._discrete_distns") else None
        if make is None or not _running():
            return native(self, *args, **kw)
        more = {k: v for k, v in kw.items() if k not in ("random_state", "discrete")}
        try:
            shapes, loc, scale, size = self._parse_args_rvs(*args, **more)
            made = make(shapes, loc, scale)
            if made is None:
                return native(self, *args, **kw)
            kind, params = made
            full = np.broadcast_shapes(*(np.shape(p) for p in params))
            shape = full if size is None else _shape(size)
            if np.broadcast_shapes(full, shape) != shape:
                return native(self, *args, **kw)
        except (TypeError, ValueError, IndexError):
            return native(self, *args, **kw)
        v = _tensor(f"stats.{self.name}", kind, False, shape, params)
        if v is None:
            return native(self, *args, **kw)
        if kind in (POISSON, BINOMIAL, BERNOULLI, NEGATIVE_BINOMIAL, BETA_BINOMIAL, DISCRETE_UNIFORM):
            v = v.astype(np.int64)
            return v if shape else int(v)
        return v if shape else v[()]

    rvs.__doc__ = native.__doc__
    rv.rvs = rvs


# ---- random


def _random():
    import random

    base = random.Random

    def f(name, n, kind, params, discrete=False, stand_in=False, after=None):
        native = getattr(base, name)

        def g(self, *args, **kw):
            if not _running() or type(self).random is not Random.random:  # one's own generator
                return native(self, *args, **kw)
            v = _one(name, kind, stand_in, n, *map(float, params(*args, **kw)))
            if v is None or v != v:
                return native(self, *args, **kw)
            if after is not None:
                v = after(v)
            return int(v) if discrete else v

        g.__name__, g.__qualname__, g.__doc__ = name, f"Random.{name}", native.__doc__
        return g

    class Random(base):
        __doc__ = base.__doc__

        def seed(self, a=None, version=2):
            if a is not None:
                _note_seed(1, a)
            super().seed(a, version)

        def setstate(self, state):
            if _lib is not None:
                _lib.ppx_hijack_notice(REPEATS)
            super().setstate(state)

        def getrandbits(self, k):
            if k <= 0 or not _running():
                return super().getrandbits(k)
            out, left = 0, k
            while left > 0:
                n = min(left, 52)
                v = _one("getrandbits", DISCRETE_UNIFORM, k > 52, 2, 0.0, float(2**n - 1))
                if v is None:
                    return super().getrandbits(k)
                out, left = (out << n) | int(v), left - n
            return out

        def _randbelow(self, n):
            if n < 1 or n > 2**53 or not _running():
                return super()._randbelow(n)
            v = _one("randbelow", DISCRETE_UNIFORM, False, 2, 0.0, float(n - 1))
            return super()._randbelow(n) if v is None else int(v)

        def choices(self, population, weights=None, *, cum_weights=None, k=1):
            if not _running() or (weights is None and cum_weights is None):
                return super().choices(population, weights, cum_weights=cum_weights, k=k)
            w = list(weights) if weights is not None else [b - a for a, b in zip([0, *cum_weights], cum_weights)]
            if len(w) != len(population):
                return super().choices(population, weights, cum_weights=cum_weights, k=k)
            n = len(w)
            row = (ctypes.c_double * n)(*map(float, w))
            site = _place("choices", CATEGORICAL, True)
            out = []
            if site is not None:
                data, ranks = (ctypes.c_void_p * 1)(ctypes.addressof(row)), (ctypes.c_uint * 1)(1)
                dims = (ctypes.c_ulonglong * 1)(n)
                shapes = (ctypes.c_void_p * 1)(ctypes.addressof(dims))
                v = ctypes.c_double()
                for _ in range(k):
                    if not _draw(site, CATEGORICAL, 1, data, ranks, shapes, 0, None, ctypes.addressof(v)):
                        site = None
                        break
                    out.append(population[int(v.value)])
            return super().choices(population, weights, cum_weights=cum_weights, k=k) if site is None else out

        def shuffle(self, x):
            n = len(x)
            site = _place("shuffle", UNIFORM, True) if n > 1 and _running() else None
            if site is None:
                return super().shuffle(x)
            u, dims = (ctypes.c_double * n)(), (ctypes.c_ulonglong * 1)(n)
            _iid(site, UNIFORM, 2, 0.0, 1.0, 0.0, 0.0, 1, dims, u)
            x[:] = [x[i] for i in sorted(range(n), key=u.__getitem__)]

    made = {
        "random": f("random", 2, UNIFORM, lambda: (0.0, 1.0), after=lambda v: v if v < 1 else 1 - 2.0**-53),
        "uniform": f("uniform", 2, UNIFORM, lambda a, b: (min(a, b), max(a, b))),
        "gauss": f("gauss", 2, NORMAL, lambda mu=0.0, sigma=1.0: (mu, sigma)),
        "normalvariate": f("normalvariate", 2, NORMAL, lambda mu=0.0, sigma=1.0: (mu, sigma)),
        "expovariate": f("expovariate", 1, EXPONENTIAL, lambda lambd=1.0: (lambd,)),
        "gammavariate": f("gammavariate", 2, GAMMA, lambda alpha, beta: (alpha, 1.0 / beta if beta else math.nan)),
        "betavariate": f("betavariate", 2, BETA, lambda alpha, beta: (alpha, beta)),
        "lognormvariate": f("lognormvariate", 2, LOG_NORMAL, lambda mu, sigma: (mu, sigma)),
        "weibullvariate": f("weibullvariate", 2, WEIBULL, lambda alpha, beta: (alpha, beta)),
        "paretovariate": f("paretovariate", 2, PARETO, lambda alpha: (1.0, alpha)),
        "vonmisesvariate": f("vonmisesvariate", 2, VON_MISES, lambda mu, kappa: (math.remainder(mu, 2 * math.pi), kappa), stand_in=True, after=lambda v: v % (2 * math.pi)),
    }
    if hasattr(base, "binomialvariate"):
        made["binomialvariate"] = f("binomialvariate", 2, BINOMIAL, lambda n=1, p=0.5: (n, p), discrete=True)
    for name, g in made.items():
        setattr(Random, name, g)
    Random.__module__, Random.__qualname__ = "random", "Random"
    inst = Random()
    random.Random, random._inst = Random, inst
    for name in ("seed random uniform triangular randint choice randrange sample shuffle choices normalvariate lognormvariate expovariate vonmisesvariate gammavariate gauss "
                 "betavariate binomialvariate paretovariate weibullvariate getstate setstate getrandbits randbytes").split():
        if hasattr(inst, name) and hasattr(random, name):
            setattr(random, name, getattr(inst, name))


# ---- What nobody answers


def _watch():
    """Clocks and random numbers of the system: that the script looks at them is told."""
    import random
    import sysconfig
    import time

    libraries = tuple(sysconfig.get_paths()[k] for k in ("stdlib", "platstdlib", "purelib", "platlib")) + ("<frozen",)

    def of_script(depth=2):
        f = sys._getframe(depth)
        while f is not None and (f.f_code.co_filename == random.__file__ or f.f_code.co_filename.endswith("/secrets.py")):
            f = f.f_back
        return f is not None and not f.f_code.co_filename.startswith(libraries)

    def told(native, notice):
        def f(*args):
            if _live and of_script():
                _lib.ppx_hijack_notice(notice)
            return native(*args)

        f.__name__, f.__doc__ = native.__name__, native.__doc__
        return f

    time.time, time.time_ns = told(time.time, CLOCKS), told(time.time_ns, CLOCKS)
    os.urandom = random._urandom = told(os.urandom, OUTSIDE)


# ---- Running


class _Finder:
    """Hooks modules when they have been imported."""

    after = {"numpy.random": _numpy, "scipy.stats._distn_infrastructure": _scipy}

    def find_spec(self, name, path=None, target=None):
        hook = self.after.get(name)
        if hook is None:
            return None
        import importlib.util

        del self.after[name]
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        native = spec.loader.exec_module

        def exec_module(module):
            native(module)
            hook(module)

        spec.loader.exec_module = exec_module
        return spec


def _given():
    """The command line of a run; its environment is set."""
    argc, envc = ctypes.c_uint(), ctypes.c_uint()
    get = _lib.ppx_hijack_args
    get.restype = ctypes.c_void_p
    at = get(ctypes.byref(argc), ctypes.byref(envc))
    out = []
    for _ in range(argc.value + envc.value):
        s = ctypes.string_at(at)
        at += len(s) + 1
        out.append(os.fsdecode(s))
    for e in out[argc.value :]:
        name, _, value = e.partition("=")
        os.environ[name] = value
    return out[1 : argc.value]


_compiled = {}


def _read(name):
    """A script's code, compiled once for all runs."""
    if name not in _compiled:
        with open(name, "rb") as f:
            _compiled[name] = compile(f.read(), name, "exec")
    return _compiled[name]


def _execute(args):
    """Runs the script (or -m MODULE, -c CODE) as the interpreter would. Returns its exit status."""
    import types

    try:
        if args[0] == "-m":
            import runpy

            sys.argv = args[1:]
            sys.path[0] = os.getcwd()
            runpy.run_module(args[1], run_name="__main__", alter_sys=True)
        else:
            m = types.ModuleType("__main__")
            m.__dict__["__builtins__"] = __builtins__
            if args[0] == "-c":
                source, name = args[1], "<string>"
                sys.argv = ["-c"] + args[2:]
                sys.path[0] = ""
            else:
                name = args[0]
                source = _read(name)
                m.__file__ = name
                sys.argv = args
                sys.path[0] = os.path.dirname(os.path.abspath(name))
            sys.modules["__main__"] = m
            exec(source if isinstance(source, types.CodeType) else compile(source, name, "exec"), m.__dict__)
    except SystemExit as e:
        if e.code is None or isinstance(e.code, int):
            return (e.code or 0) & 0xFF
        print(e.code, file=sys.stderr)
        return 1
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


def _finish():
    """What the interpreter does at its end, but for taking itself apart."""
    import atexit
    import threading

    try:
        threading._shutdown()
        atexit._run_exitfuncs()
    finally:
        _flush()


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def _main(fork, imports, args):
    global _armed, _live, _thread, _root, _get_ident
    import threading

    try:
        _bind()
    except AttributeError:
        print("ppx wrap: its library is not in this process: something between ppx wrap and Python has taken it out of LD_PRELOAD", file=sys.stderr)
        sys.exit(1)
    _get_ident = threading.get_ident
    _thread = _get_ident()
    _root = _execute.__code__
    sys.meta_path.insert(0, _Finder())
    for name, hook in list(_Finder.after.items()):
        if name in sys.modules:
            del _Finder.after[name]
            hook(sys.modules[name])
    _random()
    _watch()
    for name in filter(None, imports.split(",")):
        __import__(name)
    os.register_at_fork(after_in_child=_forked)
    if fork == "draw":
        _armed = True
        _lib.ppx_hijack_snapshot()
        status = _execute(args)
        _finish()
        os._exit(status)
    if fork == "none":
        while True:
            _lib.ppx_hijack_next()
            given = _given()
            _live = True
            status = _execute(given)
            _live = False
            _flush()
            _lib.ppx_hijack_ended(status << 8)
    if fork == "main":
        import gc

        if args[0] not in ("-m", "-c"):
            try:
                _read(args[0])
            except (OSError, SyntaxError, ValueError):
                pass  # each run will say so
        gc.collect()
        gc.freeze()  # a run that looked through all that was there before it would copy it
        _lib.ppx_hijack_serve()
    given = _given()
    _live = True
    status = _execute(given if fork == "main" else args)
    _live = False
    _finish()
    os._exit(status)


def _command():
    """python -m ppxsim.hijack FILE.toml -- SCRIPT ARGS: ppx wrap, which is to be found on the path."""
    import shutil

    if "--" not in sys.argv or len(sys.argv) < 4:
        print("usage: python -m ppxsim.hijack FILE.toml [ENDPOINT] -- SCRIPT.py ARGS", file=sys.stderr)
        sys.exit(2)
    ppx = shutil.which("ppx")
    if ppx is None:
        sys.exit("ppxsim.hijack: there is no ppx on the path; it is what runs scripts (ppx wrap)")
    k = sys.argv.index("--")
    os.execv(ppx, [ppx, "wrap", *sys.argv[1:k], "--", sys.executable, *sys.argv[k + 1 :]])


if __name__ == "__main__":
    if len(sys.argv) > 3 and os.environ.get("PPX_LINK_PYTHON"):
        del os.environ["PPX_LINK_PYTHON"]
        # One module, however it was started.
        sys.modules["ppxsim.hijack"] = sys.modules["__main__"]
        _main(sys.argv[1], sys.argv[2], sys.argv[3:])
    else:
        _command()
