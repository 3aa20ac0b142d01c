"""Results of the engine, in Python: run directories as weighted pandas frames, traces, ArviZ; and the engine's verbs as functions.

    from ppxsim.results import infer, open_run

    run = infer(["./simulator", "{endpoint}"], observe={"y": 3.2}, n=10_000, seed=1)
    run.posterior          # a frame: one row per trace, one column per variable, and the weight
    run.summary()          # the table of ``ppx summary``
    run.to_arviz()         # a DataTree for ArviZ

Reading a run needs pandas and pyarrow (``pip install "ppxsim[results]"``), and not the engine; ``summary``, ``infer``, ``prior`` and ``train`` need the
program ``ppx``.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ._version import __version__

try:
    import pandas as pd
    import pyarrow.parquet as pq
except ImportError as error:  # the clients of simulators do without
    raise ImportError('ppxsim.results needs pandas and pyarrow: pip install "ppxsim[results]"') from error

__all__ = ["PpxError", "Run", "infer", "open_run", "prior", "train"]

#: Format of run directories that this module reads.
RUN_FORMAT = 2

#: Tensors with more elements are no columns of ``posterior``; ``variable`` has them.
MAX_LISTED = 100


class PpxError(RuntimeError):
    """The engine refused or failed; its message, and ``code``: 2 for what was asked for, 1 for how it went."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def open_run(path: Union[str, "os.PathLike[str]"]) -> "Run":
    """Open a run directory. Raises FileNotFoundError where there is none, ValueError for another format."""
    return Run(path)


