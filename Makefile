# Everything a person does with this repository. `make help` lists it.
# Needs Python 3.11+ and make; everything else is installed into .venv from hash-locked requirements.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit lint format up down bench lock clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Tidemill needs Python 3.11 or newer, this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing hash-locked requirements into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## Real photographs through a real Kafka; a contact sheet at the end (ARGS=--keep leaves the stack running)
	@$(BIN)/python -m examples.demo $(ARGS)

test: $(STAMP) ## All tests: unit, integration (real Kafka), crash. ARGS='-k name' picks some
	@$(BIN)/python -m pytest $(ARGS)

test-unit: $(STAMP) ## The tests that need no broker
	@$(BIN)/python -m pytest tests/unit $(ARGS)

lint: $(STAMP) ## Formatting, lint, types, and the rules of the house
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(STAMP) ## Format the code and mend what lint can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

up: $(STAMP) ## Start Kafka and the schema registry on this machine
	@$(BIN)/tidemill up $(ARGS)

down: $(STAMP) ## Stop them
	@$(BIN)/tidemill down $(ARGS)

bench: $(STAMP) ## Measure speed beside the bare clients, in one run (ARGS=--help)
	@$(BIN)/python -m bench $(ARGS)

lock: $(STAMP) ## Compile the lock files again from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --all-extras --group dev pyproject.toml -o requirements/dev.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --extra image -c requirements/dev.txt pyproject.toml -o requirements/worker.txt

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
