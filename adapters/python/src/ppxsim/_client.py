"""The simulator's side of the conversation.

The engine opens it and starts each run; from then on the simulator asks and the engine answers, statement
by statement, until the run's result.
"""

from __future__ import annotations

import argparse
import contextlib
import contextvars
import os
import secrets
import sys
import time
import traceback
from typing import Any, Callable, Iterator, List, Optional, Tuple, Union

import numpy as np
import zmq

from . import _random as random
from . import _rows as rows
from . import _wire as wire
from ._address import address as _call_address
from ._distributions import Distribution, Uniform
from ._notes import Notes, Solo, site_shape, valid_shape
from ._structured import Factor
from ._version import __version__

SYSTEM_NAME = f"ppxsim {__version__} (Python {sys.version_info.major}.{sys.version_info.minor}{'' if random.COMPILED else '; no compiled samplers'})"
ENDPOINT_VAR = "PPX_ENDPOINT"


class ProtocolError(RuntimeError):
    """The engine said something that the protocol does not allow here."""


class _BrokenSocket(RuntimeError):
    """The engine cannot be reached any more."""


class RunAborted(BaseException):
    """The engine began anew in the middle of a run. Not an Exception, so that a simulator's own handlers
    let it pass."""


LEASE = 10.0  # seconds for which the simulator is kept for an engine that says nothing


class _Local:
    """Draws by itself: statement after statement from one seed."""

    def __init__(self, seed: Optional[int] = None) -> None:
        self.solo = Solo(secrets.randbits(64) if seed is None else int(seed) % 2**64, (0,), (0,))
        self.solo.begin(0)

    def draw(self, dist: Distribution) -> Any:
        shape = valid_shape(dist.kind, dist.params)
        if shape is None:
            raise ValueError(f"{dist!r}: invalid parameters, or parameters that do not broadcast")
        value = self.solo.value(dist.kind, shape, dist.params, True)
        self.solo.statement += 1
        return value


