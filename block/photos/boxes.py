"""Finds each photo's boxes in the label format that fits. Coordinates are px of the upright photo."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from block.errors import BlockError
from block.photos import coco, edge_impulse, voc, yolo
from block.photos.folder import PhotoFolder, first_few
from block.photos.formats import (
    NO_SPLITS,
    Annotations,
    GivenSplits,
    PhotoBoxes,
    refuse_many_unread_labels,
    without_doubles,
)
from block.photos.frame import on_upright_photos

_READERS: dict[str, Callable[[PhotoFolder], Annotations]] = {
    "voc": voc.read,
    "export": edge_impulse.read,
    "yolo": yolo.read,
    "coco": coco.read,
}
BOX_SOURCES = tuple(_READERS)


class NoBoxesError(BlockError):
    """No source has a box for any photo."""


@dataclass(frozen=True)
class DrawnBoxes:
    """The boxes of each photo, by photo name, and the source that they come from."""

    source: str
    boxes: dict[str, PhotoBoxes]
    unread: dict[str, str] = field(default_factory=dict)
    """The photos whose boxes cannot be read, with the reasons. They are not in `boxes`."""
    warnings: tuple[str, ...] = ()
    """Sentences for the user about photos and label files that do not match."""
    splits: GivenSplits = NO_SPLITS
    """The splits that the source gives."""


def choose_boxes(folder: PhotoFolder, wanted: str | None) -> DrawnBoxes:
    """The boxes of each photo and their source. A photo with an empty list is background.

    `wanted` is the only source to try; None tries all. Raises NoBoxesError if no source has boxes. Raises BlockError if
    several sources have boxes and none is `wanted`, or if the boxes of too many photos cannot be read or placed.
    """
    if wanted is not None and wanted not in BOX_SOURCES:
        raise BlockError(
            f"--labels-from {wanted} gives no boxes. Detection needs --labels-from {' or '.join(BOX_SOURCES)}."
        )
    found: dict[str, Annotations] = {}
    problems: dict[str, BlockError] = {}
    for source in [wanted] if wanted else BOX_SOURCES:
        try:
            found[source] = _read(folder, source)
        except NoBoxesError:
            continue
        except BlockError as error:
            problems[source] = error
    if len(found) > 1:
        raise BlockError(
            f"The photos in {folder.root} have boxes from {' and '.join(found)}. Choose one with --labels-from."
        )
    if not found:
        raise next(iter(problems.values()), _no_boxes(folder))
    source, annotations = next(iter(found.items()))
    drawn = _drawn(folder, source, annotations)
    unused = tuple(f"Boxes from {other} are not used. {problem}" for other, problem in problems.items())
    return replace(drawn, warnings=unused + drawn.warnings)


def has_boxes(folder: PhotoFolder) -> bool:
    """Whether `choose_boxes` finds boxes without a choice by the user."""
    try:
        choose_boxes(folder, None)
    except BlockError:
        return False
    return True


def _read(folder: PhotoFolder, source: str) -> Annotations:
    """What a source says. Raises NoBoxesError if it has no boxes, BlockError if too much of it cannot be read."""
    annotations = _READERS[source](folder)
    refuse_many_unread_labels(folder, annotations.unread)
    if not any(drawing.boxes for drawing in annotations.drawings.values()):
        raise _no_boxes(folder)
    return annotations


def _drawn(folder: PhotoFolder, source: str, annotations: Annotations) -> DrawnBoxes:
    silent = [name for name in folder.paths if name not in annotations.drawings and name not in annotations.unread]
    if annotations.needs_file and silent:
        raise BlockError(
            f"{len(silent)} of {len(folder.paths)} photos in {folder.root} have no Pascal VOC file (.xml), such as "
            f"{silent[0]}. Label these photos or remove them. A photo without objects needs a file too."
        )
    drawings, doubles = without_doubles(annotations.drawings)
    placed = on_upright_photos(folder, drawings, annotations.unit)
    unread = annotations.unread | placed.unread
    refuse_many_unread_labels(folder, unread)
    warnings = (
        *annotations.warnings,
        *_absence_warnings(folder, annotations, silent),
        *_label_warnings(annotations),
        *doubles,
        *placed.warnings,
    )
    return DrawnBoxes(source, placed.boxes | {name: [] for name in silent}, unread, warnings, annotations.splits)


def _no_boxes(folder: PhotoFolder) -> NoBoxesError:
    return NoBoxesError(
        f"No boxes were found for the photos in {folder.root}. Detection needs Pascal VOC files (.xml), YOLO "
        "files (.txt, in a folder labels or beside the photos), a COCO file (.json) or an Edge Impulse export "
        f"(info.labels, bounding_boxes.labels).{_stray_xml_hint(folder)}{_stray_yolo_hint(folder)}"
    )


def _stray_xml_hint(folder: PhotoFolder) -> str:
    """A hint for the user if the folder has XML files, none of which gives a photo a box."""
    files = sorted(path for path in folder.root.rglob("*") if path.suffix.lower() == ".xml")
    if not files:
        return ""
    return (
        f" The folder has {len(files)} .xml files, such as {files[0].relative_to(folder.root)}, but none gives a photo "
        "a box. The file must have the photo's name. It must lie beside the photo, or in a folder Annotations in or "
        "above the photo's folder."
    )


def _stray_yolo_hint(folder: PhotoFolder) -> str:
    """A hint for the user if the folder has YOLO files, none of which gives a photo a box."""
    files = yolo.stray_files(folder)
    if not files:
        return ""
    return (
        f" The folder has {len(files)} YOLO files, such as {files[0]}, but none gives a photo a box. The file must "
        "have the photo's name. It must lie beside the photo, or in a folder labels in or above the photo's folder."
    )


def _absence_warnings(folder: PhotoFolder, annotations: Annotations, silent: list[str]) -> tuple[str, ...]:
    """Warnings about photos without an entry in a label file, and about entries or files without a photo.

    Raises BlockError if there are both, because then the photos were probably renamed.
    """
    background = f"{len(silent)} of {len(folder.paths)} photos in {folder.root} are in no label file"
    of_files = "photos of label files" if annotations.has_own_files else "photos in the label files"
    absent = f"{len(annotations.absent)} {of_files} do not exist"
    listed = first_few(annotations.absent)
    if silent and annotations.absent:
        raise BlockError(
            f"{background} ({first_few(silent)}), and {absent} ({listed}). Rename the photos as in the label files, or "
            "remove photos and entries that have no counterpart."
        )
    warnings = [f"{background}. They are used as background: {first_few(silent)}."] if silent else []
    return (*warnings, f"{absent}: {listed}.") if annotations.absent else tuple(warnings)


def _label_warnings(annotations: Annotations) -> tuple[str, ...]:
    """A warning about photos that have a label but no boxes."""
    labelled = [
        f"{name} ({', '.join(sorted(annotations.classes[name]))})"
        for name, drawing in annotations.drawings.items()
        if not drawing.boxes and annotations.classes.get(name)
    ]
    if not labelled:
        return ()
    return (f"{len(labelled)} photos have a label but no boxes. They are used as background: {first_few(labelled)}.",)
