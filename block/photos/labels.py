"""Finds each photo's class in its folder, its file name or the label format that fits.

Each source has one reader. The user must choose a source only if several sources fit and disagree.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from block.errors import BlockError
from block.photos import coco, edge_impulse, voc, yolo
from block.photos.doubts import DoubtError, refuse_doubtful_folders, refuse_doubtful_names, refuse_empty_folders
from block.photos.folder import PhotoFolder, first_few
from block.photos.foreign import foreign_labels
from block.photos.formats import Annotations, GivenSplits, Labels, refuse_many_unread_labels
from block.photos.names import class_in_name, stem, without_number
from esp32_deploy.file_kinds import PICTURE_KINDS, kind_of

LABEL_SOURCES = ("folder", "name", "voc", "export", "yolo", "coco")
# Where these label photos with boxes, the file names are not taken for classes unless the user asks.
BEFORE_NAMES = ("export", "yolo", "coco")


class NoLabelsError(BlockError):
    """No source gives each photo a class, and none is in doubt."""


class SilentSourceError(BlockError):
    """There are no label files of this source."""


class AmbiguousLabelsError(BlockError):
    """Several sources label the photos, and they disagree."""


@dataclass(frozen=True)
class ChosenLabels:
    """The class of each photo, by photo name, and the source that it comes from."""

    source: str
    labels: dict[str, str]
    unread: dict[str, str]
    """The reasons why photos have no class. They are not in `labels`."""
    warnings: tuple[str, ...]
    splits: GivenSplits
    """The splits that the source gives."""


def choose_labels(folder: PhotoFolder, wanted: str | None) -> ChosenLabels:
    """The class of each photo and its source.

    `wanted` is the only source to try; None tries all. Raises AmbiguousLabelsError if sources disagree, and BlockError
    if no source fits or a photo has boxes of several classes.
    """
    fitting: dict[str, Annotations] = {}
    problems: dict[str, BlockError] = {}
    for source in LABEL_SOURCES if wanted is None else (wanted,):
        try:
            fitting[source] = _fitting_labels(source, folder, is_asked=wanted is not None)
        except BlockError as error:
            problems[source] = error
    if not fitting:
        failed = f"--labels-from {wanted} does not work" if wanted else "No source gives usable classes"
        speaking = {way: error for way, error in problems.items() if not isinstance(error, SilentSourceError)}
        reasons = "".join(f" {way}: {error}" for way, error in (speaking or problems).items())
        is_doubtful = any(isinstance(error, DoubtError) for error in problems.values())
        kind = BlockError if is_doubtful else NoLabelsError
        raise kind(f"{failed} for the photos in {folder.root}.{reasons}")
    source, chosen = next(iter(fitting.items()))
    labels = chosen.classes
    if any(not _agree(labels, other.classes, source, way) for way, other in fitting.items()):
        ways = "; ".join(f"--labels-from {way} ({first_few(_classes(each.classes))})" for way, each in fitting.items())
        raise AmbiguousLabelsError(
            f"{len(fitting)} sources give the photos in {folder.root} different labels. Choose one: {ways}."
        )
    doubt = problems.get("folder")
    if source == "name" and isinstance(doubt, DoubtError) and labels != _classes_from_folders(folder).classes:
        raise DoubtError(f"{doubt} To take the classes from the file names, use --labels-from name.")
    if source == "name" and wanted is None and foreign_labels(folder):
        raise DoubtError(
            f"The names of the photos in {folder.root} may begin with classes ({first_few(_classes(labels))}), but "
            "labels in another format lie beside them. To take the classes from the names, use --labels-from name."
        )
    if "folder" in fitting:
        refuse_empty_folders(folder)
    _refuse_lost_classes(folder, source, labels)
    classes = _single_class_each(labels, folder, source)
    return ChosenLabels(source, classes, chosen.unread, chosen.warnings, chosen.splits)


def _agree(one: Labels, other: Labels, source: str, other_source: str) -> bool:
    """True if two sources give the same classes. File names may add a number to the folder's: apple/apple_1_12.jpg."""
    both = one.keys() & other.keys()
    if (source, other_source) == ("folder", "name"):
        return all(other[name] == one[name] or set(map(without_number, other[name])) == one[name] for name in both)
    return all(one[name] == other[name] for name in both)


