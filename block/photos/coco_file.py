"""Reads one COCO file: its images, and the class and box of each object on them, in px."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from block.data.contract import read_json
from block.errors import BlockError
from block.photos.folder import first_few
from block.photos.formats import PhotoBoxes, box_numbers, normalized

LISTS, CATEGORIES, CATEGORY = ("images", "annotations"), "categories", "category_id"
BOX_EDGES = ("x", "y", "width", "height")
LEAST_CORNERS = 3


@dataclass
class CocoImage:
    """An image that a file lists. It is filled while the file is read."""

    file_name: str
    """Its path as the file writes it."""
    size: tuple[int, int] | None
    """Width and height in px; None if the file does not give them."""
    boxes: PhotoBoxes = field(default_factory=list)
    problem: str = ""
    """Why its boxes cannot be read; empty if they can."""
    crowds: int = 0
    """How many annotations of crowds it has. They are not in `boxes`."""


@dataclass(frozen=True)
class CocoFile:
    """The content of a COCO file."""

    name: str
    """Its name below the photo folder."""
    images: tuple[CocoImage, ...]
    unused: tuple[str, ...]
    """The categories without an annotation."""
    orphans: int
    """How many annotations belong to images that the file does not list."""


def read_coco(path: Path, name: str) -> CocoFile | None:
    """Reads a COCO file. `name` is its name in messages. Returns None for a file of another format.

    Raises BlockError if the file is damaged, or if an id does not occur in it or occurs with two meanings.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BlockError(f"{name} cannot be read: {error.strerror}. Change its permissions.") from error
    if not all(f'"{key}"'.encode() in data for key in LISTS):
        return None
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in LISTS):
        return None
    if not any(isinstance(each, dict) and CATEGORY in each for each in content["annotations"]) and not content.get(
        CATEGORIES
    ):
        return None  # captions and others, which name no class
    try:
        return _content(name, content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BlockError(f"{name} does not follow the COCO format ({error!r}). Export the data again.") from error


def _content(name: str, content: Mapping[str, Any]) -> CocoFile:
    labels = _by_id(name, "category", [(each["id"], normalized(each["name"])) for each in content[CATEGORIES]])
    file_names = _by_id(name, "image", [(each["id"], normalized(each["file_name"])) for each in content["images"]])
    images = {_key(each["id"]): CocoImage(file_names[_key(each["id"])], _size(each)) for each in content["images"]}
    used: set[str] = set()
    orphans = 0
    for annotation in content["annotations"]:
        place = f"{name}, annotation {annotation.get('id')}"
        category = _key(annotation[CATEGORY])
        if category not in labels:
            known = first_few([f"{number} {label}" for number, label in labels.items()]) or "none"
            raise BlockError(
                f"{place}: category {category} is not among the categories of the file ({known}). Export the data "
                "again."
            )
        image = images.get(_key(annotation["image_id"]))
        used.add(labels[category])
        if image is None:
            orphans += 1
        elif annotation.get("iscrowd"):
            image.crowds += 1
        else:
            _add(image, place, labels[category], annotation)
    unused = tuple(label for label in dict.fromkeys(labels.values()) if label not in used)
    return CocoFile(name, tuple(images.values()), unused, orphans)


def _add(image: CocoImage, place: str, label: str, annotation: Mapping[str, Any]) -> None:
    try:
        image.boxes.append((label, _box(place, label, annotation)))
    except BlockError as error:
        image.problem = image.problem or str(error)


def _by_id(name: str, kind: str, pairs: Sequence[tuple[Any, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for identity, text in pairs:
        if not text:
            raise BlockError(f"{name}: {kind} {identity} has no name. Export the data again.")
        if found.setdefault(_key(identity), text) != text:
            raise BlockError(
                f"{name}: the id {identity} belongs to {kind} {found[_key(identity)]} and to {kind} {text}. Export the "
                "data again."
            )
    return found


def _key(identity: Any) -> str:
    # some programs write the same id as a number in one place and as a text in another
    if identity is None or isinstance(identity, bool | list | dict):
        raise ValueError(f"the id {identity!r}")
    return str(identity)


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    try:
        width, height = int(image["width"]), int(image["height"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _box(place: str, label: str, annotation: Mapping[str, Any]) -> np.ndarray:
    """The box (4,) of an annotation; if it has none, the box around its polygons."""
    edges = annotation.get("bbox")
    if not edges:
        return _around(place, label, annotation.get("segmentation"))
    if not isinstance(edges, list) or len(edges) != len(BOX_EDGES):
        raise BlockError(f"{place}: the bbox of {label!r} is {str(edges)[:80]}. It needs four numbers. Correct it.")
    numbers = box_numbers(place, label, dict(zip(BOX_EDGES, edges, strict=True)))
    if (numbers[2:] < 0).any():
        raise BlockError(f"{place}: the bbox of {label!r} has a width or height below 0. Correct or remove it.")
    return numbers


def _around(place: str, label: str, shape: Any) -> np.ndarray:
    if isinstance(shape, dict):
        raise BlockError(
            f"{place}: {label!r} has a mask in run-length encoding (RLE) and no bbox. This block reads boxes and "
            "polygons. Export the data with bbox."
        )
    polygons = shape if isinstance(shape, list) else []
    if polygons and not isinstance(polygons[0], list):
        polygons = [polygons]
    try:
        points = np.concatenate([np.array(each, dtype=float).reshape(-1, 2) for each in polygons])
    except (TypeError, ValueError):  # np.concatenate raises ValueError if there are no polygons
        points = np.empty((0, 2))
    if len(points) < LEAST_CORNERS or not np.isfinite(points).all():
        raise BlockError(f"{place}: {label!r} has neither a bbox nor a polygon. Add one, or remove the annotation.")
    return np.concatenate([points.min(axis=0), np.ptp(points, axis=0)])
