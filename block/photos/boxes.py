"""Finds each photo's boxes in Pascal VOC files or an Edge Impulse export. Coordinates are px of the upright photo."""

from collections.abc import Mapping
from dataclasses import dataclass

from block.errors import BlockError
from block.photos import edge_impulse, voc
from block.photos.folder import PhotoFolder, first_few
from block.photos.formats import PhotoBoxes

BOX_SOURCES = ("voc", "export")


@dataclass(frozen=True)
class DrawnBoxes:
    """The boxes of each photo, by photo name, and the source that they come from."""

    source: str
    boxes: dict[str, PhotoBoxes]
    warnings: tuple[str, ...] = ()
    """Sentences for the user about photos and label files that do not match."""


def choose_boxes(folder: PhotoFolder, wanted: str | None) -> DrawnBoxes:
    """The boxes of each photo and their source. A photo with an empty list is background.

    `wanted` is the only source to try; None tries all. Raises BlockError if no source has boxes, if both sources have
    boxes and none is `wanted`, or if boxes were drawn on photos with other proportions.
    """
    drawn = _choose(folder, wanted)
    return drawn if drawn.source == "export" else DrawnBoxes("voc", voc.on_upright_photos(folder, drawn.boxes))


def has_boxes(folder: PhotoFolder) -> bool:
    """Whether `choose_boxes` finds boxes without a choice by the user."""
    try:
        _choose(folder, None)
    except BlockError:
        return False
    return True


def _choose(folder: PhotoFolder, wanted: str | None) -> DrawnBoxes:
    if wanted is not None and wanted not in BOX_SOURCES:
        raise BlockError(
            f"--labels-from {wanted} gives no boxes. Detection needs --labels-from {' or '.join(BOX_SOURCES)}."
        )
    readers = {"voc": voc.boxes, "export": edge_impulse.boxes}
    found = {source: readers[source](folder) for source in ((wanted,) if wanted else BOX_SOURCES)}
    fitting = {source: boxes for source, boxes in found.items() if any(boxes.values())}
    if not fitting:
        raise BlockError(
            f"No boxes were found for the photos in {folder.root}. Detection needs Pascal VOC files (.xml) or an "
            f"Edge Impulse export (info.labels, bounding_boxes.labels).{_stray_xml_hint(folder)}"
        )
    if len(fitting) > 1:
        raise BlockError(
            f"The photos in {folder.root} have boxes from {' and '.join(fitting)}. Choose one with --labels-from."
        )
    source, boxes = next(iter(fitting.items()))
    unknown = [name for name in folder.paths if name not in boxes]
    if source == "export":
        return DrawnBoxes(source, boxes | {name: [] for name in unknown}, _export_warnings(folder, boxes, unknown))
    if unknown:
        raise BlockError(
            f"{len(unknown)} of {len(folder.paths)} photos in {folder.root} have no Pascal VOC file (.xml), such as "
            f"{unknown[0]}. Label these photos or remove them. A photo without objects needs a file too."
        )
    return DrawnBoxes(source, boxes)


def _stray_xml_hint(folder: PhotoFolder) -> str:
    """A hint for the user if the folder has XML files, none of which gives a photo a box."""
    files = sorted(path for path in folder.root.rglob("*") if path.suffix.lower() == ".xml")
    if not files:
        return ""
    return (
        f" The folder has {len(files)} .xml files, such as {files[0].relative_to(folder.root)}, but none gives a photo "
        "a box. The file must have the photo's name. It must lie beside the photo, or in a folder Annotations in or "
        "beside the photo's folder."
    )


def _export_warnings(folder: PhotoFolder, boxes: Mapping[str, PhotoBoxes], unlisted: list[str]) -> tuple[str, ...]:
    """Warnings about photos without an entry, or entries without a photo.

    Raises BlockError if there are both, because then the photos were probably renamed.
    """
    missing = sorted(name for name in edge_impulse.export_entries(folder) if name not in boxes)
    background = f"{len(unlisted)} of {len(folder.paths)} photos in {folder.root} are in no label file"
    absent = f"{len(missing)} photos in the label files do not exist"
    if unlisted and missing:
        raise BlockError(
            f"{background} ({first_few(unlisted)}), and {absent} ({first_few(missing)}). Rename the photos as in the "
            "label files, or remove photos and entries that have no counterpart."
        )
    warnings = []
    if unlisted:
        warnings.append(f"{background}. They are used as background: {first_few(unlisted)}.")
    if missing:
        warnings.append(f"{absent}: {first_few(missing)}.")
    return tuple(warnings)
