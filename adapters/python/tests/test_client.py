"""The client without an engine, its addresses and its bytes. Conversations are tested against the real engine
elsewhere."""

import subprocess
import sys
import textwrap
from pathlib import Path

import flatbuffers
import numpy as np
import pytest

import ppxsim
from ppxsim import _address, _client, _notes, _random, _wire

MOMENTS = [
    (ppxsim.Normal(1, 2), 1, 4),
    (ppxsim.Uniform(-1, 3), 1, 16 / 12),
    (ppxsim.Categorical([1, 0, 3]), 1.5, 0.75),
    (ppxsim.Poisson(4), 4, 4),
    (ppxsim.Bernoulli(0.3), 0.3, 0.21),
    (ppxsim.Beta(2, 3), 0.4, 0.04),
    (ppxsim.Exponential(2), 0.5, 0.25),
    (ppxsim.Gamma(3, 2), 1.5, 0.75),
    (ppxsim.LogNormal(0, 0.5), np.exp(0.125), (np.exp(0.25) - 1) * np.exp(0.25)),
    (ppxsim.Binomial(10, 0.3), 3, 2.1),
    (ppxsim.Weibull(2, 1), 2, 4),
]


@pytest.mark.parametrize("dist,mean,variance", MOMENTS, ids=lambda x: type(x).__name__)
def test_local_draws_have_the_right_moments(dist, mean, variance):
    n = 4000
    with ppxsim.local(3):
        x = np.array([ppxsim.sample(dist, name="x") for _ in range(n)])
    assert abs(x.mean() - mean) < 4 * np.sqrt(variance / n)
    assert abs(x.var() - variance) < 0.25 * variance


def test_local_mode_is_seeded_and_quiet(capsys):
    def model():
        x = ppxsim.sample(ppxsim.Normal([0, 0, 0], 1), name="x")
        ppxsim.observe(ppxsim.Normal(x, 1), name="y")
        ppxsim.tag(x, name="t")
        return x

    assert not ppxsim.attached()
    with ppxsim.local(1):
        a = model()
    with ppxsim.local(1):
        b = model()
    assert a.shape == (3,) and np.array_equal(a, b)
    model()
    assert capsys.readouterr() == ("", "")


def test_types_and_shapes():
    with ppxsim.local(1):
        assert type(ppxsim.sample(ppxsim.Normal(0, 1))) is float
        assert type(ppxsim.sample(ppxsim.Poisson(3))) is int
        assert type(ppxsim.sample(ppxsim.Categorical([1, 2]))) is int
        rows = ppxsim.sample(ppxsim.Categorical([[1, 0, 0], [0, 0, 2]]))
        assert rows.dtype == np.int64 and rows.tolist() == [0, 2]
        assert ppxsim.sample(ppxsim.Uniform([[-2], [0]], [1, 20, 30])).shape == (2, 3)
    with pytest.raises(ValueError, match="one probability per category"):
        ppxsim.Categorical(0.5)


# ---- arguments


def test_arguments_in_the_wrong_place_are_told():
    d = ppxsim.Normal(0, 1)
    wrong = [
        (lambda: ppxsim.observe(d, "y", name="z"), "observe.*'y' where the value belongs, and 'z' for the name"),
        (lambda: ppxsim.observe(d, "y", 3.0), "observe.*'y' where the value belongs, and 3.0"),
        (lambda: ppxsim.observe(d, "y", 0.0), "observe.*'y' where the value belongs, and 0.0"),
        (lambda: ppxsim.observe(d, 3.0, 4.0), "observe.*4.0 where the name belongs"),
        (lambda: ppxsim.observe("y", d), "observe.*'y' where the distribution belongs"),
        (lambda: ppxsim.sample(ppxsim.Normal, "x"), "sample.*where the distribution belongs"),
        (lambda: ppxsim.sample("x", d), "sample.*'x' where the distribution belongs"),
        (lambda: ppxsim.sample(d, 3), "sample.*3 where the name belongs"),
        (lambda: ppxsim.tag("mass", 3.0), "the value comes first, then the name, not 'mass', 3.0"),
        (lambda: ppxsim.tag("mass"), "the value comes first"),
        (lambda: ppxsim.tag(3.0, 4.0), "the value comes first"),
    ]

    def model():
        for call, text in wrong:
            with pytest.raises(TypeError, match=text):
                call()
        return 1.0

    model()  # at once, also without an engine
    assert [m.type for m in converse(model, [])] == [_wire.RUN_RESULT]


