"""Reads the label files of an Edge Impulse export: info.labels and bounding_boxes.labels.

Studio's detection projects keep a label beside the boxes that only repeats the photo's name. Boxes go before labels.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from block.data.contract import read_json
from block.errors import BlockError
from block.photos.folder import PhotoFolder, photo_name
from block.photos.formats import Annotations, Drawing, PhotoBoxes, box_numbers, normalized
from esp32_deploy.file_kinds import ALL_PHOTO_SUFFIXES

EXPORT_FILES = ("info.labels", "bounding_boxes.labels")
EXPORT_EDGES = ("x", "y", "width", "height")
BOXES, LABEL = "boundingBoxes", "label"
# The other fields of an entry do not tell what a photo shows.
OTHER_FIELDS = ("path", "name", "category", "metadata")
PHOTO_SUFFIX = re.compile(rf"(?:{'|'.join(map(re.escape, sorted(ALL_PHOTO_SUFFIXES)))})(?:\.|$)", re.IGNORECASE)
# Two label files may not differ in these fields of a photo.
DECISIVE_FIELDS = (BOXES, LABEL, "category")


def read(folder: PhotoFolder) -> Annotations:
    """The classes and boxes of each photo in the export.

    The classes of a photo are those of its boxes. If it has none, its label is its class. Raises BlockError if a label
    file is not JSON, has another version than 1 or has another form.
    """
    export = _read_all(folder)
    listed = {name: entry for name, entry in export.entries.items() if name in folder.paths}
    absent = sorted(name for name in export.entries if name not in listed and not (folder.root / name).exists())
    found = Annotations(absent=tuple(absent))
    found.unread.update((name, reason) for name, reason in export.conflicts.items() if name in listed)
    labels = _labels(listed)
    for name, entry in listed.items():
        file = export.files[name]
        try:
            boxes = _boxes(file, entry.get(BOXES, []))
            if not boxes:
                _refuse_other_content(file, entry)
        except BlockError as error:
            found.unread.setdefault(name, str(error))
        if name not in found.unread:
            found.drawings[name] = Drawing(file, boxes)
            found.classes[name] = frozenset(label for label, _ in boxes) or labels[name]
    return found


def export_entries(folder: PhotoFolder) -> dict[str, dict[str, Any]]:
    """The entries of all label files, by photo name. The files can lie in any folder from `root` down to the photos.

    Raises BlockError as `read` does.
    """
    return _read_all(folder).entries


# --- the label files ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Export:
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The fields of each photo from all label files, without empty ones, by photo name."""
    files: dict[str, str] = field(default_factory=dict)
    """The label file of each photo, relative to the photo folder: the one with the boxes, if there are several."""
    conflicts: dict[str, str] = field(default_factory=dict)
    """The photos with two entries that contradict each other, and a sentence for each."""


def _read_all(folder: PhotoFolder) -> _Export:
    directories = {path.parent for path in folder.paths.values()}
    parents = {parent for directory in directories for parent in (directory, *directory.parents)}
    # upper and lower case are equal, because some programs rename .JPG to .jpg
    spellings: dict[str, list[str]] = {}
    for name in folder.paths:
        spellings.setdefault(name.casefold(), []).append(name)
    export = _Export()
    for place in sorted(parent for parent in parents if parent.is_relative_to(folder.root)):
        for file in (place / file_name for file_name in EXPORT_FILES):
            for path, entry in _read_export(file) if file.is_file() else ():
                name = posixpath.normpath(f"{photo_name(place, folder.root)}/{path}")
                if name not in folder.paths:
                    name = name.replace("\\", "/")
                    same = spellings.get(name.casefold(), [])
                    name = same[0] if len(same) == 1 else name
                _merge(export, name, photo_name(file, folder.root), entry)
    return export