class Run:
    """A run directory. It may still be written: what is there when it is first asked for stays what is seen; open it again for more."""

    def __init__(self, path: Union[str, "os.PathLike[str]"]) -> None:
        self.path = Path(path)
        manifest = self.path / "run.json"
        if not manifest.is_file():
            raise FileNotFoundError(f"{self.path}: not a run directory: it has no run.json")
        try:
            self.manifest: Dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{manifest}: damaged: {error}") from error
        if self.manifest.get("format") != RUN_FORMAT:
            raise ValueError(f"{self.path}: run format {self.manifest.get('format')}, this version of ppxsim reads {RUN_FORMAT}")
        self._cache: Dict[str, Any] = {}

    def __repr__(self) -> str:
        m = self.manifest
        return f"<Run {str(self.path)!r}: {m.get('method')} of {m.get('model')}, {m.get('counts', {}).get('traces', 0):,} traces, {m.get('state')}>"

    # What is on disk.

    def _read(self, folder: str, columns: Optional[Sequence[str]] = None) -> pd.DataFrame:
        parts = sorted((self.path / folder).glob("part-*.parquet"))
        frames = []
        for p in parts:
            try:
                frames.append(pq.read_table(p, columns=list(columns) if columns else None).to_pandas())
            except FileNotFoundError:
                continue  # a part that is being replaced
        if not frames:
            return pd.DataFrame(columns=list(columns or _columns.get(folder, [])))
        return pd.concat(frames, ignore_index=True)

    @property
    def draws(self) -> pd.DataFrame:
        """One row per trace, in the order of draws, failed ones included (docs/run-directory.md)."""
        if "draws" not in self._cache:
            self._cache["draws"] = self._read("draws")
        return self._cache["draws"]

    @property
    def addresses(self) -> pd.DataFrame:
        """Where in the simulator statements are made: id, base, role, kind."""
        if "addresses" not in self._cache:
            self._cache["addresses"] = self._read("addresses").drop_duplicates("id", ignore_index=True)
        return self._cache["addresses"]

    @property
    def weights(self) -> pd.Series:
        """Weights of the traces, by row: they sum to 1. Failed traces have none."""
        d = self.draws
        good = d[(d["status"] == "ok") & np.isfinite(d["log_weight"].astype(float))]
        if good.empty:
            return pd.Series([], index=pd.Index([], name="row"), dtype=float, name="weight")
        high, rest = good["log_weight"].to_numpy(float), good["log_weight_rest"].to_numpy()
        top = np.lexsort((rest, high))[-1]
        w = np.exp((high - high[top]) + (rest - rest[top]))  # two numbers, which together have twice the digits
        return pd.Series(w / w.sum(), index=pd.Index(good["row"].to_numpy(), name="row"), name="weight")

    @property
    def ess(self) -> float:
        """Effective sample size of the weights, (Σw)²/Σw²; of chains and particles see ``summary``'s, which is smaller."""
        w = self.weights.to_numpy()
        return float(1 / np.sum(w * w)) if len(w) else 0.0

    @property
    def observed(self) -> Dict[str, np.ndarray]:
        """The data that the run was given, by name."""
        out = {name: np.asarray(x["data"], dtype=float).reshape(x["shape"]) for name, x in (self.manifest.get("data") or {}).items() if x.get("data") is not None}
        large = self.path / "data.npz"
        if large.is_file():
            with np.load(large) as z:
                out.update({name: z[name] for name in z.files})
        return out

    @property
    def network(self) -> Optional[Dict[str, Any]]:
        """The network that proposed, as run.json has it: file, sha256, …; None: there was none."""
        return self.manifest.get("network")

    # Variables.

    def _statements(self) -> Tuple[pd.DataFrame, pd.DataFrame]:
        """Named statements with the rows that have them, and the whole draws."""
        d = self.draws
        ok = d[d["status"] == "ok"]
        sites = self._read("sites", ["row", "index", "address", "name", "origin", "value", "values", "shape"])
        sites = sites[sites["name"] != ""]
        sites = sites.assign(k=sites.groupby(["row", "name"], sort=False).cumcount() + 1)
        observes = set(self.addresses.loc[self.addresses["role"] == "observe", "id"])
        sites = sites[~(sites["address"].isin(observes) & sites["origin"].isin(["data", "own"]))]
        return sites, ok

    def _quantities(self) -> Dict[str, Tuple[np.ndarray, List[Any], List[Tuple[int, ...]]]]:
        """By label, in the order of the program: own rows, elements, shapes. Rows that are the same as another's are not in it."""
        if "quantities" in self._cache:
            return self._cache["quantities"]  # type: ignore[no-any-return]
        sites, ok = self._statements()
        known: Dict[Tuple[str, int], List[Any]] = {}
        first: Dict[Tuple[str, int], Tuple[int, int]] = {}
        for (name, k), g in sites.groupby(["name", "k"], sort=False):
            rows = g["row"].to_numpy()
            elements: List[Any] = []
            shapes: List[Tuple[int, ...]] = []
            keep = []
            for i, (value, values, shape) in enumerate(zip(g["value"].to_numpy(), g["values"], g["shape"])):
                x, s = _elements(value, values, shape)
                if x is not None:
                    keep.append(i)
                    elements.append(x)
                    shapes.append(s)
            if keep:
                known[(name, int(k))] = [rows[keep], elements, shapes]
                first[(name, int(k))] = (int(rows[keep[0]]), int(g["index"].iloc[keep[0]]))
        order = sorted(known, key=lambda q: first[q])
        results: List[Any] = [[], [], []]
        own = ok[ok["same_as"].isna()] if "same_as" in ok else ok
        for row, value, values, shape in zip(own["row"].to_numpy(), own["result"].to_numpy(), own["results"], own["result_shape"]):
            x, s = _elements(value, values, shape)
            if x is not None:
                results[0].append(row)
                results[1].append(x)
                results[2].append(s)
        out = {_label(name, k): tuple(known[(name, k)]) for name, k in order}
        if results[0]:
            again = max([k for name, k in known if name == "result"], default=0) + 1
            out[_label("result", again)] = (np.asarray(results[0]), results[1], results[2])
        self._cache["quantities"] = out
        return out

    def _rows(self) -> pd.Index:
        """Rows of whole traces, and whose statements each has."""
        ok = self.draws[self.draws["status"] == "ok"]
        return pd.Index(ok["row"].to_numpy(), name="row")

    def _spread(self, column: pd.Series) -> pd.Series:
        """A column of own rows, for all rows: some have another's statements."""
        ok = self.draws[self.draws["status"] == "ok"]
        source = ok["row"].where(ok["same_as"].isna(), ok["same_as"]).astype("int64")
        return pd.Series(column.reindex(source).to_numpy(), index=pd.Index(ok["row"].to_numpy(), name="row"))

    @property
    def posterior(self) -> pd.DataFrame:
        """One row per whole trace, one column per variable of ``ppx summary`` (x, x@2, v[0], result), NaN where a trace has none, and ``weight``.

        The draws of a run of the prior have equal weights. Tensors of more than 100 elements are left out: ``variable`` has them. A variable that is called
        "weight" itself gives way to the weight.
        """
        if "posterior" not in self._cache:
            columns: Dict[str, pd.Series] = {"weight": self.weights.reindex(self._rows()).fillna(0.0)}
            for label, (rows, elements, shapes) in self._quantities().items():
                tensor = any(len(x) != 1 for x in elements)
                if not tensor:
                    columns.setdefault(label, self._spread(pd.Series([x[0] for x in elements], index=rows)))
                    continue
                by: Dict[str, Tuple[List[int], List[float]]] = {}
                for row, x, shape in zip(rows, elements, shapes):
                    if len(x) > MAX_LISTED:
                        continue
                    for i, v in enumerate(x):
                        at = by.setdefault(label + _subscript(i, shape), ([], []))
                        at[0].append(row)
                        at[1].append(v)
                for name, (at_rows, values) in by.items():
                    columns.setdefault(name, self._spread(pd.Series(values, index=at_rows)))
            self._cache["posterior"] = pd.DataFrame(columns)
        return self._cache["posterior"]

    def polars(self) -> Any:
        """``posterior`` as a polars frame, with its rows in a column."""
        import polars

        return polars.from_pandas(self.posterior.reset_index())

    def variable(self, name: str) -> np.ndarray:
        """All elements of a variable in all whole traces, (traces, *shape), where all have it in one shape. Raises KeyError, ValueError."""
        q = self._quantities()
        if name not in q:
            raise KeyError(f"{name}: {self.path} has {', '.join(list(q)[:40])}")
        rows, elements, shapes = q[name]
        if len(set(shapes)) != 1:
            raise ValueError(f"{name} has several shapes")
        ok = self.draws[self.draws["status"] == "ok"]
        source = ok["row"].where(ok["same_as"].isna(), ok["same_as"]).astype("int64").to_numpy()
        at = {row: i for i, row in enumerate(rows)}
        if any(s not in at for s in source):
            raise ValueError(f"{name} is missing in some traces: posterior[{name!r}] has NaN there")
        return np.stack([np.asarray(elements[at[s]], dtype=float) for s in source]).reshape((len(source),) + shapes[0])

    def resample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """n draws of equal weight, by systematic resampling: as many copies of a trace as its weight says. They know no more than the weighted ones."""
        frame = self.posterior.drop(columns="weight").loc[self._picked(n, seed)]
        return frame.reset_index()

    def _picked(self, n: int, seed: int) -> np.ndarray:
        """Rows of n draws of equal weight, in order."""
        w = self.weights
        if not len(w):
            raise ValueError(f"{self.path} has no trace with a weight")
        at = (np.arange(n) + np.random.default_rng(seed).random()) / n
        cumulated = np.cumsum(w.to_numpy())
        picked = np.searchsorted(cumulated / cumulated[-1], at)
        return w.index.to_numpy()[np.minimum(picked, len(w) - 1)]  # type: ignore[no-any-return]

    # Traces.

    def trace(self, row: int) -> pd.DataFrame:
        """The statements of one trace, in their order: index, name, role, base, instance, origin, value, log_p."""
        d = self.draws
        at = d[d["row"] == row]
        if at.empty:
            raise KeyError(f"draw {row} is not recorded in {self.path}")
        same = at["same_as"].iloc[0]
        own = int(same) if pd.notna(same) else int(row)
        for p in sorted((self.path / "sites").glob("part-*.parquet")):
            t = pq.read_table(p, filters=[("row", "=", own)]).to_pandas()
            if len(t):
                return self._shown(t)
        return self._shown(self._read("sites").iloc[:0])

    def traces(self) -> Iterator[Tuple[int, pd.DataFrame]]:
        """All whole traces, one after the other: (row, statements)."""
        ok = self.draws[self.draws["status"] == "ok"]
        sites = self._shown(self._read("sites"), keep_row=True)
        groups = {row: g.drop(columns="row").reset_index(drop=True) for row, g in sites.groupby("row", sort=False)}
        none = sites.iloc[:0].drop(columns="row")
        for row, same in zip(ok["row"], ok["same_as"]):
            yield int(row), groups.get(int(same) if pd.notna(same) else int(row), none)

    def _shown(self, t: pd.DataFrame, keep_row: bool = False) -> pd.DataFrame:
        t = t.merge(self.addresses[["id", "base", "role", "kind"]], left_on="address", right_on="id", how="left")
        value = [x[0] if x is not None and len(x) == 1 and not s else (np.asarray(x).reshape(s) if x is not None else None) for x, s in
                 (_elements(v, vs, sh) for v, vs, sh in zip(t["value"], t["values"], t["shape"]))]
        out = t.assign(value=pd.Series(value, index=t.index, dtype=object))
        columns = ["index", "name", "role", "kind", "value", "log_p", "origin", "control", "base", "instance"]
        return out[(["row"] if keep_row else []) + columns]

    # What the engine says of it.

    def _figures(self) -> Dict[str, Any]:
        if "figures" not in self._cache:
            self._cache["figures"] = json.loads(_ppx(["summary", "--json", str(self.path)]))
        return self._cache["figures"]  # type: ignore[no-any-return]

    def summary(self) -> pd.DataFrame:
        """The table of ``ppx summary``: by variable mean, mean_se, sd, quantiles, ess, present, verdict. ``attrs`` has ess, log_evidence, verdict and reasons of the run."""
        f = self._figures()
        rows = []
        for v in f["variables"]:
            row = {k: v.get(k) for k in ("mean", "mean_se", "sd", "q05", "q50", "q95", "mode", "ess", "rhat", "present") if k in v}
            rows.append({"variable": v["name"], **row, "verdict": v["trust"]["verdict"]})
        table = pd.DataFrame(rows).set_index("variable") if rows else pd.DataFrame(index=pd.Index([], name="variable"))
        for c in table.columns:
            if c != "verdict":
                table[c] = pd.to_numeric(table[c])
        table.attrs.update({k: f.get(k) for k in ("ess", "khat", "log_evidence", "log_evidence_se", "traces", "method")})
        table.attrs["verdict"] = f["trust"]["verdict"]
        table.attrs["reasons"] = [r["text"] for r in f["trust"]["reasons"]]
        return table

    @property
    def verdict(self) -> str:
        """How far the result can be trusted: good, doubtful or none."""
        return str(self._figures()["trust"]["verdict"])

    def _repr_html_(self) -> str:
        m = self.manifest
        title = f"{m.get('method')} of {m.get('model')}: {m.get('counts', {}).get('traces', 0):,} traces ({m.get('state')})"
        try:
            table = self.summary()
        except (PpxError, OSError) as error:
            return f"<p><b>{html.escape(title)}</b><br>{html.escape(str(self.path))}<br><i>{html.escape(str(error))}</i></p>"
        colour = {"good": "#1a7f37", "doubtful": "#9a6700", "none": "#cf222e"}[table.attrs["verdict"]]
        ess = table.attrs["ess"]
        parts = [f"<b>{html.escape(title)}</b>", f"<span style='color:{colour};font-weight:bold'>{html.escape(table.attrs['verdict'])}</span>"]
        if ess is not None:
            parts.append(f"effective sample size {ess:,.4g}")
        reasons = "".join(f"<li>{html.escape(r)}</li>" for r in table.attrs["reasons"])
        more = f"<p>… and {len(table) - 30} more variables</p>" if len(table) > 30 else ""
        body = table.head(30).to_html(float_format=lambda x: f"{x:.4g}", na_rep="–", escape=True, border=0)
        return f"<div><p>{' · '.join(parts)}</p><ul>{reasons}</ul>{body}{more}</div>"

    # Other libraries.

    def to_arviz(self, samples: Optional[int] = None, prior: Optional["Run"] = None, seed: int = 0) -> Any:
        """A DataTree (xarray) as ArviZ has it: posterior (chain, draw, …), sample_stats, observed_data and prior.

        Chains stay chains. Weighted draws are one chain with ``log_weight`` in sample_stats, for what can use it; with ``samples`` they are that many draws of
        equal weight, which everything in ArviZ understands. A variable that only some traces have is NaN in the others; slashes in names become underscores. Needs xarray.
        """
        import xarray

        groups: Dict[str, Any] = {}
        if self.manifest.get("chains") is not None:
            ok = self.draws[self.draws["status"] == "ok"]
            by_chain = [g["row"].to_numpy() for _, g in ok.groupby("chain", sort=True)]
            n = min(len(rows) for rows in by_chain)
            rows = np.stack([r[:n] for r in by_chain])
            stats = {"log_likelihood": ok.set_index("row")["log_likelihood"].loc[rows.ravel()].to_numpy().reshape(rows.shape)}
        elif samples is not None:
            rows = np.random.default_rng(seed + 1).permutation(self._picked(samples, seed))[None, :]
            stats = {}
        else:
            w = self.weights
            rows = w.index.to_numpy()[None, :]
            d = self.draws.set_index("row").loc[rows[0]]
            stats = {"log_weight": (d["log_weight"] + d["log_weight_rest"]).to_numpy()[None, :], "log_likelihood": d["log_likelihood"].to_numpy()[None, :]}
        name = "posterior" if self.manifest.get("conditioned") else "prior"
        groups["/" + name] = self._dataset(rows)
        groups["/sample_stats" if name == "posterior" else "/sample_stats_prior"] = xarray.Dataset({k: (("chain", "draw"), v) for k, v in stats.items()},
                                                       coords={"chain": np.arange(rows.shape[0]), "draw": np.arange(rows.shape[1])})
        if self.observed:
            groups["/observed_data"] = xarray.Dataset({k.replace("/", "_"): ([f"{k}_dim_{i}".replace("/", "_") for i in range(np.ndim(v))], v) for k, v in self.observed.items()})
        if prior is not None:
            groups["/prior"] = prior._dataset(prior._rows().to_numpy()[None, :])
        return xarray.DataTree.from_dict(groups)

    def _dataset(self, rows: np.ndarray) -> Any:
        """Variables by chain and draw, tensors whole where all traces have them in one shape."""
        import xarray

        out: Dict[str, Any] = {}
        flat = rows.ravel()
        place = {row: i for i, row in enumerate(self._rows())}
        index = np.asarray([place[r] for r in flat])
        frame = self.posterior
        for label, (_, elements, shapes) in self._quantities().items():
            if any(len(x) != 1 for x in elements):
                try:
                    v = self.variable(label)
                except ValueError:
                    for c in frame.columns:
                        if c.startswith(label + "["):
                            out[c] = (("chain", "draw"), frame[c].to_numpy()[index].reshape(rows.shape))
                    continue
                dims = ("chain", "draw") + tuple(f"{label}_dim_{i}".replace("/", "_") for i in range(v.ndim - 1))
                out[label] = (dims, v[index].reshape(rows.shape + v.shape[1:]))
            else:
                out[label] = (("chain", "draw"), frame[label].to_numpy()[index].reshape(rows.shape))
        out = {name.replace("/", "_"): v for name, v in out.items()}  # which a DataTree has for paths
        return xarray.Dataset(out, coords={"chain": np.arange(rows.shape[0]), "draw": np.arange(rows.shape[1])})


