import fnmatch
import json
import os
import re
import tomllib
from pathlib import Path, PurePosixPath

import pytest

from block import studio

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
ARCHIVE_LIMIT_BYTES = 20 * 1024 * 1024
PARAMETER_FILES = [ROOT / "parameters.json", *sorted(ROOT.glob("variants/*/parameters.json"))]

# the names that the edge-impulse-blocks CLI uses
OPERATES_ON = {"parameters.json": "image", "variants/fomo/parameters.json": "object_detection"}
PARAMETER_KEYS = {"name", "value", "type", "help", "param", "valid", "section"}
VALUE_TYPES = {"string": str, "int": int, "float": (int, float), "select": str, "boolean": bool, "flag": bool}
SECTIONS = {None, "advanced", "modelProfiling"}


def instructions(name):
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in joined.splitlines() if line.startswith(f"{name} ")]


def copied():
    return [source.rstrip("/") for line in instructions("COPY") for source in line.split()[:-1]]


def ignore_patterns():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def is_ignored(path):
    # Docker's rules for the two forms in use: `name` at the top, `**/name` at any depth. Folders include their content.
    for part in [path, *path.parents][:-1]:
        for pattern in ignore_patterns():
            anywhere = pattern.startswith("**/")
            if (anywhere or len(part.parts) == 1) and fnmatch.fnmatchcase(part.name, pattern.removeprefix("**/")):
                return True
    return False


def archive():
    # `edge-impulse-blocks push` and `docker build` send the working folder without the ignored files
    sizes = {}
    for folder, folders, files in os.walk(ROOT):
        here = PurePosixPath(Path(folder).relative_to(ROOT))
        folders[:] = [name for name in folders if not is_ignored(here / name)]
        for name in files:
            if not is_ignored(here / name):
                sizes[str(here / name)] = (Path(folder) / name).lstat().st_size
    return sizes


def labels():
    return dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', DOCKERFILE))


def test_entrypoint_and_workdir_are_as_studio_expects():
    assert instructions("FROM") == ["python:3.11-slim-bookworm"]
    assert instructions("ENTRYPOINT") == ['["python3", "-u", "train.py"]']
    # Studio mounts folders at /home and /data
    assert instructions("WORKDIR") == ["/app"]
    assert instructions("CMD") == []


def test_packages_are_installed_before_the_code_is_copied():
    install = DOCKERFILE.index("pip install")
    before = [line for line in DOCKERFILE[:install].splitlines() if line.startswith("COPY")]
    assert before == ["COPY pyproject.toml ./"]


def test_torch_index_is_an_argument_that_can_be_empty():
    assert instructions("ARG")[:2] == ["DEVICE=cpu", "TORCH_INDEX=https://download.pytorch.org/whl/${DEVICE}"]
    assert '${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"}' in DOCKERFILE


def test_image_labels_match_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert labels()["version"] == project["version"]
    assert (ROOT / "LICENSE").read_text().startswith(f"{labels()['licenses']} License")
    assert labels()["source"] == "$SOURCE"


def test_image_contains_every_package_of_the_project():
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in found} <= set(copied())


def test_archive_contains_all_files_that_the_dockerfile_copies():
    sent = archive()
    for source in copied():
        files = [source] if (ROOT / source).is_file() else [name for name in sent if name.startswith(f"{source}/")]
        assert files and set(files) <= sent.keys(), source
    assert {"Dockerfile", "parameters.json"} <= sent.keys()


def test_archive_is_small():
    sent = archive()
    largest = sorted(sent, key=lambda name: -sent[name])[:5]
    assert sum(sent.values()) < ARCHIVE_LIMIT_BYTES, f"exclude these files in .dockerignore or move them: {largest}"


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python3",
        "benchmarks/speed.py",
        "block/data/__pycache__/demo.cpython-311.pyc",
        "tests/container/test_container.py",
        "data/X_split_train.npy",
        "demo/photos/train/apple_1.jpg",
        "docs/experiments.md",
        "esp32_vision_block.egg-info/PKG-INFO",
        "out/model.onnx",
        "photos/apple/1.jpg",
        "tests/test_learn.py",
    ],
)
def test_data_results_and_tests_are_ignored(path):
    assert is_ignored(PurePosixPath(path))


@pytest.mark.parametrize(
    "path", ["weights/mobilenetv2_035_features7.pt", "block/photos/prepare.py", "variants/fomo/parameters.json"]
)
def test_files_that_the_block_needs_are_not_ignored(path):
    assert not is_ignored(PurePosixPath(path))


def test_docker_and_the_studio_cli_read_the_ignore_patterns_alike():
    for pattern in ignore_patterns():
        assert re.fullmatch(r"(\*\*/)?[\w.*-]+", pattern), pattern


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore", "train.py", "parameters.json"])
def test_files_have_linux_line_endings(name):
    assert b"\r" not in (ROOT / name).read_bytes()


@pytest.mark.parametrize("path", PARAMETER_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_studio_cli_accepts_parameters_json(path):
    content = json.loads(path.read_text())
    assert (content["version"], content["type"]) == (1, "machine-learning")
    info = content["info"]
    assert info["operatesOn"] == OPERATES_ON[path.relative_to(ROOT).as_posix()]
    assert info["imageInputScaling"] == "0..1"
    assert len(info["name"].strip()) >= 2 and info["description"].strip()
    assert info["indRequiresGpu"] is False
    # the CLI requires it for object detection and allows it for nothing else
    assert info.get("objectDetectionLastLayer") == ("fomo" if info["operatesOn"] == "object_detection" else None)
    flags = [item["param"] for item in content["parameters"]]
    assert len(set(flags)) == len(flags)


@pytest.mark.parametrize("path", PARAMETER_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_studio_can_show_every_parameter(path):
    for item in json.loads(path.read_text())["parameters"]:
        assert item.keys() <= PARAMETER_KEYS, item
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", item["param"]), item
        assert item["name"].strip() and item["help"].strip(), item
        assert isinstance(item["value"], VALUE_TYPES[item["type"]]), item
        # bool is a subclass of int in Python, but not in Studio
        assert isinstance(item["value"], bool) == (item["type"] in ("boolean", "flag")), item
        assert item.get("section") in SECTIONS, item
        assert ("valid" in item) == (item["type"] == "select"), item
        assert all(isinstance(choice, str) for choice in item.get("valid", [])), item


def test_the_folder_for_studio_holds_all_that_the_image_is_built_from():
    assert set(studio.image_sources()) == {"Dockerfile", ".dockerignore", *copied()}


def test_what_stays_in_the_folder_for_studio_is_never_sent():
    assert all(is_ignored(PurePosixPath(name)) for name in studio.KEPT)


@pytest.mark.parametrize("task", studio.PARAMETERS)
def test_the_guide_makes_the_folder_for_each_kind_of_block(task):
    page = (ROOT / "docs" / "studio.md").read_text(encoding="utf-8")
    assert re.search(rf"^\.venv/bin/python -m block studio --task {task} --out \.\./\S+$", page, re.MULTILINE)
