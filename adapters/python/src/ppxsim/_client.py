"""The simulator's side of the conversation.

The engine opens it and starts each run; from then on the simulator asks and the engine answers, statement
by statement, until the run's result.
"""

from __future__ import annotations

import argparse
import contextlib
import contextvars
import os
import sys
import traceback
from typing import Any, Callable, Iterator, Optional, Union

import numpy as np
import zmq

from . import _wire as wire
from ._address import address as _call_address
from ._distributions import Distribution
from ._version import __version__

SYSTEM_NAME = f"ppxsim {__version__} (Python {sys.version_info.major}.{sys.version_info.minor})"
ENDPOINT_VAR = "PPX_ENDPOINT"


class ProtocolError(RuntimeError):
    """The engine said something that the protocol does not allow here."""


class RunAborted(BaseException):
    """The engine began anew in the middle of a run. Not an Exception, so that a simulator's own handlers
    let it pass."""


class _Local:
    """Draws by itself."""

    def __init__(self, seed: Optional[int] = None) -> None:
        self.rng = np.random.default_rng(seed)


class _Remote:
    """Asks the engine."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.templates = wire.Templates()
        self.pending: Optional[bytes] = None

    def ask(self, msg: bytes, answer: int) -> Any:
        if self.pending is not None:  # the model went on after RunAborted
            raise RunAborted()
        self.socket.send(msg)
        reply = self.socket.recv()
        m = wire.decode(reply)
        if m.type == wire.HANDSHAKE:
            self.pending = reply
            raise RunAborted()
        if m.type != answer:
            raise ProtocolError(f"{wire.NAMES[m.type]} where {wire.NAMES[answer]} was due")
        return m.value


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
    """Within it, statements are answered by numpy's generator with this seed."""
    token = _run.set(_Local(seed))
    try:
        yield
    finally:
        _run.reset(token)


def _message(kind: int, address: str, name: str, dist: Optional[Distribution], control: bool, value: Any, t: wire.Templates) -> bytes:
    dist_kind, params = (dist.kind, dist.params) if dist is not None else (0, ())
    if all(type(p) is float for p in params) and (value is None or type(value) is float):
        return t.statement(kind, address, name, dist_kind, params, control, value)
    return wire.statement(kind, address, name, dist_kind, params, control, value)


def _plain(value: Any) -> Any:
    """Scalars as floats, so that they take the short way."""
    if value is None or type(value) is float:
        return value
    if isinstance(value, (int, np.floating, np.integer)):
        return float(value)
    return np.asarray(value, dtype=np.float64)


def sample(dist: Distribution, name: str = "", *, control: bool = True, address: Optional[str] = None) -> Any:
    """A value from dist: the engine's choice, or a draw when there is no engine.

    Returns a float, or an int for discrete families; an array (float64 or int64) for a tensor. control=False
    asks the engine to use no proposal here. address replaces the call stack as the name of this place.
    """
    run = _current()
    if isinstance(run, _Local):
        v = dist.draw(run.rng)
    else:
        a = address if address is not None else _call_address(sys._getframe(1), _ROOT)
        v = run.ask(_message(wire.SAMPLE, a, name, dist, control, None, run.templates), wire.SAMPLE_RESULT)
        if v is None:
            raise ProtocolError(f"an empty answer to Sample at {a}")
    if np.ndim(v) == 0:
        return int(v) if dist.discrete else float(v)
    return np.asarray(v).astype(np.int64) if dist.discrete else v


def observe(dist: Distribution, value: Any = None, name: str = "", *, address: Optional[str] = None) -> None:
    """Tell that data of this name are distributed like dist. The engine has the data; value is what the
    simulator itself knows of them, if anything."""
    run = _current()
    if isinstance(run, _Remote):
        a = address if address is not None else _call_address(sys._getframe(1), _ROOT)
        run.ask(_message(wire.OBSERVE, a, name, dist, False, _plain(value), run.templates), wire.OBSERVE_RESULT)


def tag(value: Any, name: str = "", *, address: Optional[str] = None) -> None:
    """Record a value that the model computed."""
    run = _current()
    if isinstance(run, _Remote):
        a = address if address is not None else _call_address(sys._getframe(1), _ROOT)
        run.ask(_message(wire.TAG, a, name, None, False, _plain(value), run.templates), wire.TAG_RESULT)


def _call_model(model: Callable[[], Any]) -> Any:
    """Addresses begin below this function."""
    return model()


_ROOT = _call_model.__code__


def serve(model: Callable[[], Any], name: str, endpoint: str) -> None:
    """Bind endpoint (tcp://127.0.0.1:5555, ipc:///path, ipc://@name) and answer engines until the process
    ends. Anyone who can connect can run the model: PPX has no authentication, so bind loopback or a Unix
    socket unless the network is yours.

    An exception of the model ends serve: the protocol has no message for it, and the engine notices the
    end of the process.
    """
    global _serving
    context = zmq.Context()
    try:
        socket = context.socket(zmq.REP)
        socket.linger = 0
        socket.bind(endpoint)
        run = _Remote(socket)
        token = _run.set(run)
        _serving += 1
        try:
            _serve(run, model, name)
        finally:
            _serving -= 1
            _run.reset(token)
    finally:
        context.destroy(linger=100)


def _serve(run: _Remote, model: Callable[[], Any], name: str) -> None:
    while True:
        msg, run.pending = run.pending or run.socket.recv(), None
        try:
            kind = wire.decode(msg).type
        except wire.MalformedError:
            kind = wire.RESET
        if kind == wire.HANDSHAKE:
            run.socket.send(wire.handshake_result(SYSTEM_NAME, name))
        elif kind == wire.RUN:
            result: Any = None
            try:
                result = _call_model(model)
            except RunAborted:
                if run.pending is None:
                    raise
            if run.pending is not None:  # also when the model has swallowed RunAborted
                continue
            run.socket.send(wire.run_result(0.0 if result is None else result))
        else:
            run.socket.send(wire.reset())


def main(model: Callable[[], Any], name: str) -> Any:
    """The main function of a simulator: with --endpoint, or PPX_ENDPOINT in the environment, it serves an
    engine; else it runs the model once by itself and returns the result."""
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
        except BaseException:
            # At once: a thread of the simulator must not keep the process alive, the engine waits for its end.
            traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)
    with local(args.seed):
        return model()
