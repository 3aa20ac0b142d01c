"""Prints what the test vectors ask for, line by line; adapters/cpp/tests/vectors.cpp has the questions."""

import sys

from ppxsim import _notes as notes
from ppxsim import _random as random


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


for line in sys.stdin:
    what, *words = line.rstrip("\n").split(" ")
    if what == "sample":
        print(*[repr(x) for x in samples(words)])
    else:
        print(notes.address_base(" ".join(words[2:]), int(words[0]), int(words[1])))
