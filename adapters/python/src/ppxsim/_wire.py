"""PPX messages as bytes: flatbuffers tables, written with the flatbuffers library and read by checked
offsets (its Python runtime, like the others, trusts every offset of a message).

The engine opens the conversation and starts each run; from then on the simulator asks and the engine
answers, until the run's result.
"""

from __future__ import annotations

import struct
from array import array
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import flatbuffers
import numpy as np
from numpy.typing import NDArray

HANDSHAKE, HANDSHAKE_RESULT, RUN, RUN_RESULT, SAMPLE, SAMPLE_RESULT = 1, 2, 3, 4, 5, 6
OBSERVE, OBSERVE_RESULT, TAG, TAG_RESULT, RESET = 7, 8, 9, 10, 11
STATEMENTS, STATEMENTS_RESULT, ABORT = 12, 13, 14  # extensions

EXTENSION = 4  # the highest


def extension_of(kind: int) -> int:
    """The extension that has a family; 0 is PPX 1.0."""
    return 0 if kind <= 11 else 3 if kind <= 27 else 4


ASK, FORWARD, DELEGATE = 0, 1, 2  # which statements of a run wait for an answer
OUT_OF_TURN, BUSY, FAILED, ABORTED = 0, 1, 2, 3  # why a simulator sends Reset

NAMES = (
    "None", "Handshake", "HandshakeResult", "Run", "RunResult", "Sample", "SampleResult",
    "Observe", "ObserveResult", "Tag", "TagResult", "Reset", "Statements", "StatementsResult", "Abort",
)  # fmt: skip


class MalformedError(ValueError):
    """Bytes that are no PPX message."""


MAX_ELEMENTS, MAX_RANK = 1 << 26, 32


def elements(shape: Tuple[int, ...]) -> int:
    """The number of elements of a shape; −1 for one that cannot be."""
    n = 1
    if len(shape) > MAX_RANK or any(d < 0 for d in shape):
        return -1
    if 0 in shape:
        return 0
    for d in shape:
        n *= d
        if n > MAX_ELEMENTS:
            return -1
    return n


class Order(NamedTuple):
    """A Run message: how to make the next run, or several of them."""

    mode: int = ASK
    seed: int = 0
    stream: int = 0
    draws: Tuple[int, ...] = ()
    data_id: int = 0
    data: Optional[List[Tuple[str, NDArray[np.float64]]]] = None  # None: the simulator has them
    restart: bool = False  # of the numbers of address bases
    bases: Tuple[str, ...] = ()
    reuse: Tuple[Tuple[int, int, NDArray[np.float64]], ...] = ()  # number of a base, instance, value
    inflation: float = 0.0
    flush: float = 0.0  # seconds
    flush_bytes: int = 0
    streams: Tuple[int, ...] = ()  # of each run, in place of stream
    ends: Tuple[int, ...] = ()  # of each run: where in reuse its own end; (): all are every run's


class Message(NamedTuple):
    type: int
    value: Optional[NDArray[np.float64]] = None  # SampleResult
    token: int = 0
    extension: int = 0  # Handshake
    order: Order = Order()  # Run
    leave: bool = False  # Abort


class WireForm(NamedTuple):
    """What all statements of one kind at one place have in common."""

    op: int
    control: bool
    kind: int
    address: int  # number of a string
    name: int
    shapes: Tuple[int, ...]  # of each parameter, then of the value: rank, dimensions; −1 for no value


class Chunk:
    """Statements that are not waited for."""

    __slots__ = ("forms", "numbers", "restart", "statements", "strings")

    def __init__(self, restart: bool = False) -> None:
        self.restart = restart
        self.strings: List[str] = []
        self.forms: List[WireForm] = []
        self.statements = array("I")
        self.numbers = array("d")


# ---- writing


def _finish(b: Any, kind: int, body: int) -> bytes:
    b.StartObject(2)
    b.PrependUint8Slot(0, kind, 0)
    b.PrependUOffsetTRelativeSlot(1, body, 0)
    b.Finish(b.EndObject())
    return bytes(b.Output())


def _table(b: Any, *offsets: int) -> int:
    b.StartObject(len(offsets))
    for i, o in enumerate(offsets):
        if o:
            b.PrependUOffsetTRelativeSlot(i, o, 0)
    return int(b.EndObject())


