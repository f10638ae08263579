"""Where a photo's boxes come from: Pascal VOC files or an Edge Impulse export, in px of the upright photo."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from PIL import Image

from block.data.boxes import upright_edges
from block.errors import BlockError
from block.photos.folder import PhotoFolder, first_few
from block.photos.labels import export_entries, normalized, read_voc, voc_annotation

BOX_SOURCES = ("voc", "export")
VOC_EDGES = ("xmin", "ymin", "xmax", "ymax")
EXPORT_EDGES = ("x", "y", "width", "height")
EXIF_ORIENTATION = 0x0112
# proportions may differ by as much as rounding a photo's sides makes them
ROUNDING_PX = 1

PhotoBoxes = list[tuple[str, np.ndarray]]
"""A photo's boxes: class, and x, y, width, height."""


@dataclass(frozen=True)
class DrawnBoxes:
    """What a source draws on the photos that it knows."""

    source: str
    boxes: dict[str, PhotoBoxes]
    warnings: tuple[str, ...] = ()
    """What a person should look at."""


def choose_boxes(folder: PhotoFolder, wanted: str | None) -> DrawnBoxes:
    """The source that draws boxes, and each photo's; a photo that it knows and draws none on shows background.

    Raises BlockError when no source fits, or both do and none is `wanted`, and when boxes were drawn on other photos.
    """
    drawn = _choose(folder, wanted)
    return drawn if drawn.source == "export" else DrawnBoxes("voc", _on_upright_photos(folder, drawn.boxes))


def has_boxes(folder: PhotoFolder) -> bool:
    """Whether any source draws boxes on all the photos it should."""
    try:
        _choose(folder, None)
    except BlockError:
        return False
    return True


def _choose(folder: PhotoFolder, wanted: str | None) -> DrawnBoxes:
    if wanted is not None and wanted not in BOX_SOURCES:
        raise BlockError(
            f"--labels-from {wanted} gives no boxes; detection takes them from {' or '.join(BOX_SOURCES)}."
        )
    readers = {"voc": _boxes_from_voc, "export": _boxes_from_export}
    found = {source: readers[source](folder) for source in ((wanted,) if wanted else BOX_SOURCES)}
    fitting = {source: boxes for source, boxes in found.items() if any(boxes.values())}
    if not fitting:
        raise BlockError(
            f"Nothing draws boxes on the photos in {folder.root}. Detection learns from Pascal VOC files (.xml) or an "
            f"Edge Impulse export (info.labels, bounding_boxes.labels).{_astray(folder)}"
        )
    if len(fitting) > 1:
        raise BlockError(
            f"The photos in {folder.root} have boxes from {' and '.join(fitting)}; choose one with --labels-from."
        )
    source, boxes = next(iter(fitting.items()))
    unknown = [name for name in folder.paths if name not in boxes]
    if source == "export":
        return DrawnBoxes(source, boxes | {name: [] for name in unknown}, _export_warnings(folder, boxes, unknown))
    if unknown:
        raise BlockError(
            f"{len(unknown)} of {len(folder.paths)} photos in {folder.root} have no Pascal VOC file (.xml), such as "
            f"{unknown[0]}. Label them (a file without objects says that there are none), or remove them."
        )
    return DrawnBoxes(source, boxes)


def _astray(folder: PhotoFolder) -> str:
    """A hint where XML files lie that belong to no photo."""
    astray = sorted(path for path in folder.root.rglob("*") if path.suffix.lower() == ".xml")
    if not astray:
        return ""
    return (
        f" {len(astray)} .xml files lie there, such as {astray[0].relative_to(folder.root)}, but none with a box is "
        "named after a photo and lies beside it, or in a folder Annotations in or beside the photo's folder."
    )


