.DEFAULT_GOAL := help
SHELL := /bin/bash

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w -X k8s-sidecar-injector/cli.release=$(VERSION)
# How long each fuzz target runs, and how often each benchmark.
FUZZTIME ?= 20s
BENCHCOUNT ?= 1

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## serve on this machine with a throwaway certificate; prints what to try
	@CGO_ENABLED=0 go build -o k8s-sidecar-injector .
	@exec ./k8s-sidecar-injector --dev

.PHONY: test
test: ## run the tests; needs Go alone
	CGO_ENABLED=0 go test ./...

.PHONY: race
race: ## run the tests with the race detector, shuffled; needs a C compiler
	CGO_ENABLED=1 go test -race -shuffle=on ./...

.PHONY: cover
cover: ## run the tests and print the statement coverage of each package
	CGO_ENABLED=0 go test -cover ./...

.PHONY: lint
lint: ## check style, imports and go.mod; builds golangci-lint from tools.mod the first time
	go mod tidy -diff
	go tool -modfile=tools.mod golangci-lint run ./...

.PHONY: fmt
fmt: ## format the code as lint wants it
	go tool -modfile=tools.mod golangci-lint fmt ./...

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (20s)
	@set -e; export CGO_ENABLED=0; for package in $$(go list ./...); do \
	  list=$$(go test -list '^Fuzz' $$package); \
	  for target in $$(grep '^Fuzz' <<<"$$list" || true); do \
	    echo "$$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$package; \
	  done; \
	done

.PHONY: bench
bench: ## measure a review against a constant answer and against the usual way
	CGO_ENABLED=0 go test -run '^$$' -bench . -benchmem -count $(BENCHCOUNT) ./mutate ./server

.PHONY: build
build: ## build the static binary for this machine
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o k8s-sidecar-injector .
