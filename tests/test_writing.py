import signal

import numpy as np
import pytest
from drawn_arrays import write_arrays
from hypothesis import given
from hypothesis import strategies as st

from block.data import reading
from block.data.preparation import Preparation
from block.data.writing import ArrayFile, block_writer
from block.words import SPLITS


@given(st.integers(0, 300))
def test_array_file_is_a_valid_npy_file(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    expected = np.arange(rows * 6).reshape(rows, 2, 3).astype(np.float32)
    array = ArrayFile(path.open("wb"), (2, 3))
    for row in expected:
        array.append(row)
    array.close()
    loaded = np.load(path)
    assert loaded.dtype == np.float32
    assert np.array_equal(loaded, expected)


def test_written_directory_is_read_back(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 48, 48, 3), dtype=np.uint8)
    splits = ["train", "train", "validation", "validation", "holdout", "train"]
    preparation = Preparation(48, "crop", 3, "folder", "a phrase", 1, {"b.png": "broken"})
    with block_writer(tmp_path, ["a", "b"], 48, 3, SPLITS) as writer:
        for number, split in enumerate(splits):
            writer.append(split, pixels[number], number % 2, f"photo {number}")
        writer.preparation = preparation
    data = reading.read(tmp_path)
    assert data.classes == ("a", "b")
    assert data.preparation == preparation
    assert data.train.sample_names == ("photo 0", "photo 1", "photo 5")
    assert np.array_equal((data.train.features * 255).round().astype(np.uint8), pixels[[0, 1, 5]])
    assert data.holdout.labels.tolist() == [0]


def test_holdout_of_an_earlier_preparation_is_removed(tmp_path):
    write_arrays(tmp_path, holdout=6)
    with block_writer(tmp_path, ["a", "b"], 48, 3) as writer:
        for number in range(4):
            writer.append("train" if number < 2 else "validation", np.zeros((48, 48, 3), np.uint8), number % 2, "x")
    assert reading.read(tmp_path).holdout is None


def test_failed_writing_leaves_no_files(tmp_path):
    with pytest.raises(RuntimeError), block_writer(tmp_path, ["a", "b"], 48, 3):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_full_disk_raises_and_leaves_no_files(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError), block_writer(tmp_path, ["a", "b"], 48, 3) as writer:
            for _ in range(4):
                writer.append("train", np.zeros((48, 48, 3), np.uint8), 0, "x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["X_split_train.npy", "X_split_test.npy", "Y_split_train.npy", "Y_split_test.npy"])
def test_array_that_cannot_be_renamed_leaves_no_temporary_files(tmp_path, name):
    (tmp_path / name).mkdir()  # a file cannot be renamed to the name of a folder
    writer = block_writer(tmp_path, ["a", "b"], 48, 3)
    with pytest.raises(OSError), writer:
        pass
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy"}  # no .part and no .json
