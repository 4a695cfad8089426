# Every target works alone, on a fresh machine: it makes .venv when it is missing or out of date.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

DEMO_EXTRAS := demo,openvino
ALL_EXTRAS := alibi,cpu,demo,dev,export,monitor,openvino
ROOMS := $(wildcard service exporter monitoring grafana examples benchmarks docs tests)
JOBS ?= 2
# Two processes fill two cores; a file's tests stay together and share what they set up.
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile
# pytest keeps what it made of each test module; without, every process makes all of them anew.
unexport PYTHONDONTWRITEBYTECODE

say = @printf '\033[1m==> %s\033[0m\n' $(1)

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 36

# ---- installing ---------------------------------------------------------------------------------

# $(1): extras, $(2): stamps to leave. The lock is used as constraints, so that each machine gets
# the build of torch that its index offers, with whatever that build needs.
define install
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || { \
	  echo "tenantry needs Python 3.11 or 3.12; '$(PYTHON)' is not one:" >&2; \
	  { $(PYTHON) --version 2>&1 || true; } | head -1 >&2; \
	  echo "Say which one to take: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(call say,"installing into $(VENV): tenantry[$(1)]")
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check -c requirements.lock -e '.[$(1)]' \
	  | { grep --line-buffered -v '^Requirement already satisfied' || true; }
	@touch $(2)
endef

$(VENV)/.installed-demo: pyproject.toml requirements.lock
	$(call install,$(DEMO_EXTRAS),$@)

$(VENV)/.installed: pyproject.toml requirements.lock
	$(call install,$(ALL_EXTRAS),$(VENV)/.installed-demo $@)

.PHONY: install
install: $(VENV)/.installed ## .venv with everything that development needs

# ---- the two commands ---------------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/.installed-demo ## three tenants on one backbone (CHECK=1: checked, IMAGES=1: images)
	@exec $(BIN)/tenantry demo$(if $(filter-out 0,$(CHECK)), --check)$(if $(filter-out 0,$(IMAGES)), --images)

.PHONY: test
test: lint types ## the whole suite but the long stress runs
	$(call say,"tests")
	@$(PYTEST)

.PHONY: test-all
test-all: lint types ## the long stress runs too
	$(call say,"tests with the long runs")
	@$(PYTEST) -m 'long or not long'

# ---- while working ------------------------------------------------------------------------------

# Unit tests sync small files a thousand times: in memory, where there is a GiB of it, that is free.
IN_MEMORY = $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 1048576 { print "/dev/shm" }')

# mypy reads beside the tests and is heard after them; of a hundred seconds it would take forty.
.PHONY: check
check: lint ## style, types, arrows and unit tests: under two minutes
	$(call say,"unit tests beside mypy")
	@box=$$(mktemp -d "$(or $(IN_MEMORY),$${TMPDIR:-/tmp})/tenantry-check-XXXXXX"); \
	$(MAKE) types >"$$box/types" 2>&1 & types=$$!; failed=0; \
	trap 'kill "$$types" 2>/dev/null || true; wait; rm -rf "$$box"' EXIT; \
	PYTEST_DEBUG_TEMPROOT="$$box" $(PYTEST) tests/unit || failed=$$?; \
	wait "$$types" || failed=$$?; \
	cat "$$box/types"; exit "$$failed"

.PHONY: lint
lint: $(VENV)/.installed ## style and arrows
	$(call say,"ruff")
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	$(call say,"import-linter")
	@$(BIN)/lint-imports

.PHONY: types
types: $(VENV)/.installed ## types
	$(call say,"mypy")
	@$(BIN)/mypy $(ROOMS)
	@$(BIN)/mypy deploy/smoke-container

.PHONY: format
format: $(VENV)/.installed ## rewrites the sources in the house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: gameday
gameday: $(VENV)/.installed ## incidents on real processes, and who is told: 26 minutes
	@exec $(BIN)/python -m examples.gameday

.PHONY: docs
docs: $(VENV)/.installed ## docs/reference, made from the code
	@$(BIN)/python -m docs.generate

.PHONY: grafana
grafana: $(VENV)/.installed ## dashboards, rules and routes, made from grafana/
	@$(BIN)/python -m grafana.generate

# Resolves everything but the GPU's packages anew, without installing it. A local version (torch's
# +cpu) names one index's build, so only the public part is kept.
.PHONY: lock
lock: ## requirements.lock, resolved anew
	$(call say,"resolving tenantry[$(ALL_EXTRAS)]")
	@box=$$(mktemp -d); trap 'rm -rf "$$box"' EXIT; \
	$(PYTHON) -m venv "$$box/venv"; \
	"$$box/venv/bin/python" -m pip install --upgrade 'pip>=23.1'; \
	"$$box/venv/bin/python" -m pip install --dry-run --ignore-installed \
	  --report "$$box/report.json" '.[$(ALL_EXTRAS)]'; \
	{ echo '# The versions that are tested together, for `pip install -c`. Made by `make lock`.'; \
	  "$$box/venv/bin/python" -c "$$READ_REPORT" < "$$box/report.json"; } > "$$box/lock"; \
	cp "$$box/lock" requirements.lock
	@echo "requirements.lock: $$(grep -c == requirements.lock) packages"

define READ_REPORT
import json, re, sys
found = [part["metadata"] for part in json.load(sys.stdin)["install"]]
names = {re.sub("[-_.]+", "-", m["name"]).lower(): m["version"].split("+")[0] for m in found}
del names["tenantry"]
print(*(f"{name}=={version}" for name, version in sorted(names.items())), sep="\n")
endef
export READ_REPORT

include benchmarks/bench.mk
