# The agent alone, static, on an empty image. Build it anywhere:
#   docker build --build-arg VERSION="$(git describe --tags --always)" -t swarmgauge .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /agent ./cmd/agent

FROM scratch
# TLS to an Elasticsearch with a publicly signed certificate.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /agent /agent
# No variable says where the node's files are: the agent looks where the stack file mounts
# them, and where cAdvisor wants them (docs/operations.md).
EXPOSE 8080
VOLUME /var/lib/swarmgauge
HEALTHCHECK --interval=15s --timeout=6s --start-period=10s CMD ["/agent", "healthcheck"]
ENTRYPOINT ["/agent"]
