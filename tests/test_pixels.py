"""Compares the integer resize with two slow references: Python fractions, and a board that reads row by row."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from esp32_deploy.pixels import RESIZE_MODES, grayscale, image_to_input, placement, resize

UINT32_SOURCE_PIXELS = 16_810_048

modes = st.sampled_from(RESIZE_MODES)
sides = st.integers(1, 24)
sizes = st.integers(1, 20)
few_examples = settings(max_examples=60, deadline=None)


@st.composite
def images(draw, channels=3, largest=24):
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    return draw(arrays(np.uint8, (height, width, channels)))


def overlap(source, sources, target, targets):
    start = max(source * targets, target * sources)
    return max(0, min((source + 1) * targets, (target + 1) * sources) - start)


def average_by_fractions(image, rows, columns):
    height, width, channels = image.shape
    result = np.zeros((rows, columns, channels), np.uint8)
    for i, j, c in np.ndindex(*result.shape):
        mean = Fraction(
            sum(
                overlap(y, height, i, rows) * overlap(x, width, j, columns) * int(image[y, x, c])
                for y in range(height)
                for x in range(width)
            ),
            height * width,
        )
        result[i, j, c] = floor(mean + Fraction(1, 2))
    return result


def resize_on_a_board(image, size):
    """Resizes row by row, with one row of uint32 sums."""
    height, width, channels = image.shape
    total = np.uint32(height * width)
    result = np.zeros((size, size, channels), np.uint8)
    sums = np.zeros((size, channels), np.uint32)
    row = 0
    for y in range(height):
        along = np.zeros((size, channels), np.uint32)
        for x in range(width):
            for j in range(x * size // width, min(size, -(-(x + 1) * size // width))):
                along[j] += np.uint32(overlap(x, width, j, size)) * image[y, x].astype(np.uint32)
        while row < size:
            sums += np.uint32(overlap(y, height, row, size)) * along
            if (row + 1) * height > (y + 1) * size:
                break
            result[row] = (sums + total // np.uint32(2)) // total
            sums[:] = 0
            row += 1
    return result


@few_examples
@given(images(largest=12), st.integers(1, 12))
def test_squash_is_the_rounded_area_average(image, size):
    assert np.array_equal(resize(image, size, "squash"), average_by_fractions(image, size, size))


@few_examples
@given(images(), sizes)
def test_resize_on_a_board_gives_the_same_bytes(image, size):
    assert np.array_equal(resize(image, size, "squash"), resize_on_a_board(image, size))


@few_examples
@given(images(), sizes)
def test_crop_is_squash_of_the_centre_square(image, size):
    height, width, _ = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    assert np.array_equal(resize(image, size, "crop"), resize(square, size, "squash"))


@few_examples
@given(images(largest=12), st.integers(1, 12))
def test_fit_shows_the_whole_image_on_black(image, size):
    place = placement(image.shape[1], image.shape[0], size, "fit")
    expected = np.zeros((size, size, 3), np.uint8)
    expected[
        place.target_y : place.target_y + place.target_height, place.target_x : place.target_x + place.target_width
    ] = average_by_fractions(image, place.target_height, place.target_width)
    assert np.array_equal(resize(image, size, "fit"), expected)


@few_examples
@given(sides, sides, sizes, st.integers(0, 255), st.sampled_from(("squash", "crop")))
def test_plain_colour_stays_the_same(width, height, size, value, mode):
    image = np.full((height, width, 3), value, np.uint8)
    assert (resize(image, size, mode) == value).all()


@few_examples
@given(st.data(), sides, modes)
def test_image_of_the_target_size_stays_the_same(data, size, mode):
    image = data.draw(arrays(np.uint8, (size, size, 3)))
    assert np.array_equal(resize(image, size, mode), image)


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(1, 320), modes)
def test_placement_fits_source_and_target(width, height, size, mode):
    place = placement(width, height, size, mode)
    assert place.source_x >= 0 and place.source_x + place.source_width <= width
    assert place.source_y >= 0 and place.source_y + place.source_height <= height
    assert place.target_x >= 0 and place.target_x + place.target_width <= size
    assert place.target_y >= 0 and place.target_y + place.target_height <= size
    assert min(place.source_width, place.source_height, place.target_width, place.target_height) >= 1
    if mode == "fit":
        assert max(place.target_width, place.target_height) == size
    else:
        assert (place.target_width, place.target_height) == (size, size)
    if mode == "crop":
        assert place.source_width == place.source_height == min(width, height)
    else:
        assert (place.source_width, place.source_height) == (width, height)


def test_placement_of_a_camera_frame():
    crop = placement(320, 240, 96, "crop")
    assert (crop.source_x, crop.source_y, crop.source_width, crop.source_height) == (40, 0, 240, 240)
    fit = placement(320, 240, 96, "fit")
    assert (fit.target_x, fit.target_y, fit.target_width, fit.target_height) == (0, 12, 96, 72)


def test_very_thin_image_keeps_one_pixel():
    assert placement(1000, 1, 96, "fit").target_height == 1


def test_ties_are_rounded_up():
    assert resize(np.array([[[0], [1]]], np.uint8), 1, "squash").item() == 1


def test_documented_uint32_limit_is_exact():
    assert 255 * UINT32_SOURCE_PIXELS + UINT32_SOURCE_PIXELS // 2 < 2**32
    assert 255 * (UINT32_SOURCE_PIXELS + 1) + (UINT32_SOURCE_PIXELS + 1) // 2 >= 2**32
    assert f"{UINT32_SOURCE_PIXELS:,}" in (resize.__doc__ or "")


def test_sums_above_uint32_are_exact():
    image = np.full((4605, 3700, 1), 254, np.uint8)
    image[:, : 3700 // 2] = 255
    # The sum 4.3e9 exceeds uint32. The mean 254.5 is a tie: a difference of 1 in the sum changes the result.
    assert resize(image, 1, "squash").item() == 255
    image[0, 0] = 254
    assert resize(image, 1, "squash").item() == 254


def test_sums_above_the_float32_limit_are_exact():
    image = np.full((70_001, 1, 1), 255, np.uint8)
    image[:35_001] = 254
    # The mean is 254.49999, which is just below the tie.
    assert resize(image, 1, "squash").item() == 254
    image[35_000] = 255
    assert resize(image, 1, "squash").item() == 255


@given(st.integers(0, 255))
def test_grayscale_keeps_gray_values(value):
    assert grayscale(np.full((1, 1, 3), value, np.uint8)).item() == value


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_grayscale_follows_the_documented_formula(colour):
    red, green, blue = colour
    expected = (77 * red + 150 * green + 29 * blue + 128) >> 8
    assert grayscale(np.array([[colour]], np.uint8)).item() == expected


@few_examples
@given(images(), sizes, modes)
def test_grayscale_conversion_follows_the_resize(image, size, mode):
    assert np.array_equal(image_to_input(image, size, mode, 1), grayscale(resize(image, size, mode)))
    assert np.array_equal(image_to_input(image, size, mode, 3), resize(image, size, mode))


@few_examples
@given(images(channels=1), sizes, modes)
def test_gray_frame_needs_no_conversion(frame, size, mode):
    colour = np.repeat(frame, 3, axis=2)
    assert np.array_equal(image_to_input(colour, size, mode, 1), resize(frame, size, mode))


@pytest.mark.parametrize(
    "call",
    [
        lambda: placement(4, 4, 8, "stretch"),
        lambda: placement(0, 4, 8, "squash"),
        lambda: resize(np.zeros((4, 4, 3), np.float32), 8, "squash"),
        lambda: image_to_input(np.zeros((4, 4, 1), np.uint8), 8, "squash", 1),
        lambda: image_to_input(np.zeros((4, 4, 3), np.uint8), 8, "squash", 2),
    ],
)
def test_invalid_arguments_raise(call):
    with pytest.raises(ValueError):
        call()
