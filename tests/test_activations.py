import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import TinyModel, run_tflm

from esp32_deploy.compile import activations, graph
from esp32_deploy.compile.arithmetic import softmax_scaling
from esp32_deploy.compile.lower import lower
from esp32_deploy.pixels import bytes_from_int8

ALL_BYTES = np.arange(-128, 128, dtype=np.int8).reshape(1, 1, 256, 1)
OFFSET = {"INT8": 128, "UINT8": 0}


def as_bytes(values):
    return values.ravel() if values.dtype == np.uint8 else bytes_from_int8(values).ravel()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([("INT8", "INT8"), ("UINT8", "INT8"), ("INT8", "UINT8")]),
    st.floats(1e-4, 2),
    st.integers(0, 255),
    st.one_of(st.just(1.0), st.floats(0.01, 50)),
    st.integers(0, 255),
)
def test_a_change_of_scale_equals_tflm_for_every_byte(kinds, scale, zero, ratio, target_zero):
    source, target = kinds
    model = TinyModel((1, 1, 256, 1), scale=scale, zero_point=zero - OFFSET[source], kind=source)
    output = model.quantize(0, (scale / ratio, target_zero - OFFSET[target]), target)
    scales = [np.float32(model.scale_of(tensor)[0]) for tensor in (0, output)]
    table = activations.requantization_table(float(scales[0]), zero, float(scales[1]), target_zero)
    np.testing.assert_array_equal(table, as_bytes(run_tflm(model.content(), ALL_BYTES)[0]))


def test_ends_whose_zero_points_differ_by_128_keep_every_byte():
    np.testing.assert_array_equal(activations.requantization_table(0.1, 127, 0.1, 127), np.arange(256))


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.floats(1e-8, 1e-3), st.floats(1e-3, 40)), st.integers(0, 255))
def test_a_sigmoid_equals_tflm_for_every_byte(scale, zero):
    model = TinyModel((1, 1, 256, 1), scale=scale, zero_point=zero - 128)
    model.sigmoid(0)
    table = activations.sigmoid_table(float(np.float32(scale)), zero)
    np.testing.assert_array_equal(table, as_bytes(run_tflm(model.content(), ALL_BYTES)[0]))


def test_a_sigmoid_is_the_sigmoid():
    steps = activations.sigmoid_table(0.05, 100) / 256
    np.testing.assert_allclose(steps, 1 / (1 + np.exp(-0.05 * (np.arange(256) - 100))), atol=1 / 256)


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-6, 2), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_softmax_equals_tflm(scale, channels, seed):
    generator = np.random.default_rng(seed)
    spread = generator.integers(1, 129)
    logits = generator.integers(-spread, spread, (1, 1, 20, channels)).astype(np.int8)
    model = TinyModel(logits.shape, scale=scale)
    model.softmax(0)
    found = activations.softmax(bytes_from_int8(logits), softmax_scaling(float(np.float32(scale)), 1.0))
    np.testing.assert_array_equal(found.ravel(), as_bytes(run_tflm(model.content(), logits)[0]))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["ADD", "MUL"]),
    st.booleans(),
    st.sampled_from(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]),
    st.tuples(*[st.floats(0.001, 1)] * 3),
    st.tuples(*[st.integers(-128, 127)] * 4),
)
def test_a_constant_equals_tflm_for_every_byte(name, is_first, activation, scales, points):
    model = TinyModel((1, 1, 256, 1), scale=scales[0], zero_point=points[0])
    constant = model.scalar(points[3], scales[1], points[1])
    model.with_scalar(name, 0, constant, (scales[2], points[2]), activation, is_first=is_first)
    (layer,) = lower(graph.parse(model.content(), "model.tflite")).layers
    np.testing.assert_array_equal(layer.parameters.values, as_bytes(run_tflm(model.content(), ALL_BYTES)[0]))


@pytest.mark.parametrize("integer_bits", [4, 5])
def test_the_exponential_is_exact_to_seven_digits(integer_bits):
    values = -np.arange(0, 1 << 31, 997_001)
    expected = np.exp(values / 2.0 ** (31 - integer_bits))
    np.testing.assert_allclose(activations.exponential(values, integer_bits) / 2.0**31, expected, atol=2e-7)
