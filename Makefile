# make demo: set up and run the main job. make test: set up and pass every test.
SHELL := /bin/bash
GO ?= go

.PHONY: build test lint setup setup-test

build: setup
	$(GO) build -o bin/ppx ./cmd/ppx

setup:
	scripts/setup.sh

setup-test:
	scripts/setup.sh test

lint: setup-test
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -d $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

test: setup-test lint
	$(GO) test -race ./...
