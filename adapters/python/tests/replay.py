"""A simulator that makes the statements of a transcript and checks the answers: replay.py TRANSCRIPT ENDPOINT."""

import sys
from urllib.parse import unquote

import numpy as np

import ppxsim
from ppxsim import _notes, _rows, _structured
from ppxsim._distributions import Distribution

ROWS = {
    "Dirichlet": ("concentration",), "MultivariateNormal": ("loc", "scale_tril"), "MultivariateStudentT": ("df", "loc", "scale_tril"),
    "Multinomial": ("total_count", "probs"), "Mixture": ("families", "probs", "parameters"), "DiscreteMixture": ("families", "probs", "parameters"),
    "Empirical": ("values", "weights"), "Histogram": ("edges", "weights"),
}  # fmt: skip


def tensor(text):
    if not text.startswith("["):
        return float(text)
    inner, _, shape = text[1:].partition("]")
    data = np.array([float(x) for x in inner.split(",") if x])
    return data.reshape([int(d) for d in shape[1:].split("x")]) if shape else data


class Line:
    def __init__(self, text):
        who, self.type, *words = text.split()
        self.engine, self.note = who == "engine", who == "note"
        self.kind, self.fields = "", {}
        for w in words:
            key, eq, value = w.partition("=")
            if eq:
                self.fields[key] = value
            else:
                self.kind = key

    def dist(self):
        if not self.kind:
            return None
        kind = _notes._NAMES.index(self.kind)
        if kind in _rows.EVENTS:  # as they stand on the wire, which is not how they are written
            names = ROWS[self.kind]
            cls = type(self.kind, (Distribution,), {"kind": kind, "discrete": self.kind in ("Multinomial", "DiscreteMixture")})
        else:
            cls = getattr(ppxsim, self.kind, _structured.Factor)
            names = cls.names
        return cls(*[tensor(self.fields[n]) for n in names])


with open(sys.argv[1], encoding="utf-8") as f:
    LINES = [Line(t) for t in f if t.strip() and not t.startswith("#")]
NAME = next(unquote(line.fields["model_name"]) for line in LINES if line.type == "HandshakeResult")
at = 0
ended = False  # the last run came to its end: the next one of the same Run message follows at once


def near(got, want, dist):
    """Values that a client draws need only agree to 12 digits."""
    scale = max((np.max(np.abs(p), initial=0.0) for p in dist.params), default=0.0) if dist.kind in (1, 2, 29) else 0.0
    return np.shape(got) == np.shape(want) and np.all(np.abs(np.asarray(got) - want) <= 1e-12 * np.maximum(np.abs(want), scale))


def model():
    global at, ended
    while not (ended and LINES[at].note) and (LINES[at].note or LINES[at].type != "Run"):
        at += 1
    if not LINES[at].note:
        at += 1
    ended = False
    while True:
        line = LINES[at]
        if line.engine or line.type == "Statements":
            at += 1
            continue
        if line.type == "Reset" and line.fields.get("reason") == "failed":
            raise RuntimeError("the model failed as it should")
        if line.type == "RunResult":
            at += 1
            ended = True
            return tensor(line.fields["result"])
        if line.type != "Reset":
            statement(line)
        at += 1


def statement(line):
    where = {"name": unquote(line.fields.get("name", "")), "address": unquote(line.fields.get("address", ""))}
    value = line.fields.get("value")
    if line.type == "Sample":
        dist = line.dist()
        got = ppxsim.sample(dist, control=line.fields.get("control") != "false", **where)
        if line.note:
            want = tensor(value)
            assert near(got, want, dist), f"{line.fields}: drew {got}, not {want}"
        else:
            want = tensor(next(x for x in LINES[at:] if x.type == "SampleResult").fields["result"])
            assert np.shape(got) == np.shape(want) and np.array_equal(got, want), f"{line.fields}: {got} is not {want}"
    elif line.type == "Observe":
        ppxsim.observe(line.dist(), None if value is None else tensor(value), **where)
    else:
        ppxsim.tag(tensor(value), **where)


ppxsim.serve(model, NAME, sys.argv[2])
