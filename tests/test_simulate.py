import re
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest
from tiny_models import TinyModel, mobilenet, random_model, run_tflm, with_outputs
from toolchains import host_compiler, toolchain

from esp32_deploy.compile.compiler import compile_file
from esp32_deploy.pixels import int8_from_bytes
from esp32_deploy.verify import patterns, simulate, tflm

SANITIZERS = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

# A header that writes every finished row, or part of a row, to a file.
TAP = """
#include <stdint.h>
#include <stdio.h>
inline FILE* tap_file() {
  static FILE* const file = fopen(TAP_FILE, "wb");
  return file;
}
template <typename Rows>
inline void tap(unsigned plane, int row, size_t first, Rows lines, size_t pixels, size_t channels) {
  FILE* const file = tap_file();
  const uint16_t header[5] = {static_cast<uint16_t>(plane), static_cast<uint16_t>(row), static_cast<uint16_t>(first),
                              static_cast<uint16_t>(pixels), static_cast<uint16_t>(channels)};
  fwrite(header, sizeof header, 1, file);
  for (size_t c = 0; c < channels; ++c) fwrite(lines.data + c * lines.pitch, 1, pixels, file);
  fflush(file);
}
#define ESP32_DEPLOY_TAP(plane, row, first, lines, pixels, channels) tap(plane, row, first, lines, pixels, channels)
"""


def grid():
    return mobilenet(0.35, 33, cut=4, is_grid=True)


def odd_sizes():
    model = TinyModel((1, 13, 11, 3))
    first = model.convolution(0, 6, (3, 3), (2, 2), activation="RELU6", output=(6 / 255, -128))
    narrow = model.convolution(model.convolution(model.convolution(first, 20), 1, (3, 3), depthwise=True), 6)
    pooled = model.pool("AVERAGE", model.add(first, narrow, "RELU"), (2, 2), (2, 2), "SAME")
    model.softmax(model.dense(model.mean(pooled, keep_dims=False), 5))
    return model


def uneven_windows():
    model = TinyModel((1, 9, 12, 4))
    padded = model.pad(0, (1, 2), (0, 1))
    first = model.convolution(padded, 5, (3, 2), (2, 1), "VALID", per_channel=False, bias=False)
    pooled = model.pool("MAX", first, (3, 3), (1, 2), "SAME")
    doubled = model.convolution(pooled, 2, (5, 5), depthwise=True)
    flat = model.reshape(doubled, (1, int(np.prod(model.shape_of(doubled)))))
    model.dense(flat, 7, per_channel=False)
    return model


def padded_pool_and_wide_windows():
    model = TinyModel((1, 10, 10, 3))
    pooled = model.pool("AVERAGE", model.pad(0, (1, 1), (1, 1)), (3, 3), (2, 2))
    wide = model.convolution(pooled, 16)
    narrow = model.convolution(model.convolution(wide, 1, (5, 5), depthwise=True, activation="RELU"), 8)
    wide = model.convolution(narrow, 24, activation="RELU6")
    model.softmax(model.convolution(model.convolution(wide, 1, (5, 3), (3, 2), depthwise=True), 4), 2.5)
    return model


def flat_windows():
    model = TinyModel((1, 5, 9, 2))
    rows = model.convolution(model.convolution(0, 11), 1, (1, 3), (2, 2), depthwise=True)
    model.softmax(model.convolution(model.mean(rows), 5))
    return model


def branches():
    model = TinyModel((1, 8, 8, 2))
    doubled = model.add(0, 0)
    first, second = model.convolution(doubled, 4, (3, 3)), model.convolution(doubled, 4)
    total = model.add(model.add(first, second, "RELU6"), first)
    model.convolution(total, 1, (3, 3), (3, 3), depthwise=True, activation="RELU_N1_TO_1")
    return model


def head_alone():
    model = TinyModel((1, 10, 9, 3))
    wide = model.convolution(model.add(0, 0), 18, activation="RELU")
    narrow = model.convolution(model.convolution(wide, 2, (3, 3), depthwise=True), 3)
    model.softmax(model.pad(model.add(0, narrow), (0, 2), (2, 0)))
    return model


