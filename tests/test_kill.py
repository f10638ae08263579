# KILLS=50 pytest tests/test_kill.py --log-cli-level=INFO  runs the whole campaign. Otherwise a seeded share runs.
import csv
import json
import logging
import os
import shutil
import signal
import subprocess
import time
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
from kill_server import KillServer
from PIL import Image
from test_learn import FILES, MODELS, names

from block.data import contract, reading
from block.errors import BlockError
from esp32_deploy import manifest
from esp32_deploy.compile import graph, servable

LOG = logging.getLogger(__name__)
KILLS = int(os.environ.get("KILLS", "1"))
# file operations of a run on these photos, in its output folder
OPERATIONS = 138
# what a run on these photos writes, less than it needs at its fullest
NEEDED_BYTES = 1_450_000
# the console's lines after which a run is killed up to LATEST_SECONDS later; "" is the start
LINES = (
    *("", "Task:", "Data:", "Network:", "Training:", "*   1/2", "*   2/2", "Training again", "    1/2"),
    *(f"[{stage}/8]" for stage in range(1, 9)),
)
LATEST_SECONDS = 3
WAIT_SECONDS = 600
KINDS = {"apple": (190, 40, 40), "lime": (120, 190, 40), "plum": (80, 30, 110)}
EARLIER_KINDS = {"leaf": (30, 160, 40), "rust": (170, 70, 20)}


@pytest.fixture(scope="module")
def server():
    server = KillServer()
    yield server
    server.close()


