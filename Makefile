# `make help` lists the targets.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unreleased)
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
PLUGIN  := bin/notification-stormshield
# The race detector needs a C compiler. Where CI is set, its lack is an error.
# It does not watch SQLite's own code, which would make the tests of the state five times as slow.
RACE    := $(if $(or $(CI),$(shell command -v $${CC:-cc} 2>/dev/null)),-race -gcflags='modernc.org/...=-race=false')
ACTIONS := go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
LINTER  := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
NFPM    := go run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0
SBOM    := go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0
# Where the packages go.
DIST    := dist

.PHONY: help build package test test-long lint demo e2e bench torture

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/notification-stormshield, static, with version and commit inside
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(PLUGIN) ./plugin/notification-stormshield

package: ## deb, rpm and archive for amd64 and arm64, into dist/; VERSION=1.2.3 gives them that version
	VERSION='$(VERSION)' COMMIT='$(COMMIT)' NFPM='$(NFPM)' SBOM='$(SBOM)' packaging/build.sh '$(DIST)'

# Without this, each program that the race detector watches sleeps for a second at its end.
test test-long: export GORACE = atexit_sleep_ms=0

test: ## the tests, with the race detector, in three minutes; no root needed
	@$(if $(RACE),,echo "no C compiler: testing WITHOUT the race detector")
	go test $(RACE) -timeout 20m -skip '^TestLong' ./...

test-long: ## the tests of many rounds, which make test leaves out; no root needed
	@$(if $(RACE),,echo "no C compiler: testing WITHOUT the race detector")
	go test $(RACE) -timeout 30m -run '^TestLong' ./...

lint: ## the linters, the import rules, and the workflows
	$(LINTER) run ./...
	cd e2e && $(LINTER) run --config ../.golangci.yml ./...
	$(ACTIONS)

demo: build ## the main job, against the simulated appliance
	go run ./demo -plugin $(PLUGIN)

e2e: build ## under real CrowdSec and real OpenSSH; needs root, and the packages named in e2e/README.md
	e2e/prepare.sh
	cd e2e && go test -count=1 -parallel 8 -timeout 40m -v ./...

bench: build ## latency, bytes and memory as tables, and docs/flush-cost.svg; takes about 25 minutes
	@mkdir -p docs
	go run ./bench -plugin $(PLUGIN) -svg docs/flush-cost.svg

torture: build ## faults, crashes, hostile input, and a table of losses; about 30 minutes (TORTURE=-short: 10)
	cd torture && go test -tags torture -count=1 -timeout 2h -plugin '$(CURDIR)/$(PLUGIN)' $(TORTURE)
