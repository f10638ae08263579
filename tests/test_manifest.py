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


def test_read_gives_back_what_was_written(tmp_path):
    known = manifest.read(write(tmp_path, WRITTEN))
    assert known.labels == ("apple", "Äpfel")
    assert (known.resize, known.threshold, known.decode) == (None, 0.5, "fuse")
    assert manifest.read(write(tmp_path, known.as_dict())) == known


def test_unknown_fields_are_ignored(tmp_path):
    assert manifest.read(write(tmp_path, WRITTEN | {"mood": "sunny"})).name == "fruit_spotter"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("{", "cannot be read as JSON"),
        ([1], "is not a JSON object of names and values"),
        ({"version": 2}, "has version 2. Only version 1 can be read"),
        ({"task": "poetry"}, "task is 'poetry'. Choose from classification, detection"),
        ({"colour": "blue"}, "colour is 'blue'. Choose from rgb, grayscale"),
        ({"resize": "stretch"}, "resize is 'stretch'. Choose from squash, crop, fit"),
        ({"threshold": 60}, "threshold is 60. Choose more than 0 and at most 1"),
        ({"threshold": True}, "threshold is True"),
        ({"labels": "apple"}, "A list of texts is expected"),
        ({"labels": ["apple", "apple"]}, "'apple' occurs twice"),
        ({"labels": ["apple", "ba\nnana"]}, "has unprintable characters"),
        ({"labels": [" "]}, "is empty"),
        ({"decode": "guess"}, "decode is 'guess'"),
        ({"name": 7}, "name is 7"),
        ({"figures": [1]}, "figures is"),
    ],
)
def test_invalid_manifests_are_refused_with_the_file_and_the_reason(values, message, tmp_path):
    path = write(tmp_path, values)
    with pytest.raises(ManifestError, match=message) as refusal:
        manifest.read(path)
    assert str(path) in str(refusal.value)


def test_deploy_json_comes_before_labels_txt(tmp_path):
    model = tmp_path / "model.tflite"
    assert manifest.beside(model) == Manifest()
    (tmp_path / "labels.txt").write_text("apple\n\n  pear \n", encoding="utf-8")
    assert manifest.beside(model) == Manifest(labels=("apple", "pear"))
    write(tmp_path, WRITTEN)
    assert manifest.beside(model).name == "fruit_spotter"


def test_colour_of_gives_rgb_grayscale_or_an_error():
    assert [words.colour_of(channels) for channels in (3, 1)] == ["rgb", "grayscale"]
    with pytest.raises(
        words.ColourError, match=r"The images have 4 channels\. 1 \(grayscale\) or 3 \(rgb\) are expected"
    ):
        words.colour_of(4)


@pytest.mark.parametrize(("threshold", "steps"), [(0.6, 154), (0.5, 128), (1.0, 256), (0.001, 1), (1e-9, 1)])
def test_least_score_is_the_threshold_in_256ths(threshold, steps):
    assert words.least_score(threshold) == steps