_columns = {
    "draws": ["row", "chain", "step", "draw", "parent", "same_as", "log_weight", "log_weight_rest", "log_likelihood", "result", "results", "result_shape", "status", "error"],
    "sites": ["row", "index", "address", "instance", "name", "control", "origin", "value", "values", "shape", "log_p"],
    "addresses": ["id", "base", "role", "kind"],
}


def _elements(value: Any, values: Any, shape: Any) -> Tuple[Optional[np.ndarray], Tuple[int, ...]]:
    """A value as its elements and shape; None: there is none."""
    s = tuple(int(n) for n in shape) if shape is not None and not _missing(shape) else ()
    if value is not None and not _missing(value):
        return np.asarray([value], dtype=float), s
    if values is not None and not _missing(values) and (len(values) or 0 in s):
        return np.asarray(values, dtype=float), s
    return None, s


def _missing(x: Any) -> bool:
    return x is None or isinstance(x, float) and x != x


_own = re.compile(r"^.+@0*[1-9][0-9]{0,8}$|\[[0-9]+(,[0-9]+)*\]$", re.DOTALL)


def _label(name: str, k: int) -> str:
    """What the k-th statement of a name is called."""
    return name if k == 1 and not _own.search(name) else f"{name}@{k}"


def _subscript(i: int, shape: Tuple[int, ...]) -> str:
    """The flat index i of a tensor as [1,2], of a scalar as [0]."""
    return "[" + ",".join(str(int(x)) for x in (np.unravel_index(i, shape) if shape else (0,))) + "]"


