"""Python and C++ both define some constants, lists and names: these tests compare the two definitions."""

import re
from dataclasses import fields
from functools import cache

import numpy as np
import pytest
from tiny_models import TinyModel

from block.measure import decode
from esp32_deploy import pixels, words
from esp32_deploy.arduino import library
from esp32_deploy.arduino.boards import FrameSize
from esp32_deploy.compile import activations, arithmetic, emit, memory, schedule
from esp32_deploy.compile.compiler import compile_file
from esp32_deploy.compile.requantize import ExactRequantization, FastRequantization
from esp32_deploy.verify.simulate import TARGETS_FOLDER

KERNELS = {path.stem: path.read_text() for path in sorted((emit.HERE / emit.KERNELS).glob("*.h"))}


def integers(text):
    """Every `constexpr` integer that is written as a number."""
    found = re.findall(r"constexpr \w+ (\w+) = (-?\d+);", text)
    return {name: int(value) for name, value in found}


def enumerators(kernel, name):
    (values,) = re.findall(rf"enum class {name} : uint8_t {{([^}}]*)}}", KERNELS[kernel])
    return tuple(re.findall(r"\w+", values))


def struct_integers(kernel, name):
    """The `static constexpr` integers at the start of a struct."""
    (start,) = re.findall(rf"struct {name} {{\n((?:  static constexpr .*\n)+)", KERNELS[kernel])
    return integers(start)


@pytest.mark.parametrize(
    ("kernel", "name", "value"),
    [
        ("pointwise", "block_channels", emit.BLOCK_CHANNELS),
        ("stream", "group_channels", schedule.GROUP_CHANNELS),
        ("elementwise", "addition_left_shift", arithmetic.ADD_LEFT_SHIFT),
        ("softmax", "softmax_integer_bits", arithmetic.SOFTMAX_INTEGER_BITS),
        ("softmax", "softmax_fraction_bits", arithmetic.SOFTMAX_FRACTION_BITS),
        ("requantize", "int8_offset", pixels.INT8_OFFSET),
        ("decode", "most_score", decode.MOST_SCORE),
    ],
)
def test_constants_are_equal(kernel, name, value):
    assert integers(KERNELS[kernel])[name] == value


def test_softmax_output_is_in_score_steps():
    assert 1 << integers(KERNELS["softmax"])["output_bits"] == words.SCORE_STEPS


def test_segment_alignment_is_equal():
    harness = integers((TARGETS_FOLDER / "harness.cpp").read_text())
    assert harness["segment_alignment"] == memory.ALIGNMENT_BYTES


def test_most_frame_pixels_is_the_limit_of_32_bits():
    most = integers(KERNELS["pixels"])["most_frame_pixels"]
    assert 255 * most + most // 2 < 2**32 <= 255 * (most + 1) + (most + 1) // 2
    assert f"{most:,}" in pixels.resize.__doc__


def test_error_text_names_the_frame_limits():
    limits = integers(KERNELS["pixels"])
    assert f"{limits['most_frame_pixels'] // 10**6} million pixels" in KERNELS["error"]
    assert f"{limits['most_frame_side']:,}" in KERNELS["error"]


def test_gray_weights_are_equal():
    (weights,) = re.findall(r"gray_weights\[3\] = {(\d+), (\d+), (\d+)}", KERNELS["pixels"])
    assert tuple(map(int, weights)) == pixels.GRAY_WEIGHTS
    assert sum(pixels.GRAY_WEIGHTS) == 1 << integers(KERNELS["pixels"])["gray_weight_bits"]


def test_frame_reader_bytes_count_the_sums():
    (sum_bits,) = set(re.findall(r"uint(\d+)_t\* sums", KERNELS["pixels"]))
    assert int(sum_bits) == 8 * library.SUM_BYTES
    sums_per_pixel = integers(KERNELS["pixels"])["sums_per_pixel"]
    assert library.frame_reader_bytes((1, 1, 0)) == sums_per_pixel * library.SUM_BYTES


@pytest.mark.parametrize(("struct", "colour"), [("Rgb565", "rgb"), ("Grayscale", "grayscale")])
def test_camera_formats_have_the_same_bytes_and_channels(struct, colour):
    channels = words.COLOUR_CHANNELS[colour]
    frame_bytes = FrameSize("", 1, 1).frame_bytes(channels)
    assert struct_integers("pixels", struct) == {"bytes": frame_bytes, "channels": channels}


def test_resize_modes_are_equal():
    assert enumerators("pixels", "Resize") == pixels.RESIZE_MODES


