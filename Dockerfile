# One static binary. `make image` builds it with docker (BuildKit), podman or buildah.
# Cross-compile on the build platform.
FROM --platform=$BUILDPLATFORM docker.io/library/golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=devel
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath \
      -ldflags "-s -w -X k8s-sidecar-injector/cli.release=$VERSION" -o /out/bin/k8s-sidecar-injector .
# The entry point of tumblr/k8s-sidecar-injector has this name, and Deployments run it.
RUN ln -s k8s-sidecar-injector /out/bin/entrypoint.sh

FROM scratch
COPY --from=build /out/ /
ENV PATH=/bin
WORKDIR /
USER 65532:65532
EXPOSE 9443 9000
ENTRYPOINT ["/bin/entrypoint.sh"]
ARG VERSION=devel
LABEL org.opencontainers.image.title="k8s-sidecar-injector" \
      org.opencontainers.image.description="A mutating admission webhook for Kubernetes that adds sidecars to pods" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
