import numpy as np
import pytest
from cpp_drivers import compile_driver, running
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from esp32_deploy import pixels

FORMATS = {"rgb565": 2, "rgb888": 3, "grayscale": 1}


@pytest.fixture(scope="module")
def ask_board(tmp_path_factory):
    with running(compile_driver("frame_rows", "pixels", tmp_path_factory.mktemp("frame_rows"))) as ask:
        yield ask


def as_rgb(frame, name):
    if name == "grayscale":
        return np.repeat(frame, 3, axis=2)
    if name == "rgb888":
        return frame
    both = frame[..., 0].astype(np.uint16) << 8 | frame[..., 1]
    red, green, blue = both >> 11, both >> 5 & 63, both & 31
    return np.stack([red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2], axis=2).astype(np.uint8)


def on_board(ask, frame, name, size, channels, mode, gap=0):
    height, width, pixel_bytes = frame.shape
    stride = width * pixel_bytes + gap if gap else 0
    rows = [row.tobytes() + b"\xee" * gap for row in frame]
    content = b"".join(rows)[: len(frame) * (width * pixel_bytes + gap) - gap]
    numbers = (width, height, list(FORMATS).index(name), stride, size, channels, pixels.RESIZE_MODES.index(mode))
    request = np.array(numbers, "<u4").tobytes() + content
    result = ask(request, lambda pipe: pipe.read(size * size * channels))
    return np.frombuffer(result, np.uint8).reshape(size, size, channels)


@st.composite
def frames(draw):
    name = draw(st.sampled_from(list(FORMATS)))
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    return name, draw(arrays(np.uint8, (height, width, FORMATS[name])))


@settings(max_examples=300, deadline=None)
@given(
    frames(),
    st.integers(1, 24),
    st.sampled_from([1, 3]),
    st.sampled_from(pixels.RESIZE_MODES),
    st.integers(0, 5),
)
def test_frame_rows_equal_training_images(ask_board, frame, size, channels, mode, gap):
    name, content = frame
    expected = pixels.image_to_input(as_rgb(content, name), size, mode, channels)
    np.testing.assert_array_equal(on_board(ask_board, content, name, size, channels, mode, gap), expected)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("mode", pixels.RESIZE_MODES)
@pytest.mark.parametrize("shape", [(120, 160), (176, 240), (240, 320), (96, 96), (1200, 1600)])
def test_frame_rows_of_camera_sizes(ask_board, name, mode, shape):
    frame = np.random.default_rng(1).integers(0, 256, (*shape, FORMATS[name]), np.uint8)
    for size, channels in ((96, 3), (160, 1)):
        expected = pixels.image_to_input(as_rgb(frame, name), size, mode, channels)
        np.testing.assert_array_equal(on_board(ask_board, frame, name, size, channels, mode), expected)


def test_largest_white_frame_does_not_overflow(ask_board):
    # almost as many pixels as most_frame_pixels of kernels/pixels.h
    frame = np.full((256, 65_535, 1), 255, np.uint8)
    assert (on_board(ask_board, frame, "grayscale", 3, 1, "squash") == 255).all()


def test_white_rgb565_stays_white(ask_board):
    assert (on_board(ask_board, np.full((2, 2, 2), 255, np.uint8), "rgb565", 2, 3, "squash") == 255).all()


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize(("name", "kernel"), [("frame_rows", "pixels"), ("decode", "decode")])
def test_pixel_and_decode_kernels_compile_without_warnings(compiler, name, kernel, tmp_path):
    compile_driver(name, kernel, tmp_path, compiler, ())
