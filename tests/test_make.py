import os
import re
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


def make(checkout, *arguments, **variables):
    # without the variables that a make which runs these tests passes on
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = [shutil.which("make"), *arguments]
    return subprocess.run(
        command, cwd=checkout, env=environment | variables, capture_output=True, text=True, check=False
    )


@pytest.fixture
def commands(tmp_path):
    """A folder of commands that takes the place of PATH. Each command prints its arguments, or fails."""
    folder = tmp_path / "commands"
    folder.mkdir()

    def add(name, body='echo "$0 $*"'):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)

    add.path = str(folder)
    return add


def test_missing_python_is_one_line_with_the_remedies(checkout, commands):
    result = make(checkout, "venv", PATH=commands.path)
    assert result.returncode != 0
    line, *_ = result.stderr.splitlines()
    assert line.startswith("Python 3.11, 3.12 or 3.13 is needed") and "uv" in line and "Docker" in line
    assert result.stdout == ""
    assert not (checkout / ".venv").exists()


def test_python_that_was_named_and_is_missing_is_told(checkout):
    result = make(checkout, "venv", "PYTHON=python9.99")
    assert result.returncode != 0
    assert "python9.99 cannot make a virtual environment" in result.stderr
    assert not (checkout / ".venv").exists()


def test_newest_python_that_can_make_an_environment_is_taken(checkout, commands):
    commands("python3.11")
    commands("python3.12")
    # a command of pyenv for a version that is not active, or Debian's python without its venv package
    commands("python3.13", "exit 127")
    commands("uv")
    plan = make(checkout, "-n", "venv", PATH=commands.path).stdout
    assert "python3.12 -m venv --clear .venv" in plan
    assert not re.search("python3.1[13] -m venv", plan)


def test_uv_fetches_a_python_where_none_is_installed(checkout, commands):
    commands("uv")
    result = make(checkout, "venv", PATH=commands.path)
    assert "uv venv --seed --python 3.13 .venv" in result.stdout


def test_existing_environment_is_kept_unless_another_python_is_named(checkout, commands):
    (checkout / ".venv/bin").mkdir(parents=True)
    for name in ("python", "pip"):
        shutil.copy(shutil.which("true"), checkout / ".venv/bin" / name)
    commands("python3.12")
    commands("touch", "exit 0")
    assert "-m venv" not in make(checkout, "venv", PATH=commands.path).stdout
    assert "python3.12 -m venv --clear .venv" in make(checkout, "venv", "PYTHON=python3.12", PATH=commands.path).stdout


def test_every_python_has_an_environment_of_its_own(checkout):
    plan = make(checkout, "-n", "test-pythons", "PYTHONS=python3.13 python3.11").stdout
    assert [f".venv-python3.{minor}/bin/pytest" in plan for minor in (11, 12, 13)] == [True, False, True]


def test_torch_index_reaches_pip_only_if_it_is_set(checkout):
    index = "https://download.pytorch.org/whl/cpu"
    assert f"--extra-index-url {index} --editable" in make(checkout, "-n", "venv", f"TORCH_INDEX={index}").stdout
    assert "index-url" not in make(checkout, "-n", "venv").stdout
