# `make help` lists the targets. The environment is in .venv, and is updated only when its requirements change.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3 || command -v python3.13 || command -v python3.12 || command -v python3.11)
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements-dev.lock
CONTROL_PLANE := lambda_src/multinode_control_plane
TESTS ?= tests
JOBS ?= 4
SEEDS ?= 1000
KILLS ?= 500

# Tests start hundreds of interpreters, and each would compile all its imports again.
unexport PYTHONDONTWRITEBYTECODE

# Targets for one part of the product are defined in its folder.
include $(wildcard terraform/*.mk lambda_src/*.mk tests/*/*.mk)

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{ printf "  make %-17s %s\n", $$1, $$2 }'

# --- the environment ----------------------------------------------------------------------------------------------------

$(BIN)/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Multinode needs Python 3.11 or later; '$(PYTHON)' is not. Name one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@"$(PYTHON)" -c 'import ensurepip, venv' || { \
	  echo "'$(PYTHON)' lacks the module venv or ensurepip (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 2; }
	"$(PYTHON)" -m venv $(VENV)

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(VENV)/.user: pyproject.toml setup.py | $(BIN)/python
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.developer: pyproject.toml setup.py $(LOCK) examples/tsp/requirements.txt | $(BIN)/python
	$(INSTALL) --constraint $(LOCK) --upgrade pip
	$(INSTALL) --constraint $(LOCK) --group dev --editable '.[aws]' --requirement examples/tsp/requirements.txt
	@touch $(VENV)/.user $@

.PHONY: venv
venv: $(VENV)/.developer  ## set up .venv for development

# The file contains only versions, one set for every supported Python. Where packages come from is up to pip's configuration.
.PHONY: lock
lock: | $(BIN)/python  ## lock new requirements; for the newest of everything, remove requirements-dev.lock first
	$(INSTALL) --upgrade pip
	$(INSTALL) --group lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-annotate \
	  --custom-compile-command 'make lock' --output-file $(LOCK) --extra aws --group dev --group release \
	  pyproject.toml examples/tsp/requirements.txt

# --- see it work --------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/.user  ## deploy examples/tsp to a local control plane, follow it to the optimum, draw the route
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/demo.sh

# --- check it -----------------------------------------------------------------------------------------------------------

.PHONY: check
check: lint fast  ## before each commit: `make lint` and the fast tests, under a minute

.PHONY: lint
lint: $(VENV)/.developer check-terraform  ## format, lint, spelling, types, import rules, Terraform
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/mypy
	@for example in examples/*/; do \
	  MYPYPATH=runtime:$$example $(BIN)/mypy --strict --config-file= --cache-dir=.mypy_cache/$$example $$example*.py; done
	$(BIN)/lint-imports

.PHONY: fast
fast: $(VENV)/.developer  ## the tests that take less than a second each
	$(BIN)/pytest -q -n auto --dist loadfile -m "not slow and not network" --hypothesis-profile brief $(TESTS)

.PHONY: check-terraform
check-terraform:
ifeq ($(shell command -v terraform),)
	@echo "terraform is not on the PATH: skipping its checks"
else
	$(BIN)/python scripts/terraform_offline.py check --quick
endif

.PHONY: test
test: $(VENV)/.developer  ## all tests with coverage; tests that this machine cannot run are skipped with the reason
	@rm -f .coverage .coverage.*
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --cov --cov-config=pyproject.toml --cov-report= $(TESTS)

.PHONY: coverage
coverage: $(VENV)/.developer  ## after `make test`: branch coverage of core, services, api and handlers is at least 95%
	@$(BIN)/python -m tests.house.coverage_gate --at-least 95 $(addprefix $(CONTROL_PLANE)/,core services api handlers)

.PHONY: simulate
simulate: $(VENV)/.developer  ## random histories with faults at every port call; for more: SEEDS=10000
	MULTINODE_SIMULATION_SEEDS=$(SEEDS) $(BIN)/pytest -q --timeout=0 tests/control_plane/simulation/test_simulation.py

.PHONY: kills
kills: $(VENV)/.developer  ## local server and workers killed at random under load; how often: KILLS=100
	MULTINODE_KILLS=$(KILLS) $(BIN)/pytest -q -s --timeout=0 tests/control_plane/local_server/test_kills.py

.PHONY: release
release: $(BIN)/python  ## write version and changelog, commit and tag, push nothing: VERSION=2.1.0
	$(BIN)/python scripts/release.py prepare "$(VERSION)"

.PHONY: clean
clean:  ## remove what the other targets created
	rm -rf $(VENV) .demo build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
