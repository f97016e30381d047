# The broker is built without cgo; only the race detector needs a C compiler.
export CGO_ENABLED = 0

GO        ?= go
TOOL       = $(GO) tool -modfile=tools/go.mod
FUZZTIME  ?= 60s
CHECKS    ?= 100000
BENCHTIME ?= 3s

# Packages with property tests, whose number of checks is set by a flag of theirs.
PROPERTIES = $$($(GO) list $$(grep -rl --include='*_test.go' pgregory.net/rapid . | xargs -n1 dirname | sort -u))

.PHONY: run build build-authd test plain race e2e bench lint soak

run: build ## the broker on its built-in demo site
	bin/x2broker serve

build:
	$(GO) build -trimpath -o bin/ ./cmd/...

build-authd: export CGO_ENABLED = 1
build-authd: ## the helper that asks PAM; needs a C compiler and the headers of PAM
	@printf '#include <security/pam_appl.h>\n' | $${CC:-cc} -E - >/dev/null 2>&1 || { \
		echo "make build-authd: needs a C compiler and the headers of PAM: apt install gcc libpam0g-dev, or dnf install gcc pam-devel" >&2; exit 1; }
	$(GO) vet -tags pam ./cmd/x2broker-authd
	$(GO) build -trimpath -tags pam -o bin/ ./cmd/x2broker-authd

# Not from the test cache, which does not know that some tests build the binary.
test: ## needs Go and git, nothing else
	$(GO) test -count=1 ./...

plain: ## what cue and opa say of sites, held against check; builds both, minutes the first time
	$(GO) test -count=1 -tags plain ./tests/agreement/...

race: export CGO_ENABLED = 1
race:
	$(GO) test -race -count=1 ./policy ./schema -rapid.checks=10
	$(GO) test -race -count=1 $$($(GO) list ./... | grep -v -e '/x2broker/policy$$' -e '/x2broker/schema$$')

e2e: ## the real X2Go Client and pyhoca-cli; installs Debian packages as root
	tests/e2e/run

bench: ## figures, as ratios within one run
	$(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) ./policy ./tests/bench

lint:
	@unformatted=$$($(TOOL) gofumpt -l .); test -z "$$unformatted" || { echo "not gofumpt:" $$unformatted; exit 1; }
	$(GO) vet -tags e2e,plain ./...
	$(TOOL) staticcheck -tags e2e,plain ./...

soak: ## hours of fuzzing, property runs, and a thousand commits under load
	@set -e; for pkg in $$($(GO) list ./...); do \
		for fuzz in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$fuzz"; \
			$(GO) test -run '^$$' -fuzz "^$$fuzz\$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done
	$(GO) test -count=1 -timeout 0 $(PROPERTIES) -rapid.checks=$(CHECKS)
	$(GO) test -run TestIdleSSHConnections -count=1 -timeout 0 -v ./tests/hostile -idle 10000
	$(GO) test -run '^$$' -bench 'Serve/profiles=1000$$' -benchtime 1000x -timeout 0 ./tests/bench
