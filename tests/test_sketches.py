import re
import subprocess

import numpy as np
import pytest
import sketches
from PIL import Image
from tiny_models import attentive_grid, mobilenet

from block.measure.decode import decode
from esp32_deploy import pixels
from esp32_deploy.arduino import library
from esp32_deploy.arduino.boards import BOARDS
from esp32_deploy.compile import graph
from esp32_deploy.manifest import Manifest
from esp32_deploy.verify import tflm

LABELS = ("apple", "banana", "mixed", "orange")
FLAGS = sketches.SANITIZERS


@pytest.fixture(scope="module")
def fruit(shared_data, tmp_path_factory):
    """The unpacked library of the fixture classifier, its object files, and the model."""
    return made(tmp_path_factory.mktemp("fruit"), shared_data / "models" / "classifier_035_96.tflite", resize="squash")


def made(folder, model, name="fruit", labels=LABELS, **choices):
    manifest = Manifest(name=name, labels=labels, threshold=0.01, resize=choices.pop("resize", None))
    made = library.package(model, folder / f"{name}.zip", manifest, **choices)
    unpacked = sketches.unpack(made.path, folder)
    return unpacked, sketches.compile_library(unpacked, folder), model


def rgb565(image):
    """(H, W, 3) uint8 as the RGB565 that a camera sends, upper byte first."""
    red, green, blue = (image[..., channel].astype(np.uint16) for channel in range(3))
    return ((red >> 3) << 11 | (green >> 2) << 5 | blue >> 3).astype(">u2")


def as_camera_colours(image):
    """The colours of an image after conversion to RGB565 and back."""
    bits = np.array([5, 6, 5])
    short = image >> (8 - bits)
    return (short << (8 - bits) | short >> (2 * bits - 8)).astype(np.uint8)


