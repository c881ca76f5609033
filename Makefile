# Everything a reader needs: `make run`, `make test`. Python >= 3.11 and make are enough; the rest is installed into .venv.
PYTHON ?= python3
PORT ?= 8787
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
UV_VERSION := 0.13.9
LOCK := $(UV) pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command "make lock"
GROUPS := --group hot --group control --group gcp --group gpu --group otel --group cdk --group local --group bench --group dev

.DEFAULT_GOAL := help
.PHONY: help setup run test check lint types contracts tests format lock synth bench clean

help: ## show what can be done here
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

run: setup ## install, start the whole gateway on http://127.0.0.1:8787, show one real answer (Ctrl-C ends it)
	@exec $(BIN)/nexus local --port $(PORT) --demo

test: check tests ## lint, types, import contracts, all tests
check: lint types contracts

setup: $(VENV)/.installed build/models/all-MiniLM-L6-v2/manifest.json ## install everything from the lock into .venv, build the embedding model

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "AI-Nexus needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": try make PYTHON=python3.12")'
	@test -x $(UV) || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian: apt install python3-venv)"; exit 1; }
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) || { echo "The package index cannot be reached: the first set-up needs the network."; exit 1; }
	@echo "Installing the locked packages into $(VENV) ..."
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

build/models/all-MiniLM-L6-v2/manifest.json: $(VENV)/.installed
	@$(BIN)/python -m gpu_service build --out $(@D)
	@touch $@

lint: $(VENV)/.installed
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

types: $(VENV)/.installed
	@$(BIN)/mypy --no-error-summary

contracts: $(VENV)/.installed
	@mkdir -p build && $(BIN)/lint-imports --no-logo > build/contracts.log || { cat build/contracts.log; exit 1; }

tests: setup
	@$(BIN)/pytest -n 2 --dist loadgroup

format: $(VENV)/.installed ## put the code into its one format
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

lock: $(VENV)/.installed ## resolve the dependencies again
	@$(LOCK) $(GROUPS) --output-file requirements.lock
	@$(LOCK) --group hot --constraints requirements.lock --output-file functions/hot.lock
	@$(LOCK) --group control --constraints requirements.lock --output-file functions/control.lock
	@$(LOCK) --group gcp --constraints requirements.lock --output-file functions/gcp.lock
	@$(LOCK) --group clients --output-file tests/e2e/clients/requirements.lock

synth: setup ## the CloudFormation template, into cdk.out/
	@$(BIN)/python -m cdk.app

bench: setup ## the numbers of the README, as ratios
	@$(BIN)/python -m tests.bench

clean: ## forget what was built (not .venv, not the state in .nexus)
	@rm -rf build cdk.out
