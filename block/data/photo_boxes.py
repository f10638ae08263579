"""Where a photo's boxes come from: Pascal VOC files or an Edge Impulse export, in px of the upright photo."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from block.data.labels import export_entries, read_voc, tidy, voc_annotation
from block.data.photo_folder import PhotoFolder
from block.errors import BlockError

BOX_SOURCES = ("voc", "export")
VOC_EDGES = ("xmin", "ymin", "xmax", "ymax")
EXPORT_EDGES = ("x", "y", "width", "height")

PhotoBoxes = list[tuple[str, np.ndarray]]
"""A photo's boxes: class, and x, y, width, height."""


def choose_boxes(folder: PhotoFolder, wanted: str | None) -> tuple[str, dict[str, PhotoBoxes]]:
    """The source that draws boxes, and each photo's; a photo that it knows and draws none on shows background.

    Raises BlockError when no source fits, or both do and none is `wanted`.
    """
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
            "Edge Impulse export (info.labels, bounding_boxes.labels)."
        )
    if len(fitting) > 1:
        raise BlockError(
            f"The photos in {folder.root} have boxes from {' and '.join(fitting)}; choose one with --labels-from."
        )
    source, boxes = next(iter(fitting.items()))
    unknown = [name for name in folder.paths if name not in boxes]
    if unknown:
        raise BlockError(
            f"{len(unknown)} of {len(folder.paths)} photos in {folder.root} have no Pascal VOC file (.xml), such as "
            f"{unknown[0]}. Label them (a file without objects says that there are none), or remove them."
        )
    return source, boxes


def has_boxes(folder: PhotoFolder) -> bool:
    """Whether any source draws boxes on all the photos it should."""
    try:
        choose_boxes(folder, None)
    except BlockError:
        return False
    return True


def _boxes_from_voc(folder: PhotoFolder) -> dict[str, PhotoBoxes]:
    boxes = {}
    for name, path in folder.paths.items():
        annotation = voc_annotation(path, folder.root)
        if annotation:
            found = read_voc(annotation).findall("object")
            boxes[name] = [
                _voc_box(
                    annotation, tidy(one.findtext("name")), {edge: one.findtext(f"bndbox/{edge}") for edge in VOC_EDGES}
                )
                for one in found
            ]
    return boxes


def _voc_box(annotation: Any, label: str, edges: Mapping[str, str | None]) -> tuple[str, np.ndarray]:
    left, top, right, bottom = _numbers(annotation, label, edges)
    return label, np.array([left, top, right - left, bottom - top])


def _boxes_from_export(folder: PhotoFolder) -> dict[str, PhotoBoxes]:
    entries = export_entries(folder)
    boxes: dict[str, PhotoBoxes] = {name: [] for name in folder.paths}
    for name in folder.paths.keys() & entries.keys():
        drawn = entries[name].get("boundingBoxes", [])
        for box in drawn if isinstance(drawn, list) else [drawn]:
            fields = box if isinstance(box, Mapping) else {}
            label = tidy(fields.get("label"))
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
