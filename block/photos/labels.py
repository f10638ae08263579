"""Finds each photo's class in its folder, its file name, its Pascal VOC file or an Edge Impulse export.

Each source has one reader. The user must choose a source only if several sources fit and disagree.
"""

from collections import Counter
from collections.abc import Callable

from block.errors import BlockError
from block.photos import edge_impulse, voc
from block.photos.folder import PhotoFolder, first_few, split_folders
from block.photos.formats import Annotations, Labels, refuse_many_unread_labels

LABEL_SOURCES = ("folder", "name", "voc", "export")
# Cameras and programs begin their file names with these words. They are not class names.
CAMERA_NAMES = frozenset(
    (
        "capture",
        "dsc",
        "dscf",
        "dscn",
        "frame",
        "image",
        "img",
        "mvimg",
        "p",
        "photo",
        "pic",
        "picture",
        "pxl",
        "screenshot",
        "whatsapp",
        "win",
    )
)


class AmbiguousLabelsError(BlockError):
    """Several sources label the photos, and they disagree."""


def choose_labels(folder: PhotoFolder, wanted: str | None) -> tuple[str, dict[str, str], dict[str, str]]:
    """The source of the classes, the class of each photo, and the reasons why photos have none, by photo name.

    `wanted` is the only source to try; None tries all. Raises AmbiguousLabelsError if sources disagree, and BlockError
    if no source fits or a photo has boxes of several classes.
    """
    fitting: dict[str, Annotations] = {}
    problems = ""
    for source in LABEL_SOURCES if wanted is None else (wanted,):
        try:
            fitting[source] = _fitting_labels(source, folder, doubt_names=wanted is None)
        except BlockError as error:
            problems += f" {source}: {error}"
    if not fitting:
        failed = f"--labels-from {wanted} does not work" if wanted else "No source gives usable classes"
        raise BlockError(
            f"{failed} for the photos in {folder.root}.{problems} "
            "The simplest remedy: make one folder for each class and put its photos into it."
        )
    source, chosen = next(iter(fitting.items()))
    if any(not _agree(chosen.classes, other.classes) for other in fitting.values()):
        ways = "; ".join(f"--labels-from {way} ({first_few(_classes(each.classes))})" for way, each in fitting.items())
        raise AmbiguousLabelsError(
            f"{len(fitting)} sources give the photos in {folder.root} different labels. Choose one: {ways}."
        )
    return source, _single_class_each(chosen.classes, folder, source), chosen.unread


def _agree(one: Labels, other: Labels) -> bool:
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def _fitting_labels(source: str, folder: PhotoFolder, doubt_names: bool) -> Annotations:
    """The classes that a source gives. Raises BlockError with the reason if the source does not fit.

    `doubt_names` also refuses file names that probably do not begin with a class.
    """
    reader, lacking = _READERS[source]
    found = reader(folder)
    unread = {name: reason for name, reason in found.unread.items() if name not in found.classes}
    refuse_many_unread_labels(folder, unread)
    labels = {name: found.classes.get(name, frozenset()) for name in folder.paths if name not in unread}
    without = [name for name in labels if not labels[name]]
    if without:
        raise BlockError(f"{len(without)} of {len(labels)} photos {lacking}, such as {without[0]}.")
    classes = _classes(labels)
    if len(classes) < 2:
        raise BlockError(f"All photos have one class, {classes[0]!r}. A classifier needs at least two classes.")
    if doubt_names and source == "name":
        _refuse_doubtful_names(labels)
        _refuse_names_beside_boxes(folder)
    return Annotations(classes=labels, unread=unread)


def _refuse_doubtful_names(labels: Labels) -> None:
    counts = Counter(label for (label,) in labels.values())
    doubtful = [label for label, count in counts.items() if count < 2 or label.lower().split()[0] in CAMERA_NAMES]
    if doubtful:
        raise BlockError(
            f"The file names do not seem to begin with classes. Doubtful: {first_few(doubtful)}. If these are classes, "
            "use --labels-from name."
        )


def _refuse_names_beside_boxes(folder: PhotoFolder) -> None:
    try:
        has_boxes = any(drawing.boxes for drawing in edge_impulse.read(folder).drawings.values())
    except BlockError:  # the source "export" gives this reason
        return
    if has_boxes:
        raise BlockError(
            "The photos come from an Edge Impulse export with boxes, and its file names repeat the names before the "
            "upload. If they begin with classes, use --labels-from name."
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
    of_splits = split_folders(folder.paths)
    labels: Labels = {}
    for name in folder.paths:
        parents = name.split("/")[:-1]
        if parents and parents[0] in of_splits:
            del parents[0]
        labels[name] = frozenset(parents[:1])
    return Annotations(classes=labels)


def _classes_from_names(folder: PhotoFolder) -> Annotations:
    classes = {name: _class_in_name(name.rsplit("/", 1)[-1]) for name in folder.paths}
    return Annotations(classes={name: frozenset(filter(None, [label])) for name, label in classes.items()})


def _class_in_name(file_name: str) -> str:
    """The class is apple in apple_12.jpg, apple-12.jpg, apple12.jpg, apple (12).jpg and apple.anything.jpg."""
    label, *rest = file_name.split(".")
    # Edge Impulse writes CLASS.ID.jpg. There, digits before the first dot can belong to the class.
    return label.strip() if len(rest) > 1 else label.rstrip(" _-()0123456789").strip()


# The second value is the verb phrase of the message about photos that have no class.
_READERS: dict[str, tuple[Callable[[PhotoFolder], Annotations], str]] = {
    "folder": (_classes_from_folders, "are not in a class folder"),
    "name": (_classes_from_names, "have no class in their file name"),
    "voc": (voc.read, "have no Pascal VOC file (.xml) with a named box"),
    "export": (
        edge_impulse.read,
        f"have no label in {' or '.join(edge_impulse.EXPORT_FILES)} that does more than repeat the file's name",
    ),
}
