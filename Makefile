# make demo             draws a data set, trains on it and prints the results
# make test             runs lint and tests
# make test-pythons     runs them on every Python that the project supports
# make test-container   builds the image and tests it as Studio and a user run it; needs Docker
# make test-arduino     compiles the examples of the Arduino library for real boards; needs arduino-cli and its esp32 core
# TORCH_INDEX=https://download.pytorch.org/whl/cpu installs PyTorch without CUDA

# the newest first; a Python that cannot make a virtual environment is passed over
PYTHONS := python3.13 python3.12 python3.11
PYTHON = $(firstword $(foreach python,$(PYTHONS),$(shell $(python) -c "import ensurepip, venv; print('$(python)')" 2>/dev/null)))
TORCH_INDEX :=
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
IMAGE := esp32-vision-block
DEMO := demo
DEMO_EPOCHS := 30

.PHONY: venv demo test test-pythons lint test-container test-arduino

venv: $(VENV)/installed

# An environment that is there is kept, unless PYTHON= names another Python: most packages have not changed.
$(VENV)/installed: pyproject.toml
	@if [ -x $(BIN)/python ] && [ "$(origin PYTHON)" = file ]; then :; \
	elif [ -n "$(PYTHON)" ]; then $(PYTHON) -m venv --clear $(VENV) || { \
	  echo "$(PYTHON) cannot make a virtual environment. Install it with its venv package, or use Docker." >&2; exit 1; }; \
	elif command -v uv >/dev/null; then uv venv --seed --python $(subst python,,$(firstword $(PYTHONS))) $(VENV); \
	else echo "Python 3.11, 3.12 or 3.13 is needed, with its venv package. Install one, or uv, which fetches one," \
	  "or name one with make PYTHON=/path/to/python3.13, or use Docker (see README.md)." >&2; exit 1; fi
	@echo "Installing the packages in $(VENV): about 3.5 GB, some minutes the first time"
	$(INSTALL) --editable '.[dev]'
	@touch $@

demo: venv
	@$(BIN)/python -m block weights || echo "Training starts from random weights instead."
	$(BIN)/python -m block demo --out $(DEMO)/photos
	$(BIN)/python train.py --data-directory $(DEMO)/photos --out-directory $(DEMO)/out --labels-from name \
	  --library-name fruit_spotter --epochs $(DEMO_EPOCHS)
	@echo
	@echo "Next: sort your own photos into one folder per class and train on them:"
	@echo "  $(BIN)/python train.py --data-directory photos --out-directory out"

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(wildcard $(addprefix esp32_deploy/,kernels/*.h targets/*.h targets/*.cpp) tests/drivers/*.cpp)
	$(BIN)/lint-imports

# Three processes use two cores fully, because some tests wait.
test: lint
	$(BIN)/pytest --numprocesses 3 --dist loadfile

# one environment per Python, each with its own packages
test-pythons:
	@for python in $(PYTHONS); do $(MAKE) test PYTHONS=$$python VENV=.venv-$$python || exit 1; done

# TORCH_INDEX= (empty) builds with the PyTorch that pip chooses by default. Without it the Dockerfile's index is used.
test-container: venv
	docker build --tag $(IMAGE) $(if $(findstring command,$(origin TORCH_INDEX)),--build-arg TORCH_INDEX=$(TORCH_INDEX)) .
	CONTAINER_IMAGE=$(IMAGE) REQUIRE_CONTAINER=1 $(BIN)/pytest tests/container

test-arduino: venv
	$(BIN)/pytest tests/arduino