def test_the_name_may_stand_where_a_value_would():
    def model():
        ppxsim.observe(ppxsim.Normal(0, 1), "y", address="here")
        ppxsim.observe(ppxsim.Normal(0, 1), 3.0, "y", address="here")
        x = ppxsim.sample(ppxsim.Normal(0, 1), "x", address="here")
        ppxsim.tag(x, "t", address="here")

    observed = answer(_wire.OBSERVE_RESULT)
    said = converse(model, [observed, observed, answer(_wire.SAMPLE_RESULT, 2.0), answer(_wire.TAG_RESULT)])
    assert [m.bytes for m in said[:4]] == [
        _wire.statement(_wire.OBSERVE, "here", "y", 1, (0.0, 1.0), False, None),
        _wire.statement(_wire.OBSERVE, "here", "y", 1, (0.0, 1.0), False, 3.0),
        _wire.statement(_wire.SAMPLE, "here", "x", 1, (0.0, 1.0), True, None),
        _wire.statement(_wire.TAG, "here", "t", 0, (), False, 2.0),
    ]


# ---- an engine that says what it is told to


class Said:
    def __init__(self, msg):
        r = _wire._Reader(msg)
        self.type, self.bytes = r.number(r.indirect(0), 0, "<B"), msg


class Socket:
    def __init__(self, messages):
        self.messages, self.said = messages, []

    def recv(self):
        return self.messages.pop(0)

    def send(self, msg):
        self.said.append(Said(msg))


def answer(kind, value=None, shape=...):
    """A message of an engine; shape: as it is written, None for a tensor without."""
    b = flatbuffers.Builder(64)
    fields = ()
    if value is not None:
        a = np.asarray(value, dtype=np.float64)
        data = _wire._vector(b, a.reshape(-1), 8)
        dims = 0 if shape is None else _wire._vector(b, np.array(a.shape if shape is ... else shape, dtype="<i4"), 4)
        fields = (_wire._table(b, data, dims),)
    return _wire._finish(b, kind, _wire._table(b, *fields))


def converse(model, answers):
    """What the client says in one run under an engine of plain PPX 1.0."""
    socket = Socket([answer(_wire.RUN), *answers])
    run = _client._Remote(socket)
    token = _client._run.set(run)
    try:
        run.serve_one("s", "m", model)
    finally:
        _client._run.reset(token)
    assert not socket.messages
    return socket.said


SITES = [  # a distribution, what an engine answers, and the value
    (ppxsim.Poisson(3), 4.0, 4),
    (ppxsim.Normal(0, 1), 0.5, 0.5),
    (ppxsim.Categorical([0.5, 0.5]), 1.0, 1),
    (ppxsim.Normal([0.0], 1), 0.5, [0.5]),
    (ppxsim.Normal([[0.0]], [1.0]), 0.5, [[0.5]]),
    (ppxsim.Categorical([[0.5, 0.5]]), 1.0, [1]),
    (ppxsim.Normal(np.zeros((2, 3)), 1), np.arange(6.0), [[0, 1, 2], [3, 4, 5]]),
    (ppxsim.Uniform([[0.0], [1.0]], [2.0, 3.0]), [0.0, 1.0, 2.0, 3.0], [[0, 1], [2, 3]]),
    (ppxsim.Poisson(np.ones((1, 2, 1))), [3.0, 4.0], [[[3], [4]]]),
    (ppxsim.Normal([], 1), [], []),
]


@pytest.mark.parametrize("dist,said,value", SITES, ids=lambda x: repr(x)[:30])
def test_an_answer_takes_the_shape_of_the_site(dist, said, value):
    n = np.size(said)
    own = np.shape(value)
    for shape in [None, (n,), (1, n), (n, 1), own, (1, *own), (*own, 1)] + [()] * (n == 1):
        got = []
        converse(lambda: got.append(ppxsim.sample(dist)), [answer(_wire.SAMPLE_RESULT, said, shape)])
        assert np.shape(got[0]) == own and np.array_equal(got[0], value), shape
        assert type(got[0]) is (type(value) if own == () else np.ndarray)