def test_forms_are_equal():
    assert enumerators("requantize", "Form") == emit.FORMS


@pytest.mark.parametrize("form", emit.FORMS)
def test_forms_have_the_same_number_of_constants(form):
    zeros = np.zeros(1, np.int64)
    fast = {
        "rising": FastRequantization(0, 0, zeros, zeros, None, None),
        "two_sided": FastRequantization(0, 0, zeros, zeros, zeros, zeros),
        "exact": None,
    }[form]
    exact = ExactRequantization(zeros, zeros, zeros, 0, 0, 255, zeros, zeros)
    struct = "".join(word.capitalize() for word in form.split("_"))
    count = emit.requantization_constants(exact, fast).shape[1]
    assert struct_integers("requantize", struct) == {"constants": count}


def generated_code(model, folder):
    path = folder / "model.tflite"
    path.write_bytes(model.content())
    return compile_file(path, "fruit").source.files["fruit_model.cpp"]


@cache
def model_with_every_operation():
    model = TinyModel((1, 12, 12, 3))
    first = model.convolution(0, 6, (3, 3))
    total = model.add(first, model.convolution(first, 6))
    pooled = model.pool("MAX", model.pad(total, (1, 1), (1, 1)), (2, 2), (2, 2))
    narrow = model.convolution(model.convolution(pooled, 1, (3, 3), depthwise=True), 4)
    model.softmax(model.quantize(model.dense(model.mean(model.convolution(narrow, 5)), 4), (0.04, 2)))
    return model


@pytest.mark.parametrize("enum", ["Operation", "Into"])
def test_generated_code_uses_every_enumerator(enum, tmp_path):
    code = generated_code(model_with_every_operation(), tmp_path)
    assert set(re.findall(rf"{enum}::(\w+)", code)) == set(enumerators("stream", enum))


def test_generated_code_defines_the_switches_that_kernels_use(tmp_path):
    code = generated_code(model_with_every_operation(), tmp_path)
    used = {name for text in KERNELS.values() for name in re.findall(r"Uses::(\w+)", text)}
    assert set(re.findall(r"static constexpr bool (\w+)", code)) == used


@pytest.mark.parametrize("kernel", [(3, 3), (3, 2), (5, 5)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_emitter_knows_which_depthwise_windows_are_unrolled(kernel, stride, tmp_path):
    limits = integers(KERNELS["depthwise"])
    is_unrolled = kernel == (limits["unrolled_kernel"],) * 2 and stride <= limits["most_unrolled_stride"]
    model = TinyModel((1, 12, 12, 3))
    model.convolution(0, 1, kernel, (stride, stride), depthwise=True)
    code = generated_code(model, tmp_path)
    assert f"depthwise_other_windows = {'false' if is_unrolled else 'true'};" in code


def test_network_kernels_are_what_stream_includes():
    known, new = set(), {"stream"}
    while new:
        known |= new
        new = {name for kernel in new for name in re.findall(r'#include "(\w+)\.h"', KERNELS[kernel])} - known
    assert known == set(emit.NETWORK_KERNELS)


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_are_in_the_namespace_that_the_emitter_replaces(kernel):
    assert re.search(rf"\nnamespace {emit.KERNEL_NAMESPACE}(::\w+)? {{\n", KERNELS[kernel])


def test_a_detection_has_the_same_fields_in_the_order_of_an_object():
    found = re.search(r"struct Detection {\n(.*?)\n};", KERNELS["decode"], re.DOTALL)[1]
    in_cpp = re.findall(r"uint16_t (\w+);", found)
    in_python = [field.name for field in fields(decode.Detection)]
    # `row` and `column` only sort detections in C++; Python sorts before it makes them
    assert [name for name in in_cpp if name not in ("row", "column")] == in_python


@pytest.mark.parametrize(
    ("kernel", "module", "name"),
    [
        ("softmax", activations, "exponential"),
        ("softmax", activations, "reciprocal_of_one_plus"),
        ("requantize", arithmetic, "requantize"),
        ("requantize", arithmetic, "rounding_divide"),
        ("requantize", arithmetic, "rounding_multiply_high"),
        ("pixels", pixels, "placement"),
        ("decode", decode, "find_fused"),
        ("decode", decode, "find_peaks"),
        ("decode", decode, "take_object"),
    ],
)
def test_functions_have_the_same_names(kernel, module, name):
    assert callable(getattr(module, name))
    assert re.search(rf"^(inline \w+|void) {name}\(", KERNELS[kernel], re.MULTILINE)
