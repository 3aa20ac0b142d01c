# make demo   set up, build, and infer a posterior with C++ simulators
# make test   set up and pass every test
# make verify longer checks; make storm: ten minutes of bad weather
# make bench  the figures: ratios within one run
# make install PREFIX=/usr/local DESTDIR=   ppx, and the C++ client for find_package(ppx)
SHELL := /bin/bash
GO ?= go
PY := .venv/bin/python
PREFIX ?= /usr/local

.PHONY: build cpp demo test verify storm bench lint install setup setup-test setup-bench clean

# The last line makes what hooks programs that nobody edits, which ppx else does when it is first needed.
build: setup bin/ppx cpp
	@bin/ppx wrap --preload >/dev/null

.PHONY: bin/ppx
bin/ppx: assets
	$(GO) build -o bin/ppx ./cmd/ppx

# The scripts of interactive pages, from the npm registry; a binary without them writes pages with pictures.
.PHONY: assets
assets:
	@$(GO) run ./scripts/assets

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

# Everything, from the client libraries outwards: some twenty minutes on two cores.
test: setup-test cpp assets lint
	cd build && ctest --output-on-failure
	$(PY) -m pytest -q adapters/python/tests
	scripts/test-go.sh
	scripts/test-examples.sh

# What takes longer, with fixed seeds: run before a release.
verify: setup-test cpp assets
	scripts/verify.sh

# A simulator in bad weather for ten minutes: garbage, hangs, kills from outside, a slow disk.
storm: setup-test
	PPX_STORM=1000000 $(GO) test -timeout 40m -count=1 -v -run 'TestStorm|TestFatalDraws' ./engine

bench: setup-test cpp
	scripts/bench.sh

# Under sudo, which has another PATH and so perhaps no Go, what make build has built is taken as it is.
install:
	@[ -n "$$SUDO_USER" ] && [ -x bin/ppx ] && [ -f build/adapters/cpp/ppxConfig.cmake ] || $(MAKE) build
	install -D -m 755 bin/ppx "$(DESTDIR)$(PREFIX)/bin/ppx"
	install -D -m 755 -t "$(DESTDIR)$(PREFIX)/lib/ppx" "$$(bin/ppx wrap --preload)"
	DESTDIR="$(DESTDIR)" cmake --install build/adapters/cpp --prefix "$(PREFIX)"

clean:
	rm -rf bin build .venv