def _merge(export: _Export, name: str, file: str, entry: dict[str, Any]) -> None:
    earlier = export.entries.setdefault(name, {})
    for key in DECISIVE_FIELDS:
        if key in earlier and key in entry and earlier[key] != entry[key]:
            sources = " and ".join(dict.fromkeys((export.files[name], file)))
            export.conflicts[name] = f"{sources} give it two different values of {key!r}. Remove one."
    if name not in export.files or (BOXES in entry and BOXES not in earlier):
        export.files[name] = file
    earlier.update(entry)


def _read_export(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Each photo's path relative to the file, and its entry without empty fields."""
    content = read_json(file)
    version = content.get("version") if isinstance(content, dict) else None
    if version != 1:
        raise BlockError(f"{file} has version {version}. This block reads only version 1 of Edge Impulse's format.")
    try:
        if file.name == EXPORT_FILES[0]:
            entries = [(entry["path"], dict(entry)) for entry in content["files"]]
        else:
            entries = [(path, {BOXES: boxes}) for path, boxes in content[BOXES].items()]
        return [
            (normalized(path), {_field(key): value for key, value in entry.items() if value}) for path, entry in entries
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BlockError(f"{file} does not follow Edge Impulse's format. Export the data again.") from error


def _field(key: str) -> str:
    """The format's spelling of a field that differs only in capitals or separators, such as bounding_boxes."""
    return _SPELLINGS.get(_letters(key), key)


def _letters(key: str) -> str:
    return "".join(filter(str.isalnum, key)).casefold()


_SPELLINGS = {_letters(key): key for key in (BOXES, LABEL, *OTHER_FIELDS)}


# --- what an entry says ------------------------------------------------------------------------------------


def _boxes(file: str, drawn: Any) -> PhotoBoxes:
    boxes: PhotoBoxes = []
    for box in drawn if isinstance(drawn, list) else [drawn]:
        fields = {_letters(key): value for key, value in box.items()} if isinstance(box, Mapping) else {}
        label = normalized(fields.get(LABEL))
        boxes.append((label, box_numbers(file, label, {edge: fields.get(edge) for edge in EXPORT_EDGES})))
    return boxes


def _refuse_other_content(file: str, entry: Mapping[str, Any]) -> None:
    """Raises BlockError if an entry without boxes has content in fields that the format does not have."""
    for key, value in entry.items():
        nested = list(value.values()) if isinstance(value, Mapping) else [value]
        lists = [each for each in nested if isinstance(each, list)]
        if key not in OTHER_FIELDS and any(isinstance(each, Mapping | list) for each in chain(*lists)):
            raise BlockError(f"{file} gives it {key!r}, which this block does not understand. Export the data again.")


def _labels(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    """The label of each entry, without those that only repeat the photo's name.

    Beside photos with boxes, such a label is left from the upload. Elsewhere it can be a class: apple.4f1c.jpg. Then it
    is no class if only one photo has it.
    """
    labels = {name: _label(entry) for name, entry in entries.items()}
    has_boxes = any(BOXES in entry for entry in entries.values())
    counts = Counter(labels.values())
    repeated = {
        name
        for name, label in labels.items()
        if (has_boxes or counts[label] == 1) and label.casefold() in _names(name, entries[name], has_boxes)
    }
    return {name: frozenset([label] if label and name not in repeated else ()) for name, label in labels.items()}


def _label(entry: Mapping[str, Any]) -> str:
    label = entry.get(LABEL)
    if isinstance(label, Mapping):
        label = label.get(LABEL) if label.get("type", LABEL) == LABEL else None
    return normalized(label) if isinstance(label, str | int | float) else ""


def _names(photo: str, entry: Mapping[str, Any], has_boxes: bool) -> set[str]:
    """The photo's names before and after the upload, without suffixes. Studio adds .ID or .jpg.ID.ingestion-ID."""
    names = {normalized(entry.get("name")), photo.rsplit("/", 1)[-1]}
    names |= {PurePosixPath(name).stem for name in names} | {PHOTO_SUFFIX.split(name)[0] for name in names}
    if has_boxes:
        names |= {name.split(".")[0] for name in names}
    return {name.casefold() for name in names}
