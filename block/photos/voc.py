"""Reads Pascal VOC files: one XML file for each photo, with its objects and the size at which they were drawn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from PIL import Image

from block.data.boxes import upright_edges
from block.errors import BlockError
from block.photos.folder import PhotoFolder
from block.photos.formats import Labels, PhotoBoxes, box_numbers, normalized

VOC_EDGES = ("xmin", "ymin", "xmax", "ymax")
EXIF_ORIENTATION = 0x0112
# A resized photo has whole sides. Rounding changes each side by up to this much.
ROUNDING_PX = 1


def classes(folder: PhotoFolder) -> Labels:
    """The classes of the objects on each photo, by photo name. Raises BlockError if a file cannot be read."""
    labels: Labels = {}
    for name, path in folder.paths.items():
        annotation = voc_annotation(path, folder.root)
        objects = read_voc(annotation).findall("object") if annotation else []
        labels[name] = frozenset(filter(None, (normalized(one.findtext("name")) for one in objects)))
    return labels


def boxes(folder: PhotoFolder) -> dict[str, PhotoBoxes]:
    """The boxes of each photo that has a Pascal VOC file, by photo name, in px as in the file.

    Raises BlockError if a file cannot be read, or if a box lacks its label or a number.
    """
    drawn = {}
    for name, path in folder.paths.items():
        annotation = voc_annotation(path, folder.root)
        if annotation:
            found = read_voc(annotation).findall("object")
            drawn[name] = [
                _voc_box(
                    annotation,
                    normalized(one.findtext("name")),
                    {edge: one.findtext(f"bndbox/{edge}") for edge in VOC_EDGES},
                )
                for one in found
            ]
    return drawn


def on_upright_photos(folder: PhotoFolder, boxes: Mapping[str, PhotoBoxes]) -> dict[str, PhotoBoxes]:
    """Converts boxes to px of the upright photos. A file without a size is taken to be in these px already.

    Raises BlockError if the size in the file has other proportions than the photo.
    """
    moved = {}
    for name, on_photo in boxes.items():
        path = folder.paths[name]
        annotation = voc_annotation(path, folder.root)
        noted = _noted_size(read_voc(annotation)) if annotation and on_photo else None
        moved[name] = on_photo if noted is None or annotation is None else _fitted(annotation, path, on_photo, noted)
    return moved


def _fitted(annotation: Path, path: Path, on_photo: PhotoBoxes, noted: tuple[int, int]) -> PhotoBoxes:
    with Image.open(path) as image:
        stored, orientation = image.size, image.getexif().get(EXIF_ORIENTATION, 1)
    on_its_side = orientation in (5, 6, 7, 8)
    upright = stored[::-1] if on_its_side else stored
    if noted == upright:
        return on_photo
    edges = np.array([edges for _, edges in on_photo])
    if on_its_side and _same_proportions(noted, stored):
        edges, noted = upright_edges(edges, noted, orientation), noted[::-1]
    if not _same_proportions(noted, upright):
        raise BlockError(
            f"The boxes in {annotation} were drawn on a photo of {noted[0]} x {noted[1]} px, but {path.name} has "
            f"{upright[0]} x {upright[1]} px. They would be in the wrong places. Restore the original photo, or draw "
            "the boxes again."
        )
    edges = edges * np.tile(np.divide(upright, noted), 2)
    return [(label, row) for (label, _), row in zip(on_photo, edges, strict=True)]


def _noted_size(annotation: Element) -> tuple[int, int] | None:
    """Width and height of the photo, as noted in a Pascal VOC file; None if the file does not note them."""
    try:
        width, height = (int(float(annotation.findtext(f"size/{side}", ""))) for side in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _same_proportions(one: tuple[int, int], other: tuple[int, int]) -> bool:
    # in proportion, rounding changes the smaller of the two sizes most
    return abs(one[0] * other[1] - one[1] * other[0]) <= ROUNDING_PX * max(*one, *other)


def _voc_box(annotation: Any, label: str, edges: Mapping[str, str | None]) -> tuple[str, np.ndarray]:
    left, top, right, bottom = box_numbers(annotation, label, edges)
    # some tools start the box at another corner than the top left one
    return label, np.array([min(left, right), min(top, bottom), abs(right - left), abs(bottom - top)])


def voc_annotation(path: Path, root: Path) -> Path | None:
    """A photo's Pascal VOC file, or None.

    It lies beside the photo, or in a folder Annotations in or beside the photo's folder.
    """
    above = [path.parent] if path.parent == root else [path.parent, path.parent.parent]
    folders = [path.parent, *(folder / name for folder in above for name in ("Annotations", "annotations"))]
    candidates = (folder / f"{path.stem}{suffix}" for folder in folders for suffix in (".xml", ".XML"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def read_voc(path: Path) -> ElementTree.Element:
    """The root element of a Pascal VOC file. Raises BlockError if the file is damaged or has a DOCTYPE."""
    try:
        data = path.read_bytes()
        # A DOCTYPE can define entities that expand to gigabytes. UTF-16 has a zero byte beside each ASCII letter.
        if b"<!DOCTYPE" in data.replace(b"\0", b""):
            raise ValueError("it has a DOCTYPE, which a Pascal VOC file does not need")
        return ElementTree.fromstring(data)
    except (OSError, ElementTree.ParseError, LookupError, ValueError) as error:
        raise BlockError(f"{path} cannot be read as Pascal VOC: {error}. Repair or remove it.") from error