# The engine.


def _binary() -> str:
    path = os.environ.get("PPX") or shutil.which("ppx")
    if not path:
        raise PpxError("the program ppx is not there: build it (go install github.com/ppx-engine/ppx-engine/cmd/ppx@latest), and put it in PATH or its path into $PPX")
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise PpxError(f"{path} does not run: {error}") from error
    version, run_format = re.match(r"ppx (\S+)", said), re.search(r"run format (\d+)", said)
    if not version or not run_format:
        raise PpxError(f"{path} is not ppx: it says {said.strip()!r}")
    if int(run_format.group(1)) != RUN_FORMAT or version.group(1) != "devel" and version.group(1).split(".")[:2] != __version__.split(".")[:2]:
        raise PpxError(f"{path} is {said.strip()}; ppxsim {__version__} goes with the same version, and run format {RUN_FORMAT}")
    return path


def _ppx(arguments: Sequence[str], progress: bool = False) -> str:
    """Run the program and return what it prints; its progress goes where people look."""
    command = [_binary(), *arguments]
    if not progress:
        done = subprocess.run(command, capture_output=True, text=True)
        out, err, code = done.stdout, done.stderr, done.returncode
    else:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines: List[str] = []
        watcher = threading.Thread(target=_watch, args=(process.stderr, lines), daemon=True)
        watcher.start()
        try:
            assert process.stdout is not None
            out = process.stdout.read()
            code = process.wait()
        except BaseException:  # Ctrl-C: the job is kept, and can go on
            process.terminate()
            process.wait()
            raise
        watcher.join()
        err = "\n".join(lines)
    if code != 0:
        lines = err.rstrip("\n").splitlines() or [f"exit code {code}"]
        begins = [i for i, line in enumerate(lines) if line.startswith("ppx: ")] or [0]
        if len(begins) > 1 and " traces drawn before that are in " in lines[begins[-1]]:
            begins.pop()
        raise PpxError("\n".join(line[5:] if line.startswith("ppx: ") else line for line in lines[begins[-1]:]), code)
    return out