@pytest.mark.parametrize("dist,said", [
    (ppxsim.Normal(0, 1), [1.0, 2.0]),
    (ppxsim.Normal(0, 1), []),
    (ppxsim.Normal(0, 1), None),
    (ppxsim.Normal([0.0, 0.0], 1), 1.0),
    (ppxsim.Normal(np.zeros((2, 3)), 1), np.zeros((3, 2))),
    (ppxsim.Normal(np.zeros(6), 1), np.zeros((3, 2))),
    (ppxsim.Normal(np.zeros(2), np.ones(3)), np.zeros(6)),
    (ppxsim.Categorical([0.5, 0.5]), [1.0, 1.0]),
])  # fmt: skip
def test_an_answer_that_does_not_fit_the_site_is_refused(dist, said):
    with pytest.raises(ppxsim.ProtocolError, match="answer of shape .* to Sample at there"):
        converse(lambda: ppxsim.sample(dist, address="there"), [answer(_wire.SAMPLE_RESULT, said)])


# ---- programs without an engine


@pytest.mark.parametrize("result,shown", [
    ("0.1 + 0.2", "0.30000000000000004\n"),
    ("3", "3\n"),
    ("[1, np.float64(2.5)]", "[1, 2.5]\n"),
    ("np.array([[1, 2e300], [-3, 0.25]])", "[[1, 2e+300], [-3, 0.25]]\n"),
    ("{'a': 1}", "{'a': 1}\n"),
    ("None", ""),
])  # fmt: skip
def test_main_without_an_engine_runs_once_and_says_so(result, shown, monkeypatch):
    monkeypatch.delenv("PPX_ENDPOINT", raising=False)
    program = f"import numpy as np, ppxsim\nppxsim.main(lambda: {result}, name='sim')"
    p = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    assert p.stdout == shown
    hint = 'give an endpoint as the first argument, or start it with "ppx … -- PROGRAM {endpoint}"'
    assert p.stderr == f"sim: no engine ({hint}): running once by itself\n"


def test_an_endpoint_that_is_none_is_one_line():
    p = subprocess.run([sys.executable, "-c", "import ppxsim\nppxsim.main(lambda: 1, name='sim')", "foo"], capture_output=True, encoding="utf-8")
    assert (p.returncode, p.stderr) == (1, "sim: cannot bind foo (tcp://HOST:PORT, ipc://PATH or ipc://@NAME): Invalid argument\n")


# ---- addresses


def here():
    return _address.address(sys._getframe(1), _client._ROOT)


def helper():
    return here()


class Detector:
    def read(self):
        def inner():
            return here()

        return inner()


def addresses():
    out = [helper(), helper()]
    out += [helper() for _ in range(2)]
    for _ in range(2):
        out.append(helper())
    out.append(Detector().read())
    return out


def test_addresses():
    a = _client._call_model(addresses)
    first = addresses.__code__.co_firstlineno
    assert a[0].startswith("[test_client.addresses+1; test_client.helper+1]"), a[0]
    assert a[2] == a[3] and a[4] == a[5] and a[2] != a[4]
    assert a[2] == "[test_client.addresses+2; test_client.helper+1]"  # a comprehension is part of its function
    assert a[6].endswith("test_client.Detector.read+4; test_client.Detector.read.inner+1]"), a[6]
    assert str(first) not in a[0]
    # What stands above the model does not count.
    assert (lambda: _client._call_model(addresses))() == a


def test_addresses_do_not_depend_on_what_stands_above_in_the_file(tmp_path):
    body = textwrap.dedent(
        """
        import sys
        from ppxsim import _address, _client

        def model():
            return _address.address(sys._getframe(0), _client._ROOT)

        print(_client._call_model(model))
        """
    )
    seen = set()
    for name, prefix in (("a", ""), ("b", "import os\n\n# a comment\n\n")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "sim.py").write_text(prefix + body)
        seen.add(subprocess.run([sys.executable, str(folder / "sim.py")], capture_output=True, text=True, check=True).stdout)
    assert seen == {"[sim.model+1]\n"}


# ---- bytes


