import errno
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tiny_models import TinyModel, mobilenet

from esp32_deploy import meaning
from esp32_deploy.arduino import library
from esp32_deploy.arduino.library import cpp_literal, package, resolver_method
from esp32_deploy.arduino.recording import SamplesError
from esp32_deploy.compile import graph
from esp32_deploy.manifest import Manifest
from esp32_deploy.meaning import MeaningError

LABELS = ("apple", "banana", "mixed", "orange")
FILES = {
    *("LICENSE", "README.md", "keywords.txt", "library.json", "library.properties"),
    *("examples/Camera/Camera.ino", "examples/Camera/boards.h"),
    *("examples/SelfTest/SelfTest.ino", "examples/SelfTest/recorded.h"),
    *("extras/fruit.tflite", "extras/deploy.json", "src/fruit.cpp", "src/fruit.h"),
    *("src/fruit_model.cpp", "src/fruit_model.h", "src/kernels/error.h", "src/kernels/pixels.h"),
}
STREAM_KERNELS = {
    f"src/kernels/{name}.h"
    for name in ["convolution", "depthwise", "elementwise", "pointwise", "pool", "requantize", "softmax", "stream"]
}


def write(folder, model, name="model.tflite"):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(model.content())
    return path


def small():
    return mobilenet(0.35, 48, cut=3)


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(("runtime", "more"), [("stream", STREAM_KERNELS), ("tflm", set())])
def test_a_library_is_one_folder_with_these_files(runtime, more, tmp_path):
    model = write(tmp_path, small())
    made = package(model, tmp_path / "any.zip", Manifest(name="fruit", labels=LABELS), runtime=runtime)
    files = contents(made.path)
    assert set(files) == {f"fruit/{path}" for path in FILES | more}
    assert made.files == len(files) < 30
    assert files["fruit/extras/fruit.tflite"] == model.read_bytes()
    assert b"esp32_deploy::" not in b"".join(files.values())


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    model = write(tmp_path, small())
    first, second = (
        package(model, tmp_path / name, Manifest(labels=LABELS)).path.read_bytes() for name in ("a.zip", "b.zip")
    )
    assert first == second


def test_a_library_can_be_made_again_from_its_extras(tmp_path):
    model = write(tmp_path, small())
    first = package(
        model, tmp_path / "a.zip", Manifest(name="fruit", labels=LABELS, threshold=0.7, figures={"loss": 0.1})
    )
    with zipfile.ZipFile(first.path) as archive:
        archive.extractall(tmp_path)
    again = package(tmp_path / "fruit" / "extras" / "fruit.tflite", tmp_path / "b.zip")
    assert contents(first.path) == contents(again.path)


def test_a_refusal_leaves_no_zip(tmp_path):
    with pytest.raises(MeaningError):
        package(write(tmp_path, small()), tmp_path / "fruit.zip", Manifest(labels=("apple",)))
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]


def test_a_failed_write_keeps_the_old_zip(tmp_path, monkeypatch):
    model, out = write(tmp_path, small()), tmp_path / "fruit.zip"
    out.write_bytes(b"older")
    write_all = Path.write_bytes

    def write_part_and_fail(path, content):
        write_all(path, content[:1000])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", write_part_and_fail)
    with pytest.raises(OSError, match="No space left"):
        package(model, out, Manifest(labels=LABELS))
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir() if path != model} == {"fruit.zip": 5}


def resolve(model, folder, **values):
    return meaning.of(graph.read(write(folder, model)), Manifest(**values))


def test_the_model_completes_the_manifest(tmp_path):
    known = resolve(mobilenet(0.35, 48, cut=3, is_grid=True), tmp_path, labels=LABELS[:3])
    assert (known.task, known.colour, known.resize, known.threshold) == ("detection", "rgb", "crop", 0.5)
    known = resolve(mobilenet(0.35, 48, cut=3, channels=1), tmp_path, labels=LABELS, decode="fuse")
    assert (known.task, known.colour, known.threshold, known.decode) == ("classification", "grayscale", 0.6, None)


def oblong():
    model = TinyModel((1, 8, 12, 3))
    model.softmax(model.convolution(model.mean(0), 4))
    return model


def without_softmax():
    model = TinyModel((1, 8, 8, 3))
    model.convolution(0, 4, output=(0.05, 0))
    return model


def dark_input():
    model = TinyModel((1, 8, 8, 3), scale=0.5 / 255)
    model.softmax(model.convolution(model.mean(0), 4))
    return model


def grid_without_padding():
    model = TinyModel((1, 18, 18, 3))
    model.softmax(model.convolution(0, 5, (3, 3), (4, 4), "VALID"))
    return model


