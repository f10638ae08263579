"""Processes in which modules are missing, as on a machine for which no wheel exists."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# read by every Python process at its start
CUSTOMIZATION = """\
import sys
from importlib.machinery import PathFinder

sys.path.append({root!r})
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *places: None if name in {hidden!r} else find(name, *places)
"""


def run_without(hidden, folder, *arguments):
    """Runs Python in a process that cannot import the top-level modules `hidden`, nor can its child processes."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(CUSTOMIZATION.format(root=str(ROOT), hidden=tuple(hidden)))
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