def _watch(stream: Any, lines: List[str]) -> None:
    """Show progress: as a bar in a notebook, as lines elsewhere."""
    show = _Bar()
    for line in stream:
        line = line.rstrip("\n")
        lines.append(line)
        show(line)
    show.close()


class _Bar:
    """Progress of the engine, whose lines hold DONE/ALL."""

    def __init__(self) -> None:
        self.handle: Any = None
        self.html: Any = None
        try:
            from IPython import get_ipython  # type: ignore[attr-defined, unused-ignore]
            from IPython.display import HTML, display

            shell = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
            if shell is not None and shell.__class__.__name__ == "ZMQInteractiveShell":
                self.html = HTML
                self.handle = display(HTML("…"), display_id=True)  # type: ignore[no-untyped-call, unused-ignore]
        except ImportError:
            pass

    def __call__(self, line: str) -> None:
        if self.handle is None:
            print(line, file=sys.stderr)
            return
        share = re.search(r"([\d,]+)/([\d,]+)", line)
        bar = ""
        if share and int(share.group(2).replace(",", "")):
            part = int(share.group(1).replace(",", "")) / int(share.group(2).replace(",", ""))
            bar = f"<progress value='{part:.4f}' max='1' style='width:20em'></progress> "
        self.handle.update(self.html(bar + html.escape(line)))

    def close(self) -> None:
        if self.handle is not None:
            self.handle.update(self.html(""))


