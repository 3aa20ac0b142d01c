"""The client without an engine, its addresses and its bytes. Conversations are tested against the real engine
elsewhere."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import ppxsim
from ppxsim import _address, _client, _wire

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