@pytest.mark.parametrize(
    ("make", "values", "message"),
    [
        (small, {}, "The labels of the model's 4 classes are not known. Put labels.txt"),
        (small, {"labels": LABELS[:3]}, r"3 labels \(apple, banana, mixed\), but the model has 4 classes"),
        (
            small,
            {"labels": LABELS, "task": "detection"},
            "The manifest says detection, but the model outputs 1 x 1 cells",
        ),
        (small, {"labels": LABELS, "colour": "grayscale"}, "The manifest says grayscale, but the model takes 3"),
        (oblong, {"labels": LABELS}, "takes images of 12 x 8 px and 3 channels. Frames are made square"),
        (without_softmax, {"labels": LABELS[:3]}, "is not a probability. Export the model with a softmax"),
        (dark_input, {"labels": LABELS}, "does not take pixels as int8 from -128 to 127"),
        (
            grid_without_padding,
            {"labels": LABELS},
            r"grid of 4 x 4 cells does not cover 18 x 18 px evenly\. Its layers step 4 x 4 px\. .*padding='same'",
        ),
    ],
)
def test_a_manifest_or_model_that_does_not_fit_is_refused(make, values, message, tmp_path):
    with pytest.raises(MeaningError, match=message):
        resolve(make(), tmp_path, **values)


@pytest.mark.parametrize("scaling", [(1 / 255, -128), (1 / 127.5, 0), (1 / 128, 0), (1.0, -128)])
def test_usual_pixel_scalings_are_accepted(scaling, tmp_path):
    model = TinyModel((1, 8, 8, 3), scale=scaling[0], zero_point=scaling[1])
    model.softmax(model.convolution(model.mean(0), 4))
    assert resolve(model, tmp_path, labels=LABELS).labels == LABELS


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((3, 96, 96, 3), np.float32), r"have the shape \(3, 96, 96, 3\). \(N, 48, 48, 3\) is expected"),
        (np.zeros((0, 48, 48, 3), np.float32), "is expected"),
        (np.full((3, 48, 48, 3), 255.0), "Float in 0..1, uint8 or int8 is expected"),
    ],
)
def test_samples_of_another_shape_or_range_are_refused(samples, message, tmp_path):
    with pytest.raises(SamplesError, match=message):
        package(write(tmp_path, small()), tmp_path / "fruit.zip", Manifest(labels=LABELS), samples=samples)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int8])
def test_float_uint8_and_int8_samples_give_the_same_images(dtype, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (2, 48, 48, 3))
    samples = {np.float32: pixels / np.float32(255), np.uint8: pixels, np.int8: pixels - 128}[dtype].astype(dtype)
    package(write(tmp_path, small()), tmp_path / "fruit.zip", Manifest(name="fruit", labels=LABELS), samples=samples)
    recorded = contents(tmp_path / "fruit.zip")["fruit/examples/SelfTest/recorded.h"].decode()
    assert ", ".join(map(str, pixels.ravel()[:12])) in recorded


def test_cpp_literal_escapes_special_characters():
    assert cpp_literal('say "hi"\\') == '"say \\042hi\\042\\134"'
    assert cpp_literal("what??/") == '"what\\077\\077/"'
    assert cpp_literal("Äpfel\u202e") == '"Äpfel\\342\\200\\256"'


@pytest.mark.parametrize(
    ("operator", "method"),
    [
        ("CONV_2D", "AddConv2D"),
        ("DEPTHWISE_CONV_2D", "AddDepthwiseConv2D"),
        ("AVERAGE_POOL_2D", "AddAveragePool2D"),
        ("FULLY_CONNECTED", "AddFullyConnected"),
        ("PADV2", "AddPadV2"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("TRANSPOSE", "AddTranspose"),
        ("ADD", "AddAdd"),
    ],
)
def test_resolver_methods_of_operators(operator, method):
    assert resolver_method(operator) == method


def test_the_readme_shows_the_training_figures(tmp_path):
    figures = {"accuracy": 0.93, "loss": 0.227, "split": "holdout", "images": 60}
    package(write(tmp_path, small()), tmp_path / "a.zip", Manifest(name="fruit", labels=LABELS, figures=figures))
    readme = contents(tmp_path / "a.zip")["fruit/README.md"].decode()
    assert "| accuracy of the int8 network (holdout, 60 images) | 0.930 |" in readme


def test_the_manifest_in_the_library_is_complete(tmp_path):
    package(write(tmp_path, small()), tmp_path / "a.zip", Manifest(labels=LABELS))
    manifest = json.loads(contents(tmp_path / "a.zip")[f"{library.DEFAULT_NAME}/extras/deploy.json"])
    assert manifest["name"] == library.DEFAULT_NAME
    assert (manifest["task"], manifest["colour"], manifest["threshold"]) == ("classification", "rgb", 0.6)
    # It is not known how the training images were made square.
    assert manifest["resize"] is None


def test_packaging_imports_no_training_framework(tmp_path):
    write(tmp_path, small())
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    code = (
        "import sys\nfrom pathlib import Path\nfrom esp32_deploy.arduino import library\n"
        f"library.package(Path({str(tmp_path / 'model.tflite')!r}), Path({str(tmp_path / 'a.zip')!r}))\n"
        "print(sorted({'torch', 'tensorflow', 'block', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
