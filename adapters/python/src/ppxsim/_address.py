"""Addresses: where in the code a statement is, from the call stack.

Each function counts by its file, its qualified name and the line within it, so that an address survives
edits elsewhere in the file, another Python version, and the difference between running a file and
importing it. Bytecode offsets only serve to find addresses again that were computed before.
"""

from __future__ import annotations

import gc
import os
import types
from typing import Dict, List, Optional, Tuple

# By the identity of code objects (they compare equal across files), which the values keep alive.
_known: Dict[Tuple[int, ...], Tuple[str, List[types.CodeType]]] = {}
_names: Dict[int, Tuple[str, types.CodeType]] = {}
_LIMIT = 100_000  # stacks without end: recursion that branches at random

# Comprehensions have frames of their own up to Python 3.11 and none from 3.12 on: here they never have.
_COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>")


def _qualified_name(code: types.CodeType) -> str:
    known = _names.get(id(code))
    if known is None:
        name = getattr(code, "co_qualname", None)
        if name is None:  # before Python 3.11 only functions know their qualified name
            name = next(
                (f.__qualname__ for f in gc.get_referrers(code) if isinstance(f, types.FunctionType) and f.__code__ is code),
                code.co_name,
            )
        known = _names[id(code)] = (name, code)
    return known[0]


def address(frame: Optional[types.FrameType], root: types.CodeType) -> str:
    """The address of a statement in frame; root is the function below which the model runs."""
    key: List[int] = []
    f = frame
    while f is not None and f.f_code is not root:
        key.append(id(f.f_code))
        key.append(f.f_lasti)
        f = f.f_back
    k = tuple(key)
    known = _known.get(k)
    if known is None:
        if len(_known) >= _LIMIT:
            _known.clear()
        known = _known[k] = _describe(frame, root)
    return known[0]


def _describe(frame: Optional[types.FrameType], root: types.CodeType) -> Tuple[str, List[types.CodeType]]:
    parts: List[str] = []
    codes: List[types.CodeType] = []
    line: Optional[int] = None
    f = frame
    while f is not None and f.f_code is not root:
        code = f.f_code
        codes.append(code)
        if line is None:
            line = f.f_lineno
        if code.co_name not in _COMPREHENSIONS:
            stem = os.path.splitext(os.path.basename(code.co_filename))[0]
            name = _qualified_name(code).replace(".<locals>", "")
            parts.append(f"{stem}.{name}+{line - code.co_firstlineno}")
            line = None
        f = f.f_back
    return "[" + "; ".join(reversed(parts)) + "]", codes
