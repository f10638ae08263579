import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tiny_models import TinyModel, mobilenet

from block.__main__ import block
from block.report import predict
from block.report.predict import BoardModel
from esp32_deploy.__main__ import main as deploy_commands
from esp32_deploy.meaning import UNKNOWN_RESIZE, Meaning
from esp32_deploy.words import DEFAULT_THRESHOLDS

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


def test_each_photo_gives_a_picture_and_a_line(model, tmp_path):
    folder = tmp_path / "photos"
    first, second = photo(folder / "a" / "1.jpg"), photo(folder / "b" / "1.png", (500, 300))
    result = run(model, first, folder / "b", "--out", tmp_path / "seen")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines[:2]] == [str(first), str(second)]
    assert lines[2:] == [f"Pictures of 2 photos are in {tmp_path / 'seen'}"]
    pictures = {path.name: Image.open(path) for path in (tmp_path / "seen").iterdir()}
    assert {name: picture.width for name, picture in pictures.items()} == {"1.png": 60 * 6, "1-2.png": 500}
    assert lines[1].endswith(" (1-2.png)") and not lines[0].endswith(")")


@pytest.mark.parametrize("threshold", [0, -0.5, 1.5, "nan"])
def test_predict_and_package_refuse_the_same_thresholds(model, tmp_path, threshold):
    message = f"threshold is {float(threshold)}. Choose more than 0 and at most 1, such as 0.6."
    one = photo(tmp_path / "1.jpg")
    assert message in run(model, one, "--out", tmp_path / "seen", "--threshold", threshold).stderr
    options = [str(model), "--labels", "a,b,c,d", "--threshold", str(threshold), "--out", str(tmp_path / "a.zip")]
    assert message in CliRunner().invoke(deploy_commands, ["package", *options]).output


def test_threshold_of_deploy_json_applies_unless_overridden(model, tmp_path):
    one = photo(tmp_path / "1.jpg")
    model.with_name("deploy.json").write_text(json.dumps({"labels": LABELS, "threshold": 1.0, "resize": None}))
    assert "not sure (" in run(model, one, "--out", tmp_path / "seen").stdout
    assert "not sure" not in run(model, one, "--out", tmp_path / "seen", "--threshold", 0.01).stdout


