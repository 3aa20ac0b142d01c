"""PPX messages as bytes: flatbuffers tables, written with the flatbuffers library and read by checked
offsets (its Python runtime, like the others, trusts every offset of a message).

The engine opens the conversation and starts each run; from then on the simulator asks and the engine
answers, until the run's result.
"""

from __future__ import annotations

import struct
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import flatbuffers
import numpy as np
from numpy.typing import NDArray

HANDSHAKE, HANDSHAKE_RESULT, RUN, RUN_RESULT, SAMPLE, SAMPLE_RESULT = 1, 2, 3, 4, 5, 6
OBSERVE, OBSERVE_RESULT, TAG, TAG_RESULT, RESET = 7, 8, 9, 10, 11

NAMES = (
    "None", "Handshake", "HandshakeResult", "Run", "RunResult", "Sample", "SampleResult",
    "Observe", "ObserveResult", "Tag", "TagResult", "Reset",
)  # fmt: skip


class MalformedError(ValueError):
    """Bytes that are no PPX message."""


class Message(NamedTuple):
    type: int
    value: Optional[NDArray[np.float64]]  # of a SampleResult


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


def handshake_result(system_name: str, model_name: str) -> bytes:
    b = flatbuffers.Builder(256)
    return _finish(b, HANDSHAKE_RESULT, _table(b, b.CreateString(system_name), b.CreateString(model_name)))


def reset() -> bytes:
    b = flatbuffers.Builder(64)
    return _finish(b, RESET, _table(b))


def run_result(value: Any) -> bytes:
    b = flatbuffers.Builder(256)
    return _finish(b, RUN_RESULT, _table(b, _tensor(b, value)))


def statement(kind: int, address: str, name: str, dist_kind: int, params: Tuple[Any, ...], control: bool, value: Any) -> bytes:
    """A Sample, Observe or Tag. value None: an Observe without a value."""
    b = flatbuffers.Builder(512)
    a, n = b.CreateString(address), b.CreateString(name)
    if kind == TAG:
        return _finish(b, kind, _table(b, a, n, _tensor(b, value)))
    d = _table(b, *[_tensor(b, p) for p in params]) if dist_kind else 0
    v = _tensor(b, value) if value is not None else 0
    b.StartObject(5)
    b.PrependUOffsetTRelativeSlot(0, a, 0)
    b.PrependUOffsetTRelativeSlot(1, n, 0)
    b.PrependUint8Slot(2, dist_kind, 0)
    if d:
        b.PrependUOffsetTRelativeSlot(3, d, 0)
    if kind == SAMPLE:
        b.PrependBoolSlot(4, control, True)
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
        shape = tuple(int(d) for d in np.frombuffer(self.buf, "<i4", rank, shape_at)) if rank else ()
        if n == 0 and rank == 0:
            return None
        if any(d < 0 for d in shape) or int(np.prod(shape, dtype=object)) != n:
            raise MalformedError(f"shape {shape} does not fit {n} elements")
        return data.reshape(shape).astype(np.float64)


def decode(buf: bytes) -> Message:
    """A message of the engine."""
    r = _Reader(buf)
    root = r.indirect(0)
    at = r.field(root, 0, 1)
    kind = buf[at] if at else 0
    if not 1 <= kind <= RESET:
        raise MalformedError(f"unknown message type {kind}")
    body = r.field(root, 1, 4)
    if not body:
        raise MalformedError(f"{NAMES[kind]} without a body")
    value = r.tensor(r.indirect(body), 0) if kind == SAMPLE_RESULT else None
    return Message(kind, value)
