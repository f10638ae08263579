"""The command `predict` and the library on a board give the same answers for models from elsewhere."""

import re

import numpy as np
import pytest
import sketches
from test_sketches import as_camera_colours, rgb565
from tiny_models import TinyModel

from block.export import runtimes
from block.report import predict
from esp32_deploy.arduino import library
from esp32_deploy.pixels import bytes_from_int8, image_to_input
from esp32_deploy.verify import patterns, tflm

SIZE = 20
FRAMES = 12
# What the Camera sketch of a small network takes.
FRAME_PX = 96
SKETCHES = ("SelfTest", "Camera")


def backbone(scale, zero_point, kind="INT8"):
    model = TinyModel((1, SIZE, SIZE, 3), seed=7, scale=scale, zero_point=zero_point, kind=kind)
    image = model.quantize(0, (scale, zero_point - 128)) if kind == "UINT8" else 0
    rows = model.convolution(image, 8, (3, 3), (2, 2), activation="RELU6", output=(6 / 255, -128))
    return model, model.convolution(rows, 8, (3, 3), (2, 2))


def from_minus_one_to_one():
    model, rows = backbone(1 / 127.5, -1)
    model.softmax(model.dense(model.mean(rows, keep_dims=False, output=(0.01, 4)), 3))
    return model, ("a", "b", "c")


def from_0_to_255_ending_in_logits():
    model, rows = backbone(1.0, -128)
    model.dense(model.mean(rows, keep_dims=False, output=(0.01, 4)), 3, output=(0.08, 5))
    return model, ("a", "b", "c")


def uint8_ends():
    model, rows = backbone(1 / 127.5, 127, "UINT8")
    probabilities = model.softmax(model.dense(model.mean(rows, keep_dims=False, output=(0.01, 4)), 3))
    model.quantize(probabilities, (1 / 256, 0), "UINT8")
    return model.open_batch(), ("a", "b", "c")


def sigmoid():
    model, rows = backbone(1 / 127.5, -1)
    model.sigmoid(model.dense(model.reshape(rows, (1, 5 * 5 * 8)), 1, output=(0.05, -20)))
    return model, ("no", "yes")


def single_logit():
    model, rows = backbone(1.0, -128)
    model.dense(model.reshape(rows, (1, 5 * 5 * 8)), 1, output=(0.05, -20))
    return model, ("no", "yes")


def uneven_grid():
    model, rows = backbone(1 / 127.5, -1)
    model.softmax(model.convolution(model.convolution(rows, 8, (3, 3), (2, 2)), 3, output=(0.1, 0)))
    return model, ("a", "b")


CLASSIFIERS = (from_minus_one_to_one, from_0_to_255_ending_in_logits, uint8_ends, sigmoid, single_logit)


def frames():
    drawn = bytes_from_int8(patterns.patterns((FRAME_PX, FRAME_PX, 3), FRAMES))
    return [as_camera_colours(frame) for frame in drawn]


@pytest.fixture
def made(tmp_path):
    def make(build, **choices):
        model, labels = build()
        path = tmp_path / "model.tflite"
        path.write_bytes(model.content())
        (tmp_path / "labels.txt").write_text("\n".join(labels))
        (tmp_path / "deploy.json").unlink(missing_ok=True)
        zipped = library.package(path, tmp_path / "vision_model.zip", **choices).path
        return path, sketches.unpack(zipped, tmp_path)

    return make


def said(unpacked, folder):
    """For every frame, the lines that the Camera sketch prints about it. The SelfTest sketch must pass too."""
    objects = sketches.compile_library(unpacked, folder, flags=())
    self_test, program = (sketches.compile_sketch(unpacked, name, objects, folder, ()) for name in SKETCHES)
    assert "PASS" in sketches.run(self_test)[1]
    for frame in frames():
        rgb565(frame).tofile(folder / "frame.bin")
        yield frame, sketches.run(program, FRAME=folder / "frame.bin")[2:-2]