def late_planes_of_few_rows():
    model = TinyModel((1, 26, 22, 3))
    first = model.convolution(0, 8, (3, 3), (2, 2), activation="RELU")
    early = model.pool("MAX", model.convolution(first, 24, (3, 3), (2, 2)), (2, 2), (1, 1), "SAME")
    # The sum at the end reads the plane `early`, which the image's rows gave, and two planes that lie in its memory.
    rows = model.convolution(model.convolution(early, 1, (3, 3), depthwise=True, activation="RELU6"), 24)
    rows = model.add(rows, model.convolution(rows, 24, (3, 3), activation="RELU"))
    wide = model.convolution(model.convolution(rows, 70), 1, (5, 5), depthwise=True)
    rows = model.add(early, model.add(rows, model.convolution(wide, 24)))
    rows = model.convolution(model.pool("AVERAGE", rows, (3, 2), (2, 2)), 40, (2, 2), padding="VALID")
    model.softmax(model.dense(model.reshape(rows, (1, prod(model.shape_of(rows)))), 6))
    return model


def channels_without_weights():
    model = TinyModel((1, 9, 9, 3))
    first = model.convolution(0, 8, (3, 3), (2, 2), activation="RELU6", output=(6 / 255, -128))
    weights, bias = (model.tensors[index] for index in model.operators[0].inputs[1:])
    for tensor in (weights, bias):
        model.buffers[tensor.buffer].data = model.buffers[tensor.buffer].data.copy()
    # Converters write such channels: with a tiny scale and a huge bias.
    for channel, constant in ((1, -(2**30)), (4, 2**30), (6, 2**20)):
        model.buffers[weights.buffer].data.reshape(8, -1)[channel] = 0
        model.buffers[bias.buffer].data.view(np.int32)[channel] = constant
        weights.quantization.scale[channel] *= 2.0**-14
    model.softmax(model.convolution(model.convolution(first, 1, (3, 3), depthwise=True), 5))
    return model


def uint8_ends():
    model = TinyModel((1, 12, 12, 3), scale=1 / 127.5, zero_point=127, kind="UINT8")
    image = model.quantize(0, (1 / 127.5, -1))
    rows = model.convolution(image, 6, (3, 3), (2, 2), activation="RELU6", output=(6 / 255, -128))
    probabilities = model.softmax(model.dense(model.flatten_open_batch(model.pool("MAX", rows, (2, 2), (2, 2))), 4))
    model.quantize(probabilities, (1 / 256, 0), "UINT8")
    return model.open_batch()


def changes_of_scale():
    model = TinyModel((1, 9, 8, 3), kind="UINT8", zero_point=0)
    image = model.quantize(0, (1 / 200, -100))
    rows = model.convolution(image, 6, (3, 3))
    wide = model.quantize(model.convolution(rows, 16), (0.05, 9))
    narrow = model.convolution(model.convolution(wide, 1, (3, 3), depthwise=True), 6)
    both = model.add(model.quantize(rows, (0.02, -7)), narrow)
    model.quantize(model.convolution(model.quantize(both, (0.06, 0)), 3), (0.04, 120), "UINT8")
    return model


def sigmoid_end():
    model = TinyModel((1, 10, 7, 1))
    rows = model.sigmoid(model.convolution(0, 5, (3, 3), (2, 2)))
    model.sigmoid(model.dense(model.mean(rows), 1))
    return model


def rescaling():
    model = TinyModel((1, 9, 8, 3), scale=1, zero_point=-128)
    image = model.with_scalar("MUL", 0, model.scalar(127, 3.1e-5, -128), (0.012, -43))
    image = model.with_scalar("ADD", image, model.scalar(-128, 1 / 255, 127), (1 / 127.5, -1), is_first=True)
    rows = model.convolution(image, 6, (3, 3))
    rows = model.with_scalar("ADD", rows, model.scalar(60, 0.05), (0.04, -20), "RELU6")
    rows = model.with_scalar("MUL", rows, model.scalar(-90, 0.01), (0.05, 100), "RELU_N1_TO_1", is_first=True)
    model.dense(model.mean(rows, keep_dims=False), 3)
    return model


MODELS = (
    rescaling,
    uint8_ends,
    changes_of_scale,
    sigmoid_end,
    late_planes_of_few_rows,
    channels_without_weights,
    flat_windows,
    head_alone,
    grid,
    odd_sizes,
    uneven_windows,
    padded_pool_and_wide_windows,
    branches,
)
STREAMED_TO_THE_END = (rescaling, uint8_ends, changes_of_scale, sigmoid_end, flat_windows, branches)


def write(folder, model):
    path = folder / "model.tflite"
    path.write_bytes(model.content())
    return path


@pytest.mark.parametrize("make", MODELS)
def test_outputs_equal_tflm_and_sanitizers_find_nothing(make, tmp_path):
    path = write(tmp_path, make())
    compiled = compile_file(path, "fruit")
    images = patterns.patterns(compiled.input_shape, 15)
    expected = tflm.outputs(path, images)
    run = simulate.simulate(compiled, images, toolchain("host"), tmp_path, SANITIZERS)
    np.testing.assert_array_equal(run.outputs.reshape(expected.shape), expected)
    assert len(np.unique(expected)) > 5


