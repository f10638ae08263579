import json

import pytest

from esp32_deploy import manifest, words
from esp32_deploy.manifest import Manifest, ManifestError

WRITTEN = {
    "version": 1,
    "name": "fruit_spotter",
    "task": "detection",
    "labels": ["apple", "Äpfel"],
    "colour": "rgb",
    "resize": None,
    "threshold": 0.5,
    "decode": "fuse",
    "figures": {"f1": 0.9, "split": "holdout", "images": 60},
}


def write(folder, values):
    path = folder / "deploy.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


def test_what_training_writes_is_read(tmp_path):
    known = manifest.read(write(tmp_path, WRITTEN))
    assert known.labels == ("apple", "Äpfel")
    assert (known.resize, known.threshold, known.decode) == (None, 0.5, "fuse")
    assert manifest.read(write(tmp_path, known.as_dict())) == known


def test_unknown_fields_of_later_versions_are_left_out(tmp_path):
    assert manifest.read(write(tmp_path, WRITTEN | {"mood": "sunny"})).name == "fruit_spotter"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("{", "cannot be read as JSON"),
        ([1], "holds no object of names and values"),
        ({"version": 2}, "is of version 2; version 1 is understood"),
        ({"task": "poetry"}, "task is 'poetry'; choose from classification, detection"),
        ({"colour": "blue"}, "colour is 'blue'; choose from rgb, grayscale"),
        ({"resize": "stretch"}, "resize is 'stretch'; choose from squash, crop, fit"),
        ({"threshold": 60}, "threshold is 60; choose more than 0 and at most 1"),
        ({"threshold": True}, "threshold is True"),
        ({"labels": "apple"}, "a list of texts is expected"),
        ({"labels": ["apple", "apple"]}, "'apple' stands twice"),
        ({"labels": ["apple", "ba\nnana"]}, "characters that cannot be printed"),
        ({"labels": [" "]}, "is empty"),
        ({"decode": "guess"}, "decode is 'guess'"),
        ({"name": 7}, "name is 7"),
        ({"figures": [1]}, "figures is"),
    ],
)
def test_what_cannot_be_is_refused_with_the_file_and_the_reason(values, message, tmp_path):
    path = write(tmp_path, values)
    with pytest.raises(ManifestError, match=message) as refusal:
        manifest.read(path)
    assert str(path) in str(refusal.value)


def test_labels_beside_the_model_are_the_second_choice(tmp_path):
    model = tmp_path / "model.tflite"
    assert manifest.beside(model) == Manifest()
    (tmp_path / "labels.txt").write_text("apple\n\n  pear \n", encoding="utf-8")
    assert manifest.beside(model) == Manifest(labels=("apple", "pear"))
    write(tmp_path, WRITTEN)
    assert manifest.beside(model).name == "fruit_spotter"


def test_channels_have_a_colour_or_are_refused():
    assert [words.colour_of(channels) for channels in (3, 1)] == ["rgb", "grayscale"]
    with pytest.raises(
        words.ColourError, match="The images have 4 channels; 1 \\(grayscale\\) or 3 \\(rgb\\) are expected"
    ):
        words.colour_of(4)


@pytest.mark.parametrize(("threshold", "steps"), [(0.6, 154), (0.5, 128), (1.0, 256), (0.001, 1), (1e-9, 1)])
def test_thresholds_in_the_steps_of_a_softmax(threshold, steps):
    assert words.least_score(threshold) == steps
