import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TRANSCRIPT = ROOT / "docs" / "demo-transcript.txt"
EPOCH, HEARTBEAT = re.compile(r"[* ] +\d+/\d+ "), re.compile(r"  .*(so far$|: step \d|: \d+ of \d+$)")


def shape(text, out):
    """The lines of `text` without figures. Table rows are merged to one; heartbeat lines and warnings are left out."""
    shapes = []
    for line in text.replace(out, "OUT").splitlines():
        if HEARTBEAT.match(line) or line.startswith("Warning: "):
            continue
        if EPOCH.match(line):
            kind = "an epoch"
        elif re.match(r"  [\w ,]+( +[\d.%-]+)+$", line):
            kind = "a row of figures"
        else:
            line = re.sub(r"\d[\d.,]*", "#", re.sub(r"\S*python\S*", "PYTHON", line))
            # The initial weights and the widths of columns depend on the machine.
            kind = re.sub(r" +", " ", re.sub(r", (random|ImageNet) weights.*", "", line))
        if shapes[-1:] != [kind]:
            shapes.append(kind)
    return shapes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    made = f"-m block demo --out {folder}/photos --photos 10 --test-photos 2"
    trained = f"train.py --data-directory {folder}/photos --out-directory {folder}/out --labels-from name"
    text = ""
    for command in (made, f"{trained} --library-name fruit_spotter --epochs 2"):
        done = subprocess.run([sys.executable, *command.split()], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        text += done.stdout
    return shape(text, str(folder))


def test_demo_transcript_equals_the_output_of_a_run(run):
    # compared lines: from the first line of the demo to the last line of the run, without the commands that make prints
    text = TRANSCRIPT.read_text(encoding="utf-8")
    said = [line for line in text.splitlines() if not line.startswith((".venv/bin/python ", "  --library-name "))]
    begin = next(number for number, line in enumerate(said) if line.startswith("Drew "))
    end = next(number for number, line in enumerate(said) if line.startswith("Next: sort your own photos"))
    assert shape("\n".join(said[begin : end - 1]), "demo") == run


def test_demo_transcript_has_no_control_characters_and_no_absolute_paths():
    text = TRANSCRIPT.read_text(encoding="utf-8")
    assert "\x1b" not in text and "\r" not in text
    assert not re.search(r"(?<![\w.])/(?!python)[a-z]+/", text)