def draw_photos(folder, kinds, size):
    generator = np.random.default_rng(len(kinds))
    for split, count in {"train": 10, "test": 2}.items():
        for kind, colour in kinds.items():
            (folder / split / kind).mkdir(parents=True)
            for number in range(count):
                noise = generator.integers(-30, 30, (size, size, 3))
                photo = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(photo).save(folder / split / kind / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return draw_photos(tmp_path_factory.mktemp("photos") / "photos", KINDS, 64)


@pytest.fixture(scope="module")
def earlier(server, tmp_path_factory):
    """The output folder of a finished run on other photos."""
    folder = tmp_path_factory.mktemp("earlier")
    draw_photos(folder / "photos", EARLIER_KINDS, 60)
    arguments = train(folder / "photos", folder / "out", epochs=1)
    assert server.run(folder / "log", *arguments) == 0, (folder / "log").read_text()
    return folder / "out"


@pytest.fixture(scope="module")
def finished(server, photos, tmp_path_factory):
    """The output folder of the same run without an interruption."""
    folder = tmp_path_factory.mktemp("finished")
    assert server.run(folder / "log", *train(photos, folder / "out")) == 0, (folder / "log").read_text()
    return folder / "out"


def train(photos, out, epochs=2):
    sizes = ("--size", 48, "--pretrained", 0, "--epochs", epochs)
    return ("train", "--data-directory", photos, "--out-directory", out, *sizes)


def until(condition):
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill_at_line(server, log, arguments, line, seconds):
    """Kills a command `seconds` after it has printed a line that begins with `line`. Returns its exit code."""
    log.write_text("")
    pid = server.start(log, *arguments)
    until(lambda: any(text.startswith(line) for text in ["", *log.read_text().splitlines()]))
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return server.wait(pid)


def check_whole(out):
    """Fails unless each output is whole, and all outputs are of one network."""
    import onnx
    import torch

    found = names(out) & FILES if out.exists() else set()
    classes, networks = set(), set()
    for name in found:
        path = out / name
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            classes.add(tuple(content["classes" if "classes" in content else "labels"]))
            assert name != "deploy.json" or manifest.read(path)
        elif name == "labels.txt":
            classes.add(tuple(path.read_text().splitlines()))
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            assert rows and all(None not in row.values() for row in rows)
            if name == "predictions.csv":
                classes.add(tuple(sorted({row["label"] for row in rows})))
            else:
                networks.add(int(rows[0]["epochs"]))
        elif name == "weights.pt":
            state = torch.load(path, weights_only=True)["state"]
            networks.add(len(list(state.values())[-1]) - 1)
        elif path.suffix == ".onnx":
            model = onnx.load(path)
            onnx.checker.check_model(model, full_check=True)
            networks.add(model.graph.output[0].type.tensor_type.shape.dim[1].dim_value - 1)
        elif path.suffix == ".tflite":
            model = graph.read(path)
            networks.add(model.outputs[0].shape[1] - 1)
            if "int8" in name:
                servable.check(model)
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as library:
                assert library.testzip() is None
                classes.add(tuple(json.loads(library.read("vision_model/extras/deploy.json"))["labels"]))
        else:
            text = path.read_text(encoding="utf-8")
            assert text.rstrip().endswith("</html>")
            classes.add(tuple(KINDS if "plum" in text else EARLIER_KINDS))
    # the earlier run has two classes and one epoch, the killed run three classes and two epochs
    networks |= {len(one) - 1 for one in classes}
    assert len(classes) <= 1 and len(networks) <= 1, (classes, networks, found)
    return found


def check_arrays(prepared):
    """Fails unless the arrays are those of one set of photos, or are refused."""
    if not contract.is_block_directory(prepared):
        return
    try:
        data = reading.read(prepared)
    except BlockError as error:
        assert "X_split_train.npy is missing" in str(error)
        return
    assert {name.split("/")[-2] for split in data.splits.values() for name in split.sample_names} == set(data.classes)
    assert data.holdout is not None and data.preparation is not None


def finish(server, log, photos, out):
    """Finishes a killed run with `convert` if it has weights, else with a new run. Returns the command's name."""
    if out.exists() and {"weights.pt", "settings.json"} <= names(out):
        code = server.run(log, "convert", out)
        is_changed = "are not those that" in log.read_text()
        # The killed run may have replaced the arrays of the earlier run and not its weights.
        assert code == int(is_changed), log.read_text()
        if code == 0:
            return "convert"
        assert json.loads((out / "settings.json").read_text())["classes"] == list(EARLIER_KINDS)
    else:
        assert server.run(log, "convert", out) == 1
    assert log.read_text().startswith("Error: ") and log.read_text().count("\n") == 1
    assert server.run(log, *train(photos, out)) == 0, log.read_text()
    return "train"


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_run_leaves_whole_files_and_can_be_finished(server, photos, tmp_path, number, request):
    generator = np.random.default_rng(number)
    out, log = tmp_path / "out", tmp_path / "log"
    if number % 4 > 1:
        shutil.copytree(request.getfixturevalue("earlier"), out)
    code = 0
    while code == 0:
        if number % 2:
            line, seconds = str(generator.choice(LINES)), float(generator.uniform(0, LATEST_SECONDS))
            moment = f"{seconds:.2f} s after {line!r}"
            code = kill_at_line(server, log, train(photos, out), line, seconds)
        else:
            kill_at = int(generator.integers(OPERATIONS))
            moment = f"before file operation {kill_at}"
            code = server.run(log, *train(photos, out), folder=out, kill_at=kill_at)
    assert code == -signal.SIGKILL, log.read_text()
    killed_after = log.read_text().splitlines()[-1:]
    found = check_whole(out)
    check_arrays(out / "prepared")
    command = finish(server, log, photos, out)
    LOG.info(f"kill {number}: {moment}, after {killed_after}: {len(found)} files, finished by {command}")
    assert names(out) == FILES | {"prepared"}
    assert check_whole(out) == FILES
    # `convert` does not touch the arrays that the killed run was preparing
    if command == "train":
        assert {path.suffix for path in (out / "prepared").iterdir()} == {".npy", ".json"}
    if command == "train" and KILLS > 1:
        for name in MODELS:
            assert (out / name).read_bytes() == (request.getfixturevalue("finished") / name).read_bytes()


@contextmanager
def small_disk(folder, megabytes):
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user cannot mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("number", range(max(KILLS // 2, 1)))
def test_run_on_a_full_disk_says_so_and_can_be_finished(server, photos, tmp_path, number):
    left_bytes = int(np.random.default_rng(number).integers(NEEDED_BYTES))
    log = tmp_path / "log"
    with small_disk(tmp_path / "disk", 60) as disk:
        out = disk / "out"
        code = server.run(log, *train(photos, out), folder=disk, fill_to=left_bytes)
        text = log.read_text()
        LOG.info(f"{left_bytes} bytes left: exit code {code}, {names(out)}, {text.splitlines()[-1:]}")
        assert "Traceback" not in text and "(unexpected" not in text
        assert ("The disk is full" in text) or "Warning" in text, text
        check_whole(out)
        check_arrays(out / "prepared")
        assert not list(out.glob("**/.*"))
        (disk / "filler").unlink()
        finish(server, log, photos, out)
        assert check_whole(out) == FILES


def test_second_run_into_the_same_folder_is_refused_by_name(server, photos, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    first = server.start(tmp_path / "first", *train(photos, out, epochs=100_000))
    until(lambda: (out / "settings.json").exists())
    for arguments in (train(photos, out), ("convert", out)):
        assert server.run(log, *arguments) == 1
        assert log.read_text().startswith(f"Error: Another run is writing to {out} (process {first} on ")
        assert log.read_text().count("\n") == 1
    os.kill(first, signal.SIGKILL)
    assert server.wait(first) == -signal.SIGKILL
    kill_at_line(server, log, ("convert", out), "[1/8]", 0)
    assert log.read_text().startswith(f"An earlier run in {out} was killed (process {first} on ")