def _export_warnings(folder: PhotoFolder, boxes: Mapping[str, PhotoBoxes], unlisted: list[str]) -> tuple[str, ...]:
    """Photos and entries that have no counterpart; raises BlockError where there are both: names were changed."""
    missing = sorted(name for name, entry in export_entries(folder).items() if name not in boxes)
    background = f"{len(unlisted)} of {len(folder.paths)} photos in {folder.root} are in no label file"
    lost = f"the label files name {len(missing)} photos that are not there"
    if unlisted and missing:
        raise BlockError(
            f"{background} ({first_few(unlisted)}), and {lost} ({first_few(missing)}). Give the photos the names that "
            "the label files have, or remove what does not belong to them."
        )
    warnings = []
    if unlisted:
        warnings.append(f"{background}; they are taken for background: {first_few(unlisted)}.")
    if missing:
        warnings.append(f"{lost}: {first_few(missing)}.")
    return tuple(warnings)


def _boxes_from_voc(folder: PhotoFolder) -> dict[str, PhotoBoxes]:
    boxes = {}
    for name, path in folder.paths.items():
        annotation = voc_annotation(path, folder.root)
        if annotation:
            found = read_voc(annotation).findall("object")
            boxes[name] = [
                _voc_box(
                    annotation,
                    normalized(one.findtext("name")),
                    {edge: one.findtext(f"bndbox/{edge}") for edge in VOC_EDGES},
                )
                for one in found
            ]
    return boxes


def _on_upright_photos(folder: PhotoFolder, boxes: Mapping[str, PhotoBoxes]) -> dict[str, PhotoBoxes]:
    """Boxes in px of the photos as they are, wherever the annotations note the size that they were drawn at."""
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
    lies = orientation in (5, 6, 7, 8)
    upright = stored[::-1] if lies else stored
    if noted == upright:
        return on_photo
    edges = np.array([edges for _, edges in on_photo])
    if lies and _same_proportions(noted, stored):
        edges, noted = upright_edges(edges, noted, orientation), noted[::-1]
    if not _same_proportions(noted, upright):
        raise BlockError(
            f"{annotation} was drawn on a photo of {noted[0]} x {noted[1]} px, but {path.name} has {upright[0]} x "
            f"{upright[1]} px: its boxes would lie elsewhere. Put the photo it was drawn on there, or draw it anew."
        )
    edges = edges * np.tile(np.divide(upright, noted), 2)
    return [(label, row) for (label, _), row in zip(on_photo, edges, strict=True)]


def _noted_size(annotation: Element) -> tuple[int, int] | None:
    """Width and height of the photo that a Pascal VOC file describes; None where it does not say."""
    try:
        width, height = (int(float(annotation.findtext(f"size/{side}", ""))) for side in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _same_proportions(one: tuple[int, int], other: tuple[int, int]) -> bool:
    # the smaller of both sizes was rounded most
    return abs(one[0] * other[1] - one[1] * other[0]) <= ROUNDING_PX * max(*one, *other)


def _voc_box(annotation: Any, label: str, edges: Mapping[str, str | None]) -> tuple[str, np.ndarray]:
    left, top, right, bottom = _numbers(annotation, label, edges)
    # drawn from whichever corner
    return label, np.array([min(left, right), min(top, bottom), abs(right - left), abs(bottom - top)])


def _boxes_from_export(folder: PhotoFolder) -> dict[str, PhotoBoxes]:
    entries = export_entries(folder)
    boxes: dict[str, PhotoBoxes] = {name: [] for name in folder.paths if name in entries}
    for name in boxes:
        drawn = entries[name].get("boundingBoxes", [])
        for box in drawn if isinstance(drawn, list) else [drawn]:
            fields = box if isinstance(box, Mapping) else {}
            label = normalized(fields.get("label"))
            boxes[name].append((label, _numbers(name, label, {edge: fields.get(edge) for edge in EXPORT_EDGES})))
    return boxes


def _numbers(place: Any, label: str, edges: Mapping[str, Any]) -> np.ndarray:
    try:
        numbers = np.array([float(edge) for edge in edges.values()])
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if not label or not np.isfinite(numbers).all():
        raise BlockError(
            f"{place} has a box {label!r} of {', '.join(f'{name} {edge}' for name, edge in edges.items())}; "
            "a box needs a label and four numbers."
        )
    return numbers
