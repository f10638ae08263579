"""Where a photo's class comes from: its folder, its name, Pascal VOC or an Edge Impulse export.

One reader for each source; a choice is only asked for where sources that fit disagree.
"""

import posixpath
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from block.data.contract import read_json
from block.errors import BlockError
from block.photos.folder import PhotoFolder, first_few, photo_name, split_folders

LABEL_SOURCES = ("folder", "name", "voc", "export")
EXPORT_FILES = ("info.labels", "bounding_boxes.labels")
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

# What a source calls each photo: no class, one, or several where boxes of several classes lie on it.
Labels = dict[str, frozenset[str]]


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


def _classes_from_voc(folder: PhotoFolder) -> Labels:
    labels: Labels = {}
    for name, path in folder.paths.items():
        annotation = voc_annotation(path, folder.root)
        objects = read_voc(annotation).findall("object") if annotation else []
        labels[name] = frozenset(filter(None, (normalized(one.findtext("name")) for one in objects)))
    return labels


def voc_annotation(path: Path, root: Path) -> Path | None:
    """A photo's Pascal VOC file: the XML beside the photo, or in a folder Annotations in or beside its own folder."""
    above = [path.parent] if path.parent == root else [path.parent, path.parent.parent]
    folders = [path.parent, *(folder / name for folder in above for name in ("Annotations", "annotations"))]
    candidates = (folder / f"{path.stem}{suffix}" for folder in folders for suffix in (".xml", ".XML"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def read_voc(path: Path) -> ElementTree.Element:
    """The root element of a Pascal VOC file; raises BlockError when it is damaged or has a document type."""
    try:
        data = path.read_bytes()
        # A document type may define entities that grow to gigabytes; the zeros are those of UTF-16.
        if b"<!DOCTYPE" in data.replace(b"\0", b""):
            raise ValueError("it has a DOCTYPE, which Pascal VOC files do without")
        return ElementTree.fromstring(data)
    except (OSError, ElementTree.ParseError, LookupError, ValueError) as error:
        raise BlockError(f"{path} cannot be read as Pascal VOC: {error}. Repair or remove it.") from error


def _classes_from_export(folder: PhotoFolder) -> Labels:
    return {name: _classes_of_entry(entry) for name, entry in export_entries(folder).items()}


def _classes_of_entry(entry: Mapping[str, Any]) -> frozenset[str]:
    label, boxes = entry.get("label"), entry.get("boundingBoxes")
    if isinstance(label, dict) and label.get("type") == "label":
        return frozenset(filter(None, [normalized(label.get("label"))]))
    boxes = [box for box in boxes if isinstance(box, dict)] if isinstance(boxes, list) else []
    return frozenset(filter(None, (normalized(box.get("label")) for box in boxes)))


def export_entries(folder: PhotoFolder) -> dict[str, dict[str, Any]]:
    """What the export's label files say by photo name; they may lie in any folder above the photos."""
    parents = {parent for path in folder.paths.values() for parent in path.parents}
    # programs that move photos like to change .JPG into .jpg
    named = {name.casefold(): name for name in folder.paths}
    entries: dict[str, dict[str, Any]] = {}
    for place in sorted(parent for parent in parents if parent.is_relative_to(folder.root)):
        for file in (place / file_name for file_name in EXPORT_FILES):
            for path, entry in _read_export(file) if file.is_file() else ():
                name = posixpath.normpath(f"{photo_name(place, folder.root)}/{normalized(path)}")
                name = name if name in folder.paths else named.get(name.casefold(), name)
                entries[name] = entries.get(name, {}) | entry
    return entries


def _read_export(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Paths relative to the file, and what it says about each; boxes only where there are some."""
    content = read_json(file)
    version = content.get("version") if isinstance(content, dict) else None
    if version != 1:
        raise BlockError(f"{file} has version {version}; only version 1 of Edge Impulse's format is known.")
    try:
        if file.name == EXPORT_FILES[0]:
            entries = [(entry["path"], dict(entry)) for entry in content["files"]]
        else:
            entries = [(path, {"boundingBoxes": boxes}) for path, boxes in content["boundingBoxes"].items()]
        return [(path, {key: value for key, value in entry.items() if value}) for path, entry in entries]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BlockError(f"{file} does not follow Edge Impulse's format; export the data again.") from error


def normalized(label: Any) -> str:
    """A label without surrounding blanks, its accents in one form; empty for None."""
    return "" if label is None else unicodedata.normalize("NFC", str(label).strip())


# Each with the words for a photo that it gives no class.
_READERS: dict[str, tuple[Callable[[PhotoFolder], Labels], str]] = {
    "folder": (_classes_from_folders, "lie in no class folder"),
    "name": (_classes_from_names, "have no class in their file name"),
    "voc": (_classes_from_voc, "have no Pascal VOC file (.xml) that names a box"),
    "export": (_classes_from_export, f"have no label in {' or '.join(EXPORT_FILES)}"),
}
