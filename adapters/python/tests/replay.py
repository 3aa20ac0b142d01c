"""A simulator that makes the statements of a transcript and checks the answers: replay.py TRANSCRIPT ENDPOINT."""

import sys
from urllib.parse import unquote

import numpy as np

import ppxsim


def tensor(text):
    if not text.startswith("["):
        return float(text)
    inner, _, shape = text[1:].partition("]")
    data = np.array([float(x) for x in inner.split(",") if x])
    return data.reshape([int(d) for d in shape[1:].split("x")]) if shape else data


class Line:
    def __init__(self, text):
        who, self.type, *words = text.split()
        self.engine = who == "engine"
        self.kind, self.fields = "", {}
        for w in words:
            key, eq, value = w.partition("=")
            if eq:
                self.fields[key] = value
            else:
                self.kind = key

    def dist(self):
        cls = getattr(ppxsim, self.kind)
        return cls(*[tensor(self.fields[n]) for n in cls.names])


with open(sys.argv[1], encoding="utf-8") as f:
    LINES = [Line(t) for t in f if t.strip() and not t.startswith("#")]
NAME = next(unquote(line.fields["model_name"]) for line in LINES if line.type == "HandshakeResult")
at = 0


def model():
    global at
    while LINES[at].type != "Run":
        at += 1
    while True:
        at += 1
        line = LINES[at]
        if line.engine:
            continue
        if line.type == "RunResult":
            return tensor(line.fields["result"])
        where = {"name": unquote(line.fields.get("name", "")), "address": unquote(line.fields["address"])}
        if line.type == "Sample":
            got = ppxsim.sample(line.dist(), control=line.fields.get("control") != "false", **where)
            want = tensor(LINES[at + 1].fields["result"])
            assert np.shape(got) == np.shape(want) and np.array_equal(got, want), f"{line.fields}: {got} is not {want}"
        elif line.type == "Observe":
            value = line.fields.get("value")
            ppxsim.observe(line.dist(), None if value is None else tensor(value), **where)
        else:
            ppxsim.tag(tensor(line.fields["value"]), **where)


ppxsim.serve(model, NAME, sys.argv[2])
