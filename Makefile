# make demo             draws a data set, trains on it and prints the results
# make test             runs lint and tests
# make test-container   builds the image and tests it as Studio and a user run it; needs Docker
# make test-arduino     compiles the examples of the Arduino library for real boards; needs arduino-cli and its esp32 core
# TORCH_INDEX=https://download.pytorch.org/whl/cpu installs PyTorch without CUDA

PYTHON := python3.11
TORCH_INDEX :=
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
IMAGE := esp32-vision-block
DEMO := demo
DEMO_EPOCHS := 30

.PHONY: venv demo test lint test-container test-arduino

venv: .venv/installed

.venv/installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) is needed, because the converter has no wheels for newer Python versions. Install python3.11 and" \
	    "its venv package, or name it with make PYTHON=/path/to/python3.11, or use Docker (see README.md)."; exit 1; }
	@echo "Installing the packages in .venv: about 3.5 GB, some minutes the first time"
	$(PYTHON) -m venv .venv
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

# TORCH_INDEX= (empty) builds with the PyTorch that pip chooses by default. Without it the Dockerfile's index is used.
test-container: venv
	docker build --tag $(IMAGE) $(if $(findstring command,$(origin TORCH_INDEX)),--build-arg TORCH_INDEX=$(TORCH_INDEX)) .
	CONTAINER_IMAGE=$(IMAGE) REQUIRE_CONTAINER=1 $(BIN)/pytest tests/container

test-arduino: venv
	$(BIN)/pytest tests/arduino
