"""Reads and checks a block directory. Data that cannot be trained on raises BlockError with the file and a remedy."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from block.data.boxes import is_box_file, read_boxes
from block.data.classes import check_labels, check_names, class_indices, class_names, numbered_classes
from block.data.contract import FEATURE_FILES, INFO_FILE, LABEL_FILES, MODES, PHOTOS_FILE, SAMPLE_IDS_FILE, read_json
from block.data.fingerprint import fingerprint
from block.data.info import info_warnings, input_shape, max_training_seconds
from block.data.preparation import Preparation, preparation_from
from block.errors import BlockError
from block.words import SIZES_PX, SPLITS
from esp32_deploy.words import Task

NPY_MAGIC = b"\x93NUMPY"
ROWS_PER_CHECK = 256


@dataclass(frozen=True)
class Split:
    """One split. `features` (N, H, W, C) are float32 pixels 0..1, memory-mapped.

    `labels` (N,) are int64 class indices. For detection they are objects: int arrays (n, 5) of class index, x, y,
    width, height in px.
    """

    features: np.ndarray
    labels: np.ndarray
    sample_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class BlockData:
    """A whole block directory."""

    directory: Path
    task: Task
    classes: tuple[str, ...]
    train: Split
    validation: Split
    holdout: Split | None
    max_training_seconds: float | None
    preparation: Preparation | None = None
    """How photos were converted to these arrays; None for Studio's data."""
    dropped_boxes: int = 0
    """The number of boxes that were left out because they have no area inside their image."""
    warnings: tuple[str, ...] = ()
    """Settings in train_input.json that contradict the data or that this block does not follow, one line each."""

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
        """The existing splits by name, in the order train, validation, holdout."""
        splits = {"train": self.train, "validation": self.validation}
        return splits | ({"holdout": self.holdout} if self.holdout else {})

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint of all images and labels. Names and the folder do not count."""
        return fingerprint({name: (split.features, split.labels) for name, split in self.splits.items()})

    def class_counts(self, split: str) -> dict[str, int]:
        """The number of images of each class in a split; for detection, the number of objects."""
        labels = self.splits[split].labels
        if self.task == "detection":
            labels = np.concatenate([boxes[:, 0] for boxes in labels])
        counts = np.bincount(labels, minlength=len(self.classes))
        return {name: int(count) for name, count in zip(self.classes, counts, strict=True)}

    def background_images(self, split: str) -> int:
        """The number of images in a split that show no object (detection only)."""
        return sum(len(boxes) == 0 for boxes in self.splits[split].labels)


def read(
    directory: Path,
    info_file: Path | None = None,
    classes: Sequence[str] | None = None,
    shape: tuple[int, int, int] | None = None,
) -> BlockData:
    """Reads and checks a block directory. The label files decide the task: bounding boxes mean detection.

    The class names are `classes`, or those of `info_file` (default: train_input.json in the directory), or numbers.
    `shape` (H, W, C) is the image shape for flat rows if the info file gives none. The features stay on disk: the
    arrays are memory-mapped and checked a few rows at a time.
    Raises BlockError with the file and a remedy if the data cannot be trained on.
    """
    info = ({"inputShapeString": str(shape)} if shape else {}) | _read_info(directory, info_file)
    present = [split for split in SPLITS if split != "holdout" or _has_holdout(directory)]
    features = {split: _read_features(directory / FEATURE_FILES[split], info) for split in present}
    shapes = {array.shape[1:] for array in features.values()}
    if len(shapes) > 1:
        listed = ", ".join(f"{FEATURE_FILES[split]} {array.shape[1:]}" for split, array in features.items())
        raise BlockError(
            f"The splits in {directory} hold images of different shapes: {listed}. "
            "Export the data again so that all come from one run."
        )
    task = _find_task(directory, info)
    read_labels = _read_boxes if task == "detection" else _read_classes
    found = read_labels(directory, present, classes or info.get("classes"), features["train"].shape[1])
    names = _sample_names(directory)
    splits = {}
    for split in present:
        labels, rows = found.labels[split], len(features[split])
        if len(labels) != rows:
            raise BlockError(
                f"{FEATURE_FILES[split]} has {rows} rows but {LABEL_FILES[split]} has {len(labels)} "
                f"(in {directory}). Export the data again so that both come from one run."
            )
        _check_values(directory / FEATURE_FILES[split], features[split])
        split_names = names.get(split, ())
        if len(split_names) != rows:
            split_names = tuple(f"{split}-{row}" for row in range(rows))
        splits[split] = Split(features[split], labels, split_names)
    return BlockData(
        directory=directory,
        task=task,
        classes=found.classes,
        train=splits["train"],
        validation=splits["validation"],
        holdout=splits.get("holdout"),
        max_training_seconds=max_training_seconds(info),
        preparation=_preparation(directory),
        dropped_boxes=found.dropped_boxes,
        warnings=info_warnings(info, task, features["train"].shape[1:]),
    )


@dataclass(frozen=True)
class _Labels:
    classes: tuple[str, ...]
    labels: dict[str, np.ndarray]
    dropped_boxes: int = 0


def _find_task(directory: Path, info: dict[str, Any]) -> Task:
    path = directory / LABEL_FILES["train"]
    _check_there(path)
    task: Task = "detection" if is_box_file(path) else "classification"
    mode = info.get("mode")
    if mode is not None and str(mode).replace("_", "-").lower() != MODES[task]:
        held = "bounding boxes" if task == "detection" else "one class for each image"
        raise BlockError(
            f"{INFO_FILE} has mode {mode!r}, but {path} holds {held}. This block trains classification and object "
            "detection. In Studio choose the block that was pushed for this kind of project."
        )
    return task


def _read_classes(directory: Path, present: Sequence[str], names: Any, size: int) -> _Labels:  # noqa: ARG001
    paths = {split: directory / LABEL_FILES[split] for split in present}
    columns = {split: check_labels(path, np.asarray(_open_array(path))) for split, path in paths.items()}
    classes = class_names(directory, names, columns)
    labels = {split: class_indices(paths[split], columns[split], classes) for split in present}
    if len(np.unique(labels["train"])) < 2:
        only = classes[int(labels["train"][0])]
        raise BlockError(
            f"All {len(labels['train'])} training images in {directory} are of one class, {only!r}. "
            "A classifier needs at least two classes. Add images of another class."
        )
    return _Labels(classes, labels)


def _read_boxes(directory: Path, present: Sequence[str], names: Any, size: int) -> _Labels:
    labels, dropped, highest = {}, 0, 0
    for split in present:
        path = directory / LABEL_FILES[split]
        _check_there(path)
        if not is_box_file(path):
            raise BlockError(
                f"{path} holds no bounding boxes, but {LABEL_FILES['train']} does. Export the data again so that both "
                "come from one run."
            )
        labels[split], lost = read_boxes(path, size)
        dropped += lost
        highest = max([highest, *(int(boxes[:, 0].max()) + 1 for boxes in labels[split] if len(boxes))])
    if not any(map(len, labels["train"])):
        raise BlockError(f"No training image in {directory} has a bounding box. Label some objects.")
    classes = check_names(names) if names else numbered_classes(highest)
    if highest > len(classes):
        raise BlockError(
            f"A box in {directory} has label {highest}, but there are {len(classes)} classes: {', '.join(classes)}. "
            "Export the data again."
        )
    return _Labels(classes, labels, dropped)


def _has_holdout(directory: Path) -> bool:
    return (directory / FEATURE_FILES["holdout"]).exists()


def _read_info(directory: Path, info_file: Path | None) -> dict[str, Any]:
    path = info_file or directory / INFO_FILE
    if info_file is None and not path.exists():
        return {}
    info = read_json(path)
    if not isinstance(info, dict):
        raise BlockError(f"{path} holds a JSON {type(info).__name__}. Studio writes an object. Export the data again.")
    return info


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise BlockError(
            f"{path.name} is missing in {path.parent}. Copy it there, or download the data again. The folder needs "
            f"{', '.join(names[split] for names in (FEATURE_FILES, LABEL_FILES) for split in ('train', 'validation'))}."
        )


def _open_array(path: Path) -> np.ndarray:
    _check_there(path)
    with path.open("rb") as file:
        start = file.read(len(NPY_MAGIC))
    if start != NPY_MAGIC:
        raise BlockError(f"{path} is not a NumPy file. Export or download the data again.")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OverflowError, TypeError) as error:
        raise BlockError(f"{path} cannot be read: {error}. Perhaps the file is cut short. Copy it again.") from error


def _read_features(path: Path, info: dict[str, Any]) -> np.ndarray:
    array = _open_array(path)
    if array.dtype != np.float32:
        raise BlockError(
            f"{path} holds {array.dtype} values. This block takes float32 pixels from 0 to 1. Export the data again."
        )
    if array.ndim == 2:
        array = _unflatten(path, array, info)
    if array.ndim != 4 or array.shape[3] not in (1, 3):
        raise BlockError(
            f"{path} has shape {array.shape}. Images need the shape (number, height, width, 1 or 3). "
            "In Studio use an Image processing block in front of this block."
        )
    if len(array) == 0:
        raise BlockError(f"{path} holds no images. Add photos or change the split.")
    _, height, width, _ = array.shape
    if height != width:
        raise BlockError(
            f"The images in {path} are {width}x{height} pixels. This block takes square images. "
            "In Studio set the same image width and height in the impulse."
        )
    if height not in SIZES_PX:
        raise BlockError(
            f"The images in {path} are {width}x{height} pixels. This block takes sizes from "
            f"{SIZES_PX.start} to {SIZES_PX.stop - 1} that are multiples of {SIZES_PX.step}, such as 96 or 160. "
            "In Studio change the image width and height in the impulse."
        )
    return array


def _unflatten(path: Path, array: np.ndarray, info: dict[str, Any]) -> np.ndarray:
    shape = input_shape(info)
    if len(shape) == 3 and int(np.prod(shape)) == array.shape[1]:
        return array.reshape(len(array), *shape)
    raise BlockError(
        f"{path} holds {array.shape[1]} values per row, which are not images. This block trains on images. "
        "In Studio use an Image processing block in front of it."
    )


def _check_values(path: Path, features: np.ndarray) -> None:
    low, high = np.inf, -np.inf
    for start in range(0, len(features), ROWS_PER_CHECK):
        rows = features[start : start + ROWS_PER_CHECK]
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=(1, 2, 3)))
        if len(bad):
            raise BlockError(f"{path} row {start + bad[0]} holds NaN or infinity. Export the data again.")
        low, high = min(low, float(rows.min())), max(high, float(rows.max()))
    if low < 0 or high > 1:
        raise BlockError(
            f"{path} holds values from {low:.4g} to {high:.4g}. This block takes pixels from 0 to 1. "
            "In Studio set the block's image input scaling to 0..1 "
            '("imageInputScaling": "0..1" in parameters.json).'
        )


def _sample_names(directory: Path) -> dict[str, tuple[str, ...]]:
    for path, key in ((directory / PHOTOS_FILE, "photos"), (directory / SAMPLE_IDS_FILE, None)):
        if path.exists():
            content = read_json(path)
            splits = content.get(key) if key and isinstance(content, dict) else content
            # The names are only shown beside the predictions. Therefore a file of another form is ignored.
            lists = splits.items() if isinstance(splits, dict) else ()
            return {split: tuple(map(str, names)) for split, names in lists if isinstance(names, list)}
    return {}


def _preparation(directory: Path) -> Preparation | None:
    path = directory / PHOTOS_FILE
    content = read_json(path) if path.exists() else {}
    noted = content.get("preparation") if isinstance(content, dict) else None
    return preparation_from(path, noted) if isinstance(noted, dict) else None