class _Remote:
    """The engine, as the simulator sees it: it is asked, or told later what the simulator has done by
    itself."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.templates = wire.Templates()
        # the engine's session
        self.token = 0
        self.contact = time.monotonic()
        self.speaks = 0  # the extension; 0: none
        self.notes = Notes()
        # the run in progress
        self.mode = wire.ASK
        self.order = wire.Order()
        self.solo = Solo(0, (0,), (0,))
        self.flushed = 0.0
        self.over: Optional[wire.Message] = None  # the engine's Handshake or Abort that ended it
        self.length = 16
        self.statements = 0  # of the Run message's runs

    def send(self, msg: bytes) -> None:
        self._send(msg)
        self.contact = time.monotonic()

    def _send(self, msg: bytes) -> None:
        try:
            self.socket.send(msg)
        except zmq.ZMQError as e:
            raise _BrokenSocket(f"sending: {e}") from e

    def receive(self) -> wire.Message:
        """A message of the session's engine, or of one that may begin a session."""
        while True:
            try:
                msg = self.socket.recv()
            except zmq.ZMQError as e:
                raise _BrokenSocket(f"receiving: {e}") from e
            try:
                m = wire.decode(msg)
            except wire.MalformedError:
                if self.token == 0:
                    raise
                self._send(wire.reset())  # it may be anybody's
                continue
            now = time.monotonic()
            if self.token in (0, m.token) or (m.type == wire.HANDSHAKE and now - self.contact > LEASE):
                self.contact = now
                return m
            self._send(wire.reset(wire.BUSY, "another engine is at this simulator"))

    def ask(self, msg: bytes, answer: int, with_notes: bool = False) -> Any:
        self.send(msg)
        if with_notes:
            self.notes.empty()
        self.flushed = self.contact
        m = self.receive()
        if m.type in (wire.HANDSHAKE, wire.ABORT):
            self.over = m
            raise RunAborted()
        if m.type != answer:
            raise ProtocolError(f"{wire.NAMES[m.type]} where {wire.NAMES[answer]} was due")
        return m.value

    def flush(self, more: bool) -> None:
        msg = wire.statements(self.notes.chunk, more)
        if more:
            self.ask(msg, wire.STATEMENTS_RESULT, with_notes=True)
        else:
            self.send(msg)
            self.notes.empty()

    def flush_if_due(self) -> None:
        o = self.order
        if self.notes.bytes >= o.flush_bytes or time.monotonic() - self.flushed >= o.flush:
            self.flush(True)

    def make_room(self) -> None:
        """Start the numbers anew where that is due."""
        if self.notes.full():
            if self.notes.chunk.statements:
                self.flush(True)
            self.notes.restart()

    def sample(self, address: str, name: str, dist: Distribution, control: bool) -> Any:
        if self.over is not None:  # the model went on after RunAborted
            raise RunAborted()
        kind, params, notes = dist.kind, dist.params, self.notes
        if kind > random.LAST_PLAIN and wire.extension_of(kind) > self.speaks:
            return self.by_uniforms(address, name, dist, control)
        if self.mode != wire.DELEGATE:
            notes.count(name)
            self.solo.statement += 1
            earlier = notes.chunk if notes.chunk.statements else None
            msg = _message(wire.SAMPLE, address, name, dist, control, None, self.templates, earlier)
            return _fitted(self.ask(msg, wire.SAMPLE_RESULT, with_notes=earlier is not None), address, dist)
        shape = valid_shape(kind, params)
        self.make_room()
        f = notes.form(wire.SAMPLE, address, name, kind, params, control, shape)
        if shape is None:  # the engine has the words for it
            notes.add(f, params, None)
            self.flush(True)
            raise ValueError(f"{dist!r} at {address}: invalid parameters")
        given = notes.given(f)
        assert f.base is not None
        instance = f.base.count(notes.epoch)
        reused = f.base.values.get(instance) if f.base.values else None
        n = int(np.prod(shape)) if shape else 1
        if given is not None and given.size == n:
            v = given.reshape(shape).copy()  # the model may change it
        elif reused is not None and reused.size == n and (n == 1 or reused.shape == shape):
            v = reused.reshape(shape).copy()
        else:
            v = self.solo.value(kind, shape, params, control)
        self.solo.statement += 1
        notes.add(f, params, v)
        self.flush_if_due()
        return v

    def own(self, address: str, name: str, kind: int, parameters: Any, control: bool, draw: Any, log_prob: Any) -> float:
        """A Sample of a distribution of the simulator's own, which it draws whoever else draws."""
        if self.over is not None:
            raise RunAborted()
        if wire.extension_of(kind) > self.speaks:
            raise ValueError(
                f"a custom distribution at {address}: the engine would have to leave the draw to the simulator, and knows nothing of that "
                f"(it speaks an extension below {wire.extension_of(kind)})"
            )
        notes = self.notes
        self.make_room()
        f = None
        if self.mode == wire.ASK:
            given = notes.count(name)
        else:
            f = notes.form(wire.SAMPLE, address, name, kind, (0.0, parameters), control, ())
            given = notes.given(f)
        base = notes.base(address, kind)
        instance = base.count(notes.epoch)
        reused = base.values.get(instance) if base.values else None
        if given is not None and given.size == 1:
            v = float(given.reshape(-1)[0])
        elif reused is not None and reused.size == 1:
            v = float(reused.reshape(-1)[0])
        else:
            v = _number(draw(self.solo.stream().uniform), "draw")
        self.solo.statement += 1
        params = (_number(log_prob(v), "log_prob"), parameters)
        if f is None:
            self.ask(wire.statement(wire.SAMPLE, address, name, kind, params, control, v), wire.SAMPLE_RESULT)
        else:
            notes.add(f, params, v)
            self.flush_if_due()
        return v

    def by_uniforms(self, address: str, name: str, dist: Distribution, control: bool) -> Any:
        """Draw for an engine that does not know the family: each uniform number that its sampler takes is a Sample, at an address of its own."""
        if name:
            raise _strange("Sample", address, dist)
        shape = valid_shape(dist.kind, dist.params)
        if shape is None:
            raise ValueError(f"{dist!r} at {address}: invalid parameters")
        uniform = Uniform(0.0, 1.0)
        s: Any = random.Asking(lambda: float(self.sample(address + ".uniform", "", uniform, control)))
        if dist.kind in rows.EVENTS:
            return rows.draw(s, dist.kind, shape, dist.params, False)
        draw = random.DRAW[dist.kind]
        if shape == ():
            return draw(s, *(float(p) for p in dist.params))
        each = zip(*(np.broadcast_to(p, shape).reshape(-1).tolist() for p in dist.params))
        return np.array([draw(s, *p) for p in each], dtype=np.float64).reshape(shape)

    def tell(self, op: int, address: str, name: str, dist: Optional[Distribution], value: Any, answer: int) -> None:
        """An Observe or a Tag."""
        if self.over is not None:
            raise RunAborted()
        if dist is not None and dist.kind > random.LAST_PLAIN and wire.extension_of(dist.kind) > self.speaks:
            raise _strange("Observe", address, dist)
        self.solo.statement += 1
        value = _plain(value)
        if self.mode == wire.ASK:
            self.notes.count(name)
            self.ask(_message(op, address, name, dist, False, value, self.templates), answer)
            return
        self.make_room()
        kind, params = (dist.kind, dist.params) if dist is not None else (0, ())
        f = self.notes.form(op, address, name, kind, params, True, None if value is None else np.shape(value))
        if f.name is not None:
            f.name.count(self.notes.epoch)
        self.notes.add(f, params, value)
        self.flush_if_due()

    def serve_one(self, system: str, name: str, model: Callable[[], Any]) -> None:
        """Answer one message between two runs."""
        try:
            m = self.receive()
        except wire.MalformedError:
            self.send(wire.reset())
            return
        if m.type == wire.RUN:
            ended_by = self.runs(m.order, model)
            if ended_by is None:
                return
            m = ended_by
        if m.type == wire.HANDSHAKE:
            self.token, self.speaks = m.token, min(m.extension, wire.EXTENSION)
            self.notes = Notes()
            self.send(wire.handshake_result(system, name, self.speaks))
        elif m.type == wire.ABORT:
            if m.leave:
                self.token = 0
            self.send(wire.reset(wire.ABORTED))
        else:
            self.send(wire.reset())

    def runs(self, order: wire.Order, model: Callable[[], Any]) -> Optional[wire.Message]:
        """Make the runs that a Run message asks for; returns the message that ended them early, if one did."""
        self.over, self.order, self.mode = None, order, order.mode
        if self.notes.chunk.forms or self.notes.chunk.statements:  # left over from a run that was lost
            self.notes.restart()
        try:
            self.notes.take(order)
            draws = order.draws if order.mode == wire.DELEGATE else order.draws[:1] or (0,)
            self.solo = Solo(order.seed, order.streams or (order.stream,) * len(draws), draws, order.inflation, self.length)
            self.flushed = time.monotonic()
            self.statements = 0
            for i in range(len(draws)):
                if i > 0 and order.mode == wire.DELEGATE:
                    self.flush_if_due()
                result = self.run(i, model)
                if self.over is not None:  # the model has swallowed RunAborted
                    return self.over
            if order.mode == wire.DELEGATE and draws:
                self.length = max(4, min(self.statements // len(draws) + 1, 1024))  # of the next runs, as far as is known
            if order.mode == wire.ASK:
                self.send(wire.run_result(result))
            else:
                self.flush(False)
        except RunAborted as e:
            if self.over is None:  # the model's own doing
                if self.speaks == 0:
                    raise
                self.fail(e)
        except _BrokenSocket:
            raise
        except Exception as e:
            if self.over is None:
                if self.speaks == 0:
                    raise
                self.fail(e)
        return self.over

    def run(self, i: int, model: Callable[[], Any]) -> Any:
        if self.notes.crowded():
            if self.notes.chunk.statements:
                self.flush(True)
            self.notes.prune()
        self.solo.begin(i)
        if self.mode == wire.DELEGATE:
            self.notes.give(i)
        self.notes.epoch += 1
        start = time.perf_counter()
        result = _call_model(model)
        result = _NOTHING if result is None else result
        self.statements += self.solo.statement
        if self.over is None and self.mode != wire.ASK:
            self.notes.end(np.asarray(result, dtype=np.float64), self.solo.statement, time.perf_counter() - start)
        return result

    def fail(self, e: BaseException) -> None:
        """Tell the engine that the run has failed: the runs before it, how far it has come, and why."""
        with contextlib.suppress(Exception):  # stderr may be closed
            traceback.print_exc()
            sys.stderr.flush()
        if self.mode == wire.DELEGATE and self.notes.bytes and not isinstance(e, (ProtocolError, wire.MalformedError)):
            try:
                self.flush(True)
            except RunAborted:
                return
            except ProtocolError:
                pass
        text = type(e).__name__
        with contextlib.suppress(Exception):  # an exception need not know how to show itself
            text = f"{text}: {e}"[:4000]
        self.send(wire.reset(wire.FAILED, text.encode("utf-8", "replace").decode()))


def _number(x: Any, what: str) -> float:
    """What a function of a custom distribution returns."""
    if np.ndim(x) != 0:
        raise TypeError(f"custom: {what} returned {x!r}: it gives one number")
    return float(x)


def _strange(statement: str, address: str, dist: Distribution) -> ValueError:
    """An engine without the family cannot be told of a statement."""
    return ValueError(
        f"{statement} of {type(dist).__name__} at {address}: the engine does not know this family (it speaks an extension of PPX below "
        f"{wire.extension_of(dist.kind)}); an unnamed Sample is drawn by uniform numbers, but a name may have data, and an Observe a density"
    )


_run: contextvars.ContextVar[Union[_Local, _Remote, None]] = contextvars.ContextVar("ppxsim", default=None)


_serving = 0  # calls of serve in progress


def _current() -> Union[_Local, _Remote]:
    run = _run.get()
    if run is None:
        if _serving:
            raise RuntimeError(
                "a statement in a thread of its own, while an engine is served: it would draw by itself, unseen by the engine. "
                "One thread makes one run; make the statements on the thread that called the model."
            )
        run = _Local()
        _run.set(run)
    return run


def attached() -> bool:
    """Whether an engine answers at present."""
    return isinstance(_run.get(), _Remote)


@contextlib.contextmanager
def local(seed: Optional[int] = None) -> Iterator[None]:
    """Within it, statements are answered by this client's own generator with this seed."""
    token = _run.set(_Local(seed))
    try:
        yield
    finally:
        _run.reset(token)


def _message(
    kind: int, address: str, name: str, dist: Optional[Distribution], control: bool, value: Any, t: wire.Templates, before: Optional[wire.Chunk] = None
) -> bytes:
    dist_kind, params = (dist.kind, dist.params) if dist is not None else (0, ())
    if before is None and all(type(p) is float for p in params) and (value is None or type(value) is float):
        return t.statement(kind, address, name, dist_kind, params, control, value)
    return wire.statement(kind, address, name, dist_kind, params, control, value, before)


def _fitted(v: Any, address: str, dist: Distribution) -> Any:
    """An engine's answer in the shape of the site: some engines answer a scalar with shape [1]."""
    shape = site_shape(dist.kind, dist.params)
    if v is None:
        v = np.zeros(0)
    if shape is None or wire.elements(shape) != v.size or _long(v.shape) not in (_long(shape), [v.size]):
        values = "whose parameters do not broadcast" if shape is None else f"whose values have shape {shape}"
        raise ProtocolError(f"an answer of shape {v.shape} to Sample at {address}, {values}")
    return v.reshape(shape)


def _long(shape: Tuple[int, ...]) -> List[int]:
    """Without the dimensions of 1, which change nothing in the order of the elements."""
    return [d for d in shape if d != 1]


def _plain(value: Any) -> Any:
    """Scalars as floats, so that they take the short way."""
    if value is None or type(value) is float:
        return value
    if isinstance(value, (int, np.floating, np.integer)):
        return float(value)
    return np.asarray(value, dtype=np.float64)


def _check(call: str, dist: Any, name: Any, kinds: Any = Distribution) -> None:
    """Arguments in the wrong place are told at once, with an engine and without."""
    if not isinstance(dist, kinds):
        raise TypeError(f"{call}: {dist!r} where the distribution belongs, as Normal(0, 1)")
    if not isinstance(name, str):
        raise TypeError(f"{call}: {name!r} where the name belongs")


def sample(dist: Distribution, name: str = "", *, control: bool = True, address: Optional[str] = None) -> Any:
    """A value from dist: the engine's choice, or a draw when there is no engine.

    Returns a float, or an int for discrete families; an array (float64 or int64) for a tensor. control=False
    asks the engine to use no proposal here. address replaces the call stack as the name of this place.
    """
    _check("sample(dist, name)", dist, name)
    run = _current()
    if isinstance(run, _Local):
        v = run.draw(dist)
    else:
        a = address if address is not None else _call_address(sys._getframe(1), _ROOT)
        v = run.sample(a, name, dist, control)
    if type(v) is float or np.ndim(v) == 0:
        return int(v) if dist.discrete else float(v)
    return np.asarray(v).astype(np.int64) if dist.discrete else v


def custom(
    draw: Callable[[Callable[[], float]], float],
    log_prob: Callable[[float], float],
    parameters: Any = (),
    name: str = "",
    *,
    discrete: bool = False,
    control: bool = True,
    address: Optional[str] = None,
) -> Any:
    """A number from a distribution of one's own: draw(u) makes it of uniform numbers u() between 0 and 1, log_prob(x) is its log density, parameters are recorded.

    The value may be given as data, or kept from another run: then log_prob is asked for its density. The engine cannot check either function, and no
    network proposes values.
    """
    if not callable(draw) or not callable(log_prob) or not isinstance(name, str):
        raise TypeError("custom(draw, log_prob, parameters, name): two functions, numbers and a name")
    run = _current()
    if isinstance(run, _Local):
        v = _number(draw(run.solo.stream().uniform), "draw")
        run.solo.statement += 1
    else:
        a = address if address is not None else _call_address(sys._getframe(1), _ROOT)
        kind = rows.DISCRETE_CUSTOM if discrete else rows.CUSTOM
        v = run.own(a, name, kind, np.atleast_1d(np.asarray(parameters, dtype=np.float64)).reshape(-1), control, draw, log_prob)
    return int(v) if discrete else v


def observe(dist: Distribution, value: Any = None, name: str = "", *, address: Optional[str] = None) -> None:
    """Tell that data of this name are distributed like dist. The engine has the data; value is what the
    simulator itself knows of them, if anything. observe(dist, "y") is observe(dist, name="y")."""
    if isinstance(value, str):
        if name != "":
            raise TypeError(f"observe(dist, value, name): {value!r} where the value belongs, and {name!r} for the name")
        value, name = None, value
    # The protocol knows an Observe without distribution.
    _check("observe(dist, value, name)", dist, name, (Distribution, type(None)))
    run = _current()
    if isinstance(run, _Remote):
        a = address if address is not None else _call_address(sys._getframe(1), _ROOT)
        run.tell(wire.OBSERVE, a, name, dist, value, wire.OBSERVE_RESULT)


def factor(log_weight: float, name: str = "", *, address: Optional[str] = None) -> None:
    """Weigh the run by exp(log_weight): a soft constraint, or a likelihood that was computed elsewhere. -inf makes the run impossible.
    Under ppx prior factors do nothing."""
    if isinstance(log_weight, str) or not isinstance(name, str):
        raise TypeError(f"factor(log_weight, name): the weight comes first, then the name, not {log_weight!r}, {name!r}")
    run = _current()
    if isinstance(run, _Remote):
        a = address if address is not None else _call_address(sys._getframe(1), _ROOT)
        run.tell(wire.OBSERVE, a, name, Factor(float(log_weight)), 0.0, wire.OBSERVE_RESULT)


def tag(value: Any, name: str = "", *, address: Optional[str] = None) -> None:
    """Record a value that the model computed."""
    if value is None:
        raise TypeError("tag needs a value")
    if isinstance(value, str) or not isinstance(name, str):
        raise TypeError(f"tag(value, name): the value comes first, then the name, not {value!r}, {name!r}")
    run = _current()
    if isinstance(run, _Remote):
        a = address if address is not None else _call_address(sys._getframe(1), _ROOT)
        run.tell(wire.TAG, a, name, None, value, wire.TAG_RESULT)


def _mark(address: Optional[str], end: str) -> None:
    run = _current()
    if isinstance(run, _Remote):
        a = address if address is not None else _call_address(sys._getframe(2), _ROOT)
        run.tell(wire.TAG, a + end, "", None, 1.0, wire.TAG_RESULT)


def rs_start(*, address: Optional[str] = None) -> None:
    """Mark the beginning of each pass of a rejection loop: a network may be trained to know the accepted passes alone, and traces weighed by
    them. Loops may be nested; data are observed after them."""
    _mark(address, ":rs_start")


def rs_end(*, address: Optional[str] = None) -> None:
    """Mark the end of the rejection loop that has begun last, after the accepted pass."""
    _mark(address, ":rs_end")


_NOTHING = np.zeros(0)  # as a result says that there is none


def _call_model(model: Callable[[], Any]) -> Any:
    """Addresses begin below this function."""
    return model()


_ROOT = _call_model.__code__


class _CannotBind(OSError):
    """An endpoint that is none, or that another process has."""


def serve(model: Callable[[], Any], name: str, endpoint: str) -> None:
    """Bind endpoint (tcp://127.0.0.1:5555, ipc:///path, ipc://@name) and answer engines until the process
    ends. Anyone who can connect can run the model: PPX has no authentication, so bind loopback or a Unix
    socket unless the network is yours.

    Raises OSError where that is no endpoint, or taken. An exception of the model fails the run, and the engine is told. With an engine that speaks plain PPX 1.0,
    which has no message for it, it ends serve, and the engine notices the end of the process.
    """
    global _serving
    context = zmq.Context()
    try:
        socket = context.socket(zmq.REP)
        socket.linger = 0
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as e:
            raise _CannotBind(f"cannot bind {endpoint} (tcp://HOST:PORT, ipc://PATH or ipc://@NAME): {zmq.strerror(e.errno or 0)}") from None
        run = _Remote(socket)
        token = _run.set(run)
        _serving += 1
        try:
            while True:
                run.serve_one(SYSTEM_NAME, name, model)
        finally:
            _serving -= 1
            _run.reset(token)
    finally:
        context.destroy(linger=100)


def _shown(result: Any) -> str:
    """A number, or nested lists of numbers, as the other clients show them too."""
    try:
        return _nested(np.asarray(result, dtype=np.float64).tolist())
    except (TypeError, ValueError):
        return str(result)


def _nested(x: Any) -> str:
    if isinstance(x, list):
        return f"[{', '.join(map(_nested, x))}]"
    return str(int(x)) if x.is_integer() and abs(x) < 1e16 else repr(x)


def main(model: Callable[[], Any], name: str) -> Any:
    """The main function of a simulator: with --endpoint, or PPX_ENDPOINT in the environment, it serves an
    engine; else it runs the model once by itself, prints the result and returns it."""
    parser = argparse.ArgumentParser(description=f"The simulator {name}.")
    parser.add_argument("where", nargs="?", metavar="ENDPOINT", help="the same as --endpoint ENDPOINT")
    parser.add_argument("--endpoint", default=os.environ.get(ENDPOINT_VAR), help=f"serve an engine here (default: ${ENDPOINT_VAR}; without any, run once)")
    parser.add_argument("--seed", type=int, help="random seed when run without an engine")
    args = parser.parse_args()
    endpoint = args.where or args.endpoint
    if endpoint:
        try:
            serve(model, name, endpoint)
        except KeyboardInterrupt:
            return None
        except _CannotBind as e:
            sys.exit(f"{name}: {e}")
        except BaseException:
            # At once: a thread of the simulator must not keep the process alive, the engine waits for its end.
            traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)
    hint = 'give an endpoint as the first argument, or start it with "ppx … -- PROGRAM {endpoint}"'
    print(f"{name}: no engine ({hint}): running once by itself", file=sys.stderr, flush=True)
    with local(args.seed):
        result = model()
    if result is not None:
        print(_shown(result))
    return result
