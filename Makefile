# Everything a person does with this repository. `make help` lists it.
# Needs Python 3.11+ and make; everything else is installed into .venv from hash-locked requirements.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit lint format up down bench bench-peers storm lock clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-11s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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
	@$(BIN)/python -m pytest -n 4 $(ARGS)

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

bench: $(STAMP) ## Measure speed beside the bare client and Faust, in one run (ARGS=--help)
	@$(BIN)/python -m bench $(ARGS)

# Celery, dramatiq, FastStream and quixstreams hold back what Tidemill needs, so they get an environment of their own.
$(PEERS)/.installed: requirements/peers.txt
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@printf '*\n' > $(PEERS)/.gitignore
	@echo "Installing the hash-locked peers into $(PEERS) ..."
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/peers.txt
	@touch $@

bench-peers: $(STAMP) $(PEERS)/.installed ## The same beside Celery, dramatiq, FastStream and quixstreams, too
	@$(BIN)/python -m bench $(ARGS)

storm: $(STAMP) ## A storm on three brokers, with a report (MINUTES=30 SEED=1)
	@$(BIN)/python -m tests.crash.storm --seconds $$(( $(or $(MINUTES),30) * 60 )) $(if $(SEED),--seed $(SEED)) $(ARGS)

lock: $(STAMP) ## Compile the lock files again from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --all-extras --group dev pyproject.toml -o requirements/dev.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --extra image --extra email --extra scheduler --extra video --extra report --extra notification --extra cleanup --extra status --extra outbox --extra gateway --extra archive --extra deadletters -c requirements/dev.txt pyproject.toml -o requirements/worker.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url requirements/peers.in -o requirements/peers.txt

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) $(PEERS) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
