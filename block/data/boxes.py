"""Bounding boxes: reads and writes Studio's JSON text, and converts boxes when their photo is resized.

In memory the boxes of an image are an int array (n, 5): class index, x, y, width, height in px of the network's input.
"""

import codecs
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from block.data.contract import read_json
from block.errors import BlockError
from esp32_deploy.pixels import placement

# A larger number is not a coordinate in an image, and the int array could not hold it.
FARTHEST_PX = 2**31
COLUMNS = ("label", "x", "y", "w", "h")
# a box is left out if less than this share of its area is in the image
LEAST_VISIBLE_SHARE = 0.3


def is_box_file(path: Path) -> bool:
    """True if the file holds JSON text. Its name does not matter, because Studio calls it .npy."""
    with path.open("rb") as file:
        return file.read(64).removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"[", b"{")


def read_boxes(path: Path, size: int) -> tuple[np.ndarray, int]:
    """The boxes of each image, (N,) of (n, 5) arrays, and the number of boxes without area inside the image.

    Boxes are cut to the image of `size` x `size` px. Boxes without area inside it are left out.
    Raises BlockError with the row if a box is not valid.
    """
    samples = read_json(path)
    if isinstance(samples, dict):
        samples = samples.get("samples")
    if not isinstance(samples, list):
        raise BlockError(f"{path} should hold a JSON list of images with their boxes. Export the data again.")
    rows = [_read_row(path, row, sample) for row, sample in enumerate(samples)]
    inside = [_inside(boxes, size) for boxes in rows]
    return as_rows(inside), sum(map(len, rows)) - sum(map(len, inside))


def write_boxes(path: Path, rows: Sequence[np.ndarray]) -> None:
    """Writes the boxes of each image (n, 5) in Studio's format. Sample ids count from 1."""
    samples = [
        {
            "sampleId": number,
            "boundingBoxes": [
                dict(zip(COLUMNS, (int(label) + 1, *map(int, edges)), strict=True)) for label, *edges in boxes
            ],
        }
        for number, boxes in enumerate(rows, start=1)
    ]
    path.write_text(json.dumps(samples), encoding="utf-8")


def as_rows(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Converts a list of box arrays to one object array (N,), which can be indexed like class labels."""
    packed = np.empty(len(rows), dtype=object)
    for index, boxes in enumerate(rows):
        packed[index] = boxes
    return packed


def move_boxes(boxes: np.ndarray, width: int, height: int, size: int, mode: str) -> np.ndarray:
    """Converts boxes of a photo of width x height px to the image of `size` px that pixels.resize makes of it.

    Takes (n, 5) float in px of the photo and returns (m, 5) int in px of the image. Boxes are cut to the image and
    rounded to whole px, at least 1 px wide and high. A box is left out if it has no area, or if less than
    LEAST_VISIBLE_SHARE of its area is in the image.
    """
    place = placement(width, height, size, mode)
    scale = np.array([place.target_width / place.source_width, place.target_height / place.source_height])
    source, target = np.array([place.source_x, place.source_y]), np.array([place.target_x, place.target_y])
    room = np.array([place.target_width, place.target_height])
    start = (boxes[:, 1:3] - source) * scale
    stop = (boxes[:, 1:3] + boxes[:, 3:5] - source) * scale
    seen = np.minimum(stop, room) - np.maximum(start, 0)
    shares = (seen.clip(0) / np.where(boxes[:, 3:5] > 0, stop - start, np.inf)).prod(axis=1)
    start = np.rint(start.clip(0, room)).astype(int).clip(0, room - 1)
    stop = np.maximum(np.rint(stop.clip(0, room)).astype(int), start + 1)
    moved = np.concatenate([boxes[:, :1].astype(int), target + start, stop - start], axis=1)
    return moved[shares >= LEAST_VISIBLE_SHARE]


def upright_edges(edges: np.ndarray, size: tuple[int, int], orientation: int) -> np.ndarray:
    """Converts boxes (n, 4) of x, y, width, height when a photo of `size` (width, height) is turned upright.

    `orientation` is the EXIF value of a photo that lies on its side: 6 or 8, or 5 or 7 if it is mirrored too (EXIF 2.3,
    section 4.6.4).
    """
    x, y, width, height = edges.T
    # x and y change places
    across = size[1] - y - height if orientation in (6, 7) else y
    down = size[0] - x - width if orientation in (7, 8) else x
    return np.stack([across, down, height, width], axis=1)


def _read_row(path: Path, row: int, sample: Any) -> np.ndarray:
    boxes = sample.get("boundingBoxes") if isinstance(sample, Mapping) else None
    if not isinstance(boxes, list):
        raise BlockError(f'{path} row {row} has no list "boundingBoxes". Export the data again.')
    return np.array(list(_read_each(path, row, boxes)), dtype=int).reshape(-1, len(COLUMNS))


def _read_each(path: Path, row: int, boxes: list[Any]) -> Iterator[list[int]]:
    for box in boxes:
        values = [box.get(name) if isinstance(box, Mapping) else None for name in COLUMNS]
        numbers = [value for value in values if isinstance(value, int | float) and abs(value) < FARTHEST_PX]
        if len(numbers) < len(COLUMNS):
            raise BlockError(
                f"{path} row {row} holds {box!r}, which is not a box. A box needs the numbers {', '.join(COLUMNS)}. "
                "Export the data again."
            )
        label, *edges = numbers
        if label != int(label) or label < 1:
            raise BlockError(
                f"{path} row {row} has label {label}. The labels of boxes are whole numbers from 1. "
                "Export the data again."
            )
        yield [int(label) - 1, *(round(edge) for edge in edges)]


def _inside(boxes: np.ndarray, size: int) -> np.ndarray:
    """Cuts boxes to the image and leaves out boxes without area in it."""
    start = boxes[:, 1:3].clip(0, size)
    stop = (boxes[:, 1:3] + boxes[:, 3:5]).clip(0, size)
    cut = np.concatenate([boxes[:, :1], start, stop - start], axis=1)
    return cut[(stop > start).all(axis=1)]
