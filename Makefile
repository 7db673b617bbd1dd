# `make dev` and `make test` need only Python 3.11 or newer with venv, and make; everything else they put into .venv.
# `make PYTHON=/path/to/python3.12 dev` chooses another Python.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
HALF_MADE := $(VENV)/.half-made
PIP := $(BIN)/python -m pip --disable-pip-version-check
TEST_PROCESSES ?= 2
UV ?= $(or $(wildcard $(BIN)/uv),uv)

# A .venv is kept as long as it stands where it was made and has the version of the PYTHON that was asked for, if any was.
VERSION := import sys; print("%d.%d" % sys.version_info[:2])
ASKED := $(if $(filter-out file,$(origin PYTHON)),$(shell "$(PYTHON)" -c '$(VERSION)' 2>/dev/null || echo unusable))
FITS := grep -qF "$(CURDIR)/$(VENV)" $(VENV)/pyvenv.cfg && \
	$(BIN)/python -c 'import sys; sys.exit(sys.argv[1] not in ("", "%d.%d" % sys.version_info[:2]))' "$(ASKED)"

.PHONY: dev test corpus fuzz torture soak lint bench docs lock clean
ifneq ($(shell ($(FITS)) 2>/dev/null && echo fits),fits)
.PHONY: $(READY)
endif

dev: $(READY)
	@$(BIN)/kyma-proxy dev

# Most tests wait for something, so two processes of them take half the time even on one processor.
test: $(READY)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile

# What the judge of recordings and mutagen alone say of every recording of the corpus, beside the truth.
corpus: $(READY)
	PYTHONPATH=tests/support $(BIN)/python -m audio_corpus

MINUTES ?= 10

# A longer search for bytes that the judge gets wrong; `make fuzz MINUTES=60`. What it finds becomes a test.
fuzz: $(READY)
	PYTHONPATH=tests/support $(BIN)/python -m audio_fuzz --minutes $(MINUTES)

# A longer search for schedules that cost money or a voice; `make torture MINUTES=60`.
torture: $(READY)
	KYMA_TORTURE=1 $(BIN)/python -m pytest tests/proof/test_model.py
	PYTHONPATH=tests/support $(BIN)/python -m proof_kit.torture --minutes $(MINUTES)

# A mixed load for long, with reloads; prints how memory grows: `make soak MINUTES=60`.
soak: $(READY)
	$(BIN)/python benchmarks/soak.py --minutes $(MINUTES)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python benchmarks/clone_cost.py
	$(BIN)/python benchmarks/speech_first_byte.py
	PYTHONPATH=tests/support $(BIN)/python benchmarks/judge_cost.py
	$(BIN)/python benchmarks/receiving_cost.py
	$(BIN)/python benchmarks/uploads_beside_speech.py
	$(BIN)/python benchmarks/streams_at_once.py
	$(BIN)/python benchmarks/ledger_throughput.py
	$(BIN)/python benchmarks/metering_cost.py
	$(BIN)/python benchmarks/edge_cost.py
	$(BIN)/python benchmarks/edge_memory.py

# The reference pages, from the code.
docs: $(READY)
	$(BIN)/python docs/generate.py

# Everything is locked by hash, the build backend too, so nothing is resolved a second time. What was interrupted
# leaves its mark, and the next run starts from an empty .venv.
$(READY): requirements.lock pyproject.toml
	@{ test ! -e $(HALF_MADE) && $(FITS) && $(PIP) --version; } >/dev/null 2>&1 || { \
		"$(PYTHON)" .ci/check_python.py "$(MAKECMDGOALS)" && \
		rm -rf $(VENV) && mkdir $(VENV) && touch $(HALF_MADE) && \
		echo "making $(VENV) with $(PYTHON)" && "$(PYTHON)" -m venv $(VENV); }
	@touch $(HALF_MADE)
	@echo "installing what requirements.lock names"
	@$(PIP) install --quiet --require-hashes --requirement requirements.lock
	@$(PIP) install --quiet --no-build-isolation --no-deps --editable .
	@mv $(HALF_MADE) $(READY)
	@touch $(READY)

# One lock for every platform and every Python from 3.11 on; `make lock UPGRADE=--upgrade` takes newer versions.
lock:
	$(UV) pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-header \
		$(UPGRADE) --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist *.egg-info
