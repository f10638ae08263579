import pytest
from tiny_models import attentive_grid, mobilenet

from block.measure import footprint
from block.report import summary
from esp32_deploy.arduino import library
from esp32_deploy.manifest import Manifest


def measured(folder, model):
    path = folder / "model.tflite"
    path.write_bytes(model.content())
    return path, footprint.measure(path)


@pytest.mark.parametrize(
    ("make", "runtime"), [(lambda: mobilenet(0.35, 48, 3, is_grid=True), "stream"), (attentive_grid, "tflm")]
)
def test_ram_in_the_report_equals_ram_of_the_library(make, runtime, tmp_path):
    path, costs = measured(tmp_path, make())
    labels = tuple("abc"[: make().shape_of(len(make().tensors) - 1)[3] - 1])
    made = library.package(path, tmp_path / "finder.zip", Manifest(labels=labels, resize="squash"), runtime=runtime)
    assert (costs.stream is None) == (runtime == "tflm")
    assert summary.ram_bytes(costs.as_dict()) == made.ram_bytes
    assert costs.camera_frame_bytes == made.frame_bytes


@pytest.mark.parametrize(
    ("segments", "frame_bytes", "words"),
    [
        ([65_000, 40_000], 38_400, "needs no PSRAM"),
        ([65_000, 65_000, 5_000], 84_480, "needs a board with PSRAM"),
        ([65_000] * 70, 38_400, "too large for an ESP32"),
    ],
)
def test_board_text_counts_the_model_and_the_camera_frame(segments, frame_bytes, words):
    stream = {"segments_bytes": segments, "constant_bytes": 20_000}
    costs = {"stream": stream, "frame_reader_bytes": 1_440, "camera_frame_bytes": frame_bytes}
    assert words in summary.board_text(costs)


def test_arena_larger_than_the_largest_free_piece_needs_psram():
    costs = {"stream": None, "tflm_arena_bytes": 100_000, "model_bytes": 1, "frame_reader_bytes": 0}
    assert "needs a board with PSRAM" in summary.board_text(costs | {"camera_frame_bytes": 18_432})
