import numpy as np
import pytest
from cpp_drivers import compile_driver, running
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from block.measure.decode import Detection, decode
from esp32_deploy import photos
from esp32_deploy.verify import tflm
from esp32_deploy.words import least_score

MOST = 64
FIELDS = ("x", "y", "width", "height", "center_x", "center_y")
OBJECT = np.dtype([(name, "<u2") for name in ("label", "score", "row", "column", *FIELDS)])


@pytest.fixture(scope="module")
def ask_board(tmp_path_factory):
    with running(compile_driver("decode", "decode", tmp_path_factory.mktemp("decode"))) as ask:
        yield ask


def on_board(ask, steps, threshold, cell_px, how):
    """The objects that decode.h finds, and the number that it leaves out."""
    numbers = (*steps.shape, cell_px, least_score(threshold), how == "peaks")

    def read(pipe):
        count, left_out = np.frombuffer(pipe.read(8), "<u4")
        return np.frombuffer(pipe.read(int(count) * OBJECT.itemsize), OBJECT), int(left_out)

    objects, left_out = ask(np.array(numbers, "<u4").tobytes() + steps.tobytes(), read)
    found = [Detection(int(one["label"]), one["score"] / 256, *(int(one[name]) for name in FIELDS)) for one in objects]
    return found, left_out


@st.composite
def grids(draw):
    side, other, classes = draw(st.integers(1, 14)), draw(st.integers(1, 14)), draw(st.integers(1, 4))
    values = draw(st.sampled_from([st.integers(0, 255), st.sampled_from([0, 90, 128, 200]), st.integers(120, 135)]))
    return draw(arrays(np.uint8, (side, other, classes + 1), elements=values))


@pytest.mark.parametrize("how", ["peaks", "fuse"])
@settings(max_examples=300, deadline=None)
@given(grids(), st.sampled_from([0.01, 0.3, 0.5, 0.503, 0.7, 1.0]), st.sampled_from([1, 8, 16]))
def test_board_decodes_like_python(ask_board, how, steps, threshold, cell_px):
    expected = decode(steps / np.float32(256), threshold, cell_px, how)
    found, left_out = on_board(ask_board, steps, threshold, cell_px, how)
    assert found == expected[:MOST]
    assert left_out == max(0, len(expected) - MOST)


@pytest.mark.parametrize("how", ["peaks", "fuse"])
def test_board_keeps_best_objects_and_counts_others(ask_board, how):
    steps = np.zeros((28, 28, 3), np.uint8)
    steps[::3, ::3, 1:] = np.random.default_rng(3).integers(100, 256, (10, 10, 2))
    found, left_out = on_board(ask_board, steps, 0.3, 8, how)
    assert found == decode(steps / np.float32(256), 0.3, 8, how)[:MOST]
    assert (len(found), left_out) == (MOST, 10 * 10 * 2 - MOST)


@pytest.mark.parametrize("how", ["peaks", "fuse"])
def test_board_decodes_outputs_of_real_network(ask_board, how, shared_data):
    model = shared_data / "models" / "fomo_035_96.tflite"
    images = photos.model_inputs(shared_data / "fruit" / "test", (96, 96, 3), 12)
    count = 0
    for output in tflm.outputs(model, images):
        steps = (output.astype(np.int16) + 128).astype(np.uint8)
        for threshold in (0.2, 0.5):
            expected = decode(steps / np.float32(256), threshold, 8, how)
            assert on_board(ask_board, steps, threshold, 8, how)[0] == expected[:MOST]
            count += len(expected)
    assert count > 0
