import json
import os
import signal
import time

import damage
import damaged_directories
import numpy as np
import pytest

from block.data import boxes, contract, reading
from block.errors import BlockError
from esp32_deploy.errors import DeployError

SEED = 7


def outcomes(case, numbers):
    tally = damage.Tally()
    for number, result in damage.campaign(case, numbers):
        tally.add(number, result)
    return tally


def test_damaged_models_are_refused_or_served():
    models = damage.base_models()
    tally = outcomes(damage.model_case(models, SEED), range(60))
    assert tally.findings == []
    found = {outcome for _, outcome in tally.outcomes}
    assert {kind for kind, _ in tally.outcomes} == {"bytes", "words", "cut", "tables"}
    assert found == {"GraphError", "StreamError", "served"}


def test_damaged_directories_are_refused_or_read_right(tmp_path):
    tally = outcomes(damage.directory_case(SEED, tmp_path), range(25))
    assert tally.findings == []
    assert {kind for kind, _ in tally.outcomes} >= {"array", "JSON", "XML", "image", "bytes", "cut", "file"}
    assert {outcome for _, outcome in tally.outcomes} >= {"BlockError", "served"}


def test_same_seed_gives_the_same_cases(tmp_path):
    models = damage.base_models()
    assert models.damaged(SEED, 3) == damage.base_models().damaged(SEED, 3)
    assert len({models.damaged(SEED, number)[1] for number in range(20)}) == 20
    (tmp_path / "bases").mkdir()
    case = damage.directory_case(SEED, tmp_path / "bases")
    contents = []
    for name in ("one", "other"):
        case(0, tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append([path.read_bytes() for path in files])
    assert contents[0] == contents[1]


def crash():
    os.kill(os.getpid(), signal.SIGKILL)


def hang():
    time.sleep(60)


def much_memory():
    return str(len(bytearray(2 * damage.MEMORY_BYTES))), None


def foreign_error():
    raise KeyError("x")


def bad_message():
    raise DeployError("no sentence")


def right():
    return "served", None


@pytest.mark.parametrize(
    ("check", "outcome", "finding"),
    [
        (crash, "crash", "its process ended with -9"),
        (hang, "hang", "it did not end"),
        (much_memory, "MemoryError", "MemoryError: "),
        (foreign_error, "KeyError", "KeyError: 'x' ("),
        (bad_message, "DeployError", "its message is not a short sentence: 'no sentence'"),
    ],
)
def test_fault_of_a_case_is_a_finding_and_the_next_case_runs(monkeypatch, check, outcome, finding):
    monkeypatch.setattr(damage, "HANG_SECONDS", 1.0)
    (_, bad), (_, good) = damage.campaign(lambda number, _: ("kind", right if number else check), range(2))
    assert (bad.outcome, good.outcome, good.finding) == (outcome, "served", None)
    assert bad.finding.startswith(finding)


def test_slow_case_is_a_finding(monkeypatch, tmp_path):
    monkeypatch.setattr(damage, "SECONDS", 0.1)

    def busy():
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        return "served", None

    assert damage.run_case(lambda *_: ("kind", busy), 0, tmp_path).finding == "it took 0.2 s"


def test_wrong_label_of_an_undamaged_photo_is_a_finding(tmp_path, monkeypatch):
    case = damage.directory_case(SEED, tmp_path)
    true_answer, names = damage.answer, list(damaged_directories.CLASSES)

    def swapped(data):
        return {
            name: (label and names[names.index(label) - 1], *rest) for name, (label, *rest) in true_answer(data).items()
        }

    monkeypatch.setattr(damage, "answer", swapped)
    findings = [result.finding for _, result in damage.campaign(case, range(6)) if result.finding]
    assert findings and any("is read differently" in finding for finding in findings)


def test_json_file_that_is_a_pipe_or_nested_too_deeply_is_refused(tmp_path):
    path = tmp_path / "train_input.json"
    path.write_text("[" * 100_000)
    with pytest.raises(BlockError, match="cannot be read as JSON: maximum recursion depth"):
        contract.read_json(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BlockError, match=r"train_input\.json is not a file\. Replace it"):
        reading.read(tmp_path)


def test_array_of_negative_length_is_refused(block_directory):
    path = block_directory / "X_split_train.npy"
    path.write_bytes(path.read_bytes().replace(b"(30, 48", b"(-1, 48"))
    with pytest.raises(BlockError, match=r"X_split_train\.npy cannot be read: .*cut short"):
        reading.read(block_directory)


def test_empty_label_array_is_refused(block_directory):
    path = block_directory / "Y_split_train.npy"
    np.save(path, np.load(path)[:0])
    with pytest.raises(BlockError, match=r"Y_split_train\.npy"):
        reading.read(block_directory)


def test_long_value_in_a_box_is_cut_in_the_message(tmp_path):
    path = tmp_path / "Y_split_train.npy"
    path.write_text(json.dumps([{"boundingBoxes": ["x" * 10_000]}]))
    with pytest.raises(BlockError, match=r"row 0 holds .*, which is not a box") as refused:
        boxes.read_boxes(path, 96)
    assert len(str(refused.value)) < 400


def test_control_characters_in_messages_are_escaped():
    assert str(BlockError("class a\tb\n\x1b[2J\u202e.")) == r"class a\tb\n\x1b[2J\u202e."
    assert str(DeployError("lines\nof a compiler\x07.")) == "lines\nof a compiler\\x07."