Simulator = Union[str, Sequence[str]]


def _command(verb: str, simulator: Simulator, options: Mapping[str, Any], observe: Optional[Mapping[str, Any]], folder: str) -> List[str]:
    """The command line of a verb. Options are its flags: target_ess=400 is --target-ess 400, True a flag without a value, a list a repeated one."""
    out = [verb, "--json"]
    for name, value in options.items():
        flag = "-n" if name == "n" else "--" + name.rstrip("_").replace("_", "-")
        for v in value if isinstance(value, (list, tuple)) else [value]:
            if v is None or v is False:
                continue
            if v is True:
                out.append(flag)
            else:
                out.extend([flag, str(v)])
    if observe:
        path = Path(folder) / "observe.json"
        path.write_text(json.dumps({k: np.asarray(v).tolist() for k, v in observe.items()}), encoding="utf-8")
        out.extend(["--observe-file", str(path)])
    if isinstance(simulator, str):
        if re.match(r"(tcp|ipc)://", simulator):
            return [*out, "--connect", simulator]
        simulator = [simulator]
    return [*out, "--", *[str(x) for x in simulator]]


def _make(verb: str, simulator: Simulator, options: Mapping[str, Any], observe: Optional[Mapping[str, Any]], quiet: bool) -> Dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        arguments = _command(verb, simulator, options, observe, folder)
        if quiet:
            arguments.insert(1, "--quiet")
        return json.loads(_ppx(arguments, progress=not quiet))  # type: ignore[no-any-return]


def infer(simulator: Simulator, observe: Mapping[str, Any], *, quiet: bool = False, **options: Any) -> Run:
    """The posterior under data: ``ppx infer``.

    simulator: its command, with "{endpoint}" in it, or the endpoint (tcp://…) of one that runs. observe: data by name, numbers or arrays. Options are the flags
    of ``ppx infer``: n, method="auto", network="sim.net", seed, out, target_ess, … Raises PpxError.
    """
    return Run(_make("infer", simulator, options, observe, quiet)["run"])


def prior(simulator: Simulator, *, quiet: bool = False, **options: Any) -> Run:
    """Draws of the prior: ``ppx prior``; options as for ``infer``."""
    return Run(_make("prior", simulator, options, None, quiet)["run"])


def train(simulator: Simulator, output: Union[str, "os.PathLike[str]"], *, quiet: bool = False, **options: Any) -> Dict[str, Any]:
    """Train a network into the file output: ``ppx train``. Options are its flags (n, seed, lstm, embed=["image=cnn2d"], …); returns what it prints as JSON."""
    return _make("train", simulator, {**options, "output": os.fspath(output)}, None, quiet)
