import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esp32_deploy.compile import graph
from esp32_deploy.compile.arithmetic import add_scaling, quantize_multiplier
from esp32_deploy.compile.lower import Addition, Convolution, lower
from esp32_deploy.compile.requantize import (
    ExactAdd,
    ExactRequantization,
    normalize_constant_channels,
    search,
    search_add,
)

CHANNELS = 4


def layer(seed, factor, zero_point, low=0, high=255):
    # the range of accumulators of a layer with 48 inputs, each up to +-127 * 255
    generator = np.random.default_rng(seed)
    multipliers = [quantize_multiplier(factor * spread) for spread in generator.uniform(0.5, 1, CHANNELS)]
    reach = generator.integers(200_000, 900_000, (2, CHANNELS))
    return ExactRequantization(
        bias=generator.integers(-60_000, 60_000, CHANNELS),
        mantissa=np.array([multiplier.mantissa for multiplier in multipliers]),
        exponent=np.array([multiplier.exponent for multiplier in multipliers]),
        zero_point=zero_point,
        low=low,
        high=high,
        least=-reach[0],
        greatest=reach[1],
    )


def assert_equal_around_every_threshold(exact, fast):
    # the whole range in coarse steps, and every accumulator near a change of the output
    coarse = np.linspace(exact.least, exact.greatest, 20_001).astype(np.int64)
    outputs = exact(coarse)
    steps = [coarse[:-1][outputs[1:, c] != outputs[:-1, c], c] for c in range(CHANNELS)]
    np.testing.assert_array_equal(fast(coarse), outputs)
    for channel, starts in enumerate(steps):
        width = int(coarse[1, channel] - coarse[0, channel]) + 2
        around = (starts[:, None] + np.arange(width)).clip(None, exact.greatest[channel]).ravel()
        sums = np.zeros((len(around), CHANNELS), np.int64)
        sums[:, channel] = around
        np.testing.assert_array_equal(fast(sums)[:, channel], exact(sums)[:, channel])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(2e-4, 5e-3), st.sampled_from([0, 40, 128, 200]))
def test_fast_form_equals_exact_form(seed, factor, zero_point):
    exact = layer(seed, factor, zero_point)
    fast = search(exact)
    if fast is not None:
        assert_equal_around_every_threshold(exact, fast)


def test_outputs_of_one_sign_need_one_offset():
    fast = search(layer(1, 1e-3, 0))
    assert fast is not None
    assert fast.below is None


def test_outputs_of_both_signs_need_two_offsets():
    fast = search(layer(1, 1e-3, 128))
    assert fast is not None
    assert fast.below is not None


def test_narrow_activation_range_keeps_exact_form():
    assert search(layer(1, 1e-3, 0, low=0, high=200)) is None


def test_all_layers_of_real_models_are_fast(shared_data):
    for path in sorted((shared_data / "models").glob("*.tflite")):
        parameters = [layer.parameters for layer in lower(graph.read(path)).layers]
        assert all(part.fast is not None for part in parameters if isinstance(part, Convolution | Addition))


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 0.1), st.floats(0.01, 0.1), st.floats(0.5, 2), st.integers(0, 255), st.integers(0, 255))
def test_fast_addition_equals_exact_addition_for_all_pairs(first, second, ratio, first_zero, zero):
    exact = ExactAdd(add_scaling(first, second, max(first, second) * ratio), first_zero, 128, zero, 0, 255)
    fast = search_add(exact)
    if fast is not None:
        x, y = (grid.ravel() for grid in np.meshgrid(np.arange(256), np.arange(256)))
        np.testing.assert_array_equal(fast(x, y), exact(x, y))


def test_addition_with_realistic_scales_is_fast():
    assert search_add(ExactAdd(add_scaling(0.044, 0.057, 0.057), 120, 125, 125, 0, 255)) is not None


@pytest.mark.parametrize("seed", range(3))
def test_exact_form_clamps_to_activation_range(seed):
    exact = layer(seed, 1e-3, 10, low=10, high=200)
    outputs = exact(np.stack([exact.least, exact.greatest]))
    assert outputs.min() >= 10
    assert outputs.max() <= 200


@pytest.mark.parametrize("bias", [-(2**30), 2**30, 1, 77_000_000])
@pytest.mark.parametrize("zero_point", [0, 128])
def test_layer_with_constant_channel_is_fast(bias, zero_point):
    exact = layer(1, 1e-3, zero_point)
    for values, value in ((exact.bias, bias), (exact.exponent, -23), (exact.least, 0), (exact.greatest, 0)):
        values[2] = value
    same = normalize_constant_channels(exact)
    sums = np.linspace(exact.least, exact.greatest, 1001).astype(np.int64)
    np.testing.assert_array_equal(same(sums), exact(sums))
    fast = search(same)
    assert fast is not None
    assert_equal_around_every_threshold(exact, fast)


def test_layer_with_only_constant_channels_is_unchanged():
    exact = layer(1, 1e-3, 0)
    exact.least[:] = exact.greatest[:] = 0
    assert normalize_constant_channels(exact) is exact
