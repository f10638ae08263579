"""Class labels as Studio stores them: one-hot, or in four integer columns of which the first counts from 1."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from block.data.contract import INFO_FILE, LABEL_FILES
from block.errors import BlockError


def check_labels(path: Path, array: np.ndarray) -> np.ndarray:
    """The array of a label file, (N, classes) or (N, 4); raises BlockError when it has another form."""
    if array.ndim != 2 or array.shape[1] < 1 or array.dtype.kind not in "fiub":
        raise BlockError(
            f"{path} has shape {array.shape} of {array.dtype}; labels come one-hot, as "
            "(number of images, number of classes)."
        )
    return np.asarray(array)


def class_names(directory: Path, names: Any, columns: dict[str, np.ndarray]) -> tuple[str, ...]:
    """The classes: `names` checked against the label arrays of all splits, or numbers where there are none."""
    train = columns["train"]
    counted = _has_four_columns(train)
    count = int(max(array[:, 0].max() for array in columns.values())) if counted else int(train.shape[1])
    if not names:
        return numbered_classes(count)
    names = check_names(names)
    if not counted and len(names) != count:
        listed = ", ".join(map(str, names))
        raise BlockError(
            f"{directory / LABEL_FILES['train']} has {count} classes but {len(names)} are named: {listed}."
        )
    return names


def check_names(names: Any) -> tuple[str, ...]:
    """Class names as they are given; raises BlockError when two are the same or one cannot be printed in a line."""
    if not isinstance(names, (list, tuple)) or len({str(name) for name in names}) < len(names):
        raise BlockError(f'"classes" in {INFO_FILE} should be a list of different names, not {names!r}.')
    if any(not str(name).strip() or not str(name).isprintable() for name in names):
        raise BlockError(f"The classes {list(names)!r} include an empty name or one with a line break; rename it.")
    return tuple(str(name) for name in names)


def numbered_classes(count: int) -> tuple[str, ...]:
    """Names for classes of which only the number is known."""
    return tuple(f"class {number}" for number in range(1, count + 1))


def class_indices(path: Path, array: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The class of each image (N,) int64, counted from 0; raises BlockError that names the first row without one."""
    if _has_four_columns(array):
        indices = array[:, 0].astype(np.int64) - 1
        wrong = np.flatnonzero((indices < 0) | (indices >= len(classes)))
        if len(wrong):
            raise BlockError(
                f"{path} row {wrong[0]} has label {array[wrong[0], 0]}, outside 1 to {len(classes)} "
                f"({', '.join(classes)})."
            )
        return indices
    if array.shape[1] != len(classes):
        raise BlockError(
            f"{path} has {array.shape[1]} columns but there are {len(classes)} classes: {', '.join(classes)}."
        )
    wrong = np.flatnonzero(~(np.isin(array, (0, 1)).all(axis=1) & (array.sum(axis=1) == 1)))
    if len(wrong):
        raise BlockError(f"{path} row {wrong[0]} is {array[wrong[0]].tolist()}; each row must have a single 1.")
    return array.argmax(axis=1).astype(np.int64)


def _has_four_columns(array: np.ndarray) -> bool:
    # Studio's other form: label number counted from 1, sample id, slice start and end
    return array.shape[1] == 4 and array.dtype.kind in "iu" and bool((array[:, 1:] > 1).any() or array[:, 0].max() > 1)
