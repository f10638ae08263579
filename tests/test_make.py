import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def checkout(tmp_path):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(checkout, *arguments):
    # without the variables that a make which runs these tests passes on
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def test_missing_python_is_one_line_with_the_remedies(checkout):
    result = make(checkout, "venv", "PYTHON=python9.99")
    assert result.returncode != 0
    (line,) = result.stdout.splitlines()
    assert "python9.99 is needed" in line and "Docker" in line
    assert not (checkout / ".venv").exists()


def test_torch_index_reaches_pip_only_if_it_is_set(checkout):
    index = "https://download.pytorch.org/whl/cpu"
    assert f"--extra-index-url {index} --editable" in make(checkout, "-n", "venv", f"TORCH_INDEX={index}").stdout
    assert "index-url" not in make(checkout, "-n", "venv").stdout
