.DEFAULT_GOAL := help
SHELL := /bin/bash

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w -X k8s-sidecar-injector/cli.release=$(VERSION)
# How long each fuzz target runs, and how often each benchmark.
FUZZTIME ?= 20s
BENCHCOUNT ?= 1
# Which of the e2e or torture tests run, as a regular expression; all if it is empty.
RUN ?=
# Not empty: a shortened torture.
SHORT ?=

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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
	$(HELM) lint --strict deploy/chart
	go tool -modfile=tools.mod golangci-lint run ./...
	cd e2e && go mod tidy -diff
	cd e2e && CGO_ENABLED=0 go tool -modfile=../tools.mod golangci-lint run . ./cluster ./cmd/cluster

.PHONY: fmt
fmt: ## format the code as lint wants it
	go tool -modfile=tools.mod golangci-lint fmt ./... e2e

# Where its time ends while an input runs, go test may call that a failure. A finding
# always has its input written, or tells of more than the deadline.
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
bench: ## measure a review against a constant answer and against the usual way
	CGO_ENABLED=0 go test -run '^$$' -bench . -benchmem -count $(BENCHCOUNT) ./mutate ./server

# The control plane of e2e, as built from its published modules.
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
	@CGO_ENABLED=0 go build -modfile=tools.mod -o e2e/.bin/ helm.sh/helm/v4/cmd/helm && echo 'helm: built'
	@CGO_ENABLED=0 go build -ldflags '$(LDFLAGS)' -o e2e/.bin/ .

.PHONY: e2e
e2e: cluster-bin ## run the tests against a real API server, or those named by RUN
	cd e2e && CGO_ENABLED=0 go test -count=1 -parallel 4 -timeout 40m -run '$(RUN)' . ./cluster

.PHONY: torture
torture: ## attack the binary with hostile clients and documents, up to ten minutes; SHORT=1: up to three
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	  cd torture && TMPDIR="$$dir" CGO_ENABLED=0 go test -tags torture -count=1 -parallel 12 -timeout 20m $(if $(SHORT),-short) -run '$(RUN)'

.PHONY: cluster
cluster: cluster-bin ## run a cluster with the injector on this machine, to try it with kubectl
	@cd e2e && CGO_ENABLED=0 go build -o .bin/ ./cmd/cluster && exec .bin/cluster

HELM := CGO_ENABLED=0 go tool -modfile=tools.mod helm

.PHONY: manifests
manifests: ## render deploy/install.yaml from the chart
	@{ printf '# Made of deploy/chart by make manifests. To change it, change the chart.\n'; cat deploy/namespace.yaml; \
	  $(HELM) template sidecar-injector deploy/chart --namespace sidecar-injector --set sample=true; } > deploy/install.yaml.new
	@mv deploy/install.yaml.new deploy/install.yaml

.PHONY: build
build: ## build the static binary for this machine
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o k8s-sidecar-injector .

# The image. BUILDER_FLAGS stand before the command build, BUILD_FLAGS after it.
IMAGE ?= k8s-sidecar-injector
PLATFORM ?=
BUILDER ?= $(shell docker info >/dev/null 2>&1 && echo docker || basename "$$(command -v podman || command -v buildah)")
BUILDER_FLAGS ?=
BUILD_FLAGS ?=

.PHONY: image
image: ## build the container image with docker, podman or buildah, for this platform or PLATFORM=linux/arm64
	@set -eu; builder='$(BUILDER)'; version='$(or $(VERSION),devel)'; revision=$$(git rev-parse HEAD 2>/dev/null || true); \
	  [ -n "$$builder" ] || { echo 'make image: there is neither a docker whose daemon answers, nor podman, nor buildah: install one' >&2; exit 1; }; \
	  echo "building $(IMAGE):$$version with $$builder"; \
	  DOCKER_BUILDKIT=1 $$builder $(BUILDER_FLAGS) build $(if $(PLATFORM),--platform $(PLATFORM)) --build-arg "VERSION=$$version" \
	    $${revision:+--label "org.opencontainers.image.revision=$$revision"} $(BUILD_FLAGS) --tag "$(IMAGE):$$version" .

.PHONY: image-test
image-test: ## build the image for two platforms and try it; for CI: needs root, and apt-get where there is no buildah
	bash .ci/image
