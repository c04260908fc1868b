# One static binary and nothing else. `make image` builds it; so do docker (with BuildKit), podman and buildah.
# What is compiled is compiled on the machine that builds, whatever platform it is for.
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
# The name that Deployments of tumblr/k8s-sidecar-injector start.
RUN ln -s k8s-sidecar-injector /out/bin/entrypoint.sh

FROM scratch
COPY --from=build /out/ /
ENV PATH=/bin
WORKDIR /
USER 65532:65532
EXPOSE 9443 9000
ENTRYPOINT ["/bin/k8s-sidecar-injector"]
ARG VERSION=devel
LABEL org.opencontainers.image.title="k8s-sidecar-injector" \
      org.opencontainers.image.description="A mutating admission webhook for Kubernetes that adds sidecars to pods" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
