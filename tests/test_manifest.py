import json

import pytest

from esp32_deploy import manifest, words
from esp32_deploy.errors import DeployError
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


@pytest.mark.parametrize("name", ["labels.txt", "deploy.json"])
def test_a_byte_order_mark_and_windows_line_ends_are_read(name, tmp_path):
    text = "apple\r\nÄpfel\r\n" if name == "labels.txt" else '{"labels":\r\n["apple", "Äpfel"]}'
    (tmp_path / name).write_bytes(text.encode("utf-8-sig"))
    assert manifest.beside(tmp_path / "model.tflite").labels == ("apple", "Äpfel")


@pytest.mark.parametrize("name", ["labels.txt", "deploy.json"])
@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("utf-16", "is UTF-16, not UTF-8"),
        ("utf-32", "is UTF-32, not UTF-8"),
        ("utf-16-le", "has zero bytes, as a text in UTF-16 has, not UTF-8"),
        ("cp1252", "is not UTF-8: line 2 has the byte 0xc4"),
    ],
)
def test_another_encoding_is_named_with_the_file_and_the_remedy(name, encoding, message, tmp_path):
    text = "apple\nÄpfel\n" if name == "labels.txt" else '{"labels": ["apple",\n"Äpfel"]}'
    if encoding == "utf-16-le":
        text = text.replace("Ä", "A")
    (tmp_path / name).write_bytes(text.encode(encoding))
    with pytest.raises(DeployError) as refusal:
        manifest.beside(tmp_path / "model.tflite")
    assert str(refusal.value).startswith(f"{tmp_path / name} {message}")
    assert str(refusal.value).endswith("Save it as UTF-8: most editors have that under Save as > Encoding.")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("0 apple\n1 red pear\n", ("apple", "red pear")),
        ("0: apple\n1:\tpear", ("apple", "pear")),
        ("0\n1\n2\n", ("0", "1", "2")),
        ("1 euro\n2 euro\n", ("1 euro", "2 euro")),
        ("0 apple\npear\n", ("0 apple", "pear")),
        ("0.5 l\n1.5 l\n", ("0.5 l", "1.5 l")),
        ("10 km/h\n11 km/h\n", ("10 km/h", "11 km/h")),
    ],
)
def test_numbers_that_count_the_labels_are_left_out(text, labels, tmp_path):
    (tmp_path / "labels.txt").write_text(text)
    assert manifest.beside(tmp_path / "model.tflite").labels == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 pear\n0 apple\n", "numbers its labels, but not in order. Sort its lines"),
        ("\n \n", "has no labels. Write one label on each line"),
        ("apple\napple\n", ": label 'apple' occurs twice"),
        ("0 apple\n1 apple\n", ": label 'apple' occurs twice"),
    ],
)
def test_a_refused_labels_txt_is_named(text, message, tmp_path):
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(ManifestError) as refusal:
        manifest.beside(tmp_path / "model.tflite")
    assert str(refusal.value).startswith(f"{tmp_path / 'labels.txt'}") and message in str(refusal.value)


def test_colour_of_gives_rgb_grayscale_or_an_error():
    assert [words.colour_of(channels) for channels in (3, 1)] == ["rgb", "grayscale"]
    with pytest.raises(
        words.ColourError, match=r"The images have 4 channels\. 1 \(grayscale\) or 3 \(rgb\) are expected"
    ):
        words.colour_of(4)


@pytest.mark.parametrize(("threshold", "steps"), [(0.6, 154), (0.5, 128), (1.0, 256), (0.001, 1), (1e-9, 1)])
def test_least_score_is_the_threshold_in_256ths(threshold, steps):
    assert words.least_score(threshold) == steps
