#!/usr/bin/env bash
# The notebook tau.ipynb, run from its first cell to its last: run.sh writes the results into it; run.sh --ci makes it small, and writes nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${OUT:-ppx-runs/tau-notebook}
rm -rf "$out"
mkdir -p "$out"
export PPX=$PWD/bin/ppx OUT=$(cd "$out" && pwd)
keep=examples/tau/tau.ipynb
if [ "${1:-}" = --ci ]; then export SMALL=1; keep=$OUT/tau.ipynb; fi
.venv/bin/python - "$keep" <<'PY'
import sys

import nbformat
from nbclient import NotebookClient

book = nbformat.read("examples/tau/tau.ipynb", as_version=4)
NotebookClient(book, timeout=1800, resources={"metadata": {"path": "examples/tau"}}).execute()
nbformat.write(book, sys.argv[1])
PY
echo "the notebook: $keep"
