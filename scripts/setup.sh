#!/usr/bin/env bash
# Installs what the project needs on Debian (or Ubuntu), and nothing that is already there.
#   scripts/setup.sh          for building and running: a C++ compiler, cmake, libzmq, flatbuffers, libunwind, OpenBLAS, oneDNN
#   scripts/setup.sh test     for the tests too: a Python environment in .venv, a browser
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-run}

say() { printf '\033[1m%s\033[0m\n' "setup: $*" >&2; }

packages=(g++ make cmake pkg-config libzmq3-dev libflatbuffers-dev libunwind-dev libopenblas-dev libdnnl-dev)
[ "$mode" = test ] && packages+=(flatbuffers-compiler python3 python3-venv python3-dev gsl-bin libgsl-dev gfortran mawk procps)
missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${missing[*]}"
  sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# A browser is large, and not everywhere to be had: without it pages are not tested in one.
if [ "$mode" = test ] && ! command -v chromium >/dev/null; then
  say "installing chromium"
  sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  { "${sudo[@]}" apt-get update -qq && DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends chromium >/dev/null; } ||
    say "no chromium: the tests that need a browser are left out"
fi

if ! command -v go >/dev/null; then
  say "Go is missing: install Go 1.26 or newer from https://go.dev/dl"
  exit 1
fi

if [ "$mode" = test ]; then
  want=$(cat scripts/test-requirements.txt adapters/python/pyproject.toml | sha256sum)
  if [ "$want" != "$(cat .venv/installed 2>/dev/null || true)" ]; then
    say "making the Python environment .venv"
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install -q --disable-pip-version-check -r scripts/test-requirements.txt
    .venv/bin/pip install -q --disable-pip-version-check --no-build-isolation -e adapters/python
    echo "$want" >.venv/installed
  fi
  # The Python client's compiled samplers; without them it is slower.
  want=$(cat adapters/python/setup.py adapters/python/src/ppxsim/_samplers.cpp adapters/cpp/include/ppx/random.hpp | sha256sum)
  if [ "$want" != "$(cat .venv/samplers 2>/dev/null || true)" ]; then
    if (cd adapters/python && ../../.venv/bin/python setup.py -q build_ext --inplace >/dev/null 2>&1) && rm -rf adapters/python/build; then
      echo "$want" >.venv/samplers
    else
      say "the compiled samplers of ppxsim were not built"
    fi
  fi
fi
