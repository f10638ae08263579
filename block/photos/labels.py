"""Finds each photo's class in its folder, its file name, its Pascal VOC file or an Edge Impulse export.

Each source has one reader. The user must choose a source only if several sources fit and disagree.
"""

from collections.abc import Callable
from dataclasses import replace

from block.errors import BlockError
from block.photos import edge_impulse, voc
from block.photos.doubts import DoubtError, refuse_doubtful_folders, refuse_doubtful_names, refuse_empty_folders
from block.photos.folder import PhotoFolder, first_few
from block.photos.foreign import foreign_labels
from block.photos.formats import Labels
from block.photos.names import class_in_name, stem
from esp32_deploy.file_kinds import PICTURE_KINDS, kind_of

LABEL_SOURCES = ("folder", "name", "voc", "export")


class NoLabelsError(BlockError):
    """No source gives each photo a class, and none is in doubt."""


class AmbiguousLabelsError(BlockError):
    """Several sources label the photos, and they disagree."""


def choose_labels(folder: PhotoFolder, wanted: str | None) -> tuple[str, dict[str, str]]:
    """The source of the classes, and the class of each photo by photo name.

    `wanted` is the only source to try; None tries all. Raises AmbiguousLabelsError if sources disagree, and BlockError
    if no source fits or a photo has boxes of several classes.
    """
    fitting: dict[str, Labels] = {}
    problems: dict[str, BlockError] = {}
    for source in LABEL_SOURCES if wanted is None else (wanted,):
        try:
            fitting[source] = _fitting_labels(source, folder, is_asked=wanted is not None)
        except BlockError as error:
            problems[source] = error
    if not fitting:
        failed = f"--labels-from {wanted} does not work" if wanted else "No source gives usable classes"
        reasons = "".join(f" {source}: {error}" for source, error in problems.items())
        is_doubtful = any(isinstance(error, DoubtError) for error in problems.values())
        kind = BlockError if is_doubtful else NoLabelsError
        raise kind(f"{failed} for the photos in {folder.root}.{reasons}")
    source, labels = next(iter(fitting.items()))
    if any(other != labels for other in fitting.values()):
        ways = "; ".join(f"--labels-from {way} ({first_few(_classes(each))})" for way, each in fitting.items())
        raise AmbiguousLabelsError(
            f"{len(fitting)} sources give the photos in {folder.root} different labels. Choose one: {ways}."
        )
    doubt = problems.get("folder")
    if source == "name" and isinstance(doubt, DoubtError) and labels != _classes_from_folders(folder):
        raise DoubtError(f"{doubt} To take the classes from the file names, use --labels-from name.")
    if source == "name" and wanted is None and foreign_labels(folder):
        raise DoubtError(
            f"The names of the photos in {folder.root} may begin with classes ({first_few(_classes(labels))}), but "
            "labels in another format lie beside them. To take the classes from the names, use --labels-from name."
        )
    if "folder" in fitting:
        refuse_empty_folders(folder)
    _refuse_lost_classes(folder, source, labels)
    return source, _single_class_each(labels, folder, source)


def _fitting_labels(source: str, folder: PhotoFolder, is_asked: bool) -> Labels:
    """The classes that a source gives. Raises BlockError with the reason if the source does not fit.

    `is_asked` accepts folders and file names that probably have another meaning, because the user named this source.
    """
    reader, lacking = _READERS[source]
    found = reader(folder)
    labels = {name: found.get(name, frozenset()) for name in folder.paths}
    if source == "folder":
        refuse_doubtful_folders(folder, is_asked)
    without = [name for name in labels if not labels[name]]
    if without:
        raise BlockError(f"{len(without)} of {len(labels)} photos {lacking}, such as {without[0]}.")
    classes = _classes(labels)
    if len(classes) < 2:
        if source == "folder":
            refuse_empty_folders(folder)
        raise BlockError(f"All photos have one class, {classes[0]!r}. A classifier needs at least two classes.")
    if source == "name" and not is_asked:
        refuse_doubtful_names(labels)
    return labels


def _refuse_lost_classes(folder: PhotoFolder, source: str, labels: Labels) -> None:
    """Raises BlockError if no photo of a class can be read, because the class would vanish."""
    reader, _ = _READERS[source]
    unread = {name: path for name, path in folder.others.items() if kind_of(path) in PICTURE_KINDS}
    lost = reader(replace(folder, paths=dict(folder.unreadable) | unread, unreadable=folder.paths))
    known = set(_classes(labels))
    for name in (*folder.unreadable, *unread):
        if gone := sorted(lost.get(name, frozenset()) - known):
            raise BlockError(
                f"No photo of class {gone[0]!r} in {folder.root} can be read ({name}). Replace or remove these photos "
                "and run again."
            )


def _classes(labels: Labels) -> list[str]:
    return sorted(frozenset[str]().union(*labels.values()))


def _single_class_each(labels: Labels, folder: PhotoFolder, source: str) -> dict[str, str]:
    mixed = [name for name in folder.paths if len(labels[name]) > 1]
    if mixed:
        raise BlockError(
            f"{len(mixed)} of {len(labels)} photos in {folder.root} have boxes of several classes (--labels-from "
            f"{source}), such as {mixed[0]} ({', '.join(sorted(labels[mixed[0]]))}). A classifier needs one class for "
            "each photo. Remove these photos, take the classes from file names with --labels-from name, or take them "
            "from folders with --labels-from folder."
        )
    return {name: next(iter(labels[name])) for name in folder.paths}


# --- one reader for each source ----------------------------------------------------------------------------


def _classes_from_folders(folder: PhotoFolder) -> Labels:
    found = {name: folder.levels.class_path(name) for name in folder.paths}
    return {name: frozenset([path.rpartition("/")[2]] if path else []) for name, path in found.items()}


def _classes_from_names(folder: PhotoFolder) -> Labels:
    stems = {name: stem(name.rpartition("/")[2]) for name in folder.paths}
    known = set(stems.values())
    return {name: frozenset(filter(None, [class_in_name(text, known)])) for name, text in stems.items()}


# The second value is the verb phrase of the message about photos that have no class.
_READERS: dict[str, tuple[Callable[[PhotoFolder], Labels], str]] = {
    "folder": (_classes_from_folders, "are not in a class folder"),
    "name": (_classes_from_names, "have no class in their file name"),
    "voc": (voc.classes, "have no Pascal VOC file (.xml) with a named box"),
    "export": (edge_impulse.classes, f"have no label in {' or '.join(edge_impulse.EXPORT_FILES)}"),
}