def photos(folder, count, size):
    paths = sorted(folder.glob("*.jpg"))
    chosen = paths[:: len(paths) // count][:count]
    return [np.asarray(Image.open(path).convert("RGB").resize(size, Image.Resampling.BOX)) for path in chosen]


def on_tflm(model, frame, size, resize):
    image = pixels.image_to_input(as_camera_colours(frame), size, resize, 3)
    return tflm.outputs(model, (image.astype(np.int16) - 128).astype(np.int8)[np.newaxis])[0]


def answers_of(program, model, frames, folder):
    """Yields, for every frame, the label and score that the sketch prints, and TensorFlow Lite Micro's output."""
    for frame in frames:
        rgb565(frame).tofile(folder / "frame.bin")
        lines = sketches.run(program, FRAME=folder / "frame.bin", LOOPS=2)
        first, second = (re.fullmatch(r"(\w+) (\d\.\d\d), \d+ ms", line).groups() for line in lines[2:4])
        assert first == second
        assert lines[-2] == "frames 2 returned 2"
        yield first[0], float(first[1]), on_tflm(model, frame, 96, "squash").ravel()


def test_the_camera_sketch_prints_the_label_and_score_of_tflm(shared_data, tmp_path):
    model = tmp_path / "drawn.tflite"
    model.write_bytes(mobilenet(0.35, 96, cut=6).content())
    unpacked, objects, _ = made(tmp_path, model, resize="squash")
    program = sketches.compile_sketch(unpacked, "Camera", objects, tmp_path)
    frames = photos(shared_data / "fruit" / "test", 10, (160, 120))
    seen = set()
    for label, score, output in answers_of(program, model, frames, tmp_path):
        assert label == LABELS[output.argmax()]
        assert f"{score:.2f}" == f"{(int(output.max()) + 128) / 256:.2f}"
        seen.add(label)
    assert len(seen) > 1


def test_logits_become_softmax_probabilities(fruit, shared_data, tmp_path):
    unpacked, objects, model = fruit
    scale = graph.read(model).outputs[0].scales[0]
    program = sketches.compile_sketch(unpacked, "Camera", objects, tmp_path)
    frames = photos(shared_data / "fruit" / "test", 5, (160, 120))
    for label, score, output in answers_of(program, model, frames, tmp_path):
        powers = np.exp(scale * (output.astype(float) - output.max()))
        assert label == LABELS[output.argmax()]
        assert abs(score - 1 / powers.sum()) <= 0.01


def test_the_camera_sketch_returns_every_frame_and_reports_errors(fruit, tmp_path):
    unpacked, objects, _ = fruit
    program = sketches.compile_sketch(unpacked, "Camera", objects, tmp_path)
    assert "frames 3 returned 3" in sketches.run(program, LOOPS=3)
    assert sketches.run(program, LOOPS=2, CAMERA="blind").count("The camera gave no frame.") == 2
    assert sum("camera does not start" in line for line in sketches.run(program, LOOPS=2, CAMERA="fails")) == 2


def test_the_camera_sketch_runs_with_and_without_psram(fruit, tmp_path):
    unpacked, objects, _ = fruit
    program = sketches.compile_sketch(unpacked, "Camera", objects, tmp_path)
    assert "camera 160x120 in internal RAM" in sketches.run(program, PSRAM=0)
    assert "camera 160x120 in PSRAM" in sketches.run(program, PSRAM=1)


def test_rows_are_allocated_in_internal_ram_before_psram(fruit, tmp_path):
    unpacked, _, _ = fruit
    flags = (*FLAGS, "-DESP_PLATFORM")
    objects = sketches.compile_library(unpacked, tmp_path, flags=flags)
    program = sketches.compile_sketch(unpacked, "Camera", objects, tmp_path, flags)
    assert sketches.run(program, PSRAM=1)[-1] == "pieces 1 internal 0 PSRAM"
    # Later loops allocate nothing.
    assert sketches.run(program, PSRAM=1, INTERNAL_BYTES=9000, LOOPS=3)[-1] == "pieces 0 internal 1 PSRAM"
    lines = sketches.run(program, PSRAM=0, INTERNAL_BYTES=9000)
    assert any("not enough memory" in line for line in lines)


def test_the_self_test_passes(fruit, tmp_path):
    unpacked, objects, _ = fruit
    lines = sketches.run(sketches.compile_sketch(unpacked, "SelfTest", objects, tmp_path), LOOPS=2)
    assert re.fullmatch(r"PASS: 3 images, \d+ ms each, \d+ bytes of RAM, 100000 bytes of heap left", lines[1])
    assert lines[2].startswith("PASS")


def test_the_self_test_prints_the_first_difference(fruit, tmp_path):
    unpacked, objects, _ = fruit
    recorded = unpacked / "examples" / "SelfTest" / "recorded.h"
    before = recorded.read_text()
    start, *images = before.rsplit("    {\n", 3)
    numbers = images[1].split(", ")
    right = int(numbers[2])
    numbers[2] = str((right + 1) % 256)
    try:
        recorded.write_text("    {\n".join([start, images[0], ", ".join(numbers), images[2]]))
        lines = sketches.run(sketches.compile_sketch(unpacked, "SelfTest", objects, tmp_path))
    finally:
        recorded.write_text(before)
    assert lines[1] == f"FAIL: image 1, row 0, column 0, channel 2: {right}, expected {(right + 1) % 256}"


def test_the_self_test_runs_the_samples(shared_data, tmp_path):
    model = shared_data / "models" / "classifier_035_96.tflite"
    images = np.random.default_rng(5).random((7, 96, 96, 3), dtype=np.float32)
    unpacked, objects, _ = made(tmp_path, model, samples=images)
    assert "samples of real data" in (unpacked / "examples" / "SelfTest" / "recorded.h").read_text()
    assert sketches.run(sketches.compile_sketch(unpacked, "SelfTest", objects, tmp_path))[1].startswith("PASS: 3")


def test_a_grayscale_network_uses_grayscale_frames(tmp_path):
    path = tmp_path / "gray.tflite"
    network = mobilenet(0.35, 48, cut=4, channels=1)
    path.write_bytes(network.content())
    unpacked, objects, _ = made(tmp_path, path)
    assert "PASS" in sketches.run(sketches.compile_sketch(unpacked, "SelfTest", objects, tmp_path))[1]
    lines = sketches.run(sketches.compile_sketch(unpacked, "Camera", objects, tmp_path))
    assert "frames 1 returned 1" in lines


@pytest.mark.parametrize("how", ["peaks", "fuse"])
def test_a_detector_finds_the_objects_of_its_grid(how, shared_data, tmp_path):
    model = shared_data / "models" / "fomo_035_96.tflite"
    manifest = Manifest(name="finder", labels=("apple", "banana", "orange"), threshold=0.05, decode=how, resize="fit")
    unpacked = sketches.unpack(library.package(model, tmp_path / "finder.zip", manifest).path, tmp_path)
    objects = sketches.compile_library(unpacked, tmp_path)
    assert "PASS" in sketches.run(sketches.compile_sketch(unpacked, "SelfTest", objects, tmp_path))[1]
    program = sketches.compile_sketch(unpacked, "Camera", objects, tmp_path)
    (frame,) = photos(shared_data / "fruit" / "test", 1, (160, 120))
    rgb565(frame).tofile(tmp_path / "frame.bin")
    lines = sketches.run(program, FRAME=tmp_path / "frame.bin")
    grid = (on_tflm(model, frame, 96, "fit").astype(int) + 128) / 256
    expected = decode(grid, 0.05, 8, how)
    assert len(expected) > 0
    assert re.fullmatch(rf"{len(expected)} found, \d+ ms", lines[2])
    # The frame fills 96 x 72 px of the input, 12 px below the top.
    assert lines[3:-2] == [
        f"  {manifest.labels[one.label]} {one.score:.2f} at {one.center_x * 160 // 96}, "
        f"{min(max(one.center_y - 12, 0), 72) * 120 // 72}"
        for one in expected
    ]


ORACLE = """
#include <tensorflow/lite/micro/micro_interpreter.h>
#include "oracle_model.h"

TfLiteIntArray stand_in_input_shape = {4, {1, 96, 96, 3}};
TfLiteIntArray stand_in_output_shape = {2, {1, OUTPUTS}};
const size_t stand_in_arena_bytes = ARENA;

bool stand_in_run(const int8_t* input, int8_t* output) {
  static oracle::Model model;
  alignas(4) static uint8_t memory[oracle::segment_bytes[0]];
  static uint8_t* const segments[] = {memory};
  static_assert(oracle::segment_count == 1);
  model.begin(segments);
  model.start();
  constexpr size_t row_bytes = oracle::input_width * oracle::input_channels;
  for (size_t y = 0; y < oracle::input_height; ++y) {
    uint8_t row[row_bytes];
    for (size_t n = 0; n < row_bytes; ++n) row[n] = static_cast<uint8_t>(input[y * row_bytes + n] + 128);
    model.push_row(row);
  }
  for (size_t n = 0; n < oracle::output_channels; ++n) output[n] = static_cast<int8_t>(model.output(0, 0, n) - 128);
  return true;
}
"""


@pytest.fixture(scope="module")
def interpreted(shared_data, tmp_path_factory):
    """The same model with the tflm runtime. A stand-in for the core's interpreter runs the streamed network."""
    folder = tmp_path_factory.mktemp("interpreted")
    model = shared_data / "models" / "classifier_035_96.tflite"
    unpacked, objects, _ = made(folder, model, runtime="tflm", resize="squash")
    oracle = sketches.unpack(
        library.package(model, folder / "oracle.zip", Manifest(name="oracle", labels=LABELS)).path, folder
    )
    includes = (oracle / "src", unpacked / "src", sketches.STAND_INS)
    network = sketches.compile_cpp(oracle / "src" / "oracle_model.cpp", folder / "network.o", includes, flags=FLAGS)

    def with_interpreter(outputs=4, arena=150_000):
        (folder / "interpreter.cpp").write_text(
            f"#define ARDUINOSTL_M_H\n#define OUTPUTS {outputs}\n#define ARENA {arena}\n{ORACLE}"
        )
        part = sketches.compile_cpp(folder / "interpreter.cpp", folder / "interpreter.o", includes, flags=FLAGS)
        return [*objects, network, part]

    return unpacked, with_interpreter


def test_the_sketches_run_on_the_interpreter(interpreted, shared_data, tmp_path):
    unpacked, with_interpreter = interpreted
    objects = with_interpreter()
    assert "PASS" in sketches.run(sketches.compile_sketch(unpacked, "SelfTest", objects, tmp_path))[1]
    program = sketches.compile_sketch(unpacked, "Camera", objects, tmp_path)
    (frame,) = photos(shared_data / "fruit" / "test", 1, (160, 120))
    rgb565(frame).tofile(tmp_path / "frame.bin")
    model = shared_data / "models" / "classifier_035_96.tflite"
    expected = LABELS[on_tflm(model, frame, 96, "squash").argmax()]
    lines = sketches.run(program, FRAME=tmp_path / "frame.bin", LOOPS=2)
    assert [line.split()[0] for line in lines[2:4]] == [expected, expected]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"outputs": 5}, "is not what the library was made for"),
        ({"arena": 10**6}, "needs more memory than was measured"),
    ],
)
def test_begin_checks_the_interpreter(interpreted, tmp_path, wrong, message):
    unpacked, with_interpreter = interpreted
    lines = sketches.run(sketches.compile_sketch(unpacked, "SelfTest", with_interpreter(**wrong), tmp_path))
    assert lines[1].startswith("FAIL")
    assert message in lines[1]


