"""Where a photo's class comes from: its folder, its name, Pascal VOC or an Edge Impulse export.

One reader for each source; a choice is only asked for where sources that fit disagree.
"""

from collections import Counter
from collections.abc import Callable

from block.errors import BlockError
from block.photos import edge_impulse, voc
from block.photos.folder import PhotoFolder, first_few, split_folders
from block.photos.formats import Labels

LABEL_SOURCES = ("folder", "name", "voc", "export")
# What cameras and programs call their photos does not tell what is on them.
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
    """Photos that more than one source labels, and differently."""


def choose_labels(folder: PhotoFolder, wanted: str | None) -> tuple[str, dict[str, str]]:
    """The source that names the classes, and each photo's class."""
    fitting: dict[str, Labels] = {}
    problems = ""
    for source in LABEL_SOURCES if wanted is None else (wanted,):
        try:
            fitting[source] = _fitting_labels(source, folder, sure=wanted is None)
        except BlockError as error:
            problems += f" {source}: {error}"
    if not fitting:
        asked = f"--labels-from {wanted} does not fit" if wanted else "Nothing names the classes of"
        raise BlockError(
            f"{asked} the photos in {folder.root}.{problems} "
            "The simplest remedy is a folder for each class, with its photos in it."
        )
    source, labels = next(iter(fitting.items()))
    if any(other != labels for other in fitting.values()):
        ways = "; ".join(f"--labels-from {way} ({first_few(_classes(each))})" for way, each in fitting.items())
        raise AmbiguousLabelsError(
            f"The photos in {folder.root} can be labelled in {len(fitting)} ways that disagree; "
            f"say which one you mean: {ways}."
        )
    return source, _single_class_each(labels, folder, source)


def _fitting_labels(source: str, folder: PhotoFolder, sure: bool) -> Labels:
    """The classes that the source gives; raises BlockError with its reason where it does not fit."""
    reader, lacking = _READERS[source]
    found = reader(folder)
    labels = {name: found.get(name, frozenset()) for name in folder.paths}
    without = [name for name in labels if not labels[name]]
    if without:
        raise BlockError(f"{len(without)} of {len(labels)} photos {lacking}, such as {without[0]}.")
    classes = _classes(labels)
    if len(classes) < 2:
        raise BlockError(f"All photos are of one class, {classes[0]!r}; a classifier needs at least two.")
    if sure and source == "name":
        _refuse_doubtful_names(labels)
    return labels


def _refuse_doubtful_names(labels: Labels) -> None:
    counts = Counter(label for (label,) in labels.values())
    doubtful = [label for label, count in counts.items() if count < 2 or label.lower().split()[0] in CAMERA_NAMES]
    if doubtful:
        raise BlockError(f"The file names do not begin with classes, going by {first_few(doubtful)}.")


def _classes(labels: Labels) -> list[str]:
    return sorted(frozenset[str]().union(*labels.values()))


def _single_class_each(labels: Labels, folder: PhotoFolder, source: str) -> dict[str, str]:
    mixed = [name for name in folder.paths if len(labels[name]) > 1]
    if mixed:
        raise BlockError(
            f"{len(mixed)} of {len(labels)} photos in {folder.root} have boxes of several classes, such as "
            f"{mixed[0]} ({', '.join(sorted(labels[mixed[0]]))}), but a classifier needs one class for each "
            f"photo (--labels-from {source}). Remove these photos, or take the classes from file names with "
            "--labels-from name or from folders with --labels-from folder."
        )
    return {name: next(iter(labels[name])) for name in folder.paths}


# --- one reader for each source ----------------------------------------------------------------------------


def _classes_from_folders(folder: PhotoFolder) -> Labels:
    of_splits = split_folders(folder.paths)
    labels: Labels = {}
    for name in folder.paths:
        parents = name.split("/")[:-1]
        if parents and parents[0] in of_splits:
            del parents[0]
        labels[name] = frozenset(parents[:1])
    return labels


def _classes_from_names(folder: PhotoFolder) -> Labels:
    return {name: frozenset(filter(None, [_class_in_name(name.rsplit("/", 1)[-1])])) for name in folder.paths}


def _class_in_name(file_name: str) -> str:
    """apple_12.jpg, apple-12.jpg, apple12.jpg, apple (12).jpg and apple.anything.jpg are all apple."""
    label, *rest = file_name.split(".")
    # Edge Impulse writes CLASS.ID.jpg, where digits may belong to the class.
    return label.strip() if len(rest) > 1 else label.rstrip(" _-()0123456789").strip()


# Each with the words for a photo that it gives no class.
_READERS: dict[str, tuple[Callable[[PhotoFolder], Labels], str]] = {
    "folder": (_classes_from_folders, "lie in no class folder"),
    "name": (_classes_from_names, "have no class in their file name"),
    "voc": (voc.classes, "have no Pascal VOC file (.xml) that names a box"),
    "export": (edge_impulse.classes, f"have no label in {' or '.join(edge_impulse.EXPORT_FILES)}"),
}