def _fitting_labels(source: str, folder: PhotoFolder, is_asked: bool) -> Annotations:
    """The classes that a source gives. Raises BlockError with the reason if the source does not fit.

    `is_asked` accepts folders and file names that probably have another meaning, because the user named this source.
    """
    reader, lacking = _READERS[source]
    found = reader(folder)
    unread = {name: reason for name, reason in found.unread.items() if name not in found.classes}
    refuse_many_unread_labels(folder, unread)
    labels = {name: found.classes.get(name, frozenset()) for name in folder.paths if name not in unread}
    if source == "folder":
        refuse_doubtful_folders(folder, is_asked)
    without = [name for name in labels if not labels[name]]
    if without:
        kind = BlockError if found.classes else SilentSourceError
        raise kind(f"{len(without)} of {len(labels)} photos {lacking}, such as {without[0]}.")
    if source == "name" and not is_asked:
        refuse_doubtful_names(labels)
        _refuse_names_beside_boxes(folder)
    classes = _classes(labels)
    if len(classes) < 2:
        if source == "folder":
            refuse_empty_folders(folder)
        raise BlockError(f"All photos have one class, {classes[0]!r}. A classifier needs at least two classes.")
    return replace(found, classes=labels, unread=unread)


def _refuse_lost_classes(folder: PhotoFolder, source: str, labels: Labels) -> None:
    """Raises BlockError if no photo of a class can be read, because the class would vanish."""
    reader, _ = _READERS[source]
    unread = {name: path for name, path in folder.others.items() if kind_of(path) in PICTURE_KINDS}
    lost = reader(replace(folder, paths=dict(folder.unreadable) | unread, unreadable=folder.paths))
    known = set(_classes(labels))
    for name in (*folder.unreadable, *unread):
        if gone := sorted(lost.classes.get(name, frozenset()) - known):
            raise BlockError(
                f"No photo of class {gone[0]!r} in {folder.root} can be read ({name}). Replace or remove these photos "
                "and run again."
            )


def _refuse_names_beside_boxes(folder: PhotoFolder) -> None:
    for source in BEFORE_NAMES:
        reader, _ = _READERS[source]
        try:
            has_boxes = any(drawing.boxes for drawing in reader(folder).drawings.values())
        except BlockError:  # there are labels; the source gives the reason why they cannot be read
            has_boxes = True
        if has_boxes:
            raise BlockError(
                f"Labels with boxes lie beside the photos (--labels-from {source}). If the file names begin with "
                "classes, use --labels-from name."
            )


def _classes(labels: Labels) -> list[str]:
    return sorted(frozenset[str]().union(*labels.values()))


def _single_class_each(labels: Labels, folder: PhotoFolder, source: str) -> dict[str, str]:
    mixed = [name for name in labels if len(labels[name]) > 1]
    if mixed:
        raise BlockError(
            f"{len(mixed)} of {len(labels)} photos in {folder.root} have boxes of several classes (--labels-from "
            f"{source}), such as {mixed[0]} ({', '.join(sorted(labels[mixed[0]]))}). A classifier needs one class for "
            "each photo. Remove these photos, take the classes from file names with --labels-from name, or take them "
            "from folders with --labels-from folder."
        )
    return {name: label for name, (label,) in labels.items()}


# --- one reader for each source ----------------------------------------------------------------------------


def _classes_from_folders(folder: PhotoFolder) -> Annotations:
    found = {name: folder.levels.class_path(name) for name in folder.paths}
    return Annotations({name: frozenset([path.rpartition("/")[2]] if path else []) for name, path in found.items()})


def _classes_from_names(folder: PhotoFolder) -> Annotations:
    stems = {name: stem(name.rpartition("/")[2]) for name in folder.paths}
    known = set(stems.values())
    return Annotations({name: frozenset(filter(None, [class_in_name(text, known)])) for name, text in stems.items()})


# The second value is the verb phrase of the message about photos that have no class.
_READERS: dict[str, tuple[Callable[[PhotoFolder], Annotations], str]] = {
    "folder": (_classes_from_folders, "are not in a class folder"),
    "name": (_classes_from_names, "have no class in their file name"),
    "voc": (voc.read, "have no Pascal VOC file (.xml) with a named box"),
    "export": (
        edge_impulse.read,
        f"have no label in {' or '.join(edge_impulse.EXPORT_FILES)} that does more than repeat the file's name",
    ),
    "yolo": (yolo.read, "have no YOLO file (.txt) with a box"),
    "coco": (coco.read, "have no box in a COCO file (.json)"),
}