RECORDED = """
#include <string.h>
#include <tensorflow/lite/micro/micro_interpreter.h>
#include "recorded.h"

TfLiteIntArray stand_in_input_shape = {4, {1, 32, 32, 3}};
TfLiteIntArray stand_in_output_shape = {4, {1, 8, 8, 4}};
const size_t stand_in_arena_bytes = 1000;

bool stand_in_run(const int8_t* input, int8_t* output) {
  for (size_t image = 0; image < recorded_count; ++image) {
    bool is_this = true;
    for (size_t n = 0; n < 32 * 32 * 3; ++n) is_this = is_this && input[n] + 128 == recorded_inputs[image][n];
    if (!is_this) continue;
    for (size_t n = 0; n < 8 * 8 * 4; ++n) output[n] = static_cast<int8_t>(recorded_outputs[image][n] - 128);
    return true;
  }
  return false;
}
"""


def test_the_library_of_a_network_with_attention_runs_on_the_interpreter(tmp_path):
    model = tmp_path / "attentive.tflite"
    model.write_bytes(attentive_grid().content())
    unpacked, objects, _ = made(tmp_path, model, labels=LABELS[:3], runtime="tflm")
    # The stand-in returns the recorded outputs. This proves that images and outputs pass through unchanged.
    (tmp_path / "interpreter.cpp").write_text(f"#define ARDUINOSTL_M_H\n{RECORDED}")
    includes = (unpacked / "src", unpacked / "examples" / "SelfTest", sketches.STAND_INS)
    part = sketches.compile_cpp(tmp_path / "interpreter.cpp", tmp_path / "interpreter.o", includes, flags=FLAGS)
    program = sketches.compile_sketch(unpacked, "SelfTest", [*objects, part], tmp_path)
    assert sketches.run(program)[1].startswith("PASS: 4 images")


