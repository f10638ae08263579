"""A block directory, read and checked: whatever would make training meaningless is refused by file and remedy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from block.data.contract import (
    FEATURE_FILES,
    INFO_FILE,
    LABEL_FILES,
    PHOTOS_FILE,
    SAMPLE_IDS_FILE,
    SIZES_PX,
    SPLITS,
    read_json,
)
from block.errors import BlockError

NPY_MAGIC = b"\x93NUMPY"
ROWS_PER_CHECK = 256


@dataclass(frozen=True)
class Split:
    """One split: `features` (N, H, W, C) float32 0..1, memory-mapped; `labels` (N,) int64 class indices."""

    features: np.ndarray
    labels: np.ndarray
    sample_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class BlockData:
    """A whole block directory. `preparation` is what `prepare` noted about the photos, empty for Studio's data."""

    directory: Path
    classes: tuple[str, ...]
    train: Split
    validation: Split
    holdout: Split | None
    max_training_seconds: float | None
    preparation: dict[str, Any]

    @property
    def size(self) -> int:
        """Height and width of the input in pixels."""
        return int(self.train.features.shape[1])

    @property
    def channels(self) -> int:
        """1 for grayscale, 3 for RGB."""
        return int(self.train.features.shape[3])

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that are there, by name, in the order train, validation, holdout."""
        splits = {"train": self.train, "validation": self.validation}
        return splits | ({"holdout": self.holdout} if self.holdout else {})

    def class_counts(self, split: str) -> dict[str, int]:
        """Images of each class in a split."""
        counts = np.bincount(self.splits[split].labels, minlength=len(self.classes))
        return {name: int(count) for name, count in zip(self.classes, counts, strict=True)}


def read(directory: Path, info_file: Path | None = None, classes: Sequence[str] | None = None) -> BlockData:
    """Reads and checks a classification block directory.

    Class names are `classes`, else those of the info file (train_input.json in the directory unless named), else
    numbers. Features stay on disk: the arrays are memory-mapped and checked a few rows at a time.
    Raises BlockError for whatever would make training meaningless, naming the file and the remedy.
    """
    info = _read_info(directory, info_file)
    present = [split for split in SPLITS if split != "holdout" or _has_holdout(directory)]
    features = {split: _read_features(directory / FEATURE_FILES[split], info) for split in present}
    shapes = {array.shape[1:] for array in features.values()}
    if len(shapes) > 1:
        listed = ", ".join(f"{FEATURE_FILES[split]} {array.shape[1:]}" for split, array in features.items())
        raise BlockError(f"The splits in {directory} hold images of different shapes: {listed}.")
    columns = {split: _read_labels(directory / LABEL_FILES[split]) for split in present}
    classes = _class_names(directory, classes or info.get("classes"), columns)
    names = _sample_names(directory)
    splits = {}
    for split in present:
        labels = _class_indices(directory / LABEL_FILES[split], columns[split], classes)
        rows = len(features[split])
        if len(labels) != rows:
            raise BlockError(
                f"{FEATURE_FILES[split]} has {rows} rows but {LABEL_FILES[split]} has {len(labels)} "
                f"(in {directory}); export the data again so that both come from one run."
            )
        _check_values(directory / FEATURE_FILES[split], features[split])
        split_names = names.get(split, ())
        if len(split_names) != rows:
            split_names = tuple(f"{split}-{row}" for row in range(rows))
        splits[split] = Split(features[split], labels, split_names)
    if len(np.unique(splits["train"].labels)) < 2:
        only = classes[int(splits["train"].labels[0])]
        raise BlockError(
            f"All {len(splits['train'])} training images in {directory} are of one class, {only!r}; "
            "a classifier needs at least two."
        )
    return BlockData(
        directory=directory,
        classes=classes,
        train=splits["train"],
        validation=splits["validation"],
        holdout=splits.get("holdout"),
        max_training_seconds=_max_training_seconds(info),
        preparation=_preparation(directory),
    )


def _has_holdout(directory: Path) -> bool:
    return (directory / FEATURE_FILES["holdout"]).exists()


def _read_info(directory: Path, info_file: Path | None) -> dict[str, Any]:
    path = info_file or directory / INFO_FILE
    if info_file is None and not path.exists():
        return {}
    info = read_json(path)
    if not isinstance(info, dict):
        raise BlockError(f"{path} should hold a JSON object as Studio writes it, not a {type(info).__name__}.")
    return info


def _max_training_seconds(info: dict[str, Any]) -> float | None:
    try:
        seconds = float(info.get("maxTrainingTimeSeconds") or 0)
    except (TypeError, ValueError):
        return None
    return seconds if seconds > 0 else None


def _open_array(path: Path) -> np.ndarray:
    if not path.is_file():
        raise BlockError(
            f"{path.name} is missing in {path.parent}; copy it there, or download the data again. The folder needs "
            f"{', '.join(names[split] for names in (FEATURE_FILES, LABEL_FILES) for split in ('train', 'validation'))}."
        )
    with path.open("rb") as file:
        start = file.read(len(NPY_MAGIC))
    if start != NPY_MAGIC:
        if path.name in LABEL_FILES.values() and start.lstrip()[:1] in (b"[", b"{"):
            raise BlockError(
                f"{path} holds bounding boxes (JSON text), which is detection data; "
                "this block trains classifiers. In Studio choose one label per image."
            )
        raise BlockError(f"{path} is not a NumPy file; export or download the data again.")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise BlockError(f"{path} cannot be read: {error}. The file may be cut short; copy it again.") from error


def _read_features(path: Path, info: dict[str, Any]) -> np.ndarray:
    array = _open_array(path)
    if array.dtype != np.float32:
        raise BlockError(f"{path} holds {array.dtype}; this block takes float32 pixels from 0 to 1.")
    if array.ndim == 2:
        array = _unflatten(path, array, info)
    if array.ndim != 4 or array.shape[3] not in (1, 3):
        raise BlockError(f"{path} has shape {array.shape}; images come as (number, height, width, 1 or 3).")
    if len(array) == 0:
        raise BlockError(f"{path} holds no images; add photos or change the split.")
    _, height, width, _ = array.shape
    if height != width:
        raise BlockError(
            f"The images in {path} are {width}x{height} pixels; this block takes square ones. "
            "In Studio set the same image width and height in the impulse."
        )
    if height not in SIZES_PX:
        raise BlockError(
            f"The images in {path} are {width}x{height} pixels; this block takes sizes from "
            f"{SIZES_PX.start} to {SIZES_PX.stop - 1} that divide by {SIZES_PX.step}, such as 96 or 160."
        )
    return array


def _unflatten(path: Path, array: np.ndarray, info: dict[str, Any]) -> np.ndarray:
    text = str(info.get("inputShapeString", "")).strip("() ")
    try:
        shape = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        shape = ()
    if len(shape) == 3 and int(np.prod(shape)) == array.shape[1]:
        return array.reshape(len(array), *shape)
    raise BlockError(
        f"{path} holds {array.shape[1]} values a row, which are not images; this block learns from "
        "photos. In Studio use an Image processing block in front of it."
    )


def _read_labels(path: Path) -> np.ndarray:
    array = _open_array(path)
    if array.ndim != 2 or array.shape[1] < 1 or array.dtype.kind not in "fiub":
        raise BlockError(
            f"{path} has shape {array.shape} of {array.dtype}; labels come one-hot, as "
            "(number of images, number of classes)."
        )
    return np.asarray(array)


def _has_four_columns(array: np.ndarray) -> bool:
    # Studio's other form: label number counted from 1, sample id, slice start and end
    return array.shape[1] == 4 and array.dtype.kind in "iu" and bool((array[:, 1:] > 1).any() or array[:, 0].max() > 1)


def _class_names(directory: Path, names: Any, columns: dict[str, np.ndarray]) -> tuple[str, ...]:
    train = columns["train"]
    counted = _has_four_columns(train)
    count = int(max(array[:, 0].max() for array in columns.values())) if counted else int(train.shape[1])
    if not names:
        return tuple(f"class {number}" for number in range(1, count + 1))
    if not isinstance(names, (list, tuple)) or len({str(name) for name in names}) < len(names):
        raise BlockError(f'"classes" in {INFO_FILE} should be a list of different names, not {names!r}.')
    if any(not str(name).strip() or not str(name).isprintable() for name in names):
        raise BlockError(f"The classes {list(names)!r} include an empty name or one with a line break; rename it.")
    if not counted and len(names) != count:
        listed = ", ".join(map(str, names))
        raise BlockError(
            f"{directory / LABEL_FILES['train']} has {count} classes but {len(names)} are named: {listed}."
        )
    return tuple(str(name) for name in names)


def _class_indices(path: Path, array: np.ndarray, classes: Sequence[str]) -> np.ndarray:
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


def _check_values(path: Path, features: np.ndarray) -> None:
    low, high = np.inf, -np.inf
    for start in range(0, len(features), ROWS_PER_CHECK):
        rows = features[start : start + ROWS_PER_CHECK]
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=(1, 2, 3)))
        if len(bad):
            raise BlockError(f"{path} row {start + bad[0]} holds NaN or infinity; export the data again.")
        low, high = min(low, float(rows.min())), max(high, float(rows.max()))
    if low < 0 or high > 1:
        raise BlockError(
            f"{path} holds values from {low:.4g} to {high:.4g}; this block takes pixels from 0 to 1. "
            "In Studio set the block's image input scaling to 0..1 "
            '("imageInputScaling": "0..1" in parameters.json).'
        )


def _sample_names(directory: Path) -> dict[str, tuple[str, ...]]:
    for path, key in ((directory / PHOTOS_FILE, "photos"), (directory / SAMPLE_IDS_FILE, None)):
        if path.exists():
            content = read_json(path)
            splits = content.get(key) if key and isinstance(content, dict) else content
            # names only decorate the predictions: a file of another form is no reason to stop
            lists = splits.items() if isinstance(splits, dict) else ()
            return {split: tuple(map(str, names)) for split, names in lists if isinstance(names, list)}
    return {}


def _preparation(directory: Path) -> dict[str, Any]:
    path = directory / PHOTOS_FILE
    content = read_json(path) if path.exists() else {}
    noted = content.get("preparation") if isinstance(content, dict) else None
    return noted if isinstance(noted, dict) else {}
