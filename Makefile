# The two commands that a newcomer needs are `make demo` and `make test`.

VERSION ?= $(shell git describe --tags --dirty --always 2>/dev/null)
GO ?= $(shell .ci/go)
LAB = $(GO) run ./test/lab/cmd/lab

.PHONY: build demo demo-host demo-down test unit race faults soak bench lint fuzz generate pictures

# The agent, static, in bin/.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/agent ./cmd/agent

# From a clean clone to documents of a Swarm in a real Elasticsearch: deploy/create_cluster.sh,
# where there is no Docker engine on one of its own. NODES is the number of workers. Where no
# engine can be started either, it is demo-host, of the cgroups that are there.
NODES ?= 4
demo: build
	$(GO) run ./test/lab/cmd/demo up -nodes $(NODES)

# The same of the containers of this machine, with the agent as a process.
demo-host: build
	$(GO) run ./test/lab/cmd/demo host

# Removes what demo and demo-host made, and nothing else.
demo-down:
	$(GO) run ./test/lab/cmd/demo down

# Every test. As root on Debian it installs what they need; elsewhere it says what is missing,
# and the tests that need it skip, or fail with CI=true in the environment.
test: lint
	@missing=; \
	for tool in strace:strace shellcheck:shellcheck mkfs.ext4:e2fsprogs cpio:cpio curl:curl ps:procps du:coreutils "cc:gcc libc6-dev"; do \
		command -v $${tool%%:*} >/dev/null || missing="$$missing $${tool#*:}"; \
	done; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then \
		apt-get update -q && apt-get install -q -y --no-install-recommends $$missing; \
	else \
		echo "Missing, so that tests SKIP: run \`sudo apt-get update && sudo apt-get install -y --no-install-recommends$$missing\`" >&2; \
		[ "$$CI" != true ] || exit 1; \
	fi
	$(LAB) prepare
	$(GO) test -count=1 -p 1 -timeout 60m ./...

# The tests that need no engine, no Elasticsearch and no virtual machine: about a minute.
unit:
	$(GO) test -short ./...

# The packages with goroutines, by the race detector, which takes cgo and a compiler of C:
# some minutes. Tests of what a thing costs are left out.
race:
	CGO_ENABLED=1 $(GO) test -race -short -timeout 30m -skip 'Cheap$$' ./hang ./docker ./collector ./shipper ./web

# The full form of every row of the catalogue of faults, one after the other: most of a day.
# What they find is recorded, and stands in docs/reliability.md. A row that fails doesn't
# keep the others from running.
faults:
	$(LAB) prepare
	@failed=0; \
	SWARMGAUGE_FAULTS=full $(GO) test -count=1 -p 1 -timeout 48h -v -run '^Test[DSC][0-9][0-9]' ./... || failed=1; \
	$(GO) test -count=1 ./test/faults -run TestReliability -update; \
	exit $$failed

# An agent among two hundred cgroups that come and go, a random fault each minute; in the
# end the auditor has to prove that nothing is lost. SOAK=3h makes it longer, SOAK_EVERY=10s
# wilder.
SOAK ?= 10m
SOAK_EVERY ?= 1m
soak:
	$(LAB) prepare elasticsearch
	SOAK=$(SOAK) SOAK_EVERY=$(SOAK_EVERY) $(GO) test -count=1 -timeout 0 -v -run '^TestSoak$$' ./test

lint:
	@unformatted=$$($(dir $(GO))gofmt -l .); test -z "$$unformatted" || { echo "run gofmt -w on: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# CPU time per container-sample beside the floor of the kernel, on 100 containers.
bench:
	$(LAB) prepare docker elasticsearch
	$(GO) test -count=1 -timeout 40m -v -run '^$$' -bench 'Agent|CAdvisor' ./bench

# Ten seconds of each fuzz target.
fuzz:
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep ^Fuzz); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime 10s $$package || exit 1; \
		done; \
	done

# Pictures of the dashboards from a Swarm that runs for ten minutes. Takes Node.js with npm,
# Debian's chromium, pngquant and fonts-inter, and what `make test` takes.
PICTURES = $(CURDIR)/test/pictures
pictures:
	$(LAB) prepare nodes elasticsearch
	cd $(PICTURES) && npm ci --no-audit --no-fund
	SWARMGAUGE_PICTURES=$(PICTURES)/answers.json $(GO) test -count=1 -timeout 30m -v -run '^TestDashboards$$' ./test
	cd $(PICTURES) && node draw.mjs answers.json ../../docs/pictures

# METRICS.md, docs/configuration.md, docs/reliability.md, the fates in docs/operations.md and
# deploy/kibana from the tables and the dashboards in Go.
generate:
	$(GO) test ./test/faults -run TestReliability -update
	$(GO) test ./shipper -run 'TestMetricsMarkdown|TestFatesInOperations' -update
	$(GO) test ./cmd/agent -run TestConfigurationReference -update
	$(GO) test ./kibana -run 'TestCommittedObjects|TestDashboardsMarkdown' -update