def test_an_older_core_fails_to_compile_with_the_remedy(interpreted, tmp_path):
    unpacked, _ = interpreted
    with pytest.raises(sketches.CompilerError, match="update the core in the boards manager"):
        sketches.compile_library(unpacked, tmp_path, flags=("-DESP_PLATFORM", "-DESP_ARDUINO_VERSION_MAJOR=2"))


def test_two_libraries_link_into_one_sketch(fruit, shared_data, tmp_path):
    first, objects, _ = fruit
    second, others, _ = made(tmp_path, shared_data / "models" / "fomo_035_96.tflite", "signs", ("a", "b", "c"))
    sketch = tmp_path / "both.cpp"
    sketch.write_text(
        "#include <fruit.h>\n#include <signs.h>\n"
        "int main() {\n  static fruit::Classifier one;\n  static signs::Detector other;\n"
        "  return one.begin() == fruit::Error::none && other.begin() == signs::Error::none ? 0 : 1;\n}\n"
    )
    part = sketches.compile_cpp(sketch, tmp_path / "both.o", (first / "src", second / "src"), flags=FLAGS)
    program = tmp_path / "both"
    subprocess.run(["g++", *FLAGS, *map(str, (part, *objects, *others)), "-o", str(program)], check=True)
    subprocess.run([program], check=True)


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize("runtime", library.RUNTIMES)
def test_libraries_compile_without_warnings(compiler, runtime, shared_data, tmp_path):
    for name, labels in (("classifier_035_96", LABELS), ("fomo_035_96", LABELS[:3])):
        manifest = Manifest(name="fruit", labels=labels)
        made = library.package(
            shared_data / "models" / f"{name}.tflite", tmp_path / "fruit.zip", manifest, runtime=runtime
        )
        sketches.compile_library(sketches.unpack(made.path, tmp_path), tmp_path, compiler, ("-Wpedantic",))


