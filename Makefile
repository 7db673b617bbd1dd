# `make dev` and `make test` need only Python 3.11+ with venv, and make; everything else they set up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: dev test lint bench lock clean

dev: $(READY)
	$(BIN)/kyma-proxy dev

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python benchmarks/clone_cost.py

# Everything is locked by hash, the build backend too, so nothing is resolved a second time.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("kyma-proxy needs Python 3.11 or newer; try: make PYTHON=python3.12 " + " ".join(["dev"])) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info
