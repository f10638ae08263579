import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tiny_models import mobilenet

from block.__main__ import block
from block.report import predict
from block.report.predict import Seer

ROOT = Path(__file__).resolve().parents[1]
LABELS = ["apple", "banana", "mixed", "orange"]


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "out" / "model_quantized_int8_io.tflite"
    path.parent.mkdir()
    path.write_bytes(mobilenet(0.35, 48).content())
    path.with_name("labels.txt").write_text("\n".join(LABELS) + "\n")
    return path


def photo(path, size=(60, 40), colour=(200, 30, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def run(*arguments):
    return CliRunner().invoke(block, ["predict", *map(str, arguments)])


def test_every_photo_becomes_a_picture_and_a_line(model, tmp_path):
    folder = tmp_path / "photos"
    first, second = photo(folder / "a" / "1.jpg"), photo(folder / "b" / "1.png", (500, 300))
    result = run(model, first, folder / "b", "--out", tmp_path / "seen")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines[:2]] == [str(first), str(second)]
    assert lines[2:] == [f"Pictures of 2 photos lie in {tmp_path / 'seen'}"]
    pictures = {path.name: Image.open(path) for path in (tmp_path / "seen").iterdir()}
    assert {name: picture.width for name, picture in pictures.items()} == {"1.png": 60, "1-2.png": 500}


def test_the_threshold_beside_the_model_decides_what_is_sure(model, tmp_path):
    one = photo(tmp_path / "1.jpg")
    model.with_name("deploy.json").write_text(json.dumps({"labels": LABELS, "threshold": 1.0, "resize": None}))
    assert "not sure (" in run(model, one, "--out", tmp_path / "seen").stdout
    assert "not sure" not in run(model, one, "--out", tmp_path / "seen", "--threshold", 0).stdout


def test_unreadable_photos_are_named_and_the_others_drawn(model, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    result = run(model, broken, photo(tmp_path / "1.jpg"), "--out", tmp_path / "seen")
    assert result.exit_code == 0
    assert f"Warning: {broken} cannot be read as a photo" in result.stdout
    assert result.stdout.endswith(f"Pictures of 1 photos lie in {tmp_path / 'seen'}\n")


def test_models_and_photos_that_do_not_fit_are_refused_in_a_line(model, shared_data, tmp_path):
    one = photo(tmp_path / "1.jpg")
    (tmp_path / "empty").mkdir()
    assert "is not a file; name a .tflite" in run(model.parent, one, "--out", tmp_path / "seen").stderr
    assert "does not exist; name photos" in run(model, tmp_path / "2.jpg", "--out", tmp_path / "seen").stderr
    assert "no photos in" in run(model, tmp_path / "empty", "--out", tmp_path / "seen").stderr
    logits = shared_data / "models" / "classifier_035_96.tflite"
    assert "gives no probabilities" in run(logits, one, "--out", tmp_path / "seen").stderr
    model.with_name("labels.txt").write_text("one\ntwo\n")
    assert "tells 4 classes apart, but 2 labels" in run(model, one, "--out", tmp_path / "seen").stderr
    assert not (tmp_path / "seen").exists()


def test_a_label_is_given_only_when_the_model_is_sure():
    sure, unsure = np.array([0.1, 0.9]), np.array([0.45, 0.55])
    assert predict.label_text(["cat", "dog"], sure, 0.6) == "dog 90%"
    assert predict.label_text(["cat", "dog"], unsure, 0.6) == "not sure (dog 55%)"


def grid_seer(grid, resize="squash"):
    return Seer(lambda _: grid[np.newaxis], "detection", ("red", "blue"), 96, 3, resize, 0.5, "peaks")


def test_objects_are_counted_in_words_and_drawn_on_the_photo_as_it_came():
    grid = np.zeros((12, 12, 3), np.float32)
    grid[:, :, 0] = 1
    grid[2, 3], grid[9, 9] = (0.1, 0.9, 0), (0.1, 0, 0.9)
    pixels = np.full((100, 300, 3), 128, np.uint8)
    seen = predict.see(grid_seer(grid), pixels)
    assert seen.text == "1 red, 1 blue"
    places = np.argwhere((np.asarray(seen.picture) != 128).any(axis=2))
    # cell (2, 3) of 12 x 12 lies at (75, 17) of the photo, cell (9, 9) ends at (250, 83)
    assert places.min(axis=0) == pytest.approx((17, 75), abs=25) and places.max(axis=0) == pytest.approx(
        (83, 250), abs=45
    )
    assert seen.picture.size == (300, 100)


def test_an_empty_grid_finds_nothing():
    grid = np.zeros((12, 12, 3), np.float32)
    seen = predict.see(grid_seer(grid), np.full((50, 50, 3), 7, np.uint8))
    assert seen.text == "nothing found" and set(np.asarray(seen.picture).flat) == {7}


def test_a_grid_model_detects(tmp_path):
    path = tmp_path / "grid.tflite"
    path.write_bytes(mobilenet(0.35, 48, is_grid=True).content())
    seer = predict.load(path)
    assert (seer.task, seer.size, seer.labels) == ("detection", 48, ("class 1", "class 2", "class 3"))
    assert predict.see(seer, np.zeros((96, 200, 3), np.uint8)).picture.size == (200, 96)


def test_predicting_needs_no_torch(model, tmp_path):
    program = (
        "import sys; from click.testing import CliRunner; from block.__main__ import block;"
        f"done = CliRunner().invoke(block, ['predict', {str(model)!r}, {str(photo(tmp_path / '1.jpg'))!r},"
        f" '--out', {str(tmp_path / 'seen')!r}]); assert done.exit_code == 0, done.output;"
        "print(sorted({'torch', 'tensorflow', 'onnx', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"


def test_a_photo_is_made_square_as_the_library_does_where_nothing_says_how(model):
    from esp32_deploy.meaning import UNKNOWN_RESIZE

    (model.parent / "deploy.json").unlink(missing_ok=True)
    assert predict.load(model).resize == UNKNOWN_RESIZE
