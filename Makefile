# One virtual environment for everything; TORCH_INDEX_URL chooses another torch build,
# PYTHON another interpreter (3.11 or newer).

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := serve

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
GENERATOR := .venv-generator
READY := $(VENV)/.ready
PIP = PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 $(BIN)/python -m pip install -c constraints.txt
PEERS_PIP = $(subst $(BIN)/,$(PEERS)/bin/,$(PIP))
# One line per package that is fetched, nothing else.
FETCHED := awk '/^ *(Downloading|Processing|Using cached)/ { \
  sub(/.*\//, "", $$2); print "    " $$2, ($$3 ~ /^\([0-9]/ ? $$3 " " $$4 : ""); fflush()}'

.PHONY: serve test check bench bench-check docs install

serve: $(READY)
	@exec $(BIN)/fewstep serve --stop-with-parent

test: $(READY) $(GENERATOR)/.ready
	@$(BIN)/python -m pytest $(ARGS)

check: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

# All figures, to docs/performance.md; the libraries they are measured against get a place of their own.
bench: $(READY) $(PEERS)/.ready
	@$(BIN)/python -m benchmarks.report $(ARGS)
	@$(BIN)/python -m benchmarks.serve_omniglot

# The few ratios that CI watches, in under a minute.
bench-check: $(READY)
	@$(BIN)/python -m benchmarks.check

docs: $(READY)
	@$(BIN)/python -m app.settings > docs/settings.md
	@$(BIN)/python -m app.api > docs/openapi.json

install: $(READY)

$(READY): pyproject.toml constraints.txt client/pyproject.toml
	@command -v $(PYTHON) > /dev/null || { echo "fewstep needs Python 3.11 or newer; '$(PYTHON)' was not found" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "fewstep needs Python 3.11 or newer, '$(PYTHON)' is $$($(PYTHON) -V 2>&1); try: make PYTHON=python3.12" >&2; exit 1; }
	@echo "[1/3] virtual environment in $(VENV)"
	@[ -x $(BIN)/python ] && $(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "[2/3] torch (the largest part; TORCH_INDEX_URL chooses its build)"
	@$(PIP) $(if $(TORCH_INDEX_URL),--extra-index-url '$(TORCH_INDEX_URL)') torch | $(FETCHED)
	@echo "[3/3] everything else"
	@$(PIP) -e ./client -e '.[dev]' | $(FETCHED)
	@touch $@

# Of clients from docs/openapi.json; its pins are not ours.
$(GENERATOR)/.ready: tests/generated/requirements.txt
	@echo "openapi-python-client in $(GENERATOR)"
	@$(PYTHON) -m venv --clear $(GENERATOR)
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(GENERATOR)/bin/python -m pip install -q -r $<
	@touch $@

$(PEERS)/.ready: constraints.txt benchmarks/peers/requirements.txt benchmarks/peers/learn2learn.txt
	@echo "higher, TorchOpt and learn2learn in $(PEERS)"
	@$(PYTHON) -m venv --clear $(PEERS)
	@$(PEERS_PIP) $(if $(TORCH_INDEX_URL),--extra-index-url '$(TORCH_INDEX_URL)') torch | $(FETCHED)
	@$(PEERS_PIP) numpy pillow safetensors -r benchmarks/peers/requirements.txt | $(FETCHED)
	@$(PEERS)/bin/python -m benchmarks.peers.unpack_learn2learn
	@touch $@