@pytest.mark.parametrize("seed", range(6))
def test_random_networks_equal_tflm_and_sanitizers_find_nothing(seed, tmp_path):
    path = write(tmp_path, random_model(seed))
    compiled = compile_file(path, "fruit")
    images = patterns.patterns(compiled.input_shape, 8)
    run = simulate.simulate(compiled, images, toolchain("host"), tmp_path, SANITIZERS)
    expected = tflm.outputs(path, images)
    np.testing.assert_array_equal(run.outputs.reshape(expected.shape), expected)


def tapped_planes(compiled, images, folder):
    tap = folder / "tap.h"
    tap.write_text(f'#define TAP_FILE "{folder / "tap.bin"}"\n{TAP}')
    simulate.simulate(compiled, images, toolchain("host"), folder, ("-include", str(tap)))
    planes = {
        number: np.full((plane.height, plane.width, plane.channels), 999, np.int16)
        for number, plane in enumerate(compiled.schedule.program.planes)
    }
    content, place = (folder / "tap.bin").read_bytes(), 0
    while place < len(content):
        plane, row, first, pixels, channels = np.frombuffer(content, "<u2", 5, place)
        lines = np.frombuffer(content, np.uint8, int(pixels) * int(channels), place + 10)
        planes[plane][row, :, first : first + channels] = lines.reshape(channels, pixels).T.astype(np.int16) - 128
        place += 10 + lines.size
    return planes


def assert_inner_rows_equal_tflm(path, folder):
    compiled = compile_file(path, "fruit")
    program = compiled.schedule.program
    tensors = [compiled.graph.operators[layer.operator].outputs[0].index for layer in program.layers]
    image = patterns.patterns(compiled.input_shape, 4)[3:]
    planes = tapped_planes(compiled, image, folder)
    inner = run_tflm(with_outputs(path.read_bytes(), tensors), image)
    for layer, expected in zip(program.layers, inner, strict=True):
        expected = int8_from_bytes(expected) if expected.dtype == np.uint8 else expected
        np.testing.assert_array_equal(planes[layer.target].reshape(expected.shape), expected, err_msg=layer.name)


@pytest.mark.parametrize("make", MODELS)
def test_every_inner_row_equals_tflm(make, tmp_path):
    assert_inner_rows_equal_tflm(write(tmp_path, make()), tmp_path)


@pytest.mark.parametrize("name", ["classifier_035_96_with_pads", "fomo_035_96"])
def test_every_inner_row_of_real_models_equals_tflm(shared_data, name, tmp_path):
    assert_inner_rows_equal_tflm(shared_data / "models" / f"{name}.tflite", tmp_path)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_generated_code_compiles_without_warnings(compiler, tmp_path):
    target = replace(toolchain("host"), compiler=host_compiler(compiler))
    for make in MODELS:
        simulate.write_source(compile_file(write(tmp_path, make()), "fruit").source, tmp_path)
        simulate.compile_model("fruit", target, tmp_path, ("-Wshadow", "-Wpedantic"))


def test_code_for_layers_is_part_of_the_networks_that_need_it(tmp_path):
    for make in MODELS:
        compiled = compile_file(write(tmp_path, make()), "fruit")
        is_layered = compiled.schedule.streamed < len(compiled.schedule.stages)
        assert ("kernels/layers.h" in compiled.source.files) == is_layered == (make not in STREAMED_TO_THE_END)
        assert ("Pass" in "".join(compiled.source.files.values())) == is_layered


def test_an_image_after_another_gives_the_same_output(tmp_path):
    compiled = compile_file(write(tmp_path, late_planes_of_few_rows()), "fruit")
    images = patterns.patterns(compiled.input_shape, 4)
    outputs = simulate.simulate(compiled, np.concatenate([images, images]), toolchain("host"), tmp_path).outputs
    np.testing.assert_array_equal(outputs[:4], outputs[4:])


def test_the_same_model_gives_the_same_source(tmp_path):
    path = write(tmp_path, grid())
    assert compile_file(path, "fruit").source == compile_file(path, "fruit").source


def test_generated_code_needs_no_heap_and_no_arduino(tmp_path):
    text = "".join(compile_file(write(tmp_path, grid()), "fruit").source.files.values())
    # Comments and #error texts are not code.
    code = re.sub("//.*|#error.*", "", text)
    assert not re.search(r"\b(malloc|free|new|delete|printf|float|double|std)\b|Arduino\.h|math\.h", code)


