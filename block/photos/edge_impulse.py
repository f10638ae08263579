"""Reads the label files of an Edge Impulse export: info.labels and bounding_boxes.labels."""

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from block.data.contract import read_json
from block.errors import BlockError
from block.photos.folder import PhotoFolder, photo_name
from block.photos.formats import Labels, PhotoBoxes, box_numbers, normalized

EXPORT_FILES = ("info.labels", "bounding_boxes.labels")
EXPORT_EDGES = ("x", "y", "width", "height")


def classes(folder: PhotoFolder) -> Labels:
    """The classes of each photo in the export, by photo name."""
    return {name: _classes_of_entry(entry) for name, entry in export_entries(folder).items()}


def _classes_of_entry(entry: Mapping[str, Any]) -> frozenset[str]:
    label, boxes = entry.get("label"), entry.get("boundingBoxes")
    if isinstance(label, dict) and label.get("type") == "label":
        return frozenset(filter(None, [normalized(label.get("label"))]))
    boxes = [box for box in boxes if isinstance(box, dict)] if isinstance(boxes, list) else []
    return frozenset(filter(None, (normalized(box.get("label")) for box in boxes)))


def export_entries(folder: PhotoFolder) -> dict[str, dict[str, Any]]:
    """The entries of all label files, by photo name. The files can lie in any folder from `root` down to the photos.

    Raises BlockError if a file is not JSON, has another version than 1 or has another form.
    """
    parents = {parent for path in folder.paths.values() for parent in path.parents}
    # upper and lower case are equal, because some programs rename .JPG to .jpg
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
    """Each photo's path relative to the file, and its entry without empty fields."""
    content = read_json(file)
    version = content.get("version") if isinstance(content, dict) else None
    if version != 1:
        raise BlockError(f"{file} has version {version}. This block reads only version 1 of Edge Impulse's format.")
    try:
        if file.name == EXPORT_FILES[0]:
            entries = [(entry["path"], dict(entry)) for entry in content["files"]]
        else:
            entries = [(path, {"boundingBoxes": boxes}) for path, boxes in content["boundingBoxes"].items()]
        return [(path, {key: value for key, value in entry.items() if value}) for path, entry in entries]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BlockError(f"{file} does not follow Edge Impulse's format. Export the data again.") from error


def boxes(folder: PhotoFolder) -> dict[str, PhotoBoxes]:
    """The boxes of each photo in the export, by photo name. Raises BlockError if a box lacks its label or a number."""
    entries = export_entries(folder)
    found: dict[str, PhotoBoxes] = {name: [] for name in folder.paths if name in entries}
    for name in found:
        drawn = entries[name].get("boundingBoxes", [])
        for box in drawn if isinstance(drawn, list) else [drawn]:
            fields = box if isinstance(box, Mapping) else {}
            label = normalized(fields.get("label"))
            found[name].append((label, box_numbers(name, label, {edge: fields.get(edge) for edge in EXPORT_EDGES})))
    return found
