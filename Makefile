.DEFAULT_GOAL := help
SHELL := /bin/bash

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w -X k8s-sidecar-injector/cli.release=$(VERSION)
# Name of the image; the default tag is VERSION.
IMAGE ?=
# Duration of each fuzz target, and number of runs of each benchmark.
FUZZTIME ?= 20s
BENCHCOUNT ?= 1
# Regular expression of the e2e or torture tests to run; empty: all.
RUN ?=
# Not empty: run a shorter torture.
SHORT ?=

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## serve on this machine with a self-signed certificate; prints a command to try
	@echo 'compiling (the first time takes a few minutes)'
	@CGO_ENABLED=0 go build -o bin/ .
	@exec bin/k8s-sidecar-injector --dev

.PHONY: test
test: ## run the tests, about two minutes; needs only Go
	CGO_ENABLED=0 go test ./...

.PHONY: race
race: ## run the tests with the race detector, shuffled; needs a C compiler
	CGO_ENABLED=1 go test -race -shuffle=on ./...

.PHONY: cover
cover: ## run the tests and print the statement coverage of each package
	CGO_ENABLED=0 go test -cover ./...

.PHONY: lint
lint: ## check style, imports, go.mod and spelling; the first run builds golangci-lint from tools/go.mod
	go mod tidy -diff
	$(HELM) lint --strict deploy/chart
	$(TEMPL) generate -path server -check
	go tool -modfile=tools/go.mod golangci-lint run ./...
	CGO_ENABLED=0 go tool -modfile=tools/go.mod misspell -error $$(git ls-files '*.md' '*.templ' deploy/chart)
	cd tools && go mod tidy -diff && CGO_ENABLED=0 go test -count=1 .
	cd tools && CGO_ENABLED=0 go tool -modfile=go.mod golangci-lint run ./...
	CGO_ENABLED=0 go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 .github/workflows/*.yaml
	cd e2e && go mod tidy -diff
	cd e2e && CGO_ENABLED=0 go tool -modfile=../tools/go.mod golangci-lint run . ./bench ./browser ./cluster ./cmd/bench ./cmd/cluster ./monitoring

# The pages of the lifecycle port are generated from server/*.templ.
TEMPL := CGO_ENABLED=0 go tool -modfile=tools/go.mod templ

.PHONY: pages
pages: ## generate the Go code of the status page from server/*.templ
	$(TEMPL) fmt server
	$(TEMPL) generate -path server

.PHONY: fmt
fmt: ## format the code; the first run builds golangci-lint, which takes some minutes
	go tool -modfile=tools/go.mod golangci-lint fmt ./... e2e

# go test may report a failure if the time ends while an input runs. A real failure also prints the
# failing input, or another error.
FUZZ_OVER := ^    context deadline exceeded$$

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (20s)
	@set -eo pipefail; export CGO_ENABLED=0; log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	for package in $$(go list ./...); do \
	  list=$$(go test -list '^Fuzz' $$package); \
	  for target in $$(grep '^Fuzz' <<<"$$list" || true); do \
	    echo "$$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$package 2>&1 | tee "$$log" || \
	      { grep -q '$(FUZZ_OVER)' "$$log" && ! grep -qE 'Failing input|panic|_test\.go:|hung' "$$log"; } || exit 1; \
	  done; \
	done

.PHONY: bench
bench: ## compare a review with a constant response and with the usual implementation
	CGO_ENABLED=0 go test -run '^$$' -bench . -benchmem -count $(BENCHCOUNT) ./mutate ./server

# Settings of the measurements: duration of a contender's round, number of rounds.
BENCHTIME ?= 5s
ROUNDS ?= 7
# File for the points of the plots; empty: none.
RECORDS ?=
BENCHFLAGS = -benchtime $(BENCHTIME) -rounds $(ROUNDS)

.PHONY: bench-bin
bench-bin:
	@mkdir -p e2e/.bin
	@CGO_ENABLED=0 go build -ldflags '$(LDFLAGS)' -o e2e/.bin/ .
	@cd e2e && CGO_ENABLED=0 go build -o .bin/ ./cmd/bench

.PHONY: bench-http
bench-http: bench-bin ## compare the CPU time of a review over HTTPS with a constant response
	@cd e2e && .bin/bench http $(BENCHFLAGS)

# The largest number of sidecars, and the time before memory is read.
SIDECARS ?= 10000
SETTLE ?= 3s

.PHONY: bench-scale
bench-scale: bench-bin ## measure starts, edits, memory and reviews with 10 to 10,000 sidecars
	@cd e2e && .bin/bench scale $(BENCHFLAGS) -sidecars $(SIDECARS) -settle $(SETTLE) -records '$(abspath $(RECORDS))'

.PHONY: bench-cluster
bench-cluster: cluster-bin ## create pods through an API server, with webhooks and without; edit ConfigMaps
	@cd e2e && CGO_ENABLED=0 go build -o .bin/ ./cmd/bench && .bin/bench cluster $(BENCHFLAGS) -clients 4 -sidecars $(SIDECARS)

.PHONY: plots
plots: bench-bin ## draw docs/performance-*.svg from docs/performance.tsv, which bench-scale writes
	@cd e2e && .bin/bench plot -records ../docs/performance.tsv -plots ../docs

# Directory of the profiles.
PROFILES ?= bin/profiles

.PHONY: profile
profile: bench-bin ## write profiles of CPU, heap, blocking and mutexes under load to PROFILES (bin/profiles)
	@mkdir -p $(PROFILES) e2e/.bin/profile
	@CGO_ENABLED=0 go build -o e2e/.bin/profile/k8s-sidecar-injector ./cli/profile
	@cd e2e && PROFILE_DIRECTORY='$(abspath $(PROFILES))' .bin/bench http $(BENCHFLAGS) -bin .bin/profile
	@echo 'go tool pprof -http=localhost:8080 $(PROFILES)/cpu.pprof    # or heap.pprof, block.pprof, mutex.pprof'

# The control plane for e2e, built from its published modules.
KUBERNETES := v1.37.2
CLUSTER_LDFLAGS := -s -w -X k8s.io/component-base/version.gitVersion=$(KUBERNETES) \
  -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37

.PHONY: cluster-bin
cluster-bin: ## build a Kubernetes control plane into e2e/.bin; up to ten minutes the first time
	@mkdir -p e2e/.bin
	@set -eo pipefail; cd e2e && for program in etcd kube-apiserver kube-controller-manager kubectl; do \
	  CGO_ENABLED=0 go build -v -ldflags '$(CLUSTER_LDFLAGS)' -o .bin/ ./cmd/$$program 2>&1 | \
	    awk -v program=$$program '/^(go:|#)|error|cannot|undefined/ {print} NR % 100 == 0 {printf "%s: %d packages compiled\n", program, NR; fflush()} \
	      END {printf "%s: built\n", program}'; \
	done
	@CGO_ENABLED=0 go build -modfile=tools/go.mod -o e2e/.bin/ helm.sh/helm/v4/cmd/helm && echo 'helm: built'
	@CGO_ENABLED=0 go build -ldflags '$(LDFLAGS)' -o e2e/.bin/ .

.PHONY: e2e
e2e: cluster-bin ## run the tests against a real API server, or only those that match RUN
	cd e2e && CGO_ENABLED=0 go test -count=1 -parallel 4 -timeout 40m -run '$(RUN)' . ./bench ./cluster ./monitoring

.PHONY: browser
browser: ## test the status page in headless Chromium, which must be installed
	@mkdir -p e2e/.bin
	@CGO_ENABLED=0 go build -ldflags '$(LDFLAGS)' -o e2e/.bin/ .
	cd e2e && CGO_ENABLED=0 go test -count=1 ./browser

.PHONY: torture
torture: ## attack the binary with hostile clients and documents, up to ten minutes; SHORT=1: three
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	  cd torture && TMPDIR="$$dir" CGO_ENABLED=0 go test -tags torture -count=1 -parallel 12 -timeout 20m $(if $(SHORT),-short) -run '$(RUN)'

.PHONY: cluster
cluster: cluster-bin ## run a cluster with the injector on this machine, for kubectl
	@cd e2e && CGO_ENABLED=0 go build -o .bin/ ./cmd/cluster && exec .bin/cluster

HELM := CGO_ENABLED=0 go tool -modfile=tools/go.mod helm

.PHONY: manifests
manifests: ## render deploy/install.yaml from the chart, with the image IMAGE=NAME:TAG
	@tools/manifests deploy/chart '$(IMAGE)' > deploy/install.yaml.new
	@mv deploy/install.yaml.new deploy/install.yaml
	@echo 'to install: kubectl apply -f deploy/install.yaml'

.PHONY: build
build: ## build the static binary for this machine into bin, and links that make it a kubectl plugin
	CGO_ENABLED=0 go build -trimpath -buildvcs=auto -ldflags '$(LDFLAGS)' -o bin/ .
	ln -sf k8s-sidecar-injector bin/kubectl-sidecars
	ln -sf k8s-sidecar-injector bin/kubectl_complete-sidecars

.PHONY: build-test
build-test: build ## test the built binary; needs ports 9000 and 9001
	bash .ci/build

.PHONY: release
release: ## write the files of a release to dist, for VERSION=v1.2.3 and IMAGE=NAME
	@VERSION='$(if $(filter file,$(origin VERSION)),,$(VERSION))' IMAGE='$(IMAGE)' PLATFORMS='$(PLATFORMS)' tools/release

.PHONY: release-test
release-test: ## build a release twice, compare every byte, and check the files
	.ci/release

# The image. BUILDER_FLAGS are put before the command build, BUILD_FLAGS after it.
PLATFORM ?=
BUILDER ?= $(shell docker info >/dev/null 2>&1 && echo docker || basename "$$(command -v podman || command -v buildah)")
BUILDER_FLAGS ?=
BUILD_FLAGS ?=

.PHONY: image
image: ## build the container image IMAGE=NAME:TAG with docker, podman or buildah; PLATFORM=linux/arm64 cross-compiles
	@set -eu; builder='$(BUILDER)'; version='$(or $(VERSION),devel)'; revision=$$(git rev-parse HEAD 2>/dev/null || true); \
	  image='$(or $(IMAGE),k8s-sidecar-injector)'; case $${image##*/} in *:*) ;; *) image=$$image:$$version ;; esac; \
	  [ -n "$$builder" ] || { echo 'make image: no docker daemon answers, and neither podman nor buildah is installed' >&2; exit 1; }; \
	  echo "building $$image with $$builder"; \
	  DOCKER_BUILDKIT=1 $$builder $(BUILDER_FLAGS) build $(if $(PLATFORM),--platform $(PLATFORM)) --build-arg "VERSION=$$version" \
	    $${revision:+--label "org.opencontainers.image.revision=$$revision"} $(BUILD_FLAGS) --tag "$$image" .

.PHONY: image-test
image-test: ## build and test the image for two platforms; needs root, and installs buildah with apt-get
	bash .ci/image
