"""Writes a block directory image by image. Memory holds one image at a time, and the boxes of all images."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from block.data.boxes import write_boxes
from block.data.claim import claimed
from block.data.contract import FEATURE_FILES, INFO_FILE, LABEL_FILES, MODES, PHOTOS_FILE, SAMPLE_IDS_FILE, write_json
from block.data.preparation import Preparation
from block.words import SPLITS
from esp32_deploy.files import replacing
from esp32_deploy.words import Task

# always little-endian
FLOAT32 = np.dtype("<f4")


class ArrayFile:
    """A float32 .npy file that is written row by row. All rows have the shape `row_shape`. `close` completes it."""

    def __init__(self, file: BinaryIO, row_shape: tuple[int, ...]) -> None:
        self._file, self._row_shape, self._rows = file, row_shape, 0
        self._write_header()

    def append(self, row: np.ndarray) -> None:
        """Adds one row. Raises ValueError if its shape is not `row_shape`."""
        if row.shape != self._row_shape:
            raise ValueError(f"row of shape {row.shape}, expected {self._row_shape}")
        self._file.write(np.ascontiguousarray(row, FLOAT32).tobytes())
        self._rows += 1

    def close(self) -> None:
        """Writes the number of rows into the header. NumPy pads the header, so that the longer number fits in place."""
        with self._file:
            self._file.seek(0)
            self._write_header()

    def _write_header(self) -> None:
        header = {"descr": FLOAT32.str, "fortran_order": False, "shape": (self._rows, *self._row_shape)}
        np.lib.format.write_array_header_2_0(self._file, header)


class OneHotFile(ArrayFile):
    """The label file of a classifier: one row for each image, with 1 for its class."""

    def __init__(self, path: Path, classes: int) -> None:
        super().__init__(path.open("wb"), (classes,))
        self._one_hot = np.eye(classes, dtype=np.float32)

    def append(self, row: Any) -> None:
        """Adds the class index of an image."""
        super().append(self._one_hot[row])


class BoxFile:
    """The label file of a detector: JSON text with the boxes of each image. `close` writes it."""

    def __init__(self, path: Path) -> None:
        self._path, self._rows = path, list[np.ndarray]()

    def append(self, row: Any) -> None:
        """Adds the boxes of an image, (n, 5)."""
        self._rows.append(row)

    def close(self) -> None:
        """Writes the boxes of all images."""
        write_boxes(self._path, self._rows)


class BlockWriter:
    """Adds images to a block directory, one at a time. `block_writer` makes it."""

    def __init__(self, features: dict[str, ArrayFile], labels: Mapping[str, OneHotFile | BoxFile]) -> None:
        self._features, self._labels = features, labels
        self.names: dict[str, list[str]] = {split: [] for split in features}
        self.preparation: Preparation | None = None
        """How photos were converted to these images. Set it before the block directory is closed."""

    def append(self, split: str, pixels: np.ndarray, label: Any, name: str) -> None:
        """Adds one image. `pixels` is (size, size, channels) uint8. `label` is a class index, or boxes (n, 5) in px."""
        self._features[split].append(pixels.astype(np.float32) / np.float32(255))
        self._labels[split].append(label)
        self.names[split].append(name)


@contextmanager
def block_writer(
    directory: Path,
    classes: Sequence[str],
    size: int,
    channels: int,
    splits: Sequence[str] = ("train", "validation"),
    task: Task = "classification",
) -> Iterator[BlockWriter]:
    """Opens a block directory for writing. If the body succeeds, all files get their names together at the end.

    If the body fails, the new files are removed, and earlier files stay as they were. If the process is killed while
    files get their names, the directory lacks its training images and is refused: it never mixes two data sets.
    Raises BlockError if another run writes to the directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    shape = (size, size, channels)
    info = {"classes": list(classes), "mode": MODES[task], "inputShapeString": str(shape)}
    info["yType"] = "npy" if task == "classification" else "structured"
    with claimed(directory), ExitStack() as replacements:

        def part(name: str) -> Path:
            # The stack renames in reverse order. The first file, the training images, gets its name last.
            return replacements.enter_context(replacing(directory / name))

        def label_file(path: Path) -> OneHotFile | BoxFile:
            return OneHotFile(path, len(classes)) if task == "classification" else BoxFile(path)

        # Closing a file fails if the disk is full. Therefore all files are closed before the first is renamed.
        with ExitStack() as files:
            features = {
                split: files.enter_context(closing(ArrayFile(part(FEATURE_FILES[split]).open("wb"), shape)))
                for split in sorted(splits, key=SPLITS.index)
            }
            labels = {split: files.enter_context(closing(label_file(part(LABEL_FILES[split])))) for split in splits}
            writer = BlockWriter(features, labels)
            yield writer
        preparation = {"preparation": writer.preparation.as_dict()} if writer.preparation else {}
        write_json(part(INFO_FILE), info)
        write_json(part(SAMPLE_IDS_FILE), _sample_ids(writer.names))
        write_json(part(PHOTOS_FILE), preparation | {"photos": writer.names})
        for name in (*FEATURE_FILES.values(), *LABEL_FILES.values(), INFO_FILE, SAMPLE_IDS_FILE, PHOTOS_FILE):
            (directory / name).unlink(missing_ok=True)


def _sample_ids(names: dict[str, list[str]]) -> dict[str, list[int]]:
    # Numbers in row order, as in Studio's data. Studio has no holdout split.
    train, validation = len(names["train"]), len(names["validation"])
    return {
        "train": list(range(1, train + 1)),
        "validation": list(range(train + 1, train + validation + 1)),
    }
