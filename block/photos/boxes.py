"""Where a photo's boxes come from: Pascal VOC files or an Edge Impulse export, in px of the upright photo."""

from collections.abc import Mapping
from dataclasses import dataclass

from block.errors import BlockError
from block.photos import edge_impulse, voc
from block.photos.folder import PhotoFolder, first_few
from block.photos.formats import PhotoBoxes

BOX_SOURCES = ("voc", "export")


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
    return drawn if drawn.source == "export" else DrawnBoxes("voc", voc.on_upright_photos(folder, drawn.boxes))


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
    readers = {"voc": voc.boxes, "export": edge_impulse.boxes}
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
    missing = sorted(name for name, entry in edge_impulse.export_entries(folder).items() if name not in boxes)
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