def test_templates_write_what_the_builder_writes():
    t = _wire.Templates()
    for params in ((1.5, -2.0), (0.0, 1e-300), (1.5, 1.5)):
        for kind, value in ((_wire.SAMPLE, None), (_wire.OBSERVE, None), (_wire.OBSERVE, 0.25)):
            a = t.statement(kind, "here", "x", 1, params, True, value)
            assert a == _wire.statement(kind, "here", "x", 1, params, True, value)
    assert t.statement(_wire.TAG, "here", "x", 0, (), False, 7.0) == _wire.statement(_wire.TAG, "here", "x", 0, (), False, 7.0)


def test_damaged_messages_are_refused():
    # A SampleResult has the layout of a RunResult but for the type byte.
    good = bytearray(_wire.run_result(np.arange(6.0).reshape(2, 3)))
    at = next(i for i, b in enumerate(good) if b == _wire.RUN_RESULT and _try(good[:i] + bytes([_wire.SAMPLE_RESULT]) + good[i + 1 :]))
    good[at] = _wire.SAMPLE_RESULT
    assert _wire.decode(bytes(good)).value.tolist() == [[0, 1, 2], [3, 4, 5]]
    for i in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[i] ^= 1 << bit
            _try(bad)
        _try(good[:i])


def _try(buf):
    try:
        return _wire.decode(bytes(buf)).value is not None
    except _wire.MalformedError:
        return False


def test_threads_of_a_served_model_are_refused(monkeypatch):
    import threading

    monkeypatch.setattr(_client, "_serving", 1)
    errors = []

    def work():
        try:
            ppxsim.sample(ppxsim.Normal(0, 1))
        except RuntimeError as e:
            errors.append(str(e))

    t = threading.Thread(target=work)
    t.start()
    t.join()
    assert len(errors) == 1 and "thread of its own" in errors[0]


def test_same_function_in_two_files(tmp_path):
    body = "import sys\nfrom ppxsim import _address, _client\n\ndef draw():\n    return _address.address(sys._getframe(0), _client._ROOT)\n"
    draws = []
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(body)
        scope = {}
        exec(compile(body, str(tmp_path / f"{name}.py"), "exec"), scope)
        draws.append(scope["draw"])
    got = _client._call_model(lambda: [f() for f in draws])
    assert got[0] != got[1] and "a.draw+1" in got[0] and "b.draw+1" in got[1]


def _orders():
    return (Path(__file__).parents[3] / "testdata" / "run.bin").read_bytes()


def test_orders_are_read():
    m = _wire.decode(_orders())
    o = m.order
    assert (m.type, m.token, o.mode, o.seed, o.draws, o.flush, o.inflation) == (_wire.RUN, 7, _wire.DELEGATE, 1, (4, 5), 1.0, 0.25)
    assert [(n, v.tolist()) for n, v in o.data] == [("x", [1.0, 2.0]), ("y@2", 3.0)]
    assert o.bases == ("a__Normal", "b__Uniform")
    assert [(b, k, v.tolist()) for b, k, v in o.reuse] == [(0, 1, 1.0), (1, 1, [2.0, 3.0]), (0, 2, 4.0)]
    assert (o.streams, o.ends) == ((6, 2**40), (2, 3))


def test_damaged_orders_are_refused():
    buf = bytearray(_orders())
    for i in range(len(buf)):
        for damaged in [bytes(buf[:i])] + [bytes(buf[:i] + bytes([buf[i] ^ 1 << bit]) + buf[i + 1 :]) for bit in range(8)]:
            try:
                _notes.Notes().take(_wire.decode(damaged).order)
            except _wire.MalformedError:
                pass