@pytest.mark.parametrize("build", CLASSIFIERS)
def test_a_classifier_gives_the_same_answers(build, made, tmp_path):
    path, unpacked = made(build)
    seer = predict.load(path)
    shown = np.stack([image_to_input(frame, SIZE, "crop", 3) for frame in frames()])
    outputs = tflm.outputs(path, (shown.astype(np.int16) - 128).astype(np.int8))
    scores, best = seer.meaning.scores(outputs), seer.meaning.class_values(outputs).argmax(axis=1)
    for number, (frame, (line, *_)) in enumerate(said(unpacked, tmp_path)):
        score = scores[number, best[number]] / 256
        text = f"{seer.meaning.labels[best[number]]} {score:.0%}"
        is_sure = score >= seer.meaning.threshold
        assert predict.answer(seer, frame).text == (text if is_sure else f"not sure ({text})")
        label, printed = re.fullmatch(r"(.+) (\d\.\d\d), \d+ ms", line).groups()
        assert (label, printed) == (text.split()[0] if is_sure else "not sure", f"{score:.2f}")
    assert len(set(best)) > 1


@pytest.mark.parametrize("build", [from_minus_one_to_one, uint8_ends])
def test_scores_come_from_the_bytes_that_the_board_gets(build, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(build()[0].content())
    pixels = np.random.default_rng(3).integers(0, 256, (5, SIZE, SIZE, 3))
    found = runtimes.tflm_predict(path)((pixels / np.float32(255)).astype(np.float32))
    expected = tflm.outputs(path, (pixels - 128).astype(np.int8)).astype(np.float32) + 128
    np.testing.assert_array_equal(found, expected / 256)


def test_a_detector_whose_cells_reach_beyond_the_image_gives_the_same_objects(made, tmp_path):
    path, unpacked = made(uneven_grid)
    seer, count = predict.load(path, threshold=0.5), 0
    assert (seer.meaning.output_shape, seer.meaning.cell_px) == ((3, 3, 3), 8)
    for frame, lines in said(unpacked, tmp_path):
        found = [re.fullmatch(r"  (\w) \d\.\d\d at (\d+), (\d+)", line).groups() for line in lines[1:]]
        counts = {label: sum(one[0] == label for one in found) for label in ("a", "b")}
        text = ", ".join(f"{number} {label}" for label, number in counts.items() if number) or "nothing found"
        assert predict.answer(seer, frame).text == text
        # Three cells of 38.4 px reach beyond the frame. Centres are moved to its edge.
        assert all(int(x) <= FRAME_PX and int(y) <= FRAME_PX for _, x, y in found)
        count += len(found)
    assert count > FRAMES // 2


INTERPRETER = """
#include <string.h>
#include <tensorflow/lite/micro/micro_interpreter.h>
#include "recorded.h"

TfLiteIntArray stand_in_input_shape = {4, {1, SIZE, SIZE, 3}};
TfLiteIntArray stand_in_output_shape = {2, {1, OUTPUTS}};
const size_t stand_in_arena_bytes = 1000;

bool stand_in_run(const int8_t* input, int8_t* output) {
  for (size_t image = 0; image < recorded_count; ++image) {
    bool is_this = true;
    for (size_t n = 0; n < SIZE * SIZE * 3; ++n)
      is_this = is_this && static_cast<uint8_t>(input[n] + ZERO) == recorded_inputs[image][n];
    if (!is_this) continue;
    for (size_t n = 0; n < OUTPUTS; ++n) output[n] = static_cast<int8_t>(recorded_outputs[image][n] - ZERO);
    return true;
  }
  return false;
}
"""


@pytest.mark.parametrize(("build", "kind", "zero", "outputs"), [(uint8_ends, "UInt8", 0, 3), (sigmoid, "Int8", 128, 1)])
def test_the_interpreter_gets_the_bytes_of_the_models_type(build, kind, zero, outputs, made, tmp_path):
    _, unpacked = made(build, runtime="tflm")
    flags = (f"-DSTAND_IN_TYPE=kTfLite{kind}",)
    (tmp_path / "interpreter.cpp").write_text(
        f"#define ARDUINOSTL_M_H\n#define SIZE {SIZE}\n#define OUTPUTS {outputs}\n#define ZERO {zero}\n{INTERPRETER}"
    )
    includes = (unpacked / "src", unpacked / "examples" / "SelfTest", sketches.STAND_INS)
    part = sketches.compile_cpp(tmp_path / "interpreter.cpp", tmp_path / "interpreter.o", includes, flags=flags)
    objects = [*sketches.compile_library(unpacked, tmp_path, flags=flags), part]
    program = sketches.compile_sketch(unpacked, "SelfTest", objects, tmp_path, flags)
    assert sketches.run(program)[1].startswith("PASS: 4 images")
