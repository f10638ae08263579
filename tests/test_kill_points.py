import itertools
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from drawn_arrays import CLASSES, write_arrays
from kill_server import kill_at
from report_runs import NETWORK, TRAINING

from block.data import contract, reading
from block.data.writing import block_writer
from block.demo.dataset import write_demo
from block.errors import BlockError
from block.facts import Facts
from block.model.training import Epoch
from block.pipeline import checkpoint
from block.pipeline.run import Run, build_network
from block.settings import Settings

SIZE_PX = 48


def killed_at(number, folder, action):
    """Runs `action` in a child that kills itself before file operation `number` in `folder`. False if it ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            kill_at(number, folder)
            action()
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


def every_point(folder, action, prepare, step=1):
    """Yields the number of every `step`th operation after killing `action` before it. `prepare` sets the folder up."""
    for number in itertools.count(0, step):
        prepare()
        if not killed_at(number, folder, action):
            assert number > 4
            return
        yield number


def write_block(directory, classes, splits, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (len(classes), SIZE_PX, SIZE_PX, 3), np.uint8)
    with block_writer(directory, classes, SIZE_PX, 3, splits) as writer:
        for split in splits:
            for number, _ in enumerate(classes):
                writer.append(split, pixels[number], number, f"{split} {number}")


def test_killed_preparation_leaves_the_old_or_the_new_data_or_is_refused(tmp_path):
    old, new = (["a", "b"], ("train", "validation", "holdout"), 1), (["c", "d"], ("train", "validation"), 2)
    fingerprints = {}
    for name, data in {"old": old, "new": new}.items():
        write_block(tmp_path / name, *data)
        fingerprints[reading.read(tmp_path / name).fingerprint] = tuple(data[0]), data[1]
    folder, found = tmp_path / "arrays", set()
    for _ in every_point(folder, lambda: write_block(folder, *new), lambda: write_block(folder, *old)):
        try:
            data = reading.read(folder)
        except BlockError as error:
            assert "X_split_train.npy is missing" in str(error)
            found.add("refused")
        else:
            assert fingerprints[data.fingerprint] == (data.classes, tuple(data.splits))
            found.add(data.classes)
    assert found == {("a", "b"), ("c", "d"), "refused"}
    write_block(folder, *new)
    assert all(path.suffix in (".npy", ".json") for path in folder.iterdir())


@pytest.fixture
def run(tmp_path):
    data = reading.read(write_arrays(tmp_path / "data", size=SIZE_PX))
    out = tmp_path / "out"
    out.mkdir()
    return Run(Settings(tmp_path / "data", out, seed=7), contract.Outputs(out), data, debug=False)


def save(run, epoch):
    facts = Facts(NETWORK, replace(TRAINING, epoch=epoch))
    history = [Epoch(number, run.settings.epochs, 1.0, 1.0, 0.5, 0.01, 1.0, True) for number in range(1, epoch + 1)]
    checkpoint.save_weights(run, build_network(run), facts, history)


def saved_epoch(run):
    return checkpoint.load_weights(run)[1].training.epoch


def test_killed_first_save_never_mixes_two_runs(run):
    earlier = replace(run, settings=replace(run.settings, seed=3, epochs=9))
    outputs, found = run.outputs, set()

    def prepare():
        save(earlier, 5)
        for path in outputs.made_from_weights:
            path.touch()

    for _ in every_point(outputs.directory, lambda: save(run, 1), prepare):
        seed = checkpoint.read_settings(outputs).settings["seed"] if outputs.settings.exists() else None
        epoch = saved_epoch(run) if outputs.weights.exists() else None
        rows = outputs.history.read_text().splitlines()[1:] if outputs.history.exists() else []
        found.add((seed, epoch))
        assert (seed, epoch) in {(3, 5), (3, None), (7, None), (7, 1)}
        if epoch != 5:
            assert not any(path.exists() for path in outputs.made_from_weights)
        assert epoch != 5 or len(rows) == 5
        assert epoch != 1 or len(rows) == 1
    assert {(3, 5), (7, None)} <= found


def test_killed_later_save_keeps_weights_that_can_be_converted(run):
    outputs, found = run.outputs, set()
    for _ in every_point(outputs.directory, lambda: save(run, 2), lambda: save(run, 1)):
        found.add(saved_epoch(run))
        assert checkpoint.read_settings(outputs).settings["seed"] == 7
    assert found == {1, 2}


def test_killed_demo_can_be_drawn_again(tmp_path):
    folder = tmp_path / "photos"
    for _ in every_point(folder, lambda: write_demo(folder, 1, 1, 1, 48), lambda: None, step=11):
        pass
    write_demo(folder, 1, 1, 1, 48)
    assert len([path for path in folder.glob("*/*") if path.suffix in (".jpg", ".xml")]) == 12


def test_changed_arrays_are_refused_unless_they_are_named(run, capsys):
    save(run, 1)
    directory = run.data.directory
    write_arrays(directory, size=SIZE_PX, seed=9)
    with pytest.raises(BlockError, match=r"are not those that .*weights\.pt was trained on\. Name those with"):
        checkpoint.resume(run.outputs.directory, None, debug=False)
    assert checkpoint.resume(run.outputs.directory, directory, debug=False).data.classes == tuple(CLASSES)
    assert "Warning: The arrays in" in capsys.readouterr().out
    write_arrays(directory, size=SIZE_PX)
    checkpoint.resume(run.outputs.directory, None, debug=False)
    assert capsys.readouterr().out == ""
