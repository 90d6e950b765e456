# make help lists what there is to make.
.DEFAULT_GOAL := help
SHELL := /bin/bash
tool := go tool -modfile=tools/go.mod
# The race detector needs a C compiler.
race := $(shell command -v "$$(go env CC 2>/dev/null || echo cc)" >/dev/null 2>&1 && echo -race)

.PHONY: help
help: ## List these targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

.PHONY: run
run: build ## Build and serve: own database, demo clinic, everything (Ctrl-C stops it)
	@bin/corridor serve

.PHONY: build
build: go ## Build bin/corridor
	@go build -buildvcs=auto -o bin/corridor .

.PHONY: test
test: go postgres clients s3 ## Run all tests
	@[ "$(race)" ] || echo "no C compiler, so the tests run without the race detector: install one, such as gcc, to have it"
	go test $(race) -timeout 20m ./...

.PHONY: torture
torture: go postgres ## Attack three servers for ten minutes and more, and show what came of it
	go test -count=1 -timeout 40m ./internal/torture -run 'TestTheStormChangesNothing|TestNATSMayCarryTheHints' -v -torture.for=8m -torture.rate=500 -torture.within=5s

.PHONY: check
check: format vet generated test ## Everything that must pass before a change goes in

.PHONY: gen
gen: go ## Generate what schema.graphqls stands for
	go tool gqlgen generate

# The parts of a check.

.PHONY: format
format: go
	@unformatted=$$($(tool) gofumpt -l .) && [ -z "$$unformatted" ] || { \
		echo "not formatted, run: $(tool) gofumpt -w" $$unformatted; exit 1; }

.PHONY: vet
vet: go
	go vet ./...
	$(tool) staticcheck ./...

.PHONY: generated
generated: go
	@before=$$(cat graph/generated/* | cksum) && go tool gqlgen generate && \
		[ "$$before" = "$$(cat graph/generated/* | cksum)" ] || { \
		echo "graph/generated was not what schema.graphqls says; it is now, commit it too"; exit 1; }

# What is needed, and how to get it.

.PHONY: go
go:
	@command -v go >/dev/null || { echo "Go is missing: install Go 1.26 or later, see https://go.dev/dl"; exit 1; }
	@go list -m >/dev/null 2>&1 || { echo "$$(go env GOVERSION) is too old: install Go 1.26 or later, see https://go.dev/dl"; exit 1; }

.PHONY: clients
clients: # The JavaScript clients that tests use.
	@command -v npm >/dev/null || { echo "npm is missing, so the tests with JavaScript clients are left out: install Node.js 20.19 or later to have them"; exit 0; }; \
		cmp -s tools/clients/package-lock.json tools/clients/node_modules/.installed || { \
		(cd tools/clients && npm ci --silent --no-fund --no-audit && cp package-lock.json node_modules/.installed) || \
		{ echo "the JavaScript clients that tests use can't be fetched: is there a network? make clients tries again"; exit 1; }; }

.PHONY: postgres
postgres: build
	@dir=$$(mktemp -d) && chmod 711 $$dir && \
		said=$$(env -u DATABASE_URL bin/corridor migrate --data-dir $$dir 2>&1 >/dev/null); failed=$$?; rm -rf $$dir; \
		[ $$failed = 0 ] || { echo "$${said##*$$'\n'}"; exit 1; }

.PHONY: s3
s3: bin/versitygw

bin/versitygw: tools/s3/go.mod tools/s3/go.sum | go # The S3 server that tests use.
	@mkdir -p bin && go build -modfile=tools/s3/go.mod -o $@.new github.com/versity/versitygw/cmd/versitygw && mv $@.new $@ || \
		{ echo "the S3 server that tests use can't be built: is there a network, or a module proxy in GOPROXY? make s3 tries again"; exit 1; }
