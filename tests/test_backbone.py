import numpy as np
import pytest
import torch
from click.testing import CliRunner

from block.__main__ import block
from block.errors import BlockError
from block.model import backbone
from block.model.network import Classifier, NetworkShape, build_features


@pytest.fixture(scope="module")
def keras_model():
    keras = backbone.import_keras()
    model = keras.applications.MobileNetV2((96, 96, 3), 0.35, include_top=False, weights=None)
    generator = np.random.default_rng(0)
    for layer in model.layers:
        shapes = [value.shape for value in layer.get_weights()]
        if len(shapes) == 4:  # BatchNorm: gamma, beta, mean, variance, far from their neutral initial values
            low, high = (0.5, -0.3, -0.5, 0.01), (1.5, 0.3, 0.5, 1.5)
            layer.set_weights([generator.uniform(*ends, s) for *ends, s in zip(low, high, shapes, strict=True)])
    return keras.Model(model.input, model.get_layer("block_6_expand_relu").output), model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).random((2, 96, 96, 3), np.float32)


def run_backbone(state, images):
    features, _ = build_features(0.35, "block_6_expand", images.shape[3])
    features.load_state_dict({name.removeprefix("features."): value for name, value in state.items()})
    with torch.inference_mode():
        return features.eval()(torch.from_numpy(images).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()


def test_converted_weights_give_the_same_outputs_as_keras(keras_model, images):
    cut, model = keras_model
    expected = cut(images * 2 - 1).numpy()
    assert np.abs(run_backbone(backbone.from_keras(model), images * 2 - 1) - expected).max() < 1e-4
    assert expected.max() > 1


def test_folded_normalisation_is_exact_away_from_the_border(keras_model, images):
    cut, model = keras_model
    expected = cut(images * 2 - 1).numpy()
    folded = backbone.fold_normalisation(backbone.from_keras(model), backbone.PLUS_MINUS_ONE)
    difference = np.abs(run_backbone(folded, images) - expected)
    # padding influences at most 59 px from the right and bottom border: 4 of 12 cells
    assert difference[:, :8, :8].max() < 1e-4
    assert difference[:, -1, :].max() > 1e-4


def test_grayscale_weights_equal_colour_weights_on_gray_images(keras_model, images):
    state = backbone.fold_normalisation(backbone.from_keras(keras_model[1]), backbone.IMAGENET)
    gray = images[..., :1]
    in_colour = run_backbone(state, np.repeat(gray, 3, axis=3))
    assert np.abs(run_backbone(backbone.to_grayscale(state), gray) - in_colour).max() < 1e-4


def test_written_weights_include_normalisation_and_padding(keras_model, tmp_path):
    backbone.write(backbone.from_keras(keras_model[1]), 0.35, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["mobilenetv2_035_block6expand.pt", "mobilenetv2_035_features7.pt"]
    for cut in ("block_5", "block_6_expand"):
        weights = backbone.find(0.35, cut, tmp_path)
        assert (weights.normalisation, weights.padding) == (backbone.PLUS_MINUS_ONE, "(0, 1)")
        network = Classifier(NetworkShape(0.35, cut, 3, 4, 96))
        assert backbone.load_into(network, weights, 3) == []


def test_a_layer_missing_from_the_file_is_returned(keras_model, tmp_path):
    backbone.write(backbone.from_keras(keras_model[1]), 0.35, tmp_path)
    (tmp_path / "mobilenetv2_035_block6expand.pt").unlink()
    network = Classifier(NetworkShape(0.35, "block_6_expand", 3, 4, 96))
    assert backbone.load_into(network, backbone.find(0.35, "block_6_expand", tmp_path), 3) == ["features.7.conv.0"]


def test_block_5_can_use_the_file_for_block_6_expand(keras_model, tmp_path):
    backbone.write(backbone.from_keras(keras_model[1]), 0.35, tmp_path)
    (tmp_path / "mobilenetv2_035_features7.pt").unlink()
    network = Classifier(NetworkShape(0.35, "block_5", 3, 4, 96))
    assert backbone.load_into(network, backbone.find(0.35, "block_5", tmp_path), 3) == []


def test_find_returns_none_without_weights(tmp_path):
    assert backbone.find(0.5, "block_5", tmp_path) is None


def test_damaged_weights_raise_with_the_file_name(tmp_path):
    (tmp_path / "mobilenetv2_035_features7.pt").write_bytes(b"not weights")
    with pytest.raises(BlockError, match=r"mobilenetv2_035_features7.pt cannot be read"):
        backbone.find(0.35, "block_5", tmp_path)


def test_weights_of_another_width_raise(keras_model, tmp_path):
    backbone.write(backbone.from_keras(keras_model[1]), 0.35, tmp_path)
    (tmp_path / "mobilenetv2_035_features7.pt").rename(tmp_path / "mobilenetv2_100_features7.pt")
    with pytest.raises(BlockError, match="does not fit"):
        backbone.load_into(
            Classifier(NetworkShape(1.0, "block_5", 3, 4, 96)), backbone.find(1.0, "block_5", tmp_path), 3
        )


@pytest.mark.parametrize(("width", "cut"), [(0.35, "block_5"), (0.35, "block_6_expand"), (1.0, "block_5")])
def test_real_weights_without_metadata_load(shared_data, width, cut):
    weights = backbone.find(width, cut, shared_data / "weights")
    assert weights.normalisation == (backbone.PLUS_MINUS_ONE if width < 1 else backbone.IMAGENET)
    assert backbone.load_into(Classifier(NetworkShape(width, cut, 1, 4, 96)), weights, 1) == []


def test_block_weights_sets_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("BLOCK_WEIGHTS", str(tmp_path))
    assert backbone.weights_folder() == tmp_path


def test_existing_weights_are_not_downloaded_again(keras_model, tmp_path):
    backbone.write(backbone.from_keras(keras_model[1]), 0.35, tmp_path)
    result = CliRunner().invoke(block, ["weights", "--out", str(tmp_path)])
    assert result.exit_code == 0
    assert result.output.startswith("Already in")


def test_downloaded_weights_are_converted(keras_model, tmp_path, monkeypatch):
    class Applications:
        @staticmethod
        def MobileNetV2(shape, alpha, include_top):  # noqa: N802
            assert (shape, alpha, include_top) == ((224, 224, 3), 0.35, False)
            return keras_model[1]

    monkeypatch.setattr(backbone, "import_keras", lambda: type("Keras", (), {"applications": Applications}))
    result = CliRunner().invoke(block, ["weights", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert backbone.find(0.35, "block_5", tmp_path) is not None


def test_a_failed_download_names_a_remedy(tmp_path, monkeypatch):
    class Applications:
        @staticmethod
        def MobileNetV2(*_arguments, **_options):  # noqa: N802
            raise OSError("no network")

    monkeypatch.setattr(backbone, "import_keras", lambda: type("Keras", (), {"applications": Applications}))
    result = CliRunner().invoke(block, ["weights", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "could not be downloaded: no network. Check the internet connection, or train with --pretrained 0" in (
        result.output
    )