def test_unreadable_photo_is_a_warning_and_the_others_are_drawn(model, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    result = run(model, broken, photo(tmp_path / "1.jpg"), "--out", tmp_path / "seen")
    assert result.exit_code == 0
    assert f"Warning: {broken} cannot be read as a photo" in result.stdout
    assert result.stdout.endswith(f"Pictures of 1 photos are in {tmp_path / 'seen'}\n")


def test_unusable_models_and_photos_give_a_short_error(model, tmp_path):
    one = photo(tmp_path / "1.jpg")
    (tmp_path / "empty").mkdir()
    assert "is not a file. Name a .tflite" in run(model.parent, one, "--out", tmp_path / "seen").stderr
    assert "does not exist. Name photos" in run(model, tmp_path / "2.jpg", "--out", tmp_path / "seen").stderr
    assert "is not a TensorFlow Lite model" in run(one, one, "--out", tmp_path / "seen").stderr
    assert "no photos in" in run(model, tmp_path / "empty", "--out", tmp_path / "seen").stderr
    floats = tmp_path / "floats.tflite"
    floats.write_bytes(TinyModel((1, 8, 8, 3), kind="FLOAT32").content(0))
    assert "input is FLOAT32, not INT8 or UINT8" in run(floats, one, "--out", tmp_path / "seen").stderr
    model.with_name("labels.txt").write_text("one\ntwo\n")
    assert (
        "There are 2 labels (one, two), but the model has 4 classes."
        in run(model, one, "--out", tmp_path / "seen").stderr
    )
    assert not (tmp_path / "seen").exists()


def test_answer_below_the_threshold_is_not_sure():
    assert predict.label_text("dog", 0.9, 0.6) == "dog 90%"
    assert predict.label_text("dog", 0.55, 0.6) == "not sure (dog 55%)"


def grid_model(grid, resize="squash"):
    meaning = Meaning(
        task="detection",
        labels=("red", "blue"),
        colour="rgb",
        resize=resize,
        threshold=0.5,
        decode="peaks",
        softmax=None,
        input_shape=(96, 96, 3),
        output_shape=grid.shape,
        cell_px=8,
    )
    outputs = (np.minimum(grid * 256, 255) - 128).astype(np.int8)
    return BoardModel(lambda _: outputs[np.newaxis], meaning)


def test_objects_are_counted_in_the_text_and_drawn_on_the_original_photo():
    grid = np.zeros((12, 12, 3), np.float32)
    grid[:, :, 0] = 1
    grid[2, 3], grid[9, 9] = (0.1, 0.9, 0), (0.1, 0, 0.9)
    pixels = np.full((100, 300, 3), 128, np.uint8)
    seen = predict.answer(grid_model(grid), pixels)
    assert seen.text == "1 red, 1 blue"
    # The photo is enlarged three times, so a cell of 8 x 8 px becomes 75 x 25 px. A dot marks its centre.
    assert seen.picture.size == (900, 300)
    marked = np.asarray(seen.picture)
    assert [tuple(marked[y, x]) for y, x in ((62, 262), (237, 712))] == [(86, 180, 233), (230, 159, 0)]
    assert [tuple(marked[y, x]) for y, x in ((62, 300 - 2), (237, 750 - 2))] == [(86, 180, 233), (230, 159, 0)]
    assert {tuple(pixel) for pixel in marked[100:180, 400:600].reshape(-1, 3)} == {(128, 128, 128)}


def test_detection_in_the_bars_beside_a_photo_is_drawn_at_its_edge():
    grid = np.zeros((12, 12, 3), np.float32)
    grid[:, :, 0] = 1
    grid[11, 6] = (0.1, 0.9, 0)
    seen = predict.answer(grid_model(grid, "fit"), np.full((240, 480, 3), 128, np.uint8))
    places = np.argwhere((np.asarray(seen.picture) != 128).any(axis=2))
    assert places.max(axis=0)[0] == 239 and places.min(axis=0)[1] == pytest.approx(240, abs=5)


def test_empty_grid_gives_nothing_found():
    grid = np.zeros((12, 12, 3), np.float32)
    seen = predict.answer(grid_model(grid), np.full((50, 50, 3), 7, np.uint8))
    assert seen.text == "nothing found" and set(np.asarray(seen.picture).flat) == {7}


def test_model_with_a_grid_output_is_a_detector(tmp_path):
    path = tmp_path / "grid.tflite"
    path.write_bytes(mobilenet(0.35, 48, is_grid=True).content())
    loaded = predict.load(path)
    assert (loaded.meaning.task, loaded.meaning.labels) == ("detection", ("class 1", "class 2", "class 3"))
    # the defaults of the library, if it is packaged from this file alone
    assert (loaded.meaning.threshold, loaded.meaning.decode) == (0.5, "fuse")
    assert predict.answer(loaded, np.zeros((250, 500, 3), np.uint8)).picture.size == (500, 250)


def test_predict_does_not_import_torch(model, tmp_path):
    program = (
        "import sys; from click.testing import CliRunner; from block.__main__ import block;"
        f"done = CliRunner().invoke(block, ['predict', {str(model)!r}, {str(photo(tmp_path / '1.jpg'))!r},"
        f" '--out', {str(tmp_path / 'seen')!r}]); assert done.exit_code == 0, done.output;"
        "print(sorted({'torch', 'tensorflow', 'onnx', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"


def test_resize_default_is_that_of_the_library(model):
    (model.parent / "deploy.json").unlink(missing_ok=True)
    assert predict.load(model).meaning.resize == UNKNOWN_RESIZE


@pytest.mark.parametrize(
    ("noted", "words"),
    [
        ({"threshold": 7}, "threshold is 7"),
        ({"threshold": "0.4"}, "threshold is '0.4'"),
        ({"decode": "gess"}, "decode is 'gess'"),
        ({"task": "detection"}, "The manifest says detection"),
    ],
)
def test_invalid_manifest_values_are_refused(model, tmp_path, noted, words):
    model.with_name("deploy.json").write_text(json.dumps({"labels": LABELS, **noted}))
    result = run(model, photo(tmp_path / "1.jpg"), "--out", tmp_path / "seen")
    assert result.exit_code == 1 and words in result.stderr and "unexpected" not in result.stderr


def test_missing_threshold_is_the_default_of_the_board(model):
    model.with_name("deploy.json").write_text(json.dumps({"labels": LABELS, "threshold": None}))
    assert predict.load(model).meaning.threshold == DEFAULT_THRESHOLDS["classification"]


def test_pictures_never_overwrite_photos(model, tmp_path):
    one = photo(tmp_path / "photos" / "1.png")
    before = one.read_bytes()
    beside = run(model, one, "--out", one.parent)
    assert beside.exit_code == 1 and "would be overwritten by a picture. Choose another" in beside.stderr
    inside = run(model, one.parent, "--out", one.parent / "seen")
    assert inside.exit_code == 1 and "lies inside the photo folder" in inside.stderr
    assert one.read_bytes() == before and [path.name for path in one.parent.iterdir()] == ["1.png"]
