import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("block", "esp32_deploy"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def lint(project):
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(project)}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)


def test_imports_follow_the_order_of_the_packages(project):
    done = lint(project)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "forbidden", "message"),
    [
        ("block/data/reading.py", "from block.report import page", "block.data is not allowed to import block.report"),
        ("block/words.py", "from block.model import network", "block.words is not allowed to import block.model"),
        (
            "esp32_deploy/compile/graph.py",
            "from esp32_deploy.arduino import library",
            "esp32_deploy.compile is not allowed to import esp32_deploy.arduino",
        ),
        ("esp32_deploy/pixels.py", "import torch", "esp32_deploy is not allowed to import torch"),
        ("esp32_deploy/pixels.py", "from block import words", "esp32_deploy is not allowed to import block"),
    ],
)
def test_upward_import_is_refused(project, module, forbidden, message):
    path = project / module
    path.write_text(f"{path.read_text(encoding='utf-8')}\n\ndef added():\n    {forbidden}\n", encoding="utf-8")
    done = lint(project)
    assert done.returncode == 1
    assert message in re.sub(r"\s+", " ", done.stdout)


@pytest.mark.parametrize("package", ["block", "esp32_deploy"])
def test_architecture_page_lists_exactly_the_modules(package):
    drawing = PAGE.split(f"```\n{package}/\n")[1].split("```")[0]
    drawn = set()
    for line in drawing.splitlines():
        text = line.strip("│├└─ ")
        room, slash, modules = text.partition("/")
        if not slash:
            # a description of the modules follows after a wide gap
            room, modules = "", re.split(r"\s{3,}", text)[0]
        drawn |= {str(Path(package, room, module)) for module in modules.split()}
    found = {
        path.relative_to(ROOT).with_suffix("").as_posix()
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert drawn == found
