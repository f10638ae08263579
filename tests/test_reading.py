import json

import numpy as np
import pytest
from drawn_arrays import CLASSES, write_arrays

from block.data import reading
from block.errors import BlockError


def change(directory, name, function):
    np.save(directory / name, function(np.load(directory / name)))


def refusal(directory):
    with pytest.raises(BlockError) as error:
        reading.read(directory)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_classes_and_splits_are_read(tmp_path):
    data = reading.read(write_arrays(tmp_path, images=30, holdout=6))
    assert data.classes == tuple(CLASSES)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 30, "validation": 10, "holdout": 6}
    assert (data.size, data.channels) == (48, 3)
    assert data.train.labels[:4].tolist() == [0, 1, 2, 0]
    assert data.class_counts("validation") == {"blue": 4, "green": 3, "red": 3}


def test_features_are_memory_mapped(block_directory):
    assert isinstance(reading.read(block_directory).train.features, np.memmap)


def test_classes_without_names_are_numbered(block_directory):
    (block_directory / "train_input.json").unlink()
    assert reading.read(block_directory).classes == ("class 1", "class 2", "class 3")


def test_class_names_are_read_from_another_info_file(block_directory, tmp_path):
    (tmp_path / "info.json").write_text(json.dumps({"classes": ["x", "y", "z"], "maxTrainingTimeSeconds": 1200}))
    data = reading.read(block_directory, tmp_path / "info.json")
    assert data.classes == ("x", "y", "z")
    assert data.max_training_seconds == 1200


def test_four_column_labels_are_read(block_directory):
    change(
        block_directory,
        "Y_split_train.npy",
        lambda y: np.stack([y.argmax(1) + 1, *[np.zeros(len(y))] * 3], axis=1).astype(np.int32),
    )
    assert reading.read(block_directory).train.labels[:4].tolist() == [0, 1, 2, 0]


def test_one_hot_integers_of_four_classes_are_one_hot(block_directory):
    for name in ("Y_split_train.npy", "Y_split_test.npy"):
        change(block_directory, name, lambda y: np.pad(y, ((0, 0), (0, 1))).astype(np.int32))
    (block_directory / "train_input.json").unlink()
    assert reading.read(block_directory).train.labels[:4].tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("classes", ["abc", {"a": 1}, ["a", "a", "b"], ["a", "", "b"], ["a", "b\nc", "d"], ["a", "b"]])
def test_invalid_class_names_are_refused(block_directory, classes):
    (block_directory / "train_input.json").write_text(json.dumps({"classes": classes}))
    assert "class" in refusal(block_directory)


def test_info_file_with_a_byte_order_mark_is_read(block_directory):
    path = block_directory / "train_input.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert reading.read(block_directory).classes == tuple(CLASSES)


@pytest.mark.parametrize("content", ["[1, 2]", "{}", '{"photos": 3, "preparation": []}'])
def test_invalid_name_files_are_ignored(block_directory, content):
    for name in ("photos.json", "sample_id_details.json"):
        (block_directory / name).write_text(content)
    assert reading.read(block_directory).train.sample_names[0] == "train-0"


def test_flat_rows_are_reshaped_to_the_shape_in_the_info_file(tmp_path):
    write_arrays(tmp_path, inputShapeString="(48, 48, 3)")
    for name in ("X_split_train.npy", "X_split_test.npy"):
        change(tmp_path, name, lambda x: x.reshape(len(x), -1))
    assert reading.read(tmp_path).size == 48


def test_sample_ids_are_the_image_names(block_directory):
    ids = {"train": list(range(30)), "validation": list(range(100, 110))}
    (block_directory / "sample_id_details.json").write_text(json.dumps(ids))
    assert reading.read(block_directory).validation.sample_names[:2] == ("100", "101")


@pytest.mark.parametrize("name", ["X_split_train.npy", "Y_split_train.npy", "X_split_test.npy", "Y_split_test.npy"])
def test_missing_array_is_named(block_directory, name):
    (block_directory / name).unlink()
    assert f"{name} is missing" in refusal(block_directory)


@pytest.mark.parametrize(
    ("name", "function", "words"),
    [
        ("X_split_train.npy", lambda x: x.astype(np.float64), "float64"),
        ("X_split_train.npy", lambda x: x[:, 0], "has shape (30, 48, 3)"),
        ("X_split_train.npy", lambda x: x[:, :, :40], "40x48"),
        ("X_split_train.npy", lambda x: x[:, :44, :44], "multiples of 8"),
        ("X_split_train.npy", lambda x: x[:0], "no images"),
        ("X_split_train.npy", lambda x: x[:-1], "29 rows but Y_split_train.npy has 30"),
        ("X_split_train.npy", lambda x: np.where(x == x.max(), np.nan, x), "NaN"),
        ("X_split_train.npy", lambda x: x * 255, "image input scaling to 0..1"),
        ("X_split_train.npy", lambda x: x * 2 - 1, "image input scaling to 0..1"),
        ("X_split_train.npy", lambda x: x.reshape(len(x), -1), "not images"),
        ("X_split_test.npy", lambda x: x[..., :1], "different shapes"),
        ("Y_split_train.npy", lambda y: np.eye(3, dtype=np.float32)[[1] * len(y)], "of one class, 'green'"),
        ("Y_split_train.npy", lambda y: y * 0, "must have a single 1"),
        ("Y_split_train.npy", lambda y: y[:, 0], "one-hot"),
        ("Y_split_train.npy", lambda y: np.pad(y, ((0, 0), (0, 2))), "5 classes but 3 are named"),
        ("Y_split_train.npy", lambda y: y.astype(str), "one-hot"),
        ("Y_split_test.npy", lambda y: y[:, :2], "2 columns but there are 3"),
        ("Y_split_train.npy", lambda _: np.full((30, 4), 9, np.int32), "label 9, outside 1 to 3"),
    ],
)
def test_invalid_arrays_are_refused_in_one_line(block_directory, name, function, words):
    change(block_directory, name, function)
    assert words in refusal(block_directory)


def test_file_that_is_not_an_array_is_named(block_directory):
    (block_directory / "X_split_train.npy").write_bytes(b"hello")
    assert "X_split_train.npy is not a NumPy file" in refusal(block_directory)


def test_truncated_array_is_refused(block_directory):
    path = block_directory / "X_split_train.npy"
    path.write_bytes(path.read_bytes()[:5000])
    assert "cut short" in refusal(block_directory)


def test_pickled_array_is_refused(block_directory):
    np.save(block_directory / "Y_split_train.npy", np.array([{}]), allow_pickle=True)
    assert "Y_split_train.npy cannot be read" in refusal(block_directory)


def test_broken_info_file_is_named(block_directory):
    (block_directory / "train_input.json").write_text("{")
    assert "train_input.json cannot be read as JSON" in refusal(block_directory)


def test_features_that_are_not_images_are_refused(shared_data):
    assert "156 values per row, which are not images" in refusal(shared_data / "studio" / "features")


def test_boxes_in_a_classification_project_are_refused(shared_data, block_directory):
    real = shared_data / "studio" / "detection-labels" / "Y_split_train.npy"
    (block_directory / "Y_split_train.npy").write_bytes(real.read_bytes())
    assert "bounding boxes" in refusal(block_directory)
