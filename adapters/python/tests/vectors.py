"""Prints what the test vectors ask for, line by line; adapters/cpp/tests/vectors.cpp has the questions."""

import sys

import numpy as np

from ppxsim import _notes as notes
from ppxsim import _random as random
from ppxsim import _rows as rows


def samples(words):
    kind, wide, seed, stream, statement, draw, purpose, n = map(int, words[:8])
    params = [float(w) for w in words[8:]]
    s = random.Stream((seed, stream), statement, draw, purpose)
    for i in range(n):
        if wide:
            s.skip(i << 16)
        if kind == random.CATEGORICAL:
            yield random.categorical(s, random.widened_categories(params) if wide else params)
        else:
            yield random.draw_widened(s, kind, *params) if wide else random.DRAW[kind](s, *params)


def value(words):
    kind, wide, seed, stream, statement, draw, purpose = map(int, words[:7])
    words = words[7:]
    params = []
    while words:
        rank = int(words[0])
        shape = tuple(map(int, words[1 : 1 + rank]))
        n = int(np.prod(shape, dtype=int))
        params.append(np.array([float(w) for w in words[1 + rank : 1 + rank + n]]).reshape(shape))
        words = words[1 + rank + n :]
    shape = notes.valid_shape(kind, params)
    if shape is None:
        return ["invalid"]
    s = random.Stream((seed, stream), statement, draw, purpose)
    return [repr(x) for x in np.asarray(rows.draw(s, kind, shape, params, bool(wide))).reshape(-1).tolist()]


for line in sys.stdin:
    what, *words = line.rstrip("\n").split(" ")
    if what == "sample":
        print(*[repr(x) for x in samples(words)])
    elif what == "rows":
        print(*value(words))
    else:
        print(notes.address_base(" ".join(words[2:]), int(words[0]), int(words[1])))
