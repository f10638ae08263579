"""Reads class labels in Studio's two forms: one-hot rows, or four integer columns with the label number first."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from block.data.contract import INFO_FILE, LABEL_FILES
from block.errors import BlockError


def check_labels(path: Path, array: np.ndarray) -> np.ndarray:
    """The array of a label file, (N, classes) or (N, 4). Raises BlockError if it has another form."""
    if array.ndim != 2 or array.shape[1] < 1 or array.dtype.kind not in "fiub":
        raise BlockError(
            f"{path} holds {array.dtype} of shape {array.shape}. This block needs one-hot labels of shape "
            "(number of images, number of classes). Export the data again."
        )
    if len(array) == 0:
        raise BlockError(f"{path} holds no labels. Export the data again.")
    return np.asarray(array)


def class_names(directory: Path, names: Any, columns: dict[str, np.ndarray]) -> tuple[str, ...]:
    """The class names: `names`, or numbered classes if `names` is empty. `columns` are the label arrays of all splits.

    Raises BlockError if the names are not valid, or if one-hot labels have another number of classes.
    """
    train = columns["train"]
    counted = _has_four_columns(train)
    count = int(max(array[:, 0].max() for array in columns.values())) if counted else int(train.shape[1])
    if not names:
        return numbered_classes(count)
    names = check_names(names)
    if not counted and len(names) != count:
        listed = ", ".join(map(str, names))
        raise BlockError(
            f"{directory / LABEL_FILES['train']} has {count} classes but {len(names)} are named: {listed}. "
            f"Correct the names in {INFO_FILE}, or export the data again."
        )
    return names


def check_names(names: Any) -> tuple[str, ...]:
    """The class names as a tuple. Raises BlockError if two are equal, or if one is empty or not printable."""
    if not isinstance(names, (list, tuple)) or len({str(name) for name in names}) < len(names):
        raise BlockError(
            f'"classes" in {INFO_FILE} is {names!r}. It should be a list of names that all differ. Correct the names.'
        )
    if any(not str(name).strip() or not str(name).isprintable() for name in names):
        raise BlockError(
            f"The classes {list(names)!r} include an empty name, or a name with a line break or another control "
            "character. Rename this class."
        )
    return tuple(str(name) for name in names)


def numbered_classes(count: int) -> tuple[str, ...]:
    """The names class 1, class 2 and so on, for data without class names."""
    return tuple(f"class {number}" for number in range(1, count + 1))


def class_indices(path: Path, array: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The class index of each image, (N,) int64 from 0. Raises BlockError with the first row that is not valid."""
    if _has_four_columns(array):
        indices = array[:, 0].astype(np.int64) - 1
        wrong = np.flatnonzero((indices < 0) | (indices >= len(classes)))
        if len(wrong):
            raise BlockError(
                f"{path} row {wrong[0]} has label {array[wrong[0], 0]}, outside 1 to {len(classes)} "
                f"({', '.join(classes)}). Export the data again."
            )
        return indices
    if array.shape[1] != len(classes):
        raise BlockError(
            f"{path} has {array.shape[1]} columns but there are {len(classes)} classes: {', '.join(classes)}. "
            "Export the data again."
        )
    wrong = np.flatnonzero(~(np.isin(array, (0, 1)).all(axis=1) & (array.sum(axis=1) == 1)))
    if len(wrong):
        raise BlockError(
            f"{path} row {wrong[0]} is {array[wrong[0]].tolist()}. Each row must have a single 1 and zeros elsewhere. "
            "Export the data again."
        )
    return array.argmax(axis=1).astype(np.int64)


def _has_four_columns(array: np.ndarray) -> bool:
    # columns of Studio's other form: label number from 1, sample id, slice start, slice end
    return array.shape[1] == 4 and array.dtype.kind in "iu" and bool((array[:, 1:] > 1).any() or array[:, 0].max() > 1)


def alike_names(names: Iterable[str]) -> list[list[str]]:
    """The groups of names that differ only by capitals, blanks, `_` or `-`: probably one class, written differently."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"[\s_-]", "", unicodedata.normalize("NFKC", name).casefold()), []).append(name)
    return [alike for alike in groups.values() if len(alike) > 1]