@pytest.mark.parametrize("compiled", [False, True])
def test_a_tensor_uses_the_same_numbers_as_its_elements(monkeypatch, compiled):
    # The fast ways, by numpy for families with one number per element and by the compiled samplers for all, and the general one.
    if not compiled:
        monkeypatch.setattr(_random, "_samplers", None)
    elif not _random.COMPILED:
        pytest.skip("no compiled samplers")
    many = [0.5] * 500
    for dist in [
        ppxsim.Normal([1.0] * 500, 2), ppxsim.Uniform(np.zeros(500), 3), ppxsim.Weibull(2, [1.5] * 500), ppxsim.LogNormal([0.0] * 500, 1),
        ppxsim.HalfNormal(many), ppxsim.Cauchy(many, 2), ppxsim.Laplace(many, 2), ppxsim.Logistic(many, 2), ppxsim.Pareto(many, 3), ppxsim.LogUniform(many, 3),
        ppxsim.LogUniform(many, 0.6), ppxsim.Geometric(many), ppxsim.Geometric([1.0] * 500), ppxsim.DiscreteUniform([-3.0] * 500, 40),
        ppxsim.TruncatedNormal(many, 1, 0, np.inf), ppxsim.BetaBinomial(many, 2, 9), ppxsim.Gamma(many, 2), ppxsim.Beta(many, 2), ppxsim.Poisson([30.0] * 500),
        ppxsim.Binomial([40.0] * 500, 0.4), ppxsim.StudentT(many, 0, 1),
    ]:  # fmt: skip
        key = (3, 4)
        assert _random.tensor_shape(dist.kind, dist.params) == (500,)
        fast = _random.draw_tensor(_random.Stream(key, 5, 6, 0), dist.kind, (500,), dist.params, wide=False)
        s = _random.Stream(key, 5, 6, 0)
        slow = [_random.DRAW[dist.kind](s, *p) for p in zip(*(np.broadcast_to(p, (500,)).tolist() for p in dist.params))]
        np.testing.assert_allclose(fast, slow, rtol=1e-12)


@pytest.mark.parametrize("compiled", [False, True])
def test_tensors_with_an_invalid_element_are_refused(monkeypatch, compiled):
    if not compiled:
        monkeypatch.setattr(_random, "_samplers", None)
    for dist in [ppxsim.Normal([0.0, 1.0], [1.0, -1.0]), ppxsim.Gamma([1.0, np.nan], 1), ppxsim.StudentT([1.0, 2.0], 0, [1.0, 0.0]), ppxsim.Binomial([1.0, 2.5], 0.5)]:
        assert _random.tensor_shape(dist.kind, dist.params) is None
    assert _random.tensor_shape(_random.NORMAL, (np.zeros((2, 1)), np.ones(3))) == (2, 3)
    assert _random.tensor_shape(_random.NORMAL, (np.zeros(2), np.ones(3))) is None


def test_long_streams_are_numpys_philox():
    for key, statement, draw in [((1, 2), 0, 0), ((2**64 - 1, 5), 7, 2**64 - 1), ((0, 0), 2**63, 3)]:
        s = _random.Stream(key, statement, draw, 0)
        np.testing.assert_array_equal(s.many(1000), _random.uniforms(key, np.arange(250), statement, draw, 0).reshape(-1))


def test_blocks_are_those_of_the_scalar_generator():
    draws = (0, 7, 2**63 + 1)
    streams = (3, 3, 2**63)
    blocks = _random.Blocks(2**64 - 1, streams, draws, length=5)
    for i, d in enumerate(draws):
        blocks.begin(i)
        for statement in [*range(70), 1000, 5000]:
            want = [_random._unit(x) for x in _random.philox((2**64 - 1, streams[i]), (0, statement, d, 0))]
            assert blocks.first(statement) == want


def test_another_engine_is_let_in_when_the_first_is_not_heard_of(monkeypatch):
    monkeypatch.setattr(_client, "LEASE", 0.2)
    clock = [0.0]
    monkeypatch.setattr(_client.time, "monotonic", lambda: clock[0])
    def hello(token):
        b = flatbuffers.Builder(64)
        s = b.CreateString("engine")
        b.StartObject(2)
        b.PrependUOffsetTRelativeSlot(0, s, 0)
        b.PrependUint16Slot(1, 1, 0)
        body = b.EndObject()
        b.StartObject(3)
        b.PrependUint8Slot(0, _wire.HANDSHAKE, 0)
        b.PrependUOffsetTRelativeSlot(1, body, 0)
        b.PrependUint64Slot(2, token, 0)
        b.Finish(b.EndObject())
        return bytes(b.Output())

    socket = Socket([hello(1), hello(2), hello(1)])
    run = _client._Remote(socket)
    run.serve_one("s", "m", lambda: 0.0)
    run.serve_one("s", "m", lambda: 0.0)  # the second engine is refused, the first heard again
    assert [m.type for m in socket.said] == [_wire.HANDSHAKE_RESULT, _wire.RESET, _wire.HANDSHAKE_RESULT]
    clock[0] = 1.0
    socket.messages = [hello(2)]
    run.serve_one("s", "m", lambda: 0.0)
    assert [m.type for m in socket.said[3:]] == [_wire.HANDSHAKE_RESULT] and run.token == 2
