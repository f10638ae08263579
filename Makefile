# make demo   draws a data set, trains on it and shows what comes out
# make test   lint and tests
# TORCH_INDEX=https://download.pytorch.org/whl/cpu takes torch without CUDA where pip would bring it

PYTHON := python3.11
TORCH_INDEX :=
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
DEMO := demo

.PHONY: venv demo test lint

venv: .venv/installed

.venv/installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) is needed (the converter has no wheels for a newer one): install python3.11 and its venv" \
	    "package, name one with make PYTHON=/path/to/python3.11, or use Docker as the README shows."; exit 1; }
	@echo "Setting up .venv: about 3.5 GB, some minutes the first time"
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable '.[dev]'
	@touch $@

demo: venv
	@$(BIN)/python -m block weights || echo "Going on without them."
	$(BIN)/python -m block demo --out $(DEMO)/photos
	$(BIN)/python train.py --data-directory $(DEMO)/photos --out-directory $(DEMO)/out --labels-from name \
	  --library-name fruit_spotter

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest
