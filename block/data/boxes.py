"""Bounding boxes: Studio's JSON text, and where a photo's boxes land when it is resized.

In memory a photo's boxes are an int array (n, 5): class index, x, y, width, height in px of the network's input.
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

# numbers beyond are no places in an image, nor do they fit into its array
FARTHEST_PX = 2**31
COLUMNS = ("label", "x", "y", "w", "h")
# an object of which less can be seen is no longer one
LEAST_VISIBLE_SHARE = 0.3


def is_box_file(path: Path) -> bool:
    """True for JSON text, whatever the file is called: Studio names it .npy."""
    with path.open("rb") as file:
        return file.read(64).removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"[", b"{")


def read_boxes(path: Path, size: int) -> tuple[np.ndarray, int]:
    """Each row's boxes, (N,) of (n, 5) arrays, and how many were dropped for having no area inside the image.

    Raises BlockError that names the row of whatever is not a box.
    """
    samples = read_json(path)
    if isinstance(samples, dict):
        samples = samples.get("samples")
    if not isinstance(samples, list):
        raise BlockError(f"{path} should hold a JSON list of photos with their boxes; export the data again.")
    rows = [_read_row(path, row, sample) for row, sample in enumerate(samples)]
    inside = [_inside(boxes, size) for boxes in rows]
    return as_rows(inside), sum(map(len, rows)) - sum(map(len, inside))


def write_boxes(path: Path, rows: Sequence[np.ndarray]) -> None:
    """Writes rows of boxes as Studio does; sample ids count from 1."""
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
    """A list of box arrays as one array of objects (N,), which rows can be picked from like any labels."""
    packed = np.empty(len(rows), dtype=object)
    for index, boxes in enumerate(rows):
        packed[index] = boxes
    return packed


def move_boxes(boxes: np.ndarray, width: int, height: int, size: int, mode: str) -> np.ndarray:
    """Where boxes of a photo of width x height px lie once it is resized to `size` px as pixels.resize does it.

    `boxes` (n, 5) float in px of the photo. What falls outside the image is cut off; edges go to the nearest px, and
    what is left of a box is at least 1 px wide and high. A box with no area, or with too little inside, is left out.
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
    """Where boxes (n, 4) of x, y, width, height lie once a photo of `size` (width, height) is turned upright.

    `orientation` is EXIF's for photos that lie on their side: 5 mirrored and 6, 7 mirrored and 8 (EXIF 2.3, 4.6.4).
    """
    x, y, width, height = edges.T
    # what was measured from the left is measured from above then, and the other way round
    across = size[1] - y - height if orientation in (6, 7) else y
    down = size[0] - x - width if orientation in (7, 8) else x
    return np.stack([across, down, height, width], axis=1)


def _read_row(path: Path, row: int, sample: Any) -> np.ndarray:
    boxes = sample.get("boundingBoxes") if isinstance(sample, Mapping) else None
    if not isinstance(boxes, list):
        raise BlockError(f'{path} row {row} has no list "boundingBoxes"; export the data again.')
    return np.array(list(_read_each(path, row, boxes)), dtype=int).reshape(-1, len(COLUMNS))


def _read_each(path: Path, row: int, boxes: list[Any]) -> Iterator[list[int]]:
    for box in boxes:
        values = [box.get(name) if isinstance(box, Mapping) else None for name in COLUMNS]
        numbers = [value for value in values if isinstance(value, int | float) and abs(value) < FARTHEST_PX]
        if len(numbers) < len(COLUMNS):
            raise BlockError(f"{path} row {row} holds {box!r}, which lacks one of the numbers {', '.join(COLUMNS)}.")
        label, *edges = numbers
        if label != int(label) or label < 1:
            raise BlockError(f"{path} row {row} has label {label}; labels of boxes count from 1.")
        yield [int(label) - 1, *(round(edge) for edge in edges)]


def _inside(boxes: np.ndarray, size: int) -> np.ndarray:
    """The boxes cut to the image; those with no area in it are left out."""
    start = boxes[:, 1:3].clip(0, size)
    stop = (boxes[:, 1:3] + boxes[:, 3:5]).clip(0, size)
    cut = np.concatenate([boxes[:, :1], start, stop - start], axis=1)
    return cut[(stop > start).all(axis=1)]
