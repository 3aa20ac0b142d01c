"""Results in Python have the figures of the command line. They need the program: $PPX."""

import json
import os
import shutil
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

from ppxsim import results  # noqa: E402
from ppxsim.results import PpxError, infer, open_run, prior, train  # noqa: E402

pytestmark = pytest.mark.skipif(not os.environ.get("PPX"), reason="no program: $PPX")

MODEL = '''
import numpy as np
import ppxsim
from ppxsim import Bernoulli, Normal, Poisson, Uniform

def model():
    a = ppxsim.sample(Normal(1, 2), name="a")
    b = ppxsim.sample(Uniform(0, 1), name="a")
    if ppxsim.sample(Bernoulli(0.3), name="k") == 1:
        ppxsim.sample(Poisson(4), name="maybe")
    v = ppxsim.sample(Normal(np.zeros((2, 2)), np.ones((2, 2))), name="v")
    ppxsim.sample(Normal(0, 1), name="<script>alert(1)</script>")
    ppxsim.tag(np.asarray([float(a), float(b)]), name="t")
    ppxsim.observe(Normal(a, 1), name="y")
    ppxsim.observe(Normal(b, 1), name="z")
    return float(a) + float(np.sum(v))

if __name__ == "__main__":
    ppxsim.main(model, name="all")
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    (folder / "model.py").write_text(MODEL)
    before = os.getcwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


SIM = [sys.executable, "model.py", "{endpoint}"]


def agrees(run):
    """The frame has the variables of the table, in its order, with its means, spreads and presence."""
    table, p = run.summary(), run.posterior
    listed = [c for c in p.columns if c != "weight"]
    assert listed == list(table.index)
    w = p["weight"].to_numpy()
    assert abs(w.sum() - 1) < 1e-12
    for name in listed:
        there = p[name].notna().to_numpy()
        assert abs(w[there].sum() - table.loc[name, "present"]) < 1e-9, name
        wn = w[there] / w[there].sum()
        x = p[name].to_numpy()[there]
        mean = (wn * x).sum()
        assert abs(mean - table.loc[name, "mean"]) < 1e-9 * (1 + abs(mean)), name
        sd = np.sqrt((wn * (x - mean) ** 2).sum())
        assert abs(sd - table.loc[name, "sd"]) < 1e-8 * (1 + sd), name
    return table


def test_weighted(place):
    run = infer(SIM, {"y": 2.0}, n=300, seed=1, out="run", quiet=True)
    table = agrees(run)
    assert {"a", "a@2", "k", "maybe", "v[0,0]", "v[1,1]", "t[0]", "z", "result"} <= set(table.index) and "y" not in table.index
    assert abs(run.ess - table.attrs["ess"]) < 1e-6 and run.verdict == table.attrs["verdict"]
    assert run.variable("v").shape == (300, 2, 2) and run.observed["y"] == 2
    assert np.allclose(run.variable("v")[:, 1, 0], run.posterior["v[1,0]"])
    for name, error in {"maybe": ValueError, "nope": KeyError}.items():
        with pytest.raises(error):
            run.variable(name)
    row, statements = next(run.traces())
    assert row == 0 and list(statements["name"])[:2] == ["a", "a"] and list(statements["role"])[-1] == "observe"
    assert run.trace(0).equals(statements)
    assert isinstance(run.trace(0)["value"].iloc[list(run.trace(0)["name"]).index("v")], np.ndarray)
    with pytest.raises(KeyError):
        run.trace(300)
    drawn = run.resample(20_000)
    assert abs(drawn["a"].mean() - table.loc["a", "mean"]) < 1e-3 * table.loc["a", "sd"] + 20 / 20_000
    page = run._repr_html_()
    assert "&lt;script&gt;" in page and "<script>" not in page and "effective sample size" in page
    assert "model of" not in repr(run) and "300 traces" in repr(run)


def test_prior_chains_and_particles(place):
    agrees(prior(SIM, n=100, seed=3, quiet=True, out="prior"))
    for method, more in {"rmh": {"chains": 4, "warmup": 50}, "smc": {}}.items():
        run = infer(SIM, {"y": 2.0, "z": 0.5}, method=method, n=200 if method == "rmh" else 160, seed=2, quiet=True, out=method, **more)
        agrees(run)
        assert len(list(run.traces())) == len(run.posterior)
    chains = open_run("rmh")
    assert chains.draws["same_as"].notna().any()  # rejected steps
    assert chains.variable("v").shape[0] == len(chains.posterior)


def test_arviz(place):
    pytest.importorskip("xarray")
    arviz = pytest.importorskip("arviz")
    weighted, chains = open_run("run"), open_run("rmh")
    tree = weighted.to_arviz()
    assert tree["posterior"]["v"].dims == ("chain", "draw", "v_dim_0", "v_dim_1") and tree["sample_stats"]["log_weight"].shape == (1, len(weighted.weights))
    assert float(tree["observed_data"]["y"]) == 2
    tree = weighted.to_arviz(samples=4000, prior=open_run("prior"))
    assert abs(float(tree["posterior"]["a"].mean()) - weighted.summary().loc["a", "mean"]) < 0.05 and tree["prior"]["a"].shape == (1, 100)
    tree = chains.to_arviz()
    assert tree["posterior"]["a"].shape == (4, 50) and np.isnan(tree["posterior"]["maybe"].values).any()
    import matplotlib

    matplotlib.use("Agg")
    data = arviz.from_datatree(tree) if hasattr(arviz, "from_datatree") else tree
    table = arviz.summary(data, var_names=["a", "v"])
    assert abs(table.loc["a", "mean"] - chains.summary().loc["a", "mean"]) < 1e-2
    arviz.plot_trace(data, var_names=["a"])


def test_train(place):
    said = train(SIM, "all.net", quiet=True, n=640, seed=1, lstm=8, head=8, components=2, validation=64, threads=1)
    assert Path("all.net").is_file() and isinstance(said, dict)
    run = infer(SIM, {"y": 2.0, "z": 0.5}, network="all.net", n=50, seed=4, quiet=True, out="guided")
    assert run.network["sha256"] and open_run("run").network is None


def test_progress_and_errors(place, capfd, tmp_path, monkeypatch):
    infer(SIM, {"y": np.float64(1)}, n=50, seed=1, out="loud")
    capfd.readouterr()
    with pytest.raises(PpxError) as caught:
        infer(SIM, {"nope": 1}, n=50, seed=1, quiet=True)
    assert "nope" in str(caught.value) and caught.value.code == 1 and str(caught.value).count("\n") <= 1
    with pytest.raises(PpxError) as caught:
        infer(SIM, {"y": 1}, n=-5, quiet=True)
    assert caught.value.code == 2
    with pytest.raises(FileNotFoundError):
        open_run("nowhere")
    shutil.copytree("run", tmp_path / "other")
    text = json.loads((tmp_path / "other" / "run.json").read_text())
    (tmp_path / "other" / "run.json").write_text(json.dumps({**text, "format": 99}))
    with pytest.raises(ValueError, match="run format 99"):
        open_run(tmp_path / "other")
    (tmp_path / "other" / "run.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        open_run(tmp_path / "other")
    for said, want in {"ppx 7.3.0 (PPX 1.0, run format 2)": "goes with the same version", "ppx devel (PPX 1.0, run format 9)": "run format 2", "hello": "is not ppx"}.items():
        fake = tmp_path / "ppx"
        fake.write_text(f"#!/bin/sh\necho '{said}'\n")
        fake.chmod(fake.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PPX", str(fake))
        with pytest.raises(PpxError, match=want):
            prior(SIM, n=5)
    monkeypatch.delenv("PPX")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(PpxError, match="go install"):
        results._binary()


def test_empty_and_running(place, tmp_path):
    shutil.copytree("run", tmp_path / "empty")
    for part in (tmp_path / "empty").glob("*/part-*"):
        part.unlink()
    run = open_run(tmp_path / "empty")
    assert len(run.posterior) == 0 and len(run.weights) == 0 and run.ess == 0 and not list(run.traces())
    with pytest.raises(ValueError):
        run.resample(10)