def _tensor(b: Any, value: Any) -> int:
    """Data and shape, both always present: existing engines need them."""
    a = np.asarray(value, dtype="<f8")
    shape = np.asarray(a.shape, dtype="<i4")
    flat = np.ascontiguousarray(a).reshape(-1)
    data = _vector(b, flat, 8)
    return _table(b, data, _vector(b, shape, 4))


def _vector(b: Any, a: NDArray[Any], size: int) -> int:
    b.StartVector(size, len(a), size)
    raw = a.tobytes()
    b.head -= len(raw)
    b.Bytes[b.Head() : b.Head() + len(raw)] = raw
    try:
        return int(b.EndVector())
    except TypeError:  # flatbuffers before 2.0.1 wants the length
        return int(b.EndVector(len(a)))


def handshake_result(system_name: str, model_name: str, extension: int = 0) -> bytes:
    b = flatbuffers.Builder(256)
    s, m = b.CreateString(system_name), b.CreateString(model_name)
    b.StartObject(3)
    b.PrependUOffsetTRelativeSlot(0, s, 0)
    b.PrependUOffsetTRelativeSlot(1, m, 0)
    b.PrependUint16Slot(2, extension, 0)
    return _finish(b, HANDSHAKE_RESULT, b.EndObject())


def reset(reason: int = OUT_OF_TURN, error: str = "") -> bytes:
    b = flatbuffers.Builder(64)
    e = b.CreateString(error) if error else 0
    b.StartObject(2)
    if e:
        b.PrependUOffsetTRelativeSlot(0, e, 0)
    b.PrependUint8Slot(1, reason, 0)
    return _finish(b, RESET, b.EndObject())


def statements(chunk: Chunk, more: bool) -> bytes:
    b = flatbuffers.Builder(256 + 8 * len(chunk.numbers) + 4 * len(chunk.statements))
    return _finish(b, STATEMENTS, _chunk(b, chunk, more))


def _chunk(b: Any, chunk: Chunk, more: bool) -> int:
    numbers = _vector(b, np.asarray(chunk.numbers, dtype="<f8"), 8)
    listed = _vector(b, np.asarray(chunk.statements, dtype="<u4"), 4)
    forms = strings = 0
    if chunk.forms:
        offsets = []
        for f in chunk.forms:
            shapes = _vector(b, np.array(f.shapes, dtype="<i4"), 4)
            b.StartObject(6)
            b.PrependUint8Slot(0, f.op, 0)
            b.PrependBoolSlot(1, f.control, True)
            b.PrependUint8Slot(2, f.kind, 0)
            b.PrependUint32Slot(3, f.address, 0)
            b.PrependUint32Slot(4, f.name, 0)
            b.PrependUOffsetTRelativeSlot(5, shapes, 0)
            offsets.append(b.EndObject())
        forms = _offsets(b, offsets)
    if chunk.strings:
        strings = _offsets(b, [b.CreateString(s) for s in chunk.strings])
    b.StartObject(6)
    b.PrependBoolSlot(0, chunk.restart, False)
    if strings:
        b.PrependUOffsetTRelativeSlot(1, strings, 0)
    if forms:
        b.PrependUOffsetTRelativeSlot(2, forms, 0)
    b.PrependUOffsetTRelativeSlot(3, listed, 0)
    b.PrependUOffsetTRelativeSlot(4, numbers, 0)
    b.PrependBoolSlot(5, more, False)
    return int(b.EndObject())