def test_two_models_link_into_one_program(tmp_path):
    path, target = write(tmp_path, odd_sizes()), toolchain("host")
    for name in ("fruit", "signs"):
        (tmp_path / name).mkdir()
        simulate.write_source(compile_file(path, name).source, tmp_path / name)
        simulate.compile_model(name, target, tmp_path / name)
    main = tmp_path / "main.cpp"
    main.write_text(
        '#include "fruit/fruit_model.h"\n#include "signs/signs_model.h"\n'
        "int main() { fruit::Model a; signs::Model b; a.start(); b.start(); }\n"
    )
    objects = (str(tmp_path / name / "model_host.o") for name in ("fruit", "signs"))
    simulate._compile(target, (str(main), *objects, "-o", str(tmp_path / "program")), tmp_path)


def test_a_missing_tool_is_reported_with_its_package(tmp_path):
    compiled = compile_file(write(tmp_path, branches()), "fruit")
    target = replace(simulate.TARGETS["rv32"], compiler="no-such-compiler")
    message = (
        r"Target rv32 lacks no-such-compiler.*\. On Debian or Ubuntu, run: sudo apt-get install gcc-riscv64.* qemu-"
    )
    with pytest.raises(simulate.SimulationError, match=message):
        simulate.simulate(compiled, patterns.patterns(compiled.input_shape, 1), target, tmp_path)


def test_a_missing_c_library_is_reported_with_its_package(tmp_path):
    compiled = compile_file(write(tmp_path, branches()), "fruit")
    host_compiler("gcc")
    # Debian's cross compilers find no standard header without their picolibc package. -nostdinc has the same effect.
    target = replace(simulate.TARGETS["xtensa"], compiler="gcc", flags=("-nostdinc",), runner=())
    assert target.missing == ["C++ or the C library of gcc"]
    with pytest.raises(
        simulate.SimulationError, match=r"lacks C\+\+ or the C library of gcc\. .*picolibc-xtensa-lx106-elf"
    ):
        simulate.simulate(compiled, patterns.patterns(compiled.input_shape, 1), target, tmp_path)


@pytest.fixture(scope="module")
def emulated(shared_data, tmp_path_factory):
    path = shared_data / "models" / "classifier_035_96.tflite"
    compiled = compile_file(path, "fruit")
    images = patterns.patterns(compiled.input_shape, 5)

    def on(name):
        folder = tmp_path_factory.mktemp(name)
        run = simulate.simulate(compiled, images, toolchain(name), folder)
        expected = tflm.outputs(path, images)
        np.testing.assert_array_equal(run.outputs.reshape(expected.shape), expected)
        return run

    return on


def test_costs_of_the_default_classifier_on_rv32(emulated):
    run = emulated("rv32")
    assert run.ram_bytes <= 24 * 1024
    assert run.instructions <= 20_000_000
    assert run.flash_bytes <= 48 * 1024


def test_costs_of_the_default_classifier_on_xtensa(emulated):
    run = emulated("xtensa")
    assert run.ram_bytes <= 24 * 1024
    assert run.instructions <= 2.2 * emulated("rv32").instructions
    assert run.flash_bytes <= 48 * 1024


@pytest.mark.parametrize("name", ["rv32", "xtensa"])
@pytest.mark.parametrize("make", MODELS)
def test_outputs_on_emulated_processors_equal_tflm(make, name, tmp_path):
    path = write(tmp_path, make())
    compiled = compile_file(path, "fruit")
    images = patterns.patterns(compiled.input_shape, 6)
    run = simulate.simulate(compiled, images, toolchain(name), tmp_path)
    expected = tflm.outputs(path, images)
    np.testing.assert_array_equal(run.outputs.reshape(expected.shape), expected)


def test_kernels_are_in_the_namespace_of_the_library(tmp_path):
    files = compile_file(write(tmp_path, branches()), "fruit").source.files
    assert all("namespace esp32_deploy" not in text for text in files.values())
    assert {Path(name).suffix for name in files} == {".h", ".cpp"}


def test_a_model_that_crashes_tflm_is_reported(tmp_path):
    model = TinyModel((1, 6, 6, 3))
    model.convolution(0, 1, (3, 3), depthwise=True, bias=False)
    path = write(tmp_path, model)
    with pytest.raises(tflm.TflmError, match="its process crashed"):
        tflm.outputs(path, np.zeros((1, 6, 6, 3), np.int8))
    with pytest.raises(tflm.TflmError, match="its process crashed"):
        tflm.arena_bytes(path, (6, 6, 3))
