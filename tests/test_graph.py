import pytest

from block.measure import footprint
from esp32_deploy.compile import graph
from esp32_deploy.compile.graph import StreamError


@pytest.mark.parametrize(
    ("name", "macs", "arena_bytes"),
    [
        ("classifier_035_96", 5_269_376, 151_168),
        ("classifier_035_96_with_pads", 5_269_376, 243_984),
        ("classifier_100_96", 20_950_400, 297_280),
        ("classifier_100_160", 58_195_328, 788_800),
        ("fomo_035_96", 5_287_680, 151_008),
    ],
)
def test_macs_and_arena_of_known_models(shared_data, name, macs, arena_bytes):
    measured = footprint.measure(shared_data / "models" / f"{name}.tflite")
    assert (measured.macs, measured.tflm_arena_bytes) == (macs, arena_bytes)


def test_shapes_types_and_scales_are_read(shared_data):
    model = graph.read(shared_data / "models" / "fomo_035_96.tflite")
    image, cells = model.inputs[0], model.outputs[0]
    assert (image.shape, image.type) == ((1, 96, 96, 3), "INT8")
    assert (cells.shape, cells.scales, cells.zero_points) == ((1, 12, 12, 4), (1 / 256,), (-128,))
    assert model.operator_names == ["ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "SOFTMAX"]
    first = model.operators[0]
    assert (first.name, first.inputs[1].is_constant, first.inputs[0].is_constant) == ("CONV_2D", True, False)
    assert first.macs == 48 * 48 * 16 * 27


def test_a_file_that_is_not_a_model_is_refused(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"not a model at all")
    with pytest.raises(graph.GraphError, match="is not a TensorFlow Lite model"):
        graph.read(path)


def test_a_model_without_a_subgraph_is_refused(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(64))
    with pytest.raises(graph.GraphError, match="0 subgraphs"):
        graph.read(path)


def test_the_footprint_counts_the_kept_bytes_of_every_layer(shared_data):
    measured = footprint.measure(shared_data / "models" / "classifier_035_96.tflite")
    assert measured.stream.ram_bytes == sum(measured.stream.segments_bytes) < 24 * 1024
    assert sum(layer.macs for layer in measured.layers) == measured.macs
    accounted = sum(layer.kept_bytes for layer in measured.layers)
    accounted += measured.stream.input_bytes + measured.stream.scratch_bytes
    assert 0.98 * measured.stream.ram_bytes < accounted <= measured.stream.ram_bytes


def test_the_footprint_of_an_unstreamable_model_has_layers(shared_data, monkeypatch):
    def refuse(*_):
        raise StreamError("not supported")

    monkeypatch.setattr(footprint.compiler, "compile_file", refuse)
    measured = footprint.measure(shared_data / "models" / "classifier_035_96.tflite")
    assert measured.stream is None
    assert sum(layer.macs for layer in measured.layers) == measured.macs
    assert {layer.rows_kept for layer in measured.layers} == {None}