def _offsets(b: Any, offsets: List[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for o in reversed(offsets):
        b.PrependUOffsetTRelative(o)
    try:
        return int(b.EndVector())
    except TypeError:  # flatbuffers before 2.0.1 wants the length
        return int(b.EndVector(len(offsets)))


def run_result(value: Any) -> bytes:
    b = flatbuffers.Builder(256)
    return _finish(b, RUN_RESULT, _table(b, _tensor(b, value)))


def statement(kind: int, address: str, name: str, dist_kind: int, params: Tuple[Any, ...], control: bool, value: Any, before: Optional[Chunk] = None) -> bytes:
    """A Sample, Observe or Tag. value None: an Observe without a value. before: what was not waited for."""
    b = flatbuffers.Builder(512)
    earlier = _chunk(b, before, False) if before is not None else 0
    a, n = b.CreateString(address), b.CreateString(name)
    if kind == TAG:
        return _finish(b, kind, _table(b, a, n, _tensor(b, value)))
    d = _table(b, *[_tensor(b, p) for p in params]) if dist_kind else 0
    v = _tensor(b, value) if value is not None else 0
    b.StartObject(7)
    b.PrependUOffsetTRelativeSlot(0, a, 0)
    b.PrependUOffsetTRelativeSlot(1, n, 0)
    b.PrependUint8Slot(2, dist_kind, 0)
    if earlier:
        b.PrependUOffsetTRelativeSlot(5, earlier, 0)
    if d:
        b.PrependUOffsetTRelativeSlot(3, d, 0)
    if kind == SAMPLE:
        b.PrependBoolSlot(4, control, True)
        if v:
            b.PrependUOffsetTRelativeSlot(6, v, 0)
    elif v:
        b.PrependUOffsetTRelativeSlot(4, v, 0)
    return _finish(b, kind, b.EndObject())


class Templates:
    """Messages of scalar statements, kept with the places of their numbers: the same place in the code
    sends the same message again but for these."""

    _LIMIT = 10000  # names or addresses may be made up at each call

    def __init__(self) -> None:
        self._known: Dict[Tuple[Any, ...], Tuple[bytearray, List[int]]] = {}

    def statement(self, kind: int, address: str, name: str, dist_kind: int, params: Tuple[float, ...], control: bool, value: Optional[float]) -> bytes:
        key = (kind, address, name, dist_kind, control, value is None)
        numbers = params if value is None else (*params, value)
        t = self._known.get(key)
        if t is None:
            marks = tuple(_mark(i) for i in range(len(numbers)))
            msg = statement(kind, address, name, dist_kind, marks[: len(params)], control, None if value is None else marks[-1])
            places = [msg.find(struct.pack("<d", m)) for m in marks]
            if len(self._known) >= self._LIMIT:
                self._known.clear()
            t = self._known[key] = (bytearray(msg), places)
        msg_, places = t
        for at, x in zip(places, numbers):
            _PACK(msg_, at, x)
        return bytes(msg_)


_PACK = struct.Struct("<d").pack_into


def _mark(i: int) -> float:
    """A number that no address or name will contain by chance."""
    return float(struct.unpack("<d", bytes([0xF3, 0x9A, 0x01 + i, 0xC7, 0x5B, 0xE8, 0x6D, 0x41]))[0])


# ---- reading


class _Reader:
    def __init__(self, buf: bytes) -> None:
        self.buf = buf
        self.spent = 0

    def _unpack(self, fmt: str, at: int) -> int:
        size = struct.calcsize(fmt)
        if at < 0 or at + size > len(self.buf):
            raise MalformedError(f"offset {at} leaves the message of {len(self.buf)} bytes")
        return int(struct.unpack_from(fmt, self.buf, at)[0])

    def indirect(self, at: int) -> int:
        return at + self._unpack("<I", at)

    def field(self, table: int, i: int, size: int) -> int:
        """Position of a field with size bytes, 0 if it is absent."""
        vtable = table - self._unpack("<i", table)
        length, table_size = self._unpack("<H", vtable), self._unpack("<H", vtable + 2)
        if 4 + 2 * i + 2 > length:
            return 0
        at = self._unpack("<H", vtable + 4 + 2 * i)
        if at and (at < 4 or at + size > table_size or table + at + size > len(self.buf)):
            raise MalformedError(f"field {i} leaves its table")
        return table + at if at else 0

    def vector(self, table: int, i: int, size: int) -> Tuple[int, int]:
        f = self.field(table, i, 4)
        if not f:
            return 0, 0
        at = self.indirect(f)
        n = self._unpack("<I", at)
        if at + 4 + n * size > len(self.buf):
            raise MalformedError(f"a vector of {n} elements leaves the message")
        return at + 4, n

    def tensor(self, table: int, i: int) -> Optional[NDArray[np.float64]]:
        f = self.field(table, i, 4)
        if not f:
            return None
        t = self.indirect(f)
        at, n = self.vector(t, 0, 8)
        shape_at, rank = self.vector(t, 1, 4)
        data = np.frombuffer(self.buf, "<f8", n, at) if n else np.zeros(0)
        shape = tuple(int(d) for d in np.frombuffer(self.buf, "<i4", rank, shape_at)) if 0 < rank <= MAX_RANK else ()
        if n == 0 and rank == 0:
            return None
        if not shape_at:  # left out: the elements one after the other
            shape = (n,)
        if rank > MAX_RANK or elements(shape) != n:
            raise MalformedError(f"a shape of {rank} dimensions does not fit {n} elements")
        self.spend(8 * n + 4 * rank)
        return data.reshape(shape).astype(np.float64)

    def spend(self, size: int) -> None:
        """What is read must not be more than was sent: parts of a message that share bytes are nobody's honest
        work."""
        self.spent += size
        if self.spent > len(self.buf):
            raise MalformedError("its parts share their bytes")

    def number(self, table: int, i: int, fmt: str) -> Any:
        at = self.field(table, i, struct.calcsize(fmt))
        return struct.unpack_from(fmt, self.buf, at)[0] if at else 0

    def numbers(self, table: int, i: int, dtype: str) -> List[Any]:
        size = int(dtype[2:])
        at, n = self.vector(table, i, size)
        out: List[Any] = np.frombuffer(self.buf, dtype, n, at).tolist() if n else []
        return out

    def offsets(self, table: int, i: int) -> List[int]:
        """Positions that the offsets of a vector lead to."""
        at, n = self.vector(table, i, 4)
        return [self.indirect(at + 4 * k) for k in range(n)]

    def string(self, at: int) -> str:
        n = self._unpack("<I", at)
        if at + 4 + n > len(self.buf):
            raise MalformedError(f"a string of {n} bytes leaves the message")
        self.spend(n + 4)
        return self.buf[at + 4 : at + 4 + n].decode("utf-8", "replace")

    def order(self, t: int) -> Order:
        mode = self.number(t, 0, "<B")
        if mode > DELEGATE:
            raise MalformedError(f"unknown mode {mode} of a run")
        data: Optional[List[Tuple[str, NDArray[np.float64]]]] = None
        if self.field(t, 5, 4):
            data = []
            for d in self.offsets(t, 5):
                f, v = self.field(d, 0, 4), self.tensor(d, 1)
                data.append((self.string(self.indirect(f)) if f else "", np.zeros(0) if v is None else v))
        restart, bases, reuse, ends = False, [], [], ()
        f = self.field(t, 6, 4)
        if f:
            u = self.indirect(f)
            restart = bool(self.number(u, 0, "<B"))
            bases = [self.string(at) for at in self.offsets(u, 1)]
            shapes, numbers = self.numbers(u, 4, "<i4"), self.numbers(u, 5, "<f8")
            ends = tuple(self.numbers(u, 6, "<u4"))
            at = k = 0
            for base, instance in zip(self.numbers(u, 2, "<u4"), self.numbers(u, 3, "<u4")):
                if at >= len(shapes) or not 0 <= shapes[at] <= len(shapes) - at - 1:
                    raise MalformedError("a value to reuse without its shape")
                shape = tuple(shapes[at + 1 : at + 1 + shapes[at]])
                n = elements(shape)
                if n < 0 or k + n > len(numbers):
                    raise MalformedError("a value to reuse without its numbers")
                reuse.append((base, instance, np.array(numbers[k : k + n]).reshape(shape)))
                at, k = at + 1 + len(shape), k + n
        return Order(
            mode, self.number(t, 1, "<Q"), self.number(t, 2, "<Q"), tuple(self.numbers(t, 3, "<u8")), self.number(t, 4, "<Q"), data,
            restart, tuple(bases), tuple(reuse), float(self.number(t, 7, "<d")), self.number(t, 8, "<I") / 1000, self.number(t, 9, "<I"),
            tuple(self.numbers(t, 10, "<u8")), ends,
        )  # fmt: skip


def decode(buf: bytes) -> Message:
    """A message of the engine."""
    r = _Reader(buf)
    root = r.indirect(0)
    at = r.field(root, 0, 1)
    kind = buf[at] if at else 0
    if not 1 <= kind <= ABORT:
        raise MalformedError(f"unknown message type {kind}")
    body = r.field(root, 1, 4)
    if not body:
        raise MalformedError(f"{NAMES[kind]} without a body")
    body = r.indirect(body)
    token = r.number(root, 2, "<Q")
    if kind == SAMPLE_RESULT:
        return Message(kind, r.tensor(body, 0), token)
    if kind == HANDSHAKE:
        return Message(kind, None, token, r.number(body, 1, "<H"))
    if kind == RUN:
        return Message(kind, None, token, order=r.order(body))
    return Message(kind, None, token, leave=kind == ABORT and bool(r.number(body, 0, "<B")))
