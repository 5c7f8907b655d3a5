# One virtual environment for everything; TORCH_INDEX_URL chooses another torch build,
# PYTHON another interpreter (3.11 or newer).

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := serve

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 $(BIN)/python -m pip install -c constraints.txt
# One line per package that is fetched, nothing else.
FETCHED := awk '/^ *(Downloading|Processing|Using cached)/ { \
  sub(/.*\//, "", $$2); print "    " $$2, ($$3 ~ /^\([0-9]/ ? $$3 " " $$4 : ""); fflush()}'

.PHONY: serve test check bench docs install

serve: $(READY)
	@exec $(BIN)/fewstep serve --stop-with-parent

test: $(READY)
	@$(BIN)/python -m pytest $(ARGS)

check: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: $(READY)
	@for module in benchmarks.adapting benchmarks.serve_omniglot; do echo "== $$module"; $(BIN)/python -m $$module; done

docs: $(READY)
	@$(BIN)/python -m app.settings > docs/settings.md

install: $(READY)

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { echo "fewstep needs Python 3.11 or newer; '$(PYTHON)' was not found" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "fewstep needs Python 3.11 or newer, '$(PYTHON)' is $$($(PYTHON) -V 2>&1); try: make PYTHON=python3.12" >&2; exit 1; }
	@echo "[1/3] virtual environment in $(VENV)"
	@[ -x $(BIN)/python ] && $(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "[2/3] torch (the largest part; TORCH_INDEX_URL chooses its build)"
	@$(PIP) $(if $(TORCH_INDEX_URL),--extra-index-url '$(TORCH_INDEX_URL)') torch | $(FETCHED)
	@echo "[3/3] everything else"
	@$(PIP) -e '.[dev]' | $(FETCHED)
	@touch $@
