# make demo   draws a data set, trains on it and shows what comes out
# make test   lint and tests
# make test-container   builds the image and runs it as Studio and a person would; needs Docker
# make test-arduino     compiles the Arduino library's examples for real boards; needs arduino-cli and its esp32 core
# TORCH_INDEX=https://download.pytorch.org/whl/cpu takes torch without CUDA where pip would bring it

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
	  --library-name fruit_spotter --epochs $(DEMO_EPOCHS)
	@echo
	@echo "Next: the same with your own photos, sorted into one folder for each class:"
	@echo "  $(BIN)/python train.py --data-directory photos --out-directory out"

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(wildcard $(addprefix esp32_deploy/,kernels/*.h targets/*.h targets/*.cpp) tests/drivers/*.cpp)
	$(BIN)/lint-imports

# three processes keep two cores busy: some tests wait
test: lint
	$(BIN)/pytest --numprocesses 3 --dist loadfile

# TORCH_INDEX= builds with whichever torch pip finds by itself; not named, the Dockerfile's own index is used
test-container: venv
	docker build --tag $(IMAGE) $(if $(findstring command,$(origin TORCH_INDEX)),--build-arg TORCH_INDEX=$(TORCH_INDEX)) .
	CONTAINER_IMAGE=$(IMAGE) REQUIRE_CONTAINER=1 $(BIN)/pytest tests/container

test-arduino: venv
	$(BIN)/pytest tests/arduino
