# `make help` lists the targets.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unreleased)
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
PLUGIN  := bin/notification-stormshield
# The race detector needs a C compiler. Where CI is set, a missing compiler is an error.
# The detector does not watch SQLite's code: with it, the tests of the ledger take five times as long.
RACE    := $(if $(or $(CI),$(shell command -v $${CC:-cc} 2>/dev/null)),-race -gcflags='modernc.org/...=-race=false')
ACTIONS := go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
LINTER  := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
NFPM    := go run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0
SBOM    := go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0
# The packages with tests of a state in PostgreSQL.
SHARED  := ./plugin ./plugin/forwarder ./plugin/health ./plugin/ledger ./plugin/lease ./plugin/lockout ./plugin/plugintest ./plugin/postgres
# Where the packages go.
DIST    := dist

.PHONY: help build package image test test-long test-postgres lint demo e2e bench torture

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/notification-stormshield, static, with its version and commit
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(PLUGIN) ./plugin/notification-stormshield

package: ## make deb, rpm and archive for amd64 and arm64 in dist/; VERSION=1.2.3 sets their version
	VERSION='$(VERSION)' COMMIT='$(COMMIT)' NFPM='$(NFPM)' SBOM='$(SBOM)' packaging/build.sh '$(DIST)' packages

image: ## make an image for containers, for amd64 and arm64, in dist/; needs no container engine
	VERSION='$(VERSION)' COMMIT='$(COMMIT)' SBOM='$(SBOM)' packaging/build.sh '$(DIST)' image

# By default, each program with the race detector sleeps for a second at its end.
test test-long test-postgres: export GORACE = atexit_sleep_ms=0

# The tests of packaging read files above their module. Go's cache of results does not watch those, hence -count=1.
test: ## run the tests with the race detector, in three minutes; no root needed
	@$(if $(RACE),,echo "no C compiler: testing WITHOUT the race detector")
	go test $(RACE) -timeout 20m -skip '^TestLong' ./...
	go test -C packaging -count=1 ./...

test-long: ## run the long tests, which make test leaves out; no root needed
	@$(if $(RACE),,echo "no C compiler: testing WITHOUT the race detector")
	go test $(RACE) -timeout 30m -run '^TestLong' ./...

test-postgres: ## run the tests of a state in PostgreSQL, on a private server; no root needed
	@$(if $(RACE),,echo "no C compiler: testing WITHOUT the race detector")
	TEST_STATE=postgres go test $(RACE) -timeout 30m -skip '^TestLong' $(SHARED)
	TEST_STATE=postgres go test $(RACE) -timeout 30m -run '^TestSharedState' ./plugin/notification-stormshield

lint: ## run the linters, and check the import rules and the workflows
	$(LINTER) run ./...
	cd e2e && $(LINTER) run --config ../.golangci.yml ./...
	cd packaging && $(LINTER) run --config ../.golangci.yml ./...
	$(ACTIONS)

demo: build ## show in half a minute what the plugin does, on the simulated appliance
	go run ./demo -plugin $(PLUGIN)

e2e: build ## test with real CrowdSec and real OpenSSH; needs root, and the packages that e2e/README.md names
	e2e/prepare.sh
	cd e2e && go test -count=1 -parallel 8 -timeout 40m -v ./...

bench: build ## measure latency, bytes, memory and the logins of a day, and draw docs/flush-cost.svg; takes about 35 minutes
	@mkdir -p docs
	go test -count=1 -v -run '^TestLongADay' ./plugin/enforcer
	go run ./bench -plugin $(PLUGIN) -svg docs/flush-cost.svg

torture: build ## cause faults, crashes and hostile input, and count the losses; about 30 minutes (TORTURE=-short: 10)
	cd torture && go test -tags torture -count=1 -timeout 2h -plugin '$(CURDIR)/$(PLUGIN)' $(TORTURE)
