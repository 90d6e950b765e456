# make help lists what there is to make.
.DEFAULT_GOAL := help
SHELL := /bin/bash
tool := go tool -modfile=tools/go.mod
# The race detector needs a C compiler.
race := $(shell command -v "$$(go env CC 2>/dev/null || echo cc)" >/dev/null 2>&1 && echo -race)
# The web client is built and tested with Node.js. Where that is missing, what needs it is left out.
node := $(shell node -e 'let [a, b] = process.versions.node.split("."); process.exit(a > 20 || a == 20 && b >= 19 ? 0 : 1)' 2>/dev/null && command -v npm)
with_node = [ "$(node)" ] || { echo "Node.js 20.19 or later is missing, so $(1) left out: install it, with npm, to have them"; exit 0; }
# How the program is built: without what only debuggers read. Stack traces and profiles need none of it.
build_flags := -buildvcs=auto -ldflags=-s
# What web/dist is made of.
web_sources = web/src web/public web/*.html web/*.ts web/package.json web/package-lock.json schema.graphqls
# Prints a browser that tests can use, if there is one. Some distributions have a chromium that only tells where to get it.
find_chromium = for browser in "$$CORRIDOR_CHROMIUM" chromium chromium-browser google-chrome "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do \
	"$$browser" --version >/dev/null 2>&1 && command -v "$$browser" && break; done

.PHONY: help
help: ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

.PHONY: run
run: build ## Build and serve: own database, demo clinic, everything (Ctrl-C stops it)
	@bin/corridor serve

.PHONY: build
build: go web ## Build bin/corridor, and the schema beside it
	@[ -f bin/corridor ] || echo "building the server, which takes a minute or two the first time"; go build $(build_flags) -o bin/corridor .
	@bin/corridor schema > bin/schema.graphqls && bin/corridor schema --json > bin/schema.json

.PHONY: web
web: modules ## Build the web client, which bin/corridor has in it
	@[ "$(node)" ] || [ ! -f web/dist/index.html ] || exit 0; $(call with_node,the chat and the explorer are); \
		[ -f web/dist/index.html ] && [ -z "$$(find $(web_sources) -newer web/dist/index.html)" ] || (echo "building the web client" && cd web && npm run --silent build) || { \
		echo "the web client can't be built: see above"; exit 1; }

.PHONY: test
test: go postgres clients s3 ## Run all tests
	@[ "$(race)" ] || echo "no C compiler, so the tests run without the race detector: install one, such as gcc, to have it"
	go test $(race) -timeout 20m ./...
	@$(call with_node,the tests of the web client are); \
		(cd web && npm run --silent test) && $(MAKE) --no-print-directory browser

.PHONY: browser
browser: build chromium ## Run the browser tests
	@$(call with_node,the browser tests are); \
		browser=$$($(find_chromium)) && export CORRIDOR_CHROMIUM="$$browser"; cd web && npm run --silent test:browser

.PHONY: torture
torture: go postgres ## Attack three servers for ten minutes and more, and show what came of it
	go test -count=1 -timeout 40m ./internal/torture -run 'TestTheStormChangesNothing|TestNATSMayCarryTheHints' -v -torture.for=8m -torture.rate=500 -torture.within=5s

.PHONY: bench
bench: go ## Measure the six works beside their limits, on the data of a large clinic (docs/performance.md)
	go build $(build_flags) -o bin/corridor . && go run ./internal/bench

.PHONY: bench-quick
bench-quick: go ## The same on a tenth of the data, in a few short rounds
	go build $(build_flags) -o bin/corridor . && go run ./internal/bench -quick

.PHONY: check
check: format vet lint generated test ## Everything that must pass before a change goes in

.PHONY: gen
gen: go modules ## Generate what schema.graphqls stands for
	go run ./graph/generate
	@$(call with_node,the types of the web client are); cd web && npm run --silent generate

.PHONY: publish-schema
publish-schema: modules ## Take schema.graphqls for what clients rely on, at a release
	@[ "$(node)" ] || { echo "Node.js 20.19 or later is missing: install it, with npm, to compare the schema with the published one"; exit 1; }
	@cd web && npm run --silent test -- test/schema.test.ts
	@cp schema.graphqls docs/schema/published.graphqls

# The parts of a check.

.PHONY: format
format: go
	@unformatted=$$($(tool) gofumpt -l .) && [ -z "$$unformatted" ] || { \
		echo "not formatted, run: $(tool) gofumpt -w" $$unformatted; exit 1; }

.PHONY: vet
vet: go
	go vet ./...
	$(tool) staticcheck ./...

.PHONY: lint
lint: modules
	@$(call with_node,the checks of the web client are); cd web && npm run --silent lint

.PHONY: generated
generated: go modules
	@before=$$(cat graph/generated/* | cksum) && go run ./graph/generate && \
		[ "$$before" = "$$(cat graph/generated/* | cksum)" ] || { \
		echo "graph/generated was not what schema.graphqls says; it is now, commit it too"; exit 1; }
	@$(call with_node,the types of the web client are); before=$$(cat web/src/graphql/generated/* | cksum) && (cd web && npm run --silent generate) && \
		[ "$$before" = "$$(cat web/src/graphql/generated/* | cksum)" ] || { \
		echo "web/src/graphql/generated was not what schema.graphqls and the client's operations say; it is now, commit it too"; exit 1; }

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

.PHONY: modules
modules: # What the web client is built and tested with.
	@[ ! "$(node)" ] || cmp -s web/package-lock.json web/node_modules/.installed || { \
		(echo "fetching what the web client is built with, once" && cd web && npm ci --silent --no-fund --no-audit && cp package-lock.json node_modules/.installed) || \
		{ echo "what the web client is built with can't be fetched: is there a network? make modules tries again"; exit 1; }; }

.PHONY: chromium
chromium: modules # The browser that tests use.
	@[ "$(node)" ] || exit 0; \
		[ -z "$$CORRIDOR_CHROMIUM" ] || "$$CORRIDOR_CHROMIUM" --version >/dev/null 2>&1 || { echo "CORRIDOR_CHROMIUM is $$CORRIDOR_CHROMIUM, which is no browser"; exit 1; }; \
		[ -z "$$($(find_chromium))" ] || exit 0; \
		[ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || { echo "installing Chromium for the browser tests, which takes about a minute"; \
			said=$$(apt-get update 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium 2>&1) || echo "$$said"; }; \
		[ -z "$$($(find_chromium))" ] || exit 0; \
		(cd web && npx playwright-core install chromium-headless-shell) || { \
		echo "there is no browser for the browser tests, and none can be fetched: install Chromium or Chrome, or name one in CORRIDOR_CHROMIUM"; exit 1; }

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
