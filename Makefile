# Bring Your Own Bot: `make` lists what can be done.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
PORT ?= 3000
VENV := .venv
RUN := env PYTHONPATH=src:. $(VENV)/bin/python

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp is newer than both lock files once everything in them is installed.
$(VENV)/.installed: src/requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one with PYTHON=...") if sys.version_info < (3, 11) else None'
	@[ -x $(VENV)/bin/python ] || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing Python packages (about a minute, once)"
	@$(VENV)/bin/python -m pip install --disable-pip-version-check --require-hashes --progress-bar on \
		-r src/requirements.txt -r requirements-dev.txt | awk '/^(Collecting|Installing|Successfully)/ {print substr($$0, 1, 100); fflush()}'
	@touch $@

.PHONY: setup
setup: $(VENV)/.installed ## install what is missing (the other targets do it by themselves)

.PHONY: demo
demo: setup ## register the sample bot on a local stack, show it, and stop everything
	@exec $(RUN) -m local demo

.PHONY: run
run: setup ## serve the API on http://127.0.0.1:3000 until Ctrl-C (PORT=... changes it)
	@exec $(RUN) -m local run --port $(PORT)

.PHONY: test
test: setup ## run all tests
	@exec $(VENV)/bin/python -m pytest

.PHONY: lint
lint: setup ## check format, rules, types and the direction of imports
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@PYTHONPATH=src:. $(VENV)/bin/lint-imports

.PHONY: format
format: setup ## bring the code into its format
	@$(VENV)/bin/ruff check --fix -q . || true
	@$(VENV)/bin/ruff format .

.PHONY: bench
bench: setup ## measure a warm read against raw round trips
	@exec $(RUN) -m benchmarks

.PHONY: openapi
openapi: setup ## write docs/openapi.json from the code
	@exec $(RUN) -m local openapi

.PHONY: lock
lock: setup ## resolve the dependencies in pyproject.toml into the lock files
	@$(VENV)/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header -q \
		--upgrade -o src/requirements.txt
	@$(VENV)/bin/uv pip compile --group pyproject.toml:dev -c src/requirements.txt --universal --python-version 3.11 \
		--generate-hashes --no-header -q --upgrade -o requirements-dev.txt

.PHONY: clean
clean: ## remove the local bots and what was built; the next start begins anew
	@rm -rf .local .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