def test_the_quick_start_of_the_readme_compiles(fruit, tmp_path):
    unpacked, _, _ = fruit
    example = re.search(r"```cpp\n(.*?)```", (unpacked / "README.md").read_text(), re.DOTALL)[1]
    (tmp_path / "quick.ino").write_text(example)
    sketches.compile_cpp(tmp_path / "quick.ino", tmp_path / "quick.o", (unpacked / "src", sketches.STAND_INS))


MISUSE = """
#include <fruit.h>
#include <stdio.h>

int main() {
  static fruit::Classifier spotter;
  static const uint8_t pixels[12 * 12 * 3] = {};
  const auto say = [](const fruit::Frame& frame) {
    const fruit::Result result = spotter.classify(frame);
    printf("%s|%s|%d\\n", fruit::text(result.error), result.label, result.is_sure ? 1 : 0);
  };
  const fruit::Frame good = {pixels, 12, 12, fruit::PixelFormat::rgb888};
  say(good);
  if (spotter.begin() != fruit::Error::none || spotter.begin() != fruit::Error::none) return 1;
  say({nullptr, 12, 12, fruit::PixelFormat::rgb888});
  say({pixels, 0, 12, fruit::PixelFormat::rgb888});
  say({pixels, 65536, 1, fruit::PixelFormat::rgb888});
  say({pixels, 5000, 5000, fruit::PixelFormat::rgb888});
  say(good);
  say({pixels, 12, 11, fruit::PixelFormat::rgb565, 36});
  say({pixels, 12, 11, fruit::PixelFormat::grayscale, 20});
  return 0;
}
"""


def test_misuse_gives_errors_and_low_scores_give_not_sure(shared_data, tmp_path):
    manifest = Manifest(name="fruit", labels=LABELS, threshold=1.0)
    model = shared_data / "models" / "classifier_035_96.tflite"
    unpacked = sketches.unpack(library.package(model, tmp_path / "fruit.zip", manifest).path, tmp_path)
    objects = sketches.compile_library(unpacked, tmp_path)
    (tmp_path / "misuse.cpp").write_text(MISUSE)
    part = sketches.compile_cpp(tmp_path / "misuse.cpp", tmp_path / "misuse.o", (unpacked / "src",), flags=FLAGS)
    program = tmp_path / "misuse"
    subprocess.run(["g++", *FLAGS, *map(str, (part, *objects)), "-o", str(program)], check=True)
    lines = sketches.run(program)
    assert [line.split("|")[0].split(":")[0] for line in lines] == [
        "begin() was not called, or failed",
        *["there is no frame, or one without pixels"] * 2,
        *["the frame has more than 16 million pixels, or a side of more than 65,535"] * 2,
        *["no error"] * 3,
    ]
    assert [line.split("|", 1)[1] for line in lines] == [*["|0"] * 5, *["not sure|0"] * 3]


def test_an_older_cpp_standard_fails_to_compile_with_the_remedy(fruit, tmp_path):
    unpacked, _, _ = fruit
    with pytest.raises(sketches.CompilerError, match="install the esp32 core 3"):
        sketches.compile_library(unpacked, tmp_path, flags=("-std=gnu++11",))


@pytest.mark.parametrize("board", BOARDS)
def test_the_camera_sketch_compiles_for_every_board(board, fruit, tmp_path):
    unpacked, _, _ = fruit
    sketch = unpacked / "examples" / "Camera" / "Camera.ino"
    (tmp_path / "boards.h").write_bytes((sketch.parent / "boards.h").read_bytes())
    other = tmp_path / "Camera.ino"
    other.write_text(sketch.read_text().replace("#define BOARD_AI_THINKER", f"#define {BOARDS[board].macro}"))
    sketches.compile_cpp(other, tmp_path / "camera.o", (unpacked / "src", sketches.STAND_INS))


def test_a_sketch_without_a_board_fails_with_the_macros_to_define(fruit, tmp_path):
    unpacked, _, _ = fruit
    (tmp_path / "sketch.ino").write_text(f'#include "{unpacked}/examples/Camera/boards.h"\n')
    with pytest.raises(sketches.CompilerError, match="Define your board at the top of the sketch: BOARD_AI_THINKER"):
        sketches.compile_cpp(tmp_path / "sketch.ino", tmp_path / "sketch.o", (unpacked / "src", sketches.STAND_INS))
