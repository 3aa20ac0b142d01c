# make demo   set up, build, and infer a posterior with C++ simulators
# make test   set up and pass every test
# make bench  the figures: ratios within one run
SHELL := /bin/bash
GO ?= go
PY := .venv/bin/python

.PHONY: build cpp demo test bench lint setup setup-test setup-bench clean

build: setup bin/ppx cpp

.PHONY: bin/ppx
bin/ppx:
	$(GO) build -o bin/ppx ./cmd/ppx

cpp: setup
	@cmake -S . -B build -DCMAKE_BUILD_TYPE=Release >build.log 2>&1 || { cat build.log; exit 1; }
	@cmake --build build --parallel >build.log 2>&1 || { cat build.log; exit 1; }
	@rm -f build.log

setup:
	@scripts/setup.sh

setup-test:
	@scripts/setup.sh test

demo: build
	@scripts/demo.sh

lint: setup-test
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -d $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) tool depguard ./...
	.venv/bin/mypy --config-file adapters/python/pyproject.toml adapters/python/src

# Everything, from the client libraries outwards.
test: setup-test cpp lint
	cd build && ctest --output-on-failure
	$(PY) -m pytest -q adapters/python/tests
	PPX_TEST_ALL=1 $(GO) test -race -timeout 20m ./...
	$(GO) test -timeout 20m ./ic/train ./ic/net
	$(GO) test -tags gonumblas ./ic/net

bench: setup-test cpp
	scripts/bench.sh

clean:
	rm -rf bin build .venv
